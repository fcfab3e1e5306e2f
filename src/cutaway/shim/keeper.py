"""The keeper: all that is left of a shim while its container idles.

The problem: a shim is a fork of a warm interpreter, and every page that it ever wrote to is a copy
of its own: 4 MB, for as long as the container lives, though most containers do nothing for hours.

The model: a keeper forks the shim before it has run any code, and then only waits for its end.
When the container has nothing to do, the shim *goes to rest*: it writes down what it knows, puts
that and its descriptors into a socket, watches them in the keeper's epoll set, and ends. The
container's processes become the keeper's children (it is a subreaper). Whatever happens next, the
keeper forks a new shim from its own untouched memory, and that takes the old one's place.

Keeper and shim are one: when either is killed, so is the other, as if they were one process.

Both have all ends of the two pipes and the socket between them, which outlive a shim:

====== ======= ==========================================================================
pipe   from    meaning
====== ======= ==========================================================================
ended  keeper  a process that was not the shim's child has ended: pid, exit code, signal
rest   shim    at rest: the container's id, and when (CLOCK_MONOTONIC, ns) there is
               something to do at the latest; 0: never
state  shim    for the shim to come (``rest.py``)
====== ======= ==========================================================================
"""

import os
import select
import signal
import time
from collections.abc import Callable
from typing import NamedTuple, NoReturn

from cutaway import linux
from cutaway.linux.abi import PR
from cutaway.shim.loop import READABLE, Loop, how_ended

AT_REST = 75  # a shim's exit code; EX_TEMPFAIL of sysexits.h
_TITLE = "cutaway: keeper"
_WORD_BYTES = 128
_LAST_FD = 0xFFFFFFFF
_PIPE_FLAGS = os.O_CLOEXEC | os.O_NONBLOCK


class Between(NamedTuple):
    """The descriptors that a keeper and its shim share, a name for each end.

    Attributes:
        epoll: ready when there is work for a shim.
    """

    ended_read: int
    ended_write: int
    rest_read: int
    rest_write: int
    state_read: int
    state_write: int
    epoll: int


# Becomes, in a forked child, the shim: the first, or one that takes the place of one at rest.
BeShim = Callable[[Between, bool], NoReturn]


class KeeperLink:
    """The shim's hold on its keeper."""

    def __init__(self, between: Between) -> None:
        self._between = between
        self._unread = b""

    @property
    def state_read(self) -> int:
        """The socket that holds the state of the shim before this one."""
        return self._between.state_read

    @property
    def state_write(self) -> int:
        """The socket that takes this shim's state."""
        return self._between.state_write

    def serve(self, loop: Loop) -> None:
        """Tell ``loop`` of children of the keeper that have ended."""
        loop.watch(self._between.ended_read, READABLE, lambda _: self._hear(loop))

    def _hear(self, loop: Loop) -> None:
        *lines, self._unread = (self._unread + os.read(self._between.ended_read, 4096)).split(b"\n")
        for line in lines:
            pid, exit_code, fatal = map(int, line.split())
            loop.tell_ended((pid, exit_code, fatal))

    def rest(self, container_id: str, loop: Loop) -> None:
        """Have the keeper watch what ``loop`` watches; then the shim ends with ``AT_REST``."""
        epoll = select.epoll.fromfd(self._between.epoll)
        for fd, events in loop.watched():
            if fd != self._between.ended_read:
                epoll.register(fd, events)
        due_s = min((timer.due_s for timer in loop.timers), default=0.0)
        os.write(self._between.rest_write, f"{container_id} {due_s}".encode())


def keep(be_shim: BeShim, connection_fd: int, state_fds: tuple[int, int]) -> NoReturn:
    """Be a keeper, in a freshly forked process, until the container is gone.

    What runs here is short, and uses little of the interpreter: each page it writes to is memory
    of its own that an idle container costs.

    Args:
        be_shim: called in each child.
        connection_fd: is the first shim's alone.
        state_fds: of a socket pair: read end, write end.
    """
    exit_code = 1
    try:
        os.setsid()
        linux.prctl(PR.SET_CHILD_SUBREAPER, 1)
        linux.set_process_title(_TITLE)
        ended_read, ended_write = os.pipe2(_PIPE_FLAGS)
        rest_read, rest_write = os.pipe2(_PIPE_FLAGS)
        child_read, child_write = os.pipe2(_PIPE_FLAGS)
        # the launcher's loop has set a handler for SIGCHLD
        signal.set_wakeup_fd(child_write, warn_on_full_buffer=False)
        keeper_pid = os.getpid()
        is_first = True
        while True:
            epoll = select.epoll()
            pid = linux.fork()
            if pid == 0:
                linux.prctl(PR.SET_PDEATHSIG, signal.SIGKILL)
                if os.getppid() != keeper_pid:  # it was killed before that
                    os._exit(1)
                fds = (ended_read, ended_write, rest_read, rest_write, *state_fds, epoll.fileno())
                be_shim(Between(*fds), is_first)
            if is_first:
                os.close(connection_fd)
                is_first = False
            exit_code = _relay_until_end(pid, ended_write)
            if exit_code != AT_REST:
                break
            container_id, due_s = os.read(rest_read, _WORD_BYTES).split()
            linux.set_process_title(f"{_TITLE} {container_id[:12].decode()}")
            for fd in (ended_read, child_read):
                epoll.register(fd, READABLE)
            _wait_for_work(epoll, float(due_s), child_read)
            epoll.close()
    finally:
        os._exit(exit_code)


def _relay_until_end(shim_pid: int, ended_write: int) -> int:
    """Reap children until the shim has ended, telling it of the others; return its exit code."""
    while True:
        pid, exit_code, fatal = how_ended(os.waitid(os.P_ALL, 0, os.WEXITED))  # type: ignore[arg-type]
        if pid == shim_pid:
            return exit_code
        os.write(ended_write, b"%d %d %d\n" % (pid, exit_code, fatal))


def _wait_for_work(epoll: select.epoll, due_s: float, child_read: int) -> None:
    """Block until a descriptor is ready, the time has come, or a child has ended."""
    try:  # noqa: SIM105 suppress() is Python: more pages
        os.read(child_read, 4096)  # what was written of the shim itself, and those before it
    except BlockingIOError:
        pass
    if os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        epoll.poll(max(0.0, due_s - time.monotonic()) if due_s else None)


def keep_only(*fds: int) -> None:
    """Close every descriptor from 3 on but these."""
    first = 3
    for fd in sorted(fds):
        if fd > first:
            linux.close_range(first, fd - 1)
        first = max(first, fd + 1)
    linux.close_range(first, _LAST_FD)
