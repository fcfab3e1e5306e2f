"""``docker cp`` of a container that does not run: what was mounted in it is mounted for that time.

As dockerd 28 does: measured beside it.
"""

from pathlib import Path

import pytest

from support.engine import EngineUnderTest
from support.waiting import eventually


def volume_mounts(engine: EngineUnderTest) -> list[str]:
    return [line for line in engine.host.mounts() if "/volumes/" in line]


@pytest.mark.parametrize("options", [("size=8m",), ("type=tmpfs", "device=tmpfs")])
def test_a_volume_that_is_a_mount(
    engine: EngineUnderTest, tmp_path: Path, options: tuple[str, ...]
) -> None:
    words = [word for option in options for word in ("-o", option)]
    engine.docker("volume", "create", *words, "data")
    command = ("sh", "-c", "echo in > /data/file")
    engine.docker("run", "--name", "web", "-v", "data:/data", "busybox", *command)
    eventually(lambda: volume_mounts(engine) == [])
    (tmp_path / "note").write_text("noted\n")
    engine.docker("cp", str(tmp_path / "note"), "web:/data/note")
    assert volume_mounts(engine) == []
    is_kept = options == ("size=8m",)  # a tmpfs begins anew each time, in dockerd, too
    copied = engine.docker("cp", "web:/data/.", str(tmp_path / "copy"))
    assert copied.returncode == 0
    assert {p.name for p in (tmp_path / "copy").iterdir()} == (
        {"file", "note"} if is_kept else set()
    )
    below = engine.data_root / "volumes/data/_data"
    assert list(below.iterdir()) == []  # nothing was written where the mount hides it
    listing = "docker export web | tar -t | grep ^data"
    exported = engine.host.run("sh", "-c", listing, env=engine.environment())
    assert exported.stdout == "data/\n"
    engine.docker("rm", "web")
    engine.docker("volume", "rm", "data")


def test_the_files_about_names(engine: EngineUnderTest, tmp_path: Path) -> None:
    run = ("run", "--name", "web", "--hostname", "here", "--add-host", "there:10.0.0.9")
    engine.docker(*run, "busybox", "true")
    for name, text in (
        ("hostname", "here\n"),
        ("hosts", "10.0.0.9\tthere"),
        ("resolv.conf", "nam"),
    ):
        engine.docker("cp", f"web:/etc/{name}", str(tmp_path))
        assert text in (tmp_path / name).read_text()
    refused = engine.docker("cp", str(tmp_path / "hosts"), "web:/etc/hostname", check=False)
    assert "device or resource busy" in refused.stderr.lower()
    engine.docker("cp", "web:/etc/hostname", str(tmp_path))
    assert (tmp_path / "hostname").read_text() == "here\n"
    assert engine.docker("diff", "web").stdout == ""
