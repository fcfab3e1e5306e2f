"""A child in its parent's memory, and what its parent does after it."""

import os
import signal
import socket
from collections.abc import Callable
from typing import NoReturn

import pytest

from cutaway import linux
from cutaway.linux import CLONE

pytestmark = pytest.mark.skipif(not linux.CAN_VFORK, reason="this machine's processes fork")


def start(child: Callable[[int], NoReturn]) -> tuple[int, socket.socket]:
    """Make a process that makes a child; return its pid and what it waits for.

    The child is given a pipe to write to, and this process reads its pid from there.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    parent, pidfd = linux.clone3(CLONE(0))
    if parent == 0:
        ours.close()
        linux.VFork(lambda: child(theirs.fileno()), CLONE.PARENT, None, theirs.fileno()).start()
    os.close(pidfd)
    theirs.close()
    return parent, ours


def tell_pid(fd: int) -> None:
    os.write(fd, str(os.getpid()).encode())


def deep(number: int) -> int:
    return 0 if number == 0 else 1 + deep(number - 1)


def execute(fd: int) -> NoReturn:
    try:
        assert deep(500) == 500  # an interpreter as any other
        tell_pid(fd)
        os.execve("/bin/sh", ["sh", "-c", "exit 7"], {})
    finally:
        os._exit(1)


def be_killed(fd: int) -> NoReturn:
    try:
        tell_pid(fd)
        os.kill(os.getpid(), signal.SIGKILL)
    finally:
        os._exit(1)


@pytest.mark.parametrize(("child", "end"), [(execute, 7), (be_killed, -signal.SIGKILL)])
def test_the_child_is_our_own_and_its_parent_waits(
    child: Callable[[int], NoReturn], end: int
) -> None:
    parent, connection = start(child)
    pid = int(connection.recv(16))
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == end
    assert os.waitpid(parent, os.WNOHANG) == (0, 0)
    connection.close()
    assert os.waitstatus_to_exitcode(os.waitpid(parent, 0)[1]) == 0


def test_a_child_that_cannot_be_made_ends_its_parent() -> None:
    def in_parent() -> NoReturn:
        cgroup = os.open("/", os.O_RDONLY)  # no cgroup: EBADF
        linux.VFork(lambda: os._exit(9), CLONE.PARENT, cgroup, theirs.fileno()).start()

    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    parent, pidfd = linux.clone3(CLONE(0))
    if parent == 0:
        ours.close()
        in_parent()
    theirs.close()
    ours.close()
    assert linux.waitid_pidfd(pidfd) == (0, None)
    os.close(pidfd)
