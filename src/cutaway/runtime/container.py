"""One container, as its shim holds it: made, started, signalled, entered, deleted.

The process that calls ``create`` becomes the parent of the container's init, must have one thread,
and reaps the init itself (by ``pidfd``, or waiting for any child); then it calls ``mark_stopped``.

Example::

    container = Container.create(plan(spec, facts, id="web", bundle=bundle), stdio=stdio)
    container.start()                               # the program runs
    linux.waitid_pidfd(container.pidfd)             # … has ended
    container.mark_stopped()
    container.delete()                              # nothing is left
"""

import contextlib
import os
import signal
from collections.abc import Mapping

from cutaway import cgroups, linux
from cutaway.cgroups import Statistics, cgroup_directory
from cutaway.errors import CutawayError
from cutaway.oci.runtime_spec import Process, Resources
from cutaway.runtime.birth import Birth, open_joined
from cutaway.runtime.child import PreparingChild
from cutaway.runtime.execution import ExecProcess, execute
from cutaway.runtime.extensions import Extensions
from cutaway.runtime.failures import RuntimeFailure, failure_of
from cutaway.runtime.lifecycle import Event, Operation, Status, check_operation, next_status
from cutaway.runtime.plan import RuntimePlan
from cutaway.runtime.seccomp_cache import SeccompCache
from cutaway.runtime.stdio import Stdio
from cutaway.runtime.steps.host import HostScope
from cutaway.steps import Ledger, Record

_NAMESPACE_FILES = {"mount": "mnt", "network": "net"}
HOST_ACTOR = "shim"


class Container:
    """A container from ``creating`` to deleted.

    Attributes:
        plan: what it was made from.
        status: where it is in its life.
        pid: of its init, in the caller's pid namespace; -1 before it is made.
        pidfd: of its init; closed by ``delete`` and ``abort``.
        console_fd: the pty's master after ``wait_created``, the caller's to close; or None.
    """

    def __init__(self, plan: RuntimePlan) -> None:
        self.plan = plan
        self.status = Status.CREATING
        self.pid = -1
        self.pidfd = -1
        self.console_fd: int | None = None
        self._ledger = Ledger(HOST_ACTOR)
        self._scope = HostScope()
        self._child: PreparingChild | None = None
        self._birth: Birth | None = None
        self._mount_namespace_fd = -1
        self._seccomp_program: bytes | None = None
        self._is_reaped = False

    @property
    def id(self) -> str:
        """The container's id."""
        return self.plan.container_id

    @property
    def sync_fd(self) -> int:
        """Readable when the init is prepared or has failed; -1 once that was taken note of."""
        return -1 if self._child is None else self._child.sync_fd

    @classmethod
    def create(
        cls,
        plan: RuntimePlan,
        *,
        stdio: Stdio,
        namespace_fds: Mapping[str, int] | None = None,
        seccomp: SeccompCache | None = None,
    ) -> "Container":
        """Make the init and the cgroups; return while the init still prepares itself.

        Args:
            plan: what to make.
            stdio: of the program.
            namespace_fds: descriptors of namespaces to join; the caller keeps and closes its own.
            seccomp: compiled programs; None compiles.

        Raises:
            RuntimeFailure: what failed; everything done was undone.

        Leaves behind: the init, its cgroups, descriptors, until ``delete`` or ``abort``.
        """
        container = cls(plan)
        try:
            container._make(stdio, namespace_fds or {}, seccomp or SeccompCache())
        except BaseException as error:
            raise container._failed("create", error) from error
        return container

    def _make(self, stdio: Stdio, given: Mapping[str, int], cache: SeccompCache) -> None:
        plan = self.plan
        filter_ = plan.spec.linux.seccomp if plan.spec.linux else None
        if filter_ is not None:
            self._seccomp_program = cache.program(filter_, plan.facts.machine)
        self._ledger.apply_all(plan.before, self._scope)
        descriptors, opened = open_joined(plan, given)
        v2 = plan.cgroup.v2_directory()
        cgroup_fd = os.open(v2, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC) if v2 else None
        self._birth = Birth(plan, stdio, descriptors, self._seccomp_program, cgroup_fd)
        try:
            self._ledger.apply(plan.make, self)
        finally:
            for fd in opened:
                os.close(fd)
            if cgroup_fd is not None:
                os.close(cgroup_fd)
        # The last reference to a mount namespace unmounts everything in it, which waits for RCU:
        # held here, that happens at clean-up and not before the exit is reported.
        self._mount_namespace_fd = self._open_namespace("mount")
        self._make_cgroups()

    def make_init(self) -> int:
        """Make the init: what ``MakeInit`` does."""
        if self._birth is None:
            raise ValueError("make_init is called by the plan's own step only")
        child = self._birth.make()
        self._child = child
        self.pid = self._scope.pid = child.pid
        self.pidfd = child.pidfd
        return child.pid

    def kill_init(self) -> None:
        """SIGKILL and reap the init: what undoes ``MakeInit``; harmless when it is gone."""
        if self.pidfd < 0 or self._is_reaped:
            return
        self._is_reaped = True
        with contextlib.suppress(linux.KernelError):
            linux.pidfd_send_signal(self.pidfd, signal.SIGKILL)
        with contextlib.suppress(linux.KernelError):  # ECHILD: somebody reaped it before
            linux.waitid_pidfd(self.pidfd)

    def _make_cgroups(self) -> None:
        """Do the host's part while the init mounts, and tell it when it may go on."""
        maps = [step for step in self.plan.host if getattr(step, "name", "").endswith("_map")]
        if maps:
            self._ledger.apply_all(maps, self._scope)
            self._send("u")
        self._ledger.apply_all((s for s in self.plan.host if s not in maps), self._scope)
        self._send("C", open_tasks_files(self.plan.cgroup))

    def _send(self, letter: str, fds: tuple[int, ...] = ()) -> None:
        """Tell the init something, and close the descriptors passed along."""
        try:
            if self._child is not None:
                self._child.send(letter, fds)
        finally:
            for fd in fds:
                os.close(fd)

    def namespace_fd(self, kind: str) -> int:
        """Return a new close-on-exec descriptor of one of the init's namespaces.

        Args:
            kind: ``network``, ``mount``, … by config.json's names.

        Raises:
            KernelError: ENOENT: the init has ended.
        """
        return self._open_namespace(kind)

    def _open_namespace(self, kind: str) -> int:
        # by number is safe: the init is our child and not reaped, so the number is its own
        name = _NAMESPACE_FILES.get(kind, kind)
        return linux.openat2(-100, f"/proc/{self.pid}/ns/{name}", os.O_RDONLY)

    def wait_created(self) -> None:
        """Block until the init is prepared: only execve(2) is missing.

        Raises:
            RuntimeFailure: why it could not be; everything was undone.
        """
        if self._child is None or self.status is not Status.CREATING:
            return
        try:
            self._child.wait_prepared()
        except BaseException as error:
            raise self._failed("create", error) from error
        self.console_fd = self._child.console_fd
        self.status = next_status(self.status, Event.PREPARED)

    def start(self) -> None:
        """Let the init become the program; return when it has.

        Raises:
            WrongStatus: it is running or stopped.
            RuntimeFailure: why it could not; everything was undone.
        """
        self.wait_created()
        check_operation(self.id, Operation.START, self.status)
        if self._child is None:
            raise ValueError("a created container has an init")
        try:
            self._ledger.apply_all(self.plan.limits, self._scope)
            self._child.send("G")
            self._child.wait_executed()
        except BaseException as error:
            raise self._failed("start", error) from error
        self.status = next_status(self.status, Event.STARTED)

    def _failed(self, operation: str, error: BaseException) -> BaseException:
        """Undo everything and return what to raise; failures of undoing are its notes."""
        if isinstance(error, OSError):
            failure: BaseException = failure_of("host", operation, error)
        elif isinstance(error, CutawayError | ValueError):
            failure = error
        else:
            failure = error
        if isinstance(failure, RuntimeFailure) and self._oom_kills_quietly():
            failure.hint = failure.hint or "container init was OOM-killed (memory limit too low?)"
        for undone in self.abort():
            failure.add_note(f"clean-up: {undone}")
        return failure

    def _oom_kills_quietly(self) -> int:
        with contextlib.suppress(OSError):
            return self.oom_kill_count()
        return 0

    def abort(self) -> list[Exception]:
        """Kill and reap the init and undo every step; harmless when done before.

        Returns:
            What could not be undone.
        """
        self.kill_init()
        self.status = Status.STOPPED
        return self.delete()

    def kill(self, sig: int) -> None:
        """Signal the init.

        Raises:
            WrongStatus: it has stopped.
            KernelError: ESRCH: it has ended just now.
        """
        check_operation(self.id, Operation.KILL, self.status)
        linux.pidfd_send_signal(self.pidfd, sig)

    def kill_all(self) -> None:
        """SIGKILL every process in the container's cgroup and wait until it is empty."""
        cgroups.kill_all(self.plan.cgroup)

    def mark_stopped(self) -> None:
        """Note that the init has ended and was reaped; harmless twice."""
        self._is_reaped = True
        if self.status is not Status.STOPPED:
            self.status = next_status(self.status, Event.EXITED)

    def exec_process(
        self,
        process: Process,
        stdio: Stdio,
        *,
        extensions: Extensions | None = None,
    ) -> ExecProcess:
        """Run a further process in the container; return when it runs.

        Raises:
            WrongStatus: the container has stopped.
            RuntimeFailure: why it could not; nothing is left of it.

        Leaves behind: a child of this process, to be reaped by the caller.
        """
        check_operation(self.id, Operation.EXEC, self.status)
        return execute(
            self.plan,
            process,
            stdio,
            container_pidfd=self.pidfd,
            extensions=extensions or Extensions(),
            seccomp_program=self._seccomp_program,
        )

    def freeze(self) -> None:
        """Stop every process where it is, and return when all stand still."""
        check_operation(self.id, Operation.PAUSE, self.status)
        cgroups.freeze(self.plan.cgroup)

    def thaw(self) -> None:
        """Let a frozen container go on."""
        check_operation(self.id, Operation.PAUSE, self.status)
        cgroups.thaw(self.plan.cgroup)

    def update(self, resources: Resources) -> tuple[str, ...]:
        """Change the limits of the living container; devices stay as they are.

        Returns:
            Warnings about limits that do not exist here.

        Raises:
            KernelError: the kernel refuses a value; those before it are in force.
        """
        check_operation(self.id, Operation.UPDATE, self.status)
        cgroup = self.plan.cgroup
        limits = cgroups.plan_resources(
            resources,
            cgroup.layout,
            with_devices=False,
            current_memory_bytes=self.statistics().memory.limit_bytes,
        )
        for setting in limits.settings:
            directory = cgroup.directory(setting.controller) or ""
            step = cgroups.WriteCgroupFile(
                directory=directory, files=setting.files, value=setting.value, why=setting.why
            )
            self._ledger.apply(step, self._scope)
        return limits.warnings

    def oom_kill_count(self) -> int:
        """Return how many processes the kernel killed for want of memory; ask before ``delete``."""
        return cgroups.count_oom_kills(self.plan.cgroup)

    def statistics(self) -> Statistics:
        """Return what the container has used so far."""
        return cgroups.read_statistics(self.plan.cgroup)

    def pids(self) -> list[int]:
        """Return the ids of its processes, in the caller's pid namespace."""
        return cgroups.list_pids(self.plan.cgroup)

    def delete(self) -> list[Exception]:
        """Remove everything that is left of a stopped container; harmless twice.

        Returns:
            What could not be removed.

        Raises:
            WrongStatus: it has not stopped.
        """
        check_operation(self.id, Operation.DELETE, self.status)
        failures: list[Exception] = []
        try:
            if self.pids():  # processes that outlived the init: a shared pid namespace
                self.kill_all()
        except OSError as error:
            failures.append(error)
        if self._child is not None:
            self._child.close()
            self._child = None
        for name in ("pidfd", "_mount_namespace_fd"):
            fd = getattr(self, name)
            if fd >= 0:
                setattr(self, name, -1)
                os.close(fd)
        return failures + self._ledger.undo_all()

    def records(self) -> list[Record]:
        """Return everything done to the host for this container, in the order it was begun."""
        steps = [step for stage in self.plan.init_stages() for step in stage.steps]
        inside = self._child.records(steps) if self._child is not None else []
        return sorted([*self._ledger.records(), *inside], key=lambda record: record.started_ns)


def open_tasks_files(cgroup: cgroups.ContainerCgroup) -> tuple[int, ...]:
    """Open ``tasks`` of each v1 cgroup for a process that will write ``0`` to them.

    Opened here, because the kernel judges the write by the opener's rights, and because a path
    could not be opened any more by a process in another mount namespace.
    """
    fds: list[int] = []
    try:
        for hierarchy in cgroup.layout.v1:
            path = f"{cgroup_directory(hierarchy, cgroup.path)}/tasks"
            fds.append(os.open(path, os.O_WRONLY | os.O_CLOEXEC))
    except OSError as error:
        for fd in fds:
            os.close(fd)
        raise linux.kernel_error(error.errno or 0, "open", error.filename) from None
    return tuple(fds)
