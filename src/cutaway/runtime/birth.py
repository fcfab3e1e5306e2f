"""The init's birth: it is no copy of the maker, but of a process that has done nothing yet.

The problem: a fork write-protects every page of the process that calls it. Were the init a copy of
the maker, each of the 1,300 pages that the maker writes to for one container would be a page
fault, for every container anew; and the maker would stand still while it forks.

The model: the maker has a *stem*, forked before the maker had done anything. As soon as the
container's cgroups are there, the maker asks it for an init and goes on, with mounts and devices.
The stem forks the init straight into its cgroup and pid namespace, as a child of the shim
(CLONE_PARENT twice), and it reads its *work*, the steps that are left, and begins with those that
need nothing of the maker's. At last the maker gives it descriptors of the namespaces to join and
of all that earlier steps have opened.

Where a user namespace is new, or a namespace joined that only children are born into, the maker
forks the init itself (``maker.py``): it is in the right namespaces already.

Maker and stem talk by ``C`` (make an init; with clone3(2)'s flags, fds: the init's end of the sync
pair, and its v2 cgroup, if any) and ``N`` (a ``Birth``, with the pidfd; or errno). To the init the
maker says ``W`` (the work; fds: of the file it is in, of its v1 cgroups' tasks, stdio) and ``J``
(what is open: join and go on).
"""

import os
import pickle
import signal
import socket
import time
from dataclasses import dataclass
from typing import NamedTuple, NoReturn

from cutaway import linux
from cutaway.linux.abi import CLONE, PR
from cutaway.runtime.failures import failure_of
from cutaway.runtime.init import Program, prepare_child, report_failure, run_init
from cutaway.runtime.journal import Journal
from cutaway.runtime.plan import Stage
from cutaway.runtime.scope import InitScope
from cutaway.runtime.sync import SyncSocket, make_sync_pair


@dataclass(frozen=True, slots=True)
class Work:
    """What an init has to do.

    Attributes:
        stages: the steps that are left.
        first_number: of the first step, in the numbering that the shim knows.
        program: what it becomes.
        tasks: how many v1 cgroups it joins.
    """

    stages: tuple[Stage, ...]
    first_number: int
    program: Program
    tasks: int = 0


class Birth(NamedTuple):
    """An init that was forked.

    Attributes:
        pid: of the init, a child of the shim.
        pidfd: of the init, the receiver's to close.
        started_ns: CLOCK_MONOTONIC, before clone3(2).
        duration_ns: how long that took.
    """

    pid: int
    pidfd: int
    started_ns: int
    duration_ns: int


class Stem:
    """The maker's hold on its stem, which ends with the maker and with the shim."""

    def __init__(self, connection: SyncSocket) -> None:
        self._connection = connection

    @classmethod
    def fork(cls) -> "Stem":
        """Make a stem, the caller's sibling, out of what the caller is now.

        Raises:
            KernelError: EAGAIN, ENOMEM.
        """
        ours, theirs = make_sync_pair()
        pid, pidfd = linux.clone3(CLONE.PARENT)
        if pid == 0:
            try:
                _serve(theirs)
            finally:
                os._exit(1)
        os.close(pidfd)
        theirs.close()
        return cls(ours)

    @property
    def fd(self) -> int:
        """To be kept open."""
        return self._connection.fd

    def ask(self, flags: CLONE, init_end: SyncSocket, cgroup_fd: int | None) -> bool:
        """Have an init made meanwhile; False when there is no stem any more.

        Args:
            flags: of the namespaces that it is born into.
            init_end: of the pair on which it hears of its work.
            cgroup_fd: of the v2 cgroup that it is born in, if any.
        """
        fds = (init_end.fd,) if cgroup_fd is None else (init_end.fd, cgroup_fd)
        try:
            self._connection.send("C", b"%d" % (flags | CLONE.PARENT), fds)
        except (BrokenPipeError, ConnectionResetError):
            return False
        return True

    def take_init(self) -> Birth:
        """Wait for the init that was asked for.

        A stem that was killed on the way takes this process along: nobody knows whether there is
        an init, and the shim knows what to do about a maker that was lost.

        Raises:
            KernelError: why there is none.
        """
        letter, payload, fds = self._connection.receive()
        if letter != "N":
            os._exit(1)
        number, *times = map(int, payload.split())
        if not fds:
            raise linux.kernel_error(number, "clone3")
        return Birth(number, fds[0], *times)


def _serve(requests: SyncSocket) -> NoReturn:
    """Be a stem: fork inits until the maker ends.

    What runs here is short: a page written to while the init is a copy of it is copied.
    """
    linux.prctl(PR.SET_PDEATHSIG, signal.SIGKILL)
    prepare_child(InitScope(requests), (), "cutaway: stem")
    while True:
        letter, payload, fds = requests.receive()
        if letter != "C":
            os._exit(0)
        init_end, *cgroups = fds
        started_ns = time.monotonic_ns()
        try:
            cgroup_fd = cgroups[0] if cgroups else None
            pid, pidfd = linux.clone3(CLONE(int(payload)), cgroup_fd=cgroup_fd)
        except linux.KernelError as error:
            requests.send("N", b"%d" % (error.errno or 0))
        else:
            if pid == 0:
                for fd in (requests.fd, *cgroups):
                    os.close(fd)
                _be_init(SyncSocket(socket.socket(fileno=init_end)))
            duration_ns = time.monotonic_ns() - started_ns
            requests.send("N", b"%d %d %d" % (pid, started_ns, duration_ns), (pidfd,))
            os.close(pidfd)
        for fd in fds:
            os.close(fd)


def _be_init(sync: SyncSocket) -> NoReturn:
    """Be a container's init, in a freshly forked copy of the stem: hear what to do, and do it."""
    scope = InitScope(sync)
    work = Work((), 0, Program((), ""))
    try:
        linux.prctl(PR.SET_DUMPABLE, 0)
        linux.set_process_title("cutaway: init")
        letter, _, fds = sync.receive()
        if letter != "W":
            os._exit(1)  # the start has failed
        document, *given = fds
        with open(document, "rb") as file:
            work = pickle.load(file)
        scope.is_handed_over = False
        scope.tasks = tuple(given[: work.tasks])
        scope.stdio = (given[-3], given[-2], given[-1]) if len(given) > work.tasks else None
    except BaseException as error:  # the child's top: everything is told to the parent
        failure = failure_of("init", "taking the work over", error)
        report_failure(scope, Journal(), failure, work.program)
        os._exit(1)
    run_init(work.stages, work.first_number, scope, work.program)


def hand_over_work(work: Work, scope: InitScope, to_init: SyncSocket) -> None:
    """Give an init, which may still be in the making, its work, and what it can begin with.

    Raises:
        OSError: the init is gone.
    """
    fd = os.memfd_create("cutaway work", os.MFD_CLOEXEC)  # it may be more than a message holds
    with open(fd, "w+b") as file:
        pickle.dump(work, file, pickle.HIGHEST_PROTOCOL)
        file.seek(0)
        to_init.send("W", fds=(fd, *scope.tasks, *(scope.stdio or ())))


def hand_over_scope(scope: InitScope, to_init: SyncSocket) -> None:
    """Give an init all that was opened for it: now it goes on alone.

    Raises:
        OSError: the init is gone.
    """
    state, fds = scope.hand_over()
    to_init.send("J", state, fds)
