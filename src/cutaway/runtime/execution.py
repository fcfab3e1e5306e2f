"""A further process in a running container: what ``docker exec`` is.

Its parent is the shim, not the container's init: so the shim gets its exit status. A stem makes
it in one clone3(2), already in the container's pid namespace and v2 cgroup (``exec_stem.py``).
All else it does itself: it reads what it is to be, joins the v1 cgroups and all other namespaces
(in one setns(2) on the init's pidfd), and goes on like an init.
"""

import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

from cutaway import linux
from cutaway.cgroups import cgroup_directory
from cutaway.errors import CutawayError
from cutaway.linux.abi import CLONE, PR
from cutaway.oci.runtime_spec import Process
from cutaway.runtime.exec_context import ExecContext
from cutaway.runtime.exec_stem import ExecStem, Order, Place, Role
from cutaway.runtime.extensions import Extensions
from cutaway.runtime.facts import HostFacts
from cutaway.runtime.failures import RuntimeFailure, failure_of
from cutaway.runtime.init import (
    Program,
    apply_stages,
    execute,
    prepare_child,
    report_failure,
    settle,
)
from cutaway.runtime.journal import Journal
from cutaway.runtime.plan import Stage
from cutaway.runtime.plan_process import plan_process
from cutaway.runtime.scope import InitScope
from cutaway.runtime.stdio import Stdio
from cutaway.runtime.steps.devices import SetUpConsole
from cutaway.runtime.steps.namespaces import JoinCgroups
from cutaway.runtime.steps.security import (
    LoadSeccomp,
)
from cutaway.runtime.sync import SyncSocket, make_sync_pair
from cutaway.runtime.validate import validate_exec, validate_process
from cutaway.steps import Step

Decided = tuple[Program, tuple[Stage, ...]]


@dataclass(frozen=True, slots=True)
class ExecProcess:
    """A process that runs in a container beside its init.

    Attributes:
        pid: in the caller's pid namespace; a child of the caller.
        console_fd: the pty's master, the caller's to close; None without a terminal.
    """

    pid: int
    console_fd: int | None


def plan_exec(
    context: ExecContext,
    process: Process,
    facts: HostFacts,
    extensions: Extensions,
    *,
    container_pidfd: int,
) -> tuple[Stage, ...]:
    """Decide the steps of one exec. Pure.

    Raises:
        InvalidParameter: the process can't be.
        NotImplemented: a field is not supported.
    """
    validate_process(process, facts)
    validate_exec(process)
    load = LoadSeccomp(
        flags=context.seccomp_flags,
        call_names=context.seccomp_names,
        why="runtime-spec linux.seccomp",
    )
    inside = plan_process(
        process,
        facts,
        extensions,
        container_id=context.container_id,
        seccomp=load if context.seccomp_program is not None else None,
        personality=context.personality,
    )
    join = JoinCgroups(
        directories=tuple(cgroup_directory(v1, context.cgroup_path) for v1 in facts.cgroups.v1),
        why="docker exec",
    )
    enter = EnterContainer(
        cgroup_path=context.cgroup_path,
        flags=context.namespaces,
        pidfd=container_pidfd,
        oom_score_adj=process.oom_score_adj,
        why="docker exec",
    )
    size = process.console_size
    console = SetUpConsole(
        rows=size.height if size else 0,
        columns=size.width if size else 0,
        binds_console=False,
        why="runtime-spec process.terminal",
    )
    stages = (
        Stage("namespaces", (join, enter)),
        Stage("console", (console,) if process.terminal else ()),
        Stage("user", (inside.keyring, inside.resolve, *inside.user)),
        Stage("security", inside.security),
    )
    return tuple(stage for stage in stages if stage.steps)


class Executor:
    """Runs further processes in one container."""

    def __init__(self, context: ExecContext, facts: HostFacts, container_pidfd: int) -> None:
        self._place = Place(context, facts, container_pidfd)
        self._stem: ExecStem | None = None
        self._last: Order | None = None

    def prepare(self) -> None:
        """Have a stem for the next process.

        Raises:
            KernelError: EAGAIN, ENOMEM.
        """
        if self._place.can_have_stem and (self._stem is None or self._stem.is_used):
            self.close()
            self._stem = ExecStem.fork(self._place, Role(self._be_exec, self._rehearse))

    def _be_exec(self, scope: InitScope, read_order: Callable[[], Order]) -> NoReturn:
        _be_exec(self._place, scope, lambda: _decide(self._place, read_order()))

    def _rehearse(self) -> None:
        """Plan what was done last, which the next one will look like."""
        if self._last is not None:
            _decide(self._place, self._last)

    def close(self) -> None:
        """Let the stem go; harmless twice."""
        if self._stem is not None:
            self._stem.close()
            self._stem = None

    def hand_over(self) -> dict[str, Any]:
        """Return the context for another process; no stem is left, not even to be reaped."""
        if self._stem is not None:
            self._stem.end()
            self._stem = None
        return self._place.context.to_json()

    def execute(self, process: dict[str, Any], stdio: Stdio, extensions: Extensions) -> ExecProcess:
        """Run ``process``; return when it runs.

        Raises:
            RuntimeFailure: why it could not; the process was reaped.
        """
        order = Order(process, extensions)
        try:
            sync = self._order(order, stdio.descriptors() or ())
        except linux.KernelError as error:
            raise _exec_failure("exec", "making the process", error) from None
        try:
            started = _wait_running(sync)
        finally:
            sync.close()
        self._last = order
        return started

    def _order(self, order: Order, stdio: tuple[int, ...]) -> SyncSocket:
        if self._stem is not None and not self._stem.is_used:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it was killed
                return self._stem.order(order, stdio)
        return _fork(self._place, order, stdio)


def _fork(place: Place, order: Order, stdio: tuple[int, ...]) -> SyncSocket:
    """Have the process forked of this one, for want of a stem; as ``ExecStem.order``.

    Raises:
        KernelError: ESRCH, ENOENT (the container ended), EAGAIN. RuntimeFailure: it can't be.
    """
    # Here and not in the child: this process has its pages already, a child copies each it touches.
    decided = _decide(place, order)
    ours, theirs = make_sync_pair()
    cgroup_fd = None
    try:
        cgroup_fd = place.open_v2_cgroup()
        if _clone_in(place, cgroup_fd) == 0:
            _be_forked(place, theirs, stdio, decided)
    except linux.KernelError:
        ours.close()
        raise
    finally:
        theirs.close()
        if cgroup_fd is not None:
            os.close(cgroup_fd)
    return ours


def _clone_in(place: Place, cgroup_fd: int | None) -> int:
    """Make a child that is born in the container's pid namespace; return as fork(2).

    A process can't enter a pid namespace itself: it points its children there, and, when the one
    child is made, back to its own.
    """
    own, pid = -1, -1
    try:
        if place.context.has_pid_namespace:
            own = linux.openat2(-100, "/proc/self/ns/pid", os.O_RDONLY)
            linux.setns(place.pidfd, CLONE.NEWPID)
        pid, pidfd = linux.clone3(CLONE(0), cgroup_fd=cgroup_fd)
        if pid != 0:
            os.close(pidfd)
        return pid
    finally:
        if own >= 0 and pid != 0:  # in the child it would fail: the way back up is closed there
            linux.setns(own, CLONE.NEWPID)
            os.close(own)


def _be_forked(
    place: Place, sync: SyncSocket, stdio: tuple[int, ...], decided: Decided
) -> NoReturn:
    """Be the new process, in a copy of the shim's memory: cut off, go on as one of a stem."""
    try:
        scope = place.scope(sync, stdio)
        prepare_child(scope, (place.pidfd, *stdio))

        def decide() -> Decided:
            scope.tasks = place.open_tasks()
            return decided

        _be_exec(place, scope, decide)
    finally:
        os._exit(1)


def _wait_running(sync: SyncSocket) -> ExecProcess:
    """Hear of a process until its end of the pair closes: at execve(2), or because it ended.

    Raises:
        RuntimeFailure: it failed, and was reaped.
    """
    pid, console_fd = 0, None
    while True:
        letter, payload, fds = sync.receive()
        if letter == "N":
            pid, console_fd = int(payload), fds[0] if fds else console_fd
        elif letter == "" and pid:
            return ExecProcess(pid, console_fd)
        else:
            if console_fd is not None:
                os.close(console_fd)
            raise _reap_failed(pid, payload)


def _reap_failed(pid: int, told: bytes) -> RuntimeFailure:
    """Return why a process failed: what it told, or that it was killed before it could."""
    if not pid:
        text = "the process was killed, or could not be made, before it was in the container"
        return RuntimeFailure("exec", text, operation="exec")
    with contextlib.suppress(ChildProcessError):  # reaped by who reaps all
        os.waitpid(pid, 0)
    return RuntimeFailure.parse(told)


def _decide(place: Place, order: Order) -> Decided:
    """Read what the new process is to become, and plan how.

    Raises:
        RuntimeFailure: it can't be.
    """
    try:
        process = Process.from_json(order.process, "process")
        stages = plan_exec(
            place.context, process, place.facts, order.extensions, container_pidfd=place.pidfd
        )
    except CutawayError as error:
        raise _exec_failure("plan", "planning", error) from None
    return Program(process.args, place.facts.machine, "exec"), stages


def _exec_failure(stage: str, what: str, error: Exception) -> RuntimeFailure:
    failure = failure_of(stage, what, error)
    failure.operation = "exec"
    return failure


def _be_exec(place: Place, scope: InitScope, decide: Callable[[], Decided]) -> NoReturn:
    """Be the new process."""
    program = Program((), place.facts.machine, "exec")
    pid = os.readlink(b"/proc/self")  # as the shim knows it: the host's procfs is still there
    try:
        program, stages = decide()
        settle(scope)
        apply_stages(stages, 0, scope, Journal())
        console = (scope.console_master,) if scope.console_master >= 0 else ()
        scope.sync.send("N", pid, console)
        execute(scope, program)
    except BaseException as error:  # the child's top: everything is told to the parent
        scope.sync.send("N", pid)
        report_failure(scope, Journal(), failure_of("exec", "preparing", error), program)
    finally:
        os._exit(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class EnterContainer(Step[InitScope]):
    """Join the namespaces of a running container.

    Attributes:
        cgroup_path: of the container, for people.
        flags: CLONE bits of the namespaces that are its own.
        pidfd: of its init.
        oom_score_adj: set while the host's ``/proc`` is there, or None.
    """

    cgroup_path: str
    flags: int
    pidfd: int
    oom_score_adj: int | None = None

    def describe(self) -> str:
        """Say what is joined."""
        return f"join the namespaces of {self.cgroup_path}"

    def shell(self) -> str:
        """Return the nsenter command."""
        return "nsenter --target $PID --all"

    def apply(self, scope: InitScope) -> None:
        """Join all namespaces at once by pidfd.

        Raises:
            KernelError: ESRCH (the container ended), EPERM.
        """
        if self.oom_score_adj is not None:
            _write("/proc/self/oom_score_adj", str(self.oom_score_adj))
        linux.setns(self.pidfd, CLONE(self.flags))
        if self.flags & CLONE.NEWUSER:
            os.setresgid(0, 0, 0)
            os.setresuid(0, 0, 0)
            linux.prctl(PR.SET_DUMPABLE, 0)
        os.close(self.pidfd)
        scope.root_fd = linux.openat2(-100, "/", os.O_PATH | os.O_DIRECTORY)
        scope.is_released = True  # there is no maker


def _write(path: str, value: str) -> None:
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, value.encode())
        finally:
            os.close(fd)
    except OSError as error:
        raise linux.kernel_error(error.errno or 0, "write", path, value) from None
