"""One container, as its shim holds it: made, started, signalled, entered, deleted.

The process that calls ``create`` becomes the parent of the container's init, must have one thread,
and reaps the init itself (by ``pidfd``, or waiting for any child); then it calls ``mark_stopped``.
The making is done by another process (``maker``), so little of it stays in this one's memory.

Example::

    container = Container.create("web", bundle, stdio=stdio, facts=facts)
    container.start()                               # the program runs
    linux.waitid_pidfd(container.pidfd)             # … has ended
    container.mark_stopped()
    container.delete()                              # nothing is left
"""

import contextlib
import json
import os
import signal
from collections.abc import Mapping
from typing import Any

from cutaway import cgroups, linux
from cutaway.cgroups import ContainerCgroup, Statistics
from cutaway.errors import CutawayError
from cutaway.oci.runtime_spec import Resources
from cutaway.runtime.child import PreparingChild
from cutaway.runtime.exec_context import ExecContext
from cutaway.runtime.execution import ExecProcess, Executor
from cutaway.runtime.extensions import Extensions
from cutaway.runtime.facts import HostFacts
from cutaway.runtime.failures import MakerLost, RuntimeFailure
from cutaway.runtime.lifecycle import Event, Operation, Status, check_operation, next_status
from cutaway.runtime.maker import Maker, MakeRequest
from cutaway.runtime.seccomp_cache import SeccompCache
from cutaway.runtime.stdio import Stdio
from cutaway.runtime.sync import make_sync_pair
from cutaway.steps import Record

_NAMESPACE_FILES = {"mount": "mnt", "network": "net"}
_OOM_HINT = "container init was OOM-killed (memory limit too low?)"


class Container:
    """A container from ``creating`` to deleted.

    Attributes:
        id: its id.
        status: where it is in its life.
        pid: of its init, in the caller's pid namespace; -1 before it is made.
        pidfd: of its init; closed by ``delete`` and ``abort``.
        console_fd: the pty's master after ``wait_created``, the caller's to close; or None.
        warnings: what is done otherwise than config.json asks, harmlessly; sentences.
    """

    def __init__(self, container_id: str, facts: HostFacts, child: PreparingChild) -> None:
        self.id = container_id
        self.status = Status.CREATING
        self.pid = -1
        self.pidfd = -1
        self.console_fd: int | None = None
        self.warnings: tuple[str, ...] = ()
        self._facts = facts
        self._child = child
        self._bundle = ""
        self._maker: Maker | None = None
        self._ledger_path: str | None = None
        self._mount_namespace_fd = -1
        self._execs: Executor | None = None
        self._cgroup: ContainerCgroup | None = None
        self._is_reaped = False

    @property
    def sync_fd(self) -> int:
        """Readable when the init is prepared or has failed; -1 once that was taken note of."""
        return self._child.sync_fd

    @classmethod
    def create(
        cls,
        container_id: str,
        bundle: str,
        *,
        stdio: Stdio,
        facts: HostFacts,
        namespace_fds: Mapping[str, int] | None = None,
        seccomp: SeccompCache | None = None,
        maker: Maker | None = None,
    ) -> "Container":
        """Make the init; return while it still prepares itself and the cgroups are made.

        Args:
            container_id: the container's id.
            bundle: absolute host directory with config.json, and perhaps rootfs.json.
            stdio: of the program; the caller keeps and closes its own.
            facts: of this machine.
            namespace_fds: descriptors of namespaces to join in place of those that config.json
                wants new; the caller keeps and closes its own.
            seccomp: compiled programs; None compiles.
            maker: forked before; None forks one.

        Raises:
            RuntimeFailure: what failed; everything done was undone.

        Leaves behind: the init, its cgroups, descriptors, until ``delete`` or ``abort``.
        """
        container = cls.begin(
            container_id,
            bundle,
            stdio=stdio,
            facts=facts,
            namespace_fds=namespace_fds,
            seccomp=seccomp,
            maker=maker,
        )
        container.wait_made()
        return container

    @classmethod
    def begin(
        cls,
        container_id: str,
        bundle: str,
        *,
        stdio: Stdio,
        facts: HostFacts,
        namespace_fds: Mapping[str, int] | None = None,
        seccomp: SeccompCache | None = None,
        maker: Maker | None = None,
    ) -> "Container":
        """Ask the maker for a container and return at once; arguments as ``create``.

        ``pid`` and ``pidfd`` are -1 until ``wait_made``, ``wait_created`` or ``start`` returned.
        """
        given = namespace_fds or {}
        request = MakeRequest(
            container_id, bundle, stdio.is_terminal, stdio.rows, stdio.columns, tuple(given)
        )
        parent_end, init_end = make_sync_pair()
        container = cls(container_id, facts, PreparingChild(parent_end))
        container._bundle = bundle
        container._maker = maker
        fds = (init_end.fd, parent_end.fd, *(stdio.descriptors() or ()), *given.values())
        try:
            with contextlib.closing(init_end):  # held here, its end would never be heard
                container._ask_maker(request, fds, seccomp)
        except BaseException as error:
            raise container._failed(error) from None
        return container

    def _ask_maker(
        self, request: MakeRequest, fds: tuple[int, ...], seccomp: SeccompCache | None
    ) -> None:
        question = json.dumps(request.to_json()).encode()
        if self._maker is not None:
            try:
                self._maker.control.send("B", question, fds)
            except (BrokenPipeError, ConnectionResetError):  # it was killed while it waited
                self.close()
        if self._maker is None:
            self._maker = Maker.fork(self._facts, seccomp or SeccompCache())
            self._maker.control.send("B", question, fds)
        self._maker.is_reusable = False  # not before it has come home
        self._child.maker_pidfd = self._maker.pidfd

    def hand_over(self) -> tuple[dict[str, Any], tuple[int, int]]:
        """Return what ``take_over`` needs in another process: JSON values and descriptors.

        Preconditions: it runs, and ``close`` has ended the maker.
        """
        context = self._execs.hand_over() if self._execs is not None else {}
        fds = (self.pidfd, self._mount_namespace_fd)
        return {"id": self.id, "pid": self.pid, "context": context}, fds

    @classmethod
    def take_over(
        cls, document: dict[str, Any], fds: tuple[int, int], facts: HostFacts
    ) -> "Container":
        """Hold a running container that another process held; its descriptors are now ours."""
        parent_end, init_end = make_sync_pair()
        init_end.close()
        container = cls(document["id"], facts, PreparingChild(parent_end))
        container._child.close()
        container.status = Status.RUNNING
        container.pid = document["pid"]
        container.pidfd, container._mount_namespace_fd = fds
        container._take_context(document["context"])
        return container

    @property
    def maker_pid(self) -> int:
        """The maker's process id while it is needed, else 0; the caller may reap it."""
        return self._maker.pid if self._maker is not None else 0

    def wait_made(self) -> None:
        """Block until there is an init, with ``pid`` and ``pidfd``; harmless when there is.

        Raises:
            RuntimeFailure: why there is none; everything was undone.
        """
        if self.pidfd >= 0 or self.status is not Status.CREATING:
            return
        try:
            self._take_made(*self._child.wait_made())
        except BaseException as error:
            raise self._failed(error) from None

    def _take_made(self, facts: dict[str, Any], fds: list[int]) -> None:
        self.pid = facts["pid"]
        self.pidfd, self._mount_namespace_fd = fds
        self._child.pidfd = self.pidfd
        self._take_context(facts["context"])
        self.warnings = tuple(facts["warnings"])
        if self._maker is not None:
            self._maker.is_reusable = facts["is_home"]

    def _take_context(self, document: dict[str, Any]) -> None:
        context = ExecContext.from_json(document)
        self._execs = Executor(context, self._facts, self.pidfd)
        self._cgroup = ContainerCgroup(self._facts.cgroups, context.cgroup_path)

    @property
    def cgroup(self) -> ContainerCgroup:
        """Where the container is limited and counted."""
        if self._cgroup is None:
            raise RuntimeFailure("host", "the container has no cgroup yet")
        return self._cgroup

    def namespace_fd(self, kind: str) -> int:
        """Return a new close-on-exec descriptor of one of the init's namespaces.

        Args:
            kind: ``network``, ``mount``, … by config.json's names.

        Raises:
            KernelError: ENOENT: the init has ended and was reaped.
        """
        # by number is safe: the init is our child and not reaped, so the number is its own
        name = _NAMESPACE_FILES.get(kind, kind)
        return linux.openat2(-100, f"/proc/{self.pid}/ns/{name}", os.O_RDONLY)

    def wait_created(self) -> None:
        """Block until the init is prepared: only execve(2) is missing.

        Raises:
            RuntimeFailure: why it could not be; everything was undone.
        """
        if self.status is not Status.CREATING:
            return
        self.wait_made()
        try:
            self._child.wait_prepared()
        except BaseException as error:
            raise self._failed(error) from None
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
        try:
            self._child.send("G")
            self._child.wait_executed()
        except BaseException as error:
            raise self._failed(error) from None
        self.status = next_status(self.status, Event.STARTED)

    def _failed(self, error: BaseException) -> BaseException:
        """Undo everything and return what to raise; failures of undoing are its notes."""
        if self.pidfd < 0:
            self._hear_of_init()
        if isinstance(error, MakerLost):
            self._find_cgroup()
            self._child.hang_up()
        if isinstance(error, RuntimeFailure) and self._was_out_of_memory():
            error.hint = error.hint or _OOM_HINT
        for undone in self.abort():
            error.add_note(f"clean-up: {undone}")
        return error

    def _hear_of_init(self) -> None:
        """Take what the maker made before it or the init failed, in whatever order they told."""
        with contextlib.suppress(RuntimeFailure, OSError):
            self._take_made(*self._child.wait_made())

    def _find_cgroup(self) -> None:
        """Read from config.json what a killed maker can't tell: where its work is to be undone."""
        with contextlib.suppress(OSError, ValueError, CutawayError):
            with open(f"{self._bundle}/config.json", "rb") as file:
                config = json.loads(file.read())
            path = cgroups.resolve_cgroups_path(config["linux"].get("cgroupsPath", ""), self.id)
            if self._cgroup is None and self.id in path:  # no other's, which we would kill
                self._cgroup = ContainerCgroup(self._facts.cgroups, path)

    def _was_out_of_memory(self) -> bool:
        with contextlib.suppress(OSError, RuntimeFailure):
            return self.oom_kill_count() > 0
        return False

    def abort(self) -> list[Exception]:
        """Kill and reap the init and undo every step; harmless when done before.

        Returns:
            What could not be undone.
        """
        if self.pidfd >= 0 and not self._is_reaped:
            self._is_reaped = True
            with contextlib.suppress(linux.KernelError):
                linux.pidfd_send_signal(self.pidfd, signal.SIGKILL)
            with contextlib.suppress(linux.KernelError):  # ECHILD: somebody reaped it before
                linux.waitid_pidfd(self.pidfd)
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
        cgroups.kill_all(self.cgroup)

    def mark_stopped(self) -> None:
        """Note that the init has ended and was reaped; harmless twice."""
        self._is_reaped = True
        if self._execs is not None:
            self._execs.close()
        if self.status is not Status.STOPPED:
            self.status = next_status(self.status, Event.EXITED)

    def exec_process(
        self, process: dict[str, Any], stdio: Stdio, *, extensions: Extensions | None = None
    ) -> ExecProcess:
        """Run a further process in the container; return when it runs.

        Args:
            process: as in config.json; it is read by the new process itself.
            stdio: of the process.
            extensions: its user and groups by name.

        Raises:
            WrongStatus: the container has stopped.
            RuntimeFailure: why it could not; nothing is left of it.

        Leaves behind: a child of this process, to be reaped by the caller.
        """
        check_operation(self.id, Operation.EXEC, self.status)
        if self._execs is None:
            raise RuntimeFailure("exec", "the container is not made yet", operation="exec")
        return self._execs.execute(process, stdio, extensions or Extensions())

    def prepare_exec(self) -> None:
        """Make the next ``exec_process`` quicker, at the price of a process that waits for it."""
        if self._execs is not None and self.status is Status.RUNNING:
            self._execs.prepare()

    def freeze(self) -> None:
        """Stop every process where it is, and return when all stand still."""
        check_operation(self.id, Operation.PAUSE, self.status)
        cgroups.freeze(self.cgroup)

    def thaw(self) -> None:
        """Let a frozen container go on."""
        check_operation(self.id, Operation.PAUSE, self.status)
        cgroups.thaw(self.cgroup)

    def update(self, resources: Resources) -> tuple[str, ...]:
        """Change the limits of the living container; devices stay as they are.

        Returns:
            Warnings about limits that do not exist here.

        Raises:
            KernelError: the kernel refuses a value; those before it are in force.
        """
        check_operation(self.id, Operation.UPDATE, self.status)
        limits = cgroups.plan_resources(
            resources,
            self.cgroup.layout,
            with_devices=False,
            current_memory_bytes=self.statistics().memory.limit_bytes,
        )
        for setting in limits.settings:
            directory = self.cgroup.directory(setting.controller) or ""
            step = cgroups.WriteCgroupFile(
                directory=directory, files=setting.files, value=setting.value, why=setting.why
            )
            step.apply(None)
        return limits.warnings

    def oom_kill_count(self) -> int:
        """Return how many processes the kernel killed for want of memory; ask before ``delete``."""
        return cgroups.count_oom_kills(self.cgroup)

    def watch_oom(self) -> int:
        """Return a descriptor that is readable when memory ran out; -1: nobody can tell."""
        return cgroups.watch_oom(self.cgroup)

    def statistics(self) -> Statistics:
        """Return what the container has used so far."""
        return cgroups.read_statistics(self.cgroup)

    def pids(self) -> list[int]:
        """Return the ids of its processes, in the caller's pid namespace."""
        return cgroups.list_pids(self.cgroup)

    def write_ledger(self, path: str, others: list[dict[str, Any]]) -> None:
        """Begin to write everything done for this container to ``path``: the maker does it.

        Args:
            path: of ledger.json.
            others: records of other processes (the network's), to be written with it.
        """
        if self._maker is not None:
            self._maker.ask_ledger(self._child.journal, self._child.error, others, path)
            self._ledger_path = path

    def finish_ledger(self) -> None:
        """Wait until what ``write_ledger`` began is done; harmless when nothing was begun."""
        if self._maker is not None and self._ledger_path is not None:
            self._maker.take_ledger(self._ledger_path)
            self._ledger_path = None

    def records(self) -> list[Record]:
        """Return everything done for this container, oldest first; empty without its maker."""
        if self._maker is None:
            return []
        self._maker.ask_ledger(self._child.journal, self._child.error, [], None)
        return self._maker.take_ledger(None)

    def delete(self) -> list[Exception]:
        """Remove everything that is left of a stopped container; harmless twice.

        Returns:
            What could not be removed.

        Raises:
            WrongStatus: it has not stopped.
        """
        check_operation(self.id, Operation.DELETE, self.status)
        failures: list[Exception] = []
        if self._cgroup is not None:
            failures = remove_container_cgroup(self._cgroup)
        self._child.close()
        for name in ("pidfd", "_mount_namespace_fd"):
            fd = getattr(self, name)
            if fd >= 0:
                setattr(self, name, -1)
                os.close(fd)
        return failures

    def take_maker(self) -> Maker | None:
        """Give the maker up, for the next container; None when it is of no use any more."""
        self.finish_ledger()
        self._child.maker_pidfd = -1
        maker, self._maker = self._maker, None
        if maker is not None and not maker.is_reusable:
            maker.close()
            return None
        return maker

    def close(self) -> None:
        """End the maker, if there is one; harmless twice."""
        self._child.maker_pidfd = -1
        self.finish_ledger()
        if self._maker is not None:
            self._maker.close()
            self._maker = None


def remove_container_cgroup(cgroup: ContainerCgroup) -> list[Exception]:
    """Kill what is left in a container's cgroup and remove it from every hierarchy.

    Returns:
        What could not be done.
    """
    failures: list[Exception] = []
    try:
        if cgroups.list_pids(cgroup):  # they outlived the init: a shared pid namespace
            cgroups.kill_all(cgroup)
    except OSError as error:
        failures.append(error)
    for hierarchy in cgroup.layout.hierarchies:
        try:
            cgroups.remove_cgroup(cgroups.cgroup_directory(hierarchy, cgroup.path))
        except OSError as error:
            failures.append(error)
    return failures
