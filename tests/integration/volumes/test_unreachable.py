"""A file server that does not answer: who asks it waits, nobody else."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.engine import EngineUnderTest
from support.images import busybox_archive
from support.waiting import require_within

# A file system in user space (linux/fuse.h): it says that it is there (FUSE_INIT), and no more.
_SERVER = """
import ctypes, os, select, struct, sys, time
fd = os.open("/dev/fuse", os.O_RDWR)
options = f"fd={fd},rootmode=40000,user_id=0,group_id=0".encode()
assert not ctypes.CDLL(None).mount(b"far", sys.argv[1].encode(), b"fuse.far", 0, options)
_, _, unique = struct.unpack_from("=IIQ", os.read(fd, 1 << 17))
os.write(fd, struct.pack("=IiQIIIIHHIIHH32x", 80, 0, unique, 7, 31, 0, 0, 0, 0, 65536, 1, 0, 0))
print("there", flush=True)
select.select([fd], [], [])  # whoever asks can be killed as long as nobody reads what it asks
print("asked", flush=True)
time.sleep(1000)
"""


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[EngineUnderTest]:
    engine = EngineUnderTest()
    try:
        engine.start()
        engine.docker("load", "-i", str(busybox_archive(tmp_path)))
        yield engine
    finally:
        engine.close()


@pytest.fixture
def server(engine: EngineUnderTest, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    words = [sys.executable, "-c", _SERVER, str(tmp_path)]
    with engine.host.popen(words, stdout=subprocess.PIPE) as server:
        yield server
        server.kill()


def test_the_engine_stops_while_a_mount_hangs(
    engine: EngineUnderTest, server: subprocess.Popen[bytes], tmp_path: Path
):
    options = ("type=none", "o=bind", f"device={tmp_path}/data")
    engine.docker("volume", "create", *(word for o in options for word in ("-o", o)), "far")
    engine.docker("create", "--name", "box", "-v", "far:/d", "busybox", "true")
    assert server.stdout is not None
    assert server.stdout.readline() == b"there\n"
    start = [*engine.our_command, "start", "box"]
    with engine.host.popen(start, env=engine.environment(), stderr=subprocess.DEVNULL) as client:
        assert server.stdout.readline() == b"asked\n"
        client.kill()
    assert engine.answers()
    started = time.monotonic()
    engine.stop()
    require_within(15, started)
    server.kill()
    engine.start()
    assert "Created" in engine.docker("ps", "-a", "--format", "{{.Status}}").stdout
    engine.docker("rm", "box")
    engine.docker("volume", "rm", "far")
