"""The engine is asked to end while something is under way: it ends, and loses nothing."""

import os
import signal
import socket
from contextlib import suppress
from pathlib import Path

import pytest

from support.engine import EngineUnderTest
from support.picture import processes
from support.waiting import eventually

HALF_A_TAR = b"file\0".ljust(100, b"\0") + b"0000644\0" + b"\0" * 404


@pytest.mark.parametrize(
    "request_line",
    [
        "POST /build?dockerfile=Dockerfile",
        "POST /images/load",
        "PUT /containers/box/archive?path=/tmp",
        "POST /images/create?fromSrc=-&repo=half",
    ],
)
def test_a_body_that_stands_still_does_not_hold_it_up(
    module_engine: EngineUnderTest, request_line: str
) -> None:
    engine = module_engine
    engine.docker("create", "--name", "box", "busybox", "true")
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(engine.socket)
        head = f"{request_line} HTTP/1.1\r\nHost: d\r\nContent-Type: application/x-tar\r\n"
        client.sendall(head.encode() + b"Content-Length: 100000\r\n\r\n" + HALF_A_TAR)
        engine.client.get("/containers/box/json")  # it has come to the body by now
        engine.stop()
    engine.start()
    engine.docker("rm", "box")
    assert engine.docker("images", "-q", "half").stdout == ""


def test_a_worker_that_is_stuck_does_not_hold_it_up(module_engine: EngineUnderTest) -> None:
    engine = module_engine
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(engine.socket)
        head = "POST /build HTTP/1.1\r\nHost: d\r\nContent-Type: application/x-tar\r\n"
        client.sendall(head.encode() + b"Content-Length: 100000\r\n\r\n" + HALF_A_TAR)
        eventually(lambda: any("images" in title for _, title in processes(engine)))
        eventually(lambda: len(workers(engine)) > 1)
        stuck = workers(engine)
        for pid in stuck:
            os.kill(pid, signal.SIGSTOP)
        engine.stop()
    eventually(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in stuck))
    engine.start()


def workers(engine: EngineUnderTest) -> list[int]:
    """Return the process that workers are forked from, and the workers; an idle one goes."""
    found = [pid for pid, title in processes(engine) if title.startswith("cutaway: images")]
    with suppress(OSError):
        for template in found:
            children = Path(f"/proc/{template}/task/{template}/children").read_text().split()
            return [template, *map(int, children)]
    return []
