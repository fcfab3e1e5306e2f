"""``--init``: a first process that stays beside the program, forwards signals and reaps.

A program made for another place than pid 1 has two troubles there: the kernel ignores signals that
it has no handler for, and orphans of the container become its children, which it never reaps. So
pid 1 stays our own process, which does only these two things and ends as the program ended.

It stays as the container's user, without its capabilities beyond the program's, behind the same
seccomp filter, undumpable, and it imports nothing: it is the init after its last step.

Docker's counterpart: docker-init (tini).
"""

import contextlib
import os
import signal
from collections.abc import Callable
from typing import NoReturn

from cutaway import linux

_SIGNALLED = 128


def supervise(execute: Callable[[], NoReturn], close_sync: Callable[[], None]) -> NoReturn:
    """Fork the program and stay until it has ended.

    Args:
        execute: becomes the program; called in the child.
        close_sync: gives up the sync socket, so that its end tells of the child alone.
    """
    everything = signal.valid_signals()
    signal.pthread_sigmask(signal.SIG_SETMASK, everything)  # none is lost, none is ignored
    program = linux.fork()
    if program == 0:
        _take_terminal()
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        execute()
    close_sync()
    while True:
        number = signal.sigwaitinfo(everything).si_signo
        if number == signal.SIGCHLD:
            _reap(program)
        else:
            with contextlib.suppress(OSError):  # it has ended, or is another user's now
                os.kill(program, number)


def _take_terminal() -> None:
    """Make the program's own process group the terminal's foreground; SIGTTOU is blocked yet."""
    with contextlib.suppress(OSError):
        os.setpgid(0, 0)
        if os.isatty(0):
            os.tcsetpgrp(0, os.getpid())


def _reap(program: int) -> None:
    """Reap every child that has ended; when it is the program, end as it did."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        if pid == program:
            code = os.waitstatus_to_exitcode(status)
            os._exit(code if code >= 0 else _SIGNALLED - code)
