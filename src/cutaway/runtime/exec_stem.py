"""Where an exec's process comes from: of a stem that was made before anybody asked.

The problem: two thirds of an exec were a fork's: copying page tables, every page that the child
or the shim then wrote to, and dropping all of it at execve(2), while everybody waits.

The model: the shim forks a *stem* when it has nothing else to do. The stem cuts itself off, opens
what its child will need, points its children to the container's pid namespace, and waits. Asked,
it makes the process in its own memory (``linux.VFork``), straight into the pid namespace and the
v2 cgroup, and as a child of the shim (CLONE_PARENT). That uses the stem up. It has never been in
the container's namespaces or cgroups itself: nothing of the container sees it or counts it.

Where there is none (the first exec, or one right after another, and where memory can't be shared:
another machine's syscall(2), a time namespace to join) the shim forks the process itself.

The shim says ``C`` (one exec; fds: the process's end of a sync pair, the document, and stdin,
stdout, stderr unless there is a terminal). The process says ``N`` (its pid; fd: the pty's master,
if any) when only execve(2) is missing; ``E`` if it fails, with ``N`` before it. Its end of the
pair closes at execve(2).
"""

import contextlib
import os
import pickle
import signal
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

from cutaway import linux
from cutaway.cgroups import ContainerCgroup, cgroup_directory
from cutaway.linux.abi import CLONE, PR
from cutaway.runtime.exec_context import ExecContext
from cutaway.runtime.extensions import Extensions
from cutaway.runtime.facts import HostFacts
from cutaway.runtime.init import INIT_TITLE, prepare_child
from cutaway.runtime.scope import InitScope
from cutaway.runtime.sync import SyncSocket, make_sync_pair

_TITLE = "cutaway: stem"


@dataclass(frozen=True, slots=True)
class Order:
    """One exec.

    Attributes:
        process: as in config.json.
        extensions: its user and groups by name.
    """

    process: dict[str, Any]
    extensions: Extensions


@dataclass(frozen=True, slots=True)
class Place:
    """Where the stem's process goes.

    Attributes:
        context: of the container.
        facts: of the host.
        pidfd: of the container's init.
    """

    context: ExecContext
    facts: HostFacts
    pidfd: int

    @property
    def can_have_stem(self) -> bool:
        """A process that shares memory can't join a time namespace."""
        return linux.CAN_VFORK and not self.context.namespaces & CLONE.NEWTIME

    def scope(self, sync: SyncSocket, stdio: tuple[int, ...]) -> InitScope:
        """Return the scope of a process that has these descriptors, or a terminal."""
        return InitScope(
            sync,
            stdio=(stdio[0], stdio[1], stdio[2]) if stdio else None,
            seccomp_program=self.context.seccomp_program,
        )

    def open_v2_cgroup(self) -> int | None:
        """Return a descriptor to be born by, if there is v2.

        Raises:
            KernelError: ENOENT: the container has gone.
        """
        directory = ContainerCgroup(self.facts.cgroups, self.context.cgroup_path).v2_directory()
        return linux.openat2(-100, directory, os.O_RDONLY | os.O_DIRECTORY) if directory else None

    def open_tasks(self) -> tuple[int, ...]:
        """Return what ``JoinCgroups`` writes to.

        Raises:
            OSError: ENOENT: the container has gone.
        """
        path = self.context.cgroup_path
        return tuple(
            os.open(f"{cgroup_directory(v1, path)}/tasks", os.O_WRONLY | os.O_CLOEXEC)
            for v1 in self.facts.cgroups.v1
        )


@dataclass(frozen=True, slots=True)
class Role:
    """What the process does, which is not the stem's business.

    Attributes:
        be_exec: becomes the program; reads its order itself.
        rehearse: does some of it, without effect: what it writes to is copied now and not then.
    """

    be_exec: Callable[[InitScope, Callable[[], Order]], NoReturn]
    rehearse: Callable[[], object]


class ExecStem:
    """The shim's hold on a stem, which ends with it.

    Attributes:
        is_used: it can't make another process.
    """

    def __init__(self, connection: SyncSocket, pid: int) -> None:
        self._connection = connection
        self._pid = pid
        self.is_used = False

    @classmethod
    def fork(cls, place: Place, role: Role) -> "ExecStem":
        """Make a stem out of what the caller is now.

        Raises:
            KernelError: EAGAIN, ENOMEM.

        Leaves behind: a child of this process, to be reaped by the caller.
        """
        ours, theirs = make_sync_pair()
        pid, pidfd = linux.clone3(CLONE(0))
        if pid == 0:
            try:
                _Stem(place, theirs, role).serve()
            finally:
                os._exit(1)
        os.close(pidfd)
        theirs.close()
        return cls(ours, pid)

    def order(self, order: Order, stdio: tuple[int, ...]) -> SyncSocket:
        """Have the process made; return the shim's end of the pair on which it is heard.

        Raises:
            OSError: EPIPE, ECONNRESET: the stem is gone.
        """
        self.is_used = True
        ours, theirs = make_sync_pair()
        data = pickle.dumps(order, pickle.HIGHEST_PROTOCOL)
        document = os.memfd_create("cutaway exec", os.MFD_CLOEXEC)  # a message holds less
        try:
            os.write(document, data)
            self._connection.send("C", b"%d" % len(data), (theirs.fd, document, *stdio))
        except OSError:
            ours.close()
            raise
        finally:
            os.close(document)
            theirs.close()
        return ours

    def close(self) -> None:
        """Let the stem end; harmless twice."""
        self._connection.close()

    def end(self) -> None:
        """See the stem ended and reaped."""
        self.close()
        with contextlib.suppress(ChildProcessError):  # it was killed, and reaped as any child
            os.waitpid(self._pid, 0)


class _Stem:
    """The stem itself."""

    def __init__(self, place: Place, shim: SyncSocket, role: Role) -> None:
        self._place = place
        self._shim = shim
        self._role = role
        self._tasks: tuple[int, ...] = ()
        self._error: OSError | None = None

    def serve(self) -> NoReturn:
        """Prepare, wait for the one order, and have it carried out."""
        linux.prctl(PR.SET_PDEATHSIG, signal.SIGKILL)
        prepare_child(InitScope(self._shim), (self._place.pidfd,), _TITLE)
        cgroup_fd = None
        try:
            cgroup_fd = self._place.open_v2_cgroup()
            self._tasks = self._place.open_tasks()
            if self._place.context.has_pid_namespace:
                linux.setns(self._place.pidfd, CLONE.NEWPID)
        except OSError as error:
            self._error = error  # the process tells it
        child = linux.VFork(self._be_process, CLONE.PARENT, cgroup_fd, self._shim.fd)
        self._role.rehearse()
        if self._shim.has_message():
            child.start()
        os._exit(0)

    def _be_process(self) -> NoReturn:
        """Be the process: take the order that the stem has only seen come."""
        try:
            linux.prctl(PR.SET_DUMPABLE, 0)
            linux.set_process_title(INIT_TITLE)
            _, size, (sync, document, *stdio) = self._shim.receive()
            scope = self._place.scope(SyncSocket(socket.socket(fileno=sync)), tuple(stdio))
            scope.tasks = self._tasks
            self._role.be_exec(scope, lambda: self._read(document, int(size)))
        finally:
            os._exit(1)

    def _read(self, document: int, size: int) -> Order:
        """Return the order.

        Raises:
            OSError: what the stem has met.
        """
        if self._error is not None:
            raise self._error
        order: Order = pickle.loads(os.pread(document, size, 0))
        os.close(document)
        return order
