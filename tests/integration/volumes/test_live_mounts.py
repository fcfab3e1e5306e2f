"""``mount add`` and ``mount rm`` on running containers: at once, recorded, and kept."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.engine import EngineUnderTest
from support.waiting import eventually


@pytest.fixture
def directory(module_engine: EngineUnderTest) -> Iterator[Path]:
    """A directory of the host with a file, owned by 1000:1001."""
    path = Path(module_engine.directory) / "src"
    path.mkdir(exist_ok=True)
    (path / "own").write_text("the host's\n")
    for owned in (path, path / "own"):
        os.chown(owned, 1000, 1001)
    yield path
    module_engine.remove_containers()
    module_engine.docker("volume", "prune", "-af")
    module_engine.host.run("rm", "-rf", str(path))


@pytest.fixture
def engine(module_engine: EngineUnderTest, directory: Path) -> EngineUnderTest:
    """An engine with the container ``web``, which runs."""
    module_engine.docker("run", "-d", "--name", "web", "busybox", "sleep", "1000")
    return module_engine


def sh(engine: EngineUnderTest, script: str, *, check: bool = True) -> str:
    done = engine.docker("exec", "web", "sh", "-c", script, check=check)
    return done.stdout + done.stderr


def test_a_volume_and_a_directory_appear_and_stay(engine: EngineUnderTest, directory: Path) -> None:
    added = engine.cutaway("mount", "add", "web", "data:/var", f"{directory}:/a/b:ro").stdout
    assert added.splitlines() == ["volume data -> /var (rw)", f"bind {directory} -> /a/b (ro)"]
    assert sh(engine, "touch /var/mine; ls /var") == "mine\nwww\n"  # filled from the image
    assert sh(engine, "cat /a/b/own") == "the host's\n"
    assert "Read-only file system" in sh(engine, "touch /a/b/x", check=False)
    (inspected,) = engine.client.get("/containers/web/json")["Mounts"][1:]
    assert (inspected["Name"], inspected["Destination"]) == ("data", "/var")
    assert engine.client.get("/containers/web/json")["HostConfig"]["Binds"] == [
        "data:/var",
        f"{directory}:/a/b:ro",
    ]
    story = engine.cutaway("story", "web").stdout
    assert 'mounting "' in story
    assert "mount add" in story
    assert "volume is in use" in engine.docker("volume", "rm", "data", check=False).stderr
    engine.docker("restart", "-t0", "web")
    assert sh(engine, "ls /var; cat /a/b/own") == "mine\nwww\nthe host's\n"
    engine.kill()
    engine.start()
    assert sh(engine, "ls /var") == "mine\nwww\n"
    engine.cutaway("mount", "rm", "web", "/var", "/a/b")
    assert sh(engine, "ls /var /a/b") == "/a/b:\n\n/var:\nwww\n"
    assert engine.client.get("/containers/web/json")["Mounts"] == []
    engine.docker("volume", "rm", "data")


def test_a_restart_without_an_engine_has_the_mount(engine: EngineUnderTest) -> None:
    engine.docker("update", "--restart", "always", "web")
    engine.cutaway("mount", "add", "web", "data:/data")
    first = engine.client.get("/containers/web/json")["State"]["Pid"]
    engine.kill()
    os.kill(first, 9)
    engine.start()
    eventually(
        lambda: engine.client.get("/containers/web/json")["State"]["Pid"] not in (0, first),
    )
    assert " /data " in sh(engine, "cat /proc/self/mountinfo")


def test_ids_are_mapped_and_sources_given(engine: EngineUnderTest, directory: Path) -> None:
    engine.cutaway("mount", "add", "web", f"{directory}:/m:idmap")
    assert sh(engine, "stat -c %u:%g /m/own; touch /m/new") == "0:0\n"
    assert ((directory / "new").stat().st_uid, (directory / "new").stat().st_gid) == (1000, 1001)
    engine.cutaway("mount", "add", "web", f"{directory}:/u:U")
    assert (directory / "own").stat().st_uid == 0


def test_a_file_in_use_is_not_taken_away_without_force(engine: EngineUnderTest) -> None:
    engine.cutaway("mount", "add", "web", "data:/data")
    engine.docker("exec", "-d", "web", "sh", "-c", "cd /data; echo in > flag; exec sleep 1000")
    eventually(lambda: "in" in sh(engine, "cat /data/flag", check=False))
    refused = engine.cutaway("mount", "rm", "web", "/data", check=False)
    assert refused.returncode == 1
    assert "files of it are open" in refused.stderr
    assert sh(engine, "cat /data/flag") == "in\n"
    engine.cutaway("mount", "rm", "-f", "web", "/data")
    assert "No such file" in sh(engine, "cat /data/flag", check=False)


def test_a_link_in_the_container_leads_nowhere_outside(engine: EngineUnderTest) -> None:
    canary = Path(engine.directory) / "canary"
    canary.mkdir()
    sh(engine, f"ln -s {canary} /evil; ln -s ../../../../../../ /up; ln -s /proc/self/root /magic")
    for target in ("/evil/x", f"/up{canary}/x", "/magic/x"):
        engine.cutaway("mount", "add", "web", f"data:{target}", check=False)
    assert list(canary.iterdir()) == []
    assert not [line for line in engine.host.mounts() if str(canary) in line]
    canary.rmdir()


@pytest.mark.parametrize(
    ("mounts", "message"),
    [
        (["data:/"], "destination can't be '/'"),
        (["data:/proc"], '"/proc" cannot be mounted because it is not of type proc'),
        (["data:/proc/sys"], '"/proc/sys" cannot be mounted because it is inside /proc'),
        (["data:/link/sys"], '"/proc/sys" cannot be mounted because it is inside /proc'),
        (["data:x"], "mount path must be absolute"),
        (["data:/x:nonsense"], "nonsense"),
        (["data:/x", "more:/x"], "Duplicate mount point: /x"),
        (["data:/x", "more:/bin/busybox"], "ENOTDIR|Not a directory"),
        (["data:/etc"], "would hide what is mounted at /etc/host"),
        (["/x"], "has no source"),
    ],
)
def test_what_can_not_be_leaves_nothing(
    engine: EngineUnderTest, mounts: list[str], message: str
) -> None:
    sh(engine, "ln -s /proc /link")
    before = sh(engine, "cat /proc/self/mountinfo")
    refused = engine.cutaway("mount", "add", "web", *mounts, check=False)
    assert refused.returncode in (1, 125)
    assert any(part in refused.stderr for part in message.split("|")), refused.stderr
    assert sh(engine, "cat /proc/self/mountinfo") == before
    assert engine.client.get("/containers/web/json")["Mounts"] == []
    engine.docker("volume", "prune", "-af")
    assert engine.docker("volume", "ls", "-q").stdout == ""
    assert "no mount at /x" in engine.cutaway("mount", "rm", "web", "/x", check=False).stderr


def test_a_stopped_container_has_it_at_its_next_start(engine: EngineUnderTest) -> None:
    engine.docker("stop", "-t0", "web")
    engine.cutaway("mount", "add", "web", "data:/data")
    engine.docker("start", "web")
    assert " /data " in sh(engine, "cat /proc/self/mountinfo")
    engine.docker("stop", "-t0", "web")
    engine.cutaway("mount", "rm", "web", "/data")
    engine.docker("start", "web")
    assert " /data " not in sh(engine, "cat /proc/self/mountinfo")
