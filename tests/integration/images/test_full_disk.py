"""A disk that fills up: one sentence, nothing left, and removing always works."""

import os
import subprocess

import pytest

from cutaway.errors import System
from support.engine import EngineUnderTest
from support.hostile_registry import make_image, tar_of
from support.images import busybox_archive, docker_archive
from support.waiting import eventually


@pytest.fixture
def small_disk(tmp_path, request):
    """Mount a tmpfs of 8 MiB below the test's directory."""
    target = tmp_path / "disk"
    target.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "none", str(target)], check=True)
    yield target
    subprocess.run(["umount", "-l", str(target)], check=True)


def test_a_pull_onto_a_full_disk(small_disk, registry, store):
    small = type(store)(small_disk)
    registry.put(make_image(size=1000), name="little")
    small.pull(f"{registry.address}/little")
    before = small.blobs()
    registry.put(make_image(layers=4, size=3_000_000, salt="big"))

    with pytest.raises(System, match="no space left on device|free space"):
        small.pull(f"{registry.address}/app")

    assert small.blobs() == before
    assert small.partial() == []
    small.open()
    assert [n.familiar for i in small.images.list() for n in i.names] == [
        f"{registry.address}/little:latest"
    ]
    (small_disk / "filler").write_bytes(b"x" * 1000)
    small.images.remove(f"{registry.address}/little")
    assert small.blobs() == set()


@pytest.fixture
def full_engine(archives):
    """An engine whose data root is a small disk of its own."""
    engine = EngineUnderTest()
    engine.data_root.mkdir()
    mount = ("mount", "-t", "tmpfs", "-o", "size=48m", "none", str(engine.data_root))
    engine.host.run(*mount)
    try:
        engine.start()
        engine.docker("load", "-q", "-i", str(busybox_archive(archives)))
        yield engine
    finally:
        engine.close()


def listing(engine):
    return "find", f"{engine.data_root}/images", f"{engine.data_root}/snapshots", "-maxdepth", "3"


def fill(engine):
    """Leave not one byte; return the files that do it."""
    fillers = [f"{engine.data_root}/filler{number}" for number in range(2)]
    script = "dd if=/dev/zero of=$0 bs=1M; dd if=/dev/zero of=$1 bs=1 count=5000; true"
    engine.host.run("sh", "-c", script, *fillers)
    free = engine.host.run("stat", "-f", "-c", "%f", str(engine.data_root)).stdout
    assert free.strip() == "0"
    return fillers


def test_a_load_onto_a_small_disk_fails_in_dockers_words_and_leaves_nothing(
    full_engine, tmp_path
) -> None:
    engine = full_engine
    before = engine.host.run(*listing(engine)).stdout
    docker_archive(tmp_path / "big.tar", "big:1", [tar_of({"big": os.urandom(60_000_000)})])
    done = engine.docker("load", "-i", str(tmp_path / "big.tar"), check=False)
    assert done.returncode == 1
    assert "no space left on device" in done.stderr
    assert "prune" in done.stderr  # what to do
    after = engine.host.run(*listing(engine)).stdout
    assert sorted(after.split()) == sorted(before.split())
    assert engine.docker("images", "-q").stdout.split() == [
        engine.docker("images", "-q", "busybox").stdout.strip()
    ]


def test_with_no_byte_free_everything_that_helps_still_works(full_engine) -> None:
    engine = full_engine
    engine.docker("tag", "busybox", "second:1")
    engine.docker("volume", "create", "vol")
    for name in ("one", "two"):
        engine.docker("run", "-d", "--name", name, "busybox", "sleep", "1000")
    fillers = fill(engine)
    assert engine.docker("ps", "-q").stdout.count("\n") == 2
    assert engine.docker("inspect", "-f", "{{.State.Status}}", "one").stdout == "running\n"
    engine.docker("stop", "-t", "0", "one")
    engine.docker("kill", "two")
    eventually(lambda: engine.docker("ps", "-q").stdout == "")
    engine.docker("rm", "one")
    engine.docker("rmi", "second:1")
    engine.docker("volume", "rm", "vol")
    engine.host.run("dd", "if=/dev/zero", f"of={fillers[0]}.more", "bs=4k", check=False)

    engine.stop()
    engine.start()  # also while it is full
    assert engine.docker("ps", "-aq").stdout.count("\n") == 1
    assert "two" in engine.docker("ps", "-a", "--format", "{{.Names}}").stdout
    engine.docker("container", "prune", "-f")
    engine.docker("image", "prune", "-f")
    assert engine.docker("ps", "-aq").stdout == ""

    engine.host.run("rm", "-f", *fillers, f"{fillers[0]}.more")
    assert engine.docker("run", "--rm", "busybox", "echo", "again").stdout == "again\n"
    reserve = engine.data_root / "reserve"
    ls = ("ls", str(reserve))
    eventually(lambda: engine.host.run(*ls).stdout.count("\n") == 2)  # a twentieth of 48 MiB
