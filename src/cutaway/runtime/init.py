"""The container's init: from clone3(2) to execve(2).

It runs in a copy of the stem's memory (an exec in its own stem's), single-threaded, and may leave
only by execve or ``_exit``. What it does is the plan's stages, one step after the other
(``plan.py`` says why in this order). After the last it tells the shim, waits for "go", and becomes
the program.
"""

import contextlib
import errno
import fcntl
import gc
import json
import os
import signal
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NoReturn

from cutaway import linux
from cutaway.linux.abi import PR
from cutaway.runtime.executables import HEADER_BYTES, exec_failure, explain_exec_error
from cutaway.runtime.failures import NOT_EXECUTABLE_EXIT_CODE, RuntimeFailure, failure_of
from cutaway.runtime.journal import Journal
from cutaway.runtime.plan import Stage
from cutaway.runtime.reaper import supervise
from cutaway.runtime.scope import InitScope
from cutaway.runtime.seal import seal_imports
from cutaway.runtime.steps.security import (
    close_all_but,
)

INIT_TITLE = "cutaway: init"
_FAILED = 1


@dataclass(frozen=True, slots=True)
class Program:
    """What the init becomes.

    Attributes:
        args: argv; the file is found by ``FindProgram``.
        machine: of this host, to explain a program of another architecture.
        operation: ``create`` or ``exec``, for messages.
        has_reaper: the first process stays, and the program is its child.
    """

    args: tuple[str, ...]
    machine: str
    operation: str = "create"
    has_reaper: bool = False


def prepare_child(scope: InitScope, kept_fds: Iterable[int], title: str = INIT_TITLE) -> None:
    """Cut a freshly forked child off from the process that it is a copy of.

    Args:
        scope: its sync socket is kept.
        kept_fds: kept too; all other descriptors are closed.
        title: what ``ps`` shows.

    Preconditions: called first in the child.
    """
    gc.disable()  # a collection could run a finalizer of the shim's, and copies pages
    # Undumpable before anything is joined: else a process of the container could open our
    # /proc/PID/exe, the host's interpreter (CVE-2019-5736), or our descriptors (CVE-2016-9962).
    linux.prctl(PR.SET_DUMPABLE, 0)
    _reset_signals()
    close_all_but(sorted({fd for fd in (scope.sync.fd, *kept_fds) if fd > 2}))
    os.umask(0)  # else the modes of devices and directories would be less than asked
    linux.set_process_title(title)
    seal_imports()


def settle(scope: InitScope) -> None:
    """Give the child its own session and its stdin, stdout, stderr."""
    if scope.stdio is None:
        null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
        fds = [null, null, null]
    else:
        # copies above 2, so that setting one can't close another
        fds = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3) for fd in scope.stdio]
    for number, fd in enumerate(fds):
        os.dup2(fd, number)
    for fd in set(fds):
        os.close(fd)
    os.setsid()


def _reset_signals() -> None:
    """Give every signal its default: Python ignores SIGPIPE and SIGXFSZ, a shell perhaps more."""
    linux.reset_signal_dispositions()
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def run_init(
    stages: tuple[Stage, ...], first_number: int, scope: InitScope, program: Program
) -> NoReturn:
    """Do the stages, then become the program.

    Args:
        stages: what is left to do.
        first_number: of the first step, in the numbering that the parent knows.
        scope: of a process that ``prepare_child`` has cut off.
        program: what to execute.
    """
    journal = Journal()
    try:
        settle(scope)
        apply_stages(stages, first_number, scope, journal)
        scope.wait_released()  # the shim must hear of us from the maker before it hears us
        _report_prepared(scope, journal)
        if scope.sync.read_letter() != "G":
            os._exit(_FAILED)
        scope.sync.send("X")
        if program.has_reaper:
            supervise(lambda: _become(scope, program), scope.sync.close)
        execute(scope, program)
    except BaseException as error:  # the child's top: everything is told to the parent
        report_failure(scope, journal, failure_of("init", "preparing", error), program)
    finally:
        os._exit(_FAILED)


def _become(scope: InitScope, program: Program) -> NoReturn:
    """Be the program, a child of the first process."""
    try:
        execute(scope, program)
    except BaseException as error:  # a child's top
        report_failure(scope, Journal(), failure_of("exec", "executing", error), program)
    finally:
        os._exit(_FAILED)


def apply_stages(
    stages: tuple[Stage, ...], first_number: int, scope: InitScope, journal: Journal
) -> None:
    """Do the steps of some stages in order, and note the time of each.

    Raises:
        RuntimeFailure: which stage and step failed, and why.
    """
    number = first_number
    for stage in stages:
        for step in stage.steps:
            started_ns = time.monotonic_ns()
            try:
                step.apply(scope)
            except BaseException as error:
                raise failure_of(stage.name, step.describe(), error) from error
            finally:
                journal.note(number, started_ns, time.monotonic_ns() - started_ns)
            number += 1


def _report_prepared(scope: InitScope, journal: Journal) -> None:
    if scope.console_master >= 0:
        scope.sync.send("P", journal.take(), (scope.console_master,))
        os.close(scope.console_master)
        scope.console_master = -1
    else:
        scope.sync.send("P", journal.take())


def execute(scope: InitScope, program: Program) -> NoReturn:
    """Become the program.

    Raises:
        RuntimeFailure: why it can't be executed.
    """
    arguments = [os.fsencode(argument) for argument in program.args]
    try:
        os.execve(scope.program, arguments, scope.environment)
    except OSError as error:
        path = os.fsdecode(scope.program)
        number = error.errno or 0
        if number == errno.E2BIG:
            text = f"exec {path}: argument list too long"
            raise exec_failure(number, text, NOT_EXECUTABLE_EXIT_CODE) from None
        header = _read_header(scope.program)
        raise explain_exec_error(path, number, header, program.machine) from None


def _read_header(path: bytes) -> bytes:
    with contextlib.suppress(OSError):
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        return os.read(fd, HEADER_BYTES)
    return b""


def report_failure(
    scope: InitScope, journal: Journal, failure: RuntimeFailure, program: Program
) -> None:
    """Tell the parent why this child ends."""
    failure.operation = program.operation
    with contextlib.suppress(OSError):
        times = journal.take()
        if times:
            scope.sync.send("T", times)
        scope.sync.send("E", json.dumps(failure.to_json()).encode())
