"""A further process in a running container: what ``docker exec`` is.

Its parent is the shim, not the container's init: so the shim gets its exit status. It is made in
one clone3(2), already in the container's pid namespace and v2 cgroup. All else it does itself: it
reads what it is to be, joins the v1 cgroups and all other namespaces (in one setns(2) on the
init's pidfd), and goes on like an init.
"""

import contextlib
import os
import signal
from dataclasses import dataclass
from typing import Any, NoReturn

from cutaway import linux
from cutaway.cgroups import ContainerCgroup, cgroup_directory
from cutaway.errors import CutawayError
from cutaway.linux.abi import CLONE, PR
from cutaway.oci.runtime_spec import Process
from cutaway.runtime.child import PreparingChild
from cutaway.runtime.exec_context import ExecContext
from cutaway.runtime.extensions import Extensions
from cutaway.runtime.facts import HostFacts
from cutaway.runtime.failures import RuntimeFailure, failure_of
from cutaway.runtime.init import Program, prepare_child, report_failure, run_init
from cutaway.runtime.journal import Journal
from cutaway.runtime.plan import Stage
from cutaway.runtime.plan_process import plan_process
from cutaway.runtime.scope import InitScope
from cutaway.runtime.stdio import Stdio
from cutaway.runtime.steps.devices import SetUpConsole
from cutaway.runtime.steps.security import (
    LoadSeccomp,
)
from cutaway.runtime.sync import make_sync_pair
from cutaway.runtime.validate import validate_exec, validate_process
from cutaway.steps import Step


@dataclass(frozen=True, slots=True)
class ExecProcess:
    """A process that runs in a container beside its init.

    Attributes:
        pid: in the caller's pid namespace; a child of the caller.
        pidfd: the caller's to close.
        console_fd: the pty's master, the caller's to close; None without a terminal.
    """

    pid: int
    pidfd: int
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
    enter = EnterContainer(
        cgroup_path=context.cgroup_path,
        tasks=tuple(
            f"{cgroup_directory(hierarchy, context.cgroup_path)}/tasks"
            for hierarchy in facts.cgroups.v1
        ),
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
        Stage("namespaces", (enter,)),
        Stage("console", (console,) if process.terminal else ()),
        Stage("user", (inside.keyring, inside.resolve, *inside.user)),
        Stage("security", inside.security),
    )
    return tuple(stage for stage in stages if stage.steps)


def execute(
    context: ExecContext,
    process: dict[str, Any],
    stdio: Stdio,
    facts: HostFacts,
    *,
    container_pidfd: int,
    extensions: Extensions,
) -> ExecProcess:
    """Run ``process`` in the container whose init ``container_pidfd`` holds.

    Raises:
        RuntimeFailure: why it could not; the process was reaped.
    """
    # Here and not in the child: this process has its pages already, a child copies each it touches.
    program, stages = _decide(
        context, process, facts, extensions=extensions, container_pidfd=container_pidfd
    )
    parent_end, child_end = make_sync_pair()
    v2 = ContainerCgroup(facts.cgroups, context.cgroup_path).v2_directory()
    child = PreparingChild(parent_end)
    cgroup_fd = None
    try:
        cgroup_fd = linux.openat2(-100, v2, os.O_RDONLY | os.O_DIRECTORY) if v2 else None
        pid, child.pidfd = _clone_in(
            container_pidfd if context.has_pid_namespace else None, cgroup_fd
        )
    except linux.KernelError as error:
        child.close()
        raise _exec_failure("exec", "making the process", error) from None
    finally:
        if cgroup_fd is not None:
            os.close(cgroup_fd)
    if pid == 0:
        scope = InitScope(
            child_end,
            stdio=stdio.descriptors(),
            seccomp_program=context.seccomp_program,
        )
        _be_exec(stages, program, scope, container_pidfd)
    child_end.close()
    return _wait_running(child, pid)


def _decide(
    context: ExecContext,
    document: dict[str, Any],
    facts: HostFacts,
    *,
    extensions: Extensions,
    container_pidfd: int,
) -> tuple[Program, tuple[Stage, ...]]:
    """Read what the new process is to become, and plan how.

    Raises:
        RuntimeFailure: it can't be.
    """
    try:
        process = Process.from_json(document, "process")
        stages = plan_exec(context, process, facts, extensions, container_pidfd=container_pidfd)
    except CutawayError as error:
        raise _exec_failure("plan", "planning", error) from None
    return Program(process.args, facts.machine, "exec"), stages


def _exec_failure(stage: str, what: str, error: Exception) -> RuntimeFailure:
    failure = failure_of(stage, what, error)
    failure.operation = "exec"
    return failure


def _clone_in(pidfd: int | None, cgroup_fd: int | None) -> tuple[int, int]:
    """Make a child that is born in the pid namespace of the process that ``pidfd`` holds.

    A process can't enter a pid namespace itself: it points its children there, and, when the one
    child is made, back to its own.

    Returns:
        As clone3(2).
    """
    if pidfd is None:
        return linux.clone3(CLONE(0), cgroup_fd=cgroup_fd)
    own = linux.openat2(-100, "/proc/self/ns/pid", os.O_RDONLY)
    pid = -1
    try:
        linux.setns(pidfd, CLONE.NEWPID)
        pid, child_pidfd = linux.clone3(CLONE(0), cgroup_fd=cgroup_fd)
        return pid, child_pidfd
    finally:
        if pid != 0:  # in the child it would fail: the way back up is closed there
            linux.setns(own, CLONE.NEWPID)
            os.close(own)


def _wait_running(child: PreparingChild, pid: int) -> ExecProcess:
    child.send("G")  # it finds the word when it is prepared: one turn less to wait for
    try:
        child.wait_prepared()
        child.wait_executed()
    except BaseException as error:
        child.close()
        if child.console_fd is not None:
            os.close(child.console_fd)
        with contextlib.suppress(linux.KernelError):  # ended, or reaped by who reaps all
            linux.pidfd_send_signal(child.pidfd, signal.SIGKILL)
        with contextlib.suppress(linux.KernelError):
            linux.waitid_pidfd(child.pidfd)
        os.close(child.pidfd)
        if isinstance(error, RuntimeFailure):
            error.operation = "exec"
        raise
    return ExecProcess(pid, child.pidfd, child.console_fd)


def _be_exec(
    stages: tuple[Stage, ...], program: Program, scope: InitScope, container_pidfd: int
) -> NoReturn:
    """Be the new process: cut off from the shim, go on like an init."""
    try:
        prepare_child(scope, (container_pidfd, *(scope.stdio or ())))
    except BaseException as error:  # the child's top
        report_failure(scope, Journal(), failure_of("exec", "preparing", error), program)
        os._exit(1)
    run_init(stages, 0, scope, program)


@dataclass(frozen=True, slots=True, kw_only=True)
class EnterContainer(Step[InitScope]):
    """Join the cgroups and namespaces of a running container.

    Attributes:
        cgroup_path: of the container, for people.
        tasks: the files that a thread writes ``0`` to, to enter its v1 cgroups.
        flags: CLONE bits of the namespaces that are its own.
        pidfd: of its init.
        oom_score_adj: set while the host's ``/proc`` is there, or None.
    """

    cgroup_path: str
    tasks: tuple[str, ...]
    flags: int
    pidfd: int
    oom_score_adj: int | None = None

    def describe(self) -> str:
        """Say what is joined."""
        return f"join the cgroups and namespaces of {self.cgroup_path}"

    def shell(self) -> str:
        """Return the nsenter command."""
        return "nsenter --target $PID --all"

    def apply(self, scope: InitScope) -> None:
        """Join the cgroups by the host's paths, then all namespaces at once by pidfd.

        Raises:
            KernelError: ESRCH (the container ended), EPERM.
        """
        for path in self.tasks:
            _write(path, "0")
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
