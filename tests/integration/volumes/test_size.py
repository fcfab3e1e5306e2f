"""``-o size=``: what is limited, how it is shown, and that nothing of it is left."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.engine import EngineUnderTest
from support.waiting import eventually

FILL = "dd if=/dev/zero of=/data/big bs=1M count=64 2>&1; ls -l /data/big | awk '{print $5}'"


@pytest.fixture
def engine(module_engine: EngineUnderTest) -> Iterator[EngineUnderTest]:
    """An engine without volumes, before and after."""
    module_engine.docker("volume", "create", "-o", "size=16m", "data")
    yield module_engine
    module_engine.remove_containers()
    module_engine.docker("volume", "prune", "-af")
    eventually(lambda: loops(module_engine) == [])
    assert module_engine.docker("volume", "ls", "-q").stdout == ""


def loops(engine: EngineUnderTest) -> list[str]:
    """Return the loop devices that are made of files of this engine."""
    done = subprocess.run(
        ["losetup", "-l", "-n", "-O", "BACK-FILE"], capture_output=True, text=True
    )
    return [line for line in done.stdout.splitlines() if str(engine.directory) in line]


def run(engine: EngineUnderTest, script: str, *flags: str) -> str:
    words = ("run", "--rm", "-v", "data:/data", *flags, "busybox", "sh", "-c", script)
    return engine.docker(*words, check=False).stdout


def test_a_full_volume_says_so_inside(engine: EngineUnderTest) -> None:
    said, size = run(engine, FILL).strip().rsplit("\n", 1)
    assert "No space left on device" in said
    assert 10 << 20 < int(size) < 16 << 20
    assert "cutaway" not in run(engine, "ls -A /data; df -P /data | tail -1")
    blocks = int(run(engine, "df -P -k /data | tail -1").split()[1])
    assert 10 << 10 < blocks <= 16 << 10
    listed = engine.docker("system", "df", "-v").stdout.splitlines()
    (size,) = (line.split()[2] for line in listed if line.startswith("data "))
    assert size.endswith("MB")
    assert 10 < float(size.removesuffix("MB")) < 18


def test_a_small_one_is_filled_from_the_image_and_kept(engine: EngineUnderTest) -> None:
    """Also when it is used again at once: while it is still being unmounted."""
    assert "www" in engine.docker("run", "--rm", "-v", "data:/var", "busybox", "ls", "/var").stdout
    run(engine, "echo kept > /data/file")
    assert run(engine, "ls /data; cat /data/file") == "file\nwww\nkept\n"
    for number in range(10):
        assert run(engine, f"cat /data/file; echo {number} > /data/file").strip() == (
            str(number - 1) if number else "kept"
        )


def test_one_too_small_for_what_the_image_has_stays_empty(engine: EngineUnderTest) -> None:
    engine.docker("volume", "create", "-o", "size=2m", "tiny")
    engine.docker("run", "--name", "fat", "busybox", "dd", "if=/dev/zero", "of=/var/fat", "bs=4M",
                  "count=1")  # fmt: skip
    engine.docker("commit", "fat", "fat")
    refused = engine.docker("run", "--rm", "-v", "tiny:/var", "fat", "true", check=False)
    assert refused.returncode == 125
    assert "No space left on device" in refused.stderr
    assert run(engine, "ls -A /x", "-v", "tiny:/x") == ""


def test_two_containers_have_one_disk(engine: EngineUnderTest) -> None:
    engine.docker("run", "-d", "--name", "one", "-v", "data:/data", "busybox", "sleep", "1000")
    run(engine, "echo two > /data/file")
    assert engine.docker("exec", "one", "cat", "/data/file").stdout == "two\n"
    assert len(loops(engine)) == 1
    engine.docker("rm", "-f", "one")
    eventually(lambda: loops(engine) == [])


def test_what_a_dead_engine_left_mounted_is_taken_away(engine: EngineUnderTest) -> None:
    engine.docker("run", "-d", "--name", "one", "-v", "data:/data", "busybox", "sleep", "1000")
    pid = engine.client.get("/containers/one/json")["State"]["Pid"]
    engine.kill()
    engine.host.run("kill", "-9", str(pid))
    eventually(lambda: engine.exit_records() != [])
    engine.start()
    eventually(lambda: loops(engine) == [])
    assert [m for m in engine.host.mounts() if "/volumes/" in m] == []
    engine.docker("start", "one")
    assert len(loops(engine)) == 1


def test_an_anonymous_one_goes_with_its_container(engine: EngineUnderTest) -> None:
    mount = "type=volume,dst=/x,volume-opt=size=4m"
    assert run(engine, "df -P /x | tail -1", "--mount", mount).split()[0].startswith("/dev/")
    eventually(lambda: engine.docker("volume", "ls", "-q").stdout == "data\n")


def test_a_failing_mkfs_leaves_nothing(
    module_engine: EngineUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = module_engine.docker("volume", "create", "-o", "size=1k", "tiny", check=False)
    assert "the smallest volume has 2 MiB" in refused.stderr
    assert module_engine.docker("volume", "ls", "-q").stdout == ""


def test_without_quotas_and_disks_one_sentence_says_what_is_missing(tmp_path: Path) -> None:
    mkfs = shutil.which("mkfs.ext4", path="/usr/sbin:/sbin")
    assert mkfs is not None
    with_no_mkfs = EngineUnderTest()
    with_no_mkfs.host.run("mount", "--bind", "/dev/null", mkfs)
    try:
        with_no_mkfs.start()
        engine = with_no_mkfs
        refused = engine.docker("volume", "create", "-o", "size=1g", "data", check=False)
        assert "has no project quotas (mount it with prjquota)" in refused.stderr
        assert "mkfs.ext4 (package e2fsprogs) is missing" in refused.stderr
        assert engine.docker("volume", "ls", "-q").stdout == ""
    finally:
        with_no_mkfs.close()
