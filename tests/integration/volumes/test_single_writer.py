"""``access=single-writer``: two engines on one directory, and never two writers."""

import json
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.engine import EngineUnderTest
from support.images import busybox_archive
from support.waiting import eventually

WRITE = "while :; do date +%s.%N > /d/now; sleep 0.05; done"


@pytest.fixture(scope="module")
def engines(archives: Path) -> Iterator[tuple[EngineUnderTest, EngineUnderTest]]:
    """Two engines, each on a host of its own."""
    first, second = EngineUnderTest(), EngineUnderTest()
    try:
        for engine in (first.start(), second.start()):
            engine.docker("load", "-q", "-i", str(busybox_archive(archives)))
        yield first, second
    finally:
        first.close()
        second.close()


@pytest.fixture
def shared(engines: tuple[EngineUnderTest, EngineUnderTest], tmp_path: Path) -> Iterator[Path]:
    """A directory that both have as the volume ``data``."""
    options = (f"device={tmp_path}", "type=none", "o=bind", "access=single-writer")
    for engine in engines:
        engine.docker("volume", "create", *(w for o in options for w in ("-o", o)), "data")
    yield tmp_path
    for engine in engines:
        engine.remove_containers()
        engine.docker("volume", "rm", "data")
    eventually(lambda: keepers() == [])
    for engine in engines:
        assert not [m for m in engine.host.mounts() if str(engine.directory / "data/vol") in m]


def the_keeper() -> int:
    """Return the process that keeps the lease, when it is there."""
    eventually(lambda: len(keepers()) == 1)
    return keepers()[0]


def keepers() -> list[int]:
    """Return the processes that keep leases, those apart that have no title yet."""
    found = []
    for entry in filter(str.isdecimal, os.listdir("/proc")):
        try:
            title = Path(f"/proc/{entry}/cmdline").read_bytes()
        except OSError:
            continue
        if title.startswith(b"cutaway: lease data "):
            found.append(int(entry))
    return found


def write(engine: EngineUnderTest, name: str, *flags: str, check: bool = True) -> str:
    """Start a container that writes all the time; return what the command said."""
    words = ("run", "-d", "--name", name, "-v", "data:/d", *flags, "busybox", "sh", "-c", WRITE)
    return engine.docker(*words, check=check).stderr


def users(engine: EngineUnderTest) -> str:
    return engine.cutaway("volume", "users", "data").stdout


def state(engine: EngineUnderTest, name: str) -> dict[str, object]:
    found: dict[str, object] = engine.client.get(f"/containers/{name}/json")["State"]
    return found


def make_expired(shared: Path) -> None:
    """Let the lease's time go by, as the file system tells it."""
    (lease,) = shared.glob(".cutaway.lease.*")
    os.utime(lease, (0, 0))


def test_a_second_writer_is_refused_by_the_holders_name(
    engines: tuple[EngineUnderTest, EngineUnderTest], shared: Path
) -> None:
    first, second = engines
    write(first, "one")
    holder = first.client.get("/containers/one/json")["Id"][:12]
    for engine, name in ((first, "two"), (second, "three")):
        refused = write(engine, name, check=False)
        assert "volume data has one writer at a time (access=single-writer)" in refused
        assert re.search(rf"it is one \({holder}\) on host \S+, engine \S+, .*\(epoch 1\)", refused)
        assert state(engine, name)["Running"] is False
    reading = ("run", "--rm", "-v", "data:/d:ro", "busybox", "sh", "-c", "cat /d/now; touch /d/x")
    assert "Read-only file system" in second.docker(*reading, check=False).stderr
    assert f"epoch 1, held, of one ({holder})" in users(first)
    assert f"epoch 1, held, of one ({holder})" in users(second)
    first.docker("rm", "-f", "one")
    second.docker("start", "three")
    assert "epoch 2, held, of three" in users(first)
    assert [p.name for p in shared.glob(".cutaway.*")] == [".cutaway.lease.2"]


def test_the_lease_outlives_the_engine_and_goes_with_the_container(
    engines: tuple[EngineUnderTest, EngineUnderTest], shared: Path
) -> None:
    first, second = engines
    write(first, "one")
    keeper = the_keeper()
    first.kill()
    assert "one writer at a time" in write(second, "two", check=False)
    first.start()
    assert keepers() == [keeper]
    os.kill(keeper, signal.SIGKILL)
    eventually(lambda: keepers() not in ([], [keeper]))  # another takes its place
    assert state(first, "one")["Running"] is True
    first.docker("restart", "-t0", "one")
    assert "epoch 2, held, of one" in users(second)
    pid = state(first, "one")["Pid"]
    first.kill()
    os.kill(int(str(pid)), signal.SIGKILL)
    eventually(lambda: first.exit_records() != [])
    first.start()
    second.docker("start", "two")
    assert "epoch 3, held, of two" in users(first)


def test_a_crashed_holders_lease_expires(
    engines: tuple[EngineUnderTest, EngineUnderTest], shared: Path
) -> None:
    """The first host as a whole is gone: engine, keeper and container, all at once."""
    first, second = engines
    write(first, "one")
    keeper = the_keeper()
    pid = int(str(state(first, "one")["Pid"]))
    first.kill()
    for process in (keeper, pid):
        os.kill(process, signal.SIGKILL)
    assert "one writer at a time" in write(second, "two", check=False)
    make_expired(shared)
    assert "epoch 1, expired, of one" in users(second)
    second.docker("start", "two")
    assert "epoch 2, held, of two" in users(second)
    first.start()
    assert state(first, "one")["Running"] is False
    assert "one writer at a time" in first.docker("start", "one", check=False).stderr


def test_a_holder_that_lost_its_lease_is_fenced(
    engines: tuple[EngineUnderTest, EngineUnderTest], shared: Path
) -> None:
    """The keeper stood still for so long that the lease expired, and another host writes."""
    first, second = engines
    write(first, "one", "--restart", "always")
    before = state(first, "one")["Pid"]
    keeper = the_keeper()
    os.kill(keeper, signal.SIGSTOP)
    make_expired(shared)
    write(second, "two")
    os.kill(keeper, signal.SIGCONT)
    eventually(lambda: state(first, "one")["Pid"] not in (0, before), timeout_s=30)
    again = first.docker("exec", "one", "touch", "/d/mine", check=False)
    assert "Read-only file system" in again.stderr
    assert "Lost here: one lost it and was killed: epoch 2 was taken" in users(first)
    assert "epoch 2, held, of two" in users(first)
    assert state(second, "two")["Running"] is True
    first.docker("stop", "-t0", "one")
    assert "one writer at a time" in first.docker("start", "one", check=False).stderr
    second.docker("rm", "-f", "two")
    first.docker("start", "one")
    first.docker("exec", "one", "touch", "/d/mine")


def test_a_lease_in_disorder_is_somebodys(
    engines: tuple[EngineUnderTest, EngineUnderTest], shared: Path
) -> None:
    (shared / ".cutaway.lease.7").write_text("{")
    assert "it is an unknown writer (?)" in write(engines[0], "one", check=False)
    make_expired(shared)
    engines[0].docker("start", "one")
    assert json.loads((shared / ".cutaway.lease.8").read_text())["claim"]["name"] == "one"


def test_a_volume_of_one_engine(engines: tuple[EngineUnderTest, EngineUnderTest]) -> None:
    engine = engines[0]
    engine.docker("volume", "create", "-o", "access=single-writer", "data")
    write(engine, "one")
    assert "it is one (" in write(engine, "two", check=False)
    assert engine.docker("exec", "one", "ls", "-A", "/d").stdout == "now\n"
    engine.remove_containers()
    engine.docker("volume", "rm", "data")
    eventually(lambda: keepers() == [])
