"""The container's init: from clone3(2) to execve(2).

It runs in a copy of the shim's memory, single-threaded, and may leave only by execve or ``_exit``.
What it does is the plan's stages, one step after the other (``plan.py`` says why in this order).
Before the first step it cuts itself off from the shim (``prepare_child``); after the last it tells
the parent, waits for "go", and becomes the program.
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
from cutaway.linux.abi import CLONE, PR
from cutaway.runtime.executables import HEADER_BYTES, exec_failure, explain_exec_error
from cutaway.runtime.failures import NOT_EXECUTABLE_EXIT_CODE, RuntimeFailure, failure_of
from cutaway.runtime.journal import Journal
from cutaway.runtime.plan import RuntimePlan, Stage
from cutaway.runtime.scope import InitScope
from cutaway.runtime.seal import seal_imports
from cutaway.runtime.steps.process import close_all_but
from cutaway.runtime.sync import SyncSocket

_TITLE = "cutaway: init"
_FAILED = 1


@dataclass(frozen=True, slots=True)
class Program:
    """What the init becomes.

    Attributes:
        args: argv; the file is found by ``FindProgram``.
        machine: of this host, to explain a program of another architecture.
        operation: ``create`` or ``exec``, for messages.
    """

    args: tuple[str, ...]
    machine: str
    operation: str = "create"


def prepare_child(scope: InitScope, kept_fds: Iterable[int]) -> None:
    """Cut a freshly made child off from the shim that it is a copy of.

    Args:
        scope: its stdio becomes 0, 1, 2.
        kept_fds: all other descriptors are closed.

    Preconditions: called first in the child.
    """
    gc.disable()  # a collection could run a finalizer of the shim's, and copies pages
    # Undumpable before anything is joined: else a process of the container could open our
    # /proc/PID/exe, the host's interpreter (CVE-2019-5736), or our descriptors (CVE-2016-9962).
    linux.prctl(PR.SET_DUMPABLE, 0)
    _reset_signals()
    stdio = _move_up(scope)
    close_all_but(sorted({scope.sync.fd, *stdio, *(fd for fd in kept_fds if fd > 2)}))
    for number, fd in enumerate(stdio):
        os.dup2(fd, number)
    for fd in set(stdio):
        os.close(fd)
    os.setsid()
    os.umask(0)
    linux.set_process_title(_TITLE)
    seal_imports()


def _reset_signals() -> None:
    """Give every signal its default: Python ignores SIGPIPE and SIGXFSZ, a shell perhaps more."""
    linux.reset_signal_dispositions()
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _move_up(scope: InitScope) -> list[int]:
    """Return copies of stdin, stdout, stderr above 2, so that setting one can't close another."""
    if scope.stdio is None:
        null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
        return [null, null, null]
    return [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3) for fd in scope.stdio]


def run_init(
    stages: tuple[Stage, ...], first_number: int, scope: InitScope, program: Program
) -> NoReturn:
    """Do the stages, then become the program.

    Args:
        stages: what is left to do.
        first_number: of the first step, in the numbering that the parent knows.
        scope: filled by ``prepare_child``.
        program: what to execute.
    """
    journal = Journal()
    stage_name, what = "init", "preparing"
    number = first_number
    try:
        for stage in stages:
            stage_name = stage.name
            for step in stage.steps:
                what = ""
                started_ns = time.monotonic_ns()
                try:
                    step.apply(scope)
                except BaseException:
                    what = step.describe()
                    raise
                finally:
                    journal.note(number, started_ns, time.monotonic_ns() - started_ns)
                number += 1
        _report_prepared(scope, journal)
        if scope.sync.read_letter() != "G":
            os._exit(_FAILED)
        scope.sync.send("X")
        _execute(scope, program)
    except BaseException as error:  # the child's top: everything is told to the parent
        report_failure(scope, journal, failure_of(stage_name, what, error), program)
    finally:
        os._exit(_FAILED)


def _report_prepared(scope: InitScope, journal: Journal) -> None:
    if scope.console_master >= 0:
        scope.sync.send("P", journal.take(), (scope.console_master,))
        os.close(scope.console_master)
        scope.console_master = -1
    else:
        scope.sync.send("P", journal.take())


def _execute(scope: InitScope, program: Program) -> NoReturn:
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


def run_stage(
    plan: RuntimePlan, scope: InitScope, control: SyncSocket, kept_fds: Iterable[int]
) -> NoReturn:
    """Be the stage process: open sources with the host's privileges, then make the init inside.

    The init is made with CLONE_PARENT, so it is our parent's child and not ours; its pidfd goes to
    the maker over ``control``. Then the stage is done.
    """
    journal = Journal()
    program = Program(plan.process.args, plan.facts.machine)
    stages = (
        Stage("sources", plan.sources),
        Stage("namespaces", plan.namespaces.stage_steps),
    )
    stage_name, what, number = "sources", "preparing", 0
    try:
        prepare_child(scope, (control.fd, *kept_fds))
        linux.unshare(CLONE.NEWNS)
        for stage in stages:
            stage_name = stage.name
            for step in stage.steps:
                what = step.describe()
                started_ns = time.monotonic_ns()
                step.apply(scope)
                if stage_name == "sources":
                    journal.note(number, started_ns, time.monotonic_ns() - started_ns)
                    number += 1
        what = "making the init"
        flags = CLONE(plan.namespaces.clone_flags) | CLONE.PARENT
        pid, pidfd = linux.clone3(flags)
        if pid == 0:
            linux.prctl(PR.SET_DUMPABLE, 0)
            run_init(plan.init, len(plan.sources), scope, program)
        scope.sync.send("T", journal.take())
        control.send("I", str(pid).encode(), (pidfd,))
        os._exit(0)
    except BaseException as error:  # the child's top
        failure = failure_of(stage_name, what, error)
        with contextlib.suppress(OSError):
            control.send("E", json.dumps(failure.to_json()).encode())
    finally:
        os._exit(_FAILED)
