"""The init's birth: it is no copy of the maker, but of a process that has done nothing yet.

The problem: a fork write-protects every page of the process that calls it. Were the init a copy of
the maker, each of the 1,300 pages that the maker writes to for one container would be a page
fault, for every container anew; and the maker would stand still while it forks.

The model: the maker has a *stem*, forked before the maker had done anything. As soon as the
container's cgroups are there, the maker asks it for an init and goes on, with mounts and devices.
The stem forks the init straight into its cgroup and pid namespace, as a child of the shim
(CLONE_PARENT twice). Then the maker hands the *work* over: the steps that are left, and
descriptors of the namespaces to join and of all that earlier steps have opened.

Where a user namespace is new, or a namespace joined that only children are born into, the maker
forks the init itself (``maker.py``): it is in the right namespaces already.

On the sockets: ``C`` (maker to stem: make an init; fds: the init's end of the sync pair, and its v2
cgroup, if any), ``N`` (the answer: pid, with its pidfd, or errno), ``W`` (maker to init: the work).
"""

import errno
import os
import pickle
import signal
import socket
from dataclasses import dataclass
from typing import NoReturn

from cutaway import linux
from cutaway.linux.abi import CLONE, PR
from cutaway.runtime.failures import failure_of
from cutaway.runtime.init import Program, prepare_child, report_failure, run_init
from cutaway.runtime.journal import Journal
from cutaway.runtime.plan import Stage
from cutaway.runtime.scope import InitScope
from cutaway.runtime.steps.namespaces import CLONE_FLAGS
from cutaway.runtime.sync import SyncSocket, make_sync_pair

_NAMESPACE_FILES = {"mount": "mnt", "network": "net"}


@dataclass(frozen=True, slots=True)
class Work:
    """What an init has to do.

    Attributes:
        stages: the steps that are left.
        first_number: of the first step, in the numbering that the shim knows.
        program: what it becomes.
        namespaces: kinds of those to join; the maker is in them.
    """

    stages: tuple[Stage, ...]
    first_number: int
    program: Program
    namespaces: tuple[str, ...] = ()


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

    def take_init(self) -> tuple[int, int]:
        """Wait for the init that was asked for; return its pid and pidfd.

        Raises:
            KernelError: why there is none.
        """
        letter, payload, fds = self._connection.receive()
        if letter != "N":
            raise linux.kernel_error(errno.ECHILD, "clone3", hint="the maker's stem was killed")
        number = int(payload)
        if not fds:
            raise linux.kernel_error(number, "clone3")
        return number, fds[0]


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
            requests.send("N", b"%d" % pid, (pidfd,))
            os.close(pidfd)
        for fd in fds:
            os.close(fd)


def _be_init(sync: SyncSocket) -> NoReturn:
    """Be a container's init, in a freshly forked copy of the stem: wait for work, and do it."""
    scope = InitScope(sync)
    program = Program((), "")
    try:
        linux.prctl(PR.SET_DUMPABLE, 0)
        linux.set_process_title("cutaway: init")
        letter, _, fds = sync.receive()
        if letter != "W":
            os._exit(1)
        work = _take_over(scope, fds)
    except BaseException as error:  # the child's top: everything is told to the parent
        report_failure(scope, Journal(), failure_of("namespaces", "joining", error), program)
        os._exit(1)
    run_init(work.stages, work.first_number, scope, work.program)


def hand_over(work: Work, scope: InitScope, to_init: SyncSocket) -> None:
    """Give the init its work, and what the maker's scope holds for it.

    Raises:
        OSError: the init is gone.
    """
    state, opened = scope.hand_over()
    own: list[int] = []
    try:
        own.append(_write_memfd(pickle.dumps((work, state), pickle.HIGHEST_PROTOCOL)))
        for kind in work.namespaces:
            path = f"/proc/self/ns/{_NAMESPACE_FILES.get(kind, kind)}"
            own.append(linux.openat2(-100, path, os.O_RDONLY))
        to_init.send("W", fds=(*own, *opened))
    finally:
        for fd in own:
            os.close(fd)


def _write_memfd(data: bytes) -> int:
    """Return a file with the data: a message may be too small for it."""
    fd = os.memfd_create("cutaway work", os.MFD_CLOEXEC)
    with open(fd, "wb", closefd=False) as file:
        file.write(data)
    return fd


def _take_over(scope: InitScope, fds: list[int]) -> Work:
    """Read the work, join the namespaces, and hold what is open."""
    document, *rest = fds
    work: Work
    with open(document, "rb") as file:
        file.seek(0)
        work, state = pickle.loads(file.read())
    count = len(work.namespaces)
    for kind, fd in zip(work.namespaces, rest[:count], strict=True):
        linux.setns(fd, CLONE_FLAGS[kind])
        os.close(fd)
    scope.take_over(state, rest[count:])
    return work
