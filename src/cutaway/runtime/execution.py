"""A further process in a running container: what ``docker exec`` is.

Its parent is the shim, not the container's init: so the shim gets its exit status. It is made in
one clone3(2), already in the container's pid namespace and v2 cgroup; it then joins the v1 cgroups
and all other namespaces (in one setns(2) on the init's pidfd) and goes on like an init.
"""

import os
from dataclasses import dataclass
from typing import NoReturn

from cutaway import linux
from cutaway.cgroups import ContainerCgroup, cgroup_directory
from cutaway.linux.abi import CLONE, PR
from cutaway.oci.runtime_spec import Process
from cutaway.runtime.birth import clone_into, joins_by_flag
from cutaway.runtime.child import PreparingChild
from cutaway.runtime.extensions import Extensions
from cutaway.runtime.failures import RuntimeFailure, failure_of
from cutaway.runtime.init import Program, prepare_child, run_init
from cutaway.runtime.plan import RuntimePlan, Stage, plan_rlimits
from cutaway.runtime.plan_process import plan_process
from cutaway.runtime.scope import InitScope
from cutaway.runtime.stdio import Stdio
from cutaway.runtime.steps.devices import SetUpConsole
from cutaway.runtime.steps.host import HostScope, WriteProcessFile
from cutaway.runtime.sync import SyncSocket, make_sync_pair
from cutaway.runtime.validate import validate_exec_capabilities, validate_process
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


@dataclass(frozen=True, slots=True)
class ExecPlan:
    """What is done to run the process.

    Attributes:
        stages: by the process itself, after it is in the container.
        host: by the parent, before it may execute.
        warnings: capabilities this machine can't give.
    """

    stages: tuple[Stage, ...]
    host: tuple[Step[HostScope], ...]
    warnings: tuple[str, ...]


def plan_exec(container: RuntimePlan, process: Process, extensions: Extensions) -> ExecPlan:
    """Decide the steps of one exec. Pure.

    Raises:
        InvalidParameter: the process can't be.
        NotImplemented: a field is not supported.
    """
    facts = container.facts
    validate_process(process, facts)
    validate_exec_capabilities(process)
    linux_part = container.spec.linux
    inside = plan_process(
        process,
        facts,
        extensions,
        container_id=container.container_id,
        seccomp=linux_part.seccomp if linux_part else None,
        personality=(
            linux_part.personality.domain if linux_part and linux_part.personality else None
        ),
    )
    size = process.console_size
    console = SetUpConsole(
        rows=size.height if size else 0,
        columns=size.width if size else 0,
        binds_console=False,
        why="runtime-spec process.terminal",
    )
    stages = (
        Stage("console", (console,) if process.terminal else ()),
        Stage("user", inside.user),
        Stage("security", inside.security),
    )
    adjustment = process.oom_score_adj
    score = WriteProcessFile(
        name="oom_score_adj", value=str(adjustment), why="runtime-spec process.oomScoreAdj"
    )
    return ExecPlan(
        tuple(stage for stage in stages if stage.steps),
        (*((score,) if adjustment is not None else ()), *plan_rlimits(process)),
        inside.warnings,
    )


def execute(
    container: RuntimePlan,
    process: Process,
    stdio: Stdio,
    *,
    container_pidfd: int,
    extensions: Extensions,
    seccomp_program: bytes | None,
) -> ExecProcess:
    """Run ``process`` in the container whose init ``container_pidfd`` holds.

    Raises:
        RuntimeFailure: why it could not; the process was reaped.
    """
    plan = plan_exec(container, process, extensions)
    parent_end, child_end = make_sync_pair()
    scope = InitScope(
        child_end,
        stdio=stdio.descriptors(),
        namespaces={},
        seccomp_program=seccomp_program,
    )
    try:
        child = _make(container, plan, process, scope, parent_end, container_pidfd)
    except OSError as error:
        parent_end.close()
        raise _as_exec_failure(failure_of("exec", "making the process", error)) from error
    finally:
        child_end.close()
    try:
        return _let_go(child, plan)
    except BaseException as error:
        _end(child)
        if isinstance(error, OSError):
            raise _as_exec_failure(failure_of("exec", "limits", error)) from error
        if isinstance(error, RuntimeFailure):
            raise _as_exec_failure(error) from None
        raise


def _let_go(child: PreparingChild, plan: ExecPlan) -> ExecProcess:
    if not plan.host:
        child.send("G")  # it finds the word when it is prepared: one turn less to wait for
    child.wait_prepared()
    try:
        if plan.host:
            host = HostScope()
            host.pid = child.pid
            for step in plan.host:
                step.apply(host)
            child.send("G")
        child.wait_executed()
    except BaseException:
        if child.console_fd is not None:
            os.close(child.console_fd)
        raise
    return ExecProcess(child.pid, child.pidfd, child.console_fd)


def _make(
    container: RuntimePlan,
    plan: ExecPlan,
    process: Process,
    scope: InitScope,
    parent_end: SyncSocket,
    container_pidfd: int,
) -> PreparingChild:
    in_pid_namespace = any(
        container.namespaces.is_new(kind) or container.namespaces.is_joined(kind)
        for kind in ("pid",)
    )
    birth = {"pid": container_pidfd} if in_pid_namespace else {}
    v2 = container.cgroup.v2_directory()
    cgroup_fd = os.open(v2, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC) if v2 else None
    try:
        pid, pidfd = clone_into(birth, CLONE(0), cgroup_fd)
    finally:
        if cgroup_fd is not None:
            os.close(cgroup_fd)
    if pid == 0:
        _be_exec(container, plan, process, scope, container_pidfd)
    return PreparingChild(parent_end, pid, pidfd)


def _be_exec(
    container: RuntimePlan,
    plan: ExecPlan,
    process: Process,
    scope: InitScope,
    container_pidfd: int,
) -> NoReturn:
    program = Program(process.args, container.facts.machine, "exec")
    entry = Stage(
        "namespaces",
        (
            EnterContainer(
                cgroup=container.cgroup,
                flags=int(joins_by_flag(container)),
                pidfd=container_pidfd,
                why="docker exec",
            ),
        ),
    )
    try:
        prepare_child(scope, (container_pidfd,))
    finally:
        run_init((entry, *plan.stages), 0, scope, program)


@dataclass(frozen=True, slots=True, kw_only=True)
class EnterContainer(Step[InitScope]):
    """Join the cgroups and namespaces of a running container.

    Attributes:
        cgroup: of the container.
        flags: CLONE bits of the namespaces that are its own.
        pidfd: of its init.
    """

    cgroup: ContainerCgroup
    flags: int
    pidfd: int

    def describe(self) -> str:
        """Say what is joined."""
        return f"join the cgroups and namespaces of {self.cgroup.path}"

    def shell(self) -> str:
        """Return the nsenter command."""
        return "nsenter --target $PID --all"

    def apply(self, scope: InitScope) -> None:
        """Join the cgroups by the host's paths, then all namespaces at once by pidfd.

        Raises:
            KernelError: ESRCH (the container ended), EPERM.
        """
        for hierarchy in self.cgroup.layout.v1:
            path = f"{cgroup_directory(hierarchy, self.cgroup.path)}/tasks"
            try:
                fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
                try:
                    os.write(fd, b"0")
                finally:
                    os.close(fd)
            except OSError as error:
                raise linux.kernel_error(error.errno or 0, "write", path, "0") from None
        linux.setns(self.pidfd, CLONE(self.flags))
        if self.flags & CLONE.NEWUSER:
            os.setresgid(0, 0, 0)
            os.setresuid(0, 0, 0)
            linux.prctl(PR.SET_DUMPABLE, 0)
        os.close(self.pidfd)
        scope.root_fd = linux.openat2(-100, "/", os.O_PATH | os.O_DIRECTORY)


def _end(child: PreparingChild) -> None:
    """Kill and reap a process that did not come to run."""
    child.close()
    try:
        linux.pidfd_send_signal(child.pidfd, 9)
        linux.waitid_pidfd(child.pidfd)
    except linux.KernelError:
        pass  # ended, or reaped by somebody who reaps all
    finally:
        os.close(child.pidfd)


def _as_exec_failure(failure: RuntimeFailure) -> RuntimeFailure:
    failure.operation = "exec"
    failure.message = failure.message.removeprefix("error during container init: ")
    return failure
