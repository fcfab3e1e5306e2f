"""The maker: a short-lived process that makes a container for its shim, and takes its memory along.

The problem: deciding and making a container touches some thousand pages of Python's memory, each
copied on its first write because the shim is a fork: 4 MB that would stay for as long as the
container lives, where the shim itself needs less than 1.

The model: the shim forks a *maker*, before or when it is needed. The maker reads the bundle, plans,
makes the cgroups and the init, and tells the shim the little that it must know to hold the
container. The init is made with CLONE_PARENT, so it is the shim's child as if the shim had made it.
At the end the maker writes the ledger, which only it knows, and is gone.

Shim and maker talk over a *control* socket, one JSON document a message:

====== ====== ================================= ==========================================
letter from   meaning                           carries
====== ====== ================================= ==========================================
``B``  shim   make this container               ``MakeRequest``; fds: both ends of the sync
                                                pair, stdio, namespaces
``L``  shim   write, or return, the ledger      path, the init's times, other records
``R``  maker  here it is, or it is written      records
====== ====== ================================= ==========================================

What happens on the way to the container is told on the sync pair, whose init's end the maker holds
until the init may go on alone: ``I`` (made) and ``E`` (failed), as ``sync`` says.
"""

import contextlib
import gc
import json
import os
import signal
import socket
from dataclasses import dataclass
from typing import Any, NoReturn

from cutaway import files, linux
from cutaway.cgroups import cgroup_directory
from cutaway.linux.abi import PR
from cutaway.oci.runtime_spec import Spec
from cutaway.runtime.birth import Birth, Born, open_joined
from cutaway.runtime.exec_context import plan_exec_context
from cutaway.runtime.extensions import Extensions
from cutaway.runtime.facts import HostFacts
from cutaway.runtime.failures import RuntimeFailure, failure_of
from cutaway.runtime.journal import read_journal
from cutaway.runtime.plan import RuntimePlan, plan
from cutaway.runtime.seccomp_cache import SeccompCache
from cutaway.runtime.stdio import Stdio
from cutaway.runtime.steps.host import HostScope
from cutaway.runtime.steps.process import close_all_but
from cutaway.runtime.sync import SyncSocket
from cutaway.steps import Ledger, Record
from cutaway.steps.ledger import LEDGER_VERSION

HOST_ACTOR = "maker"
_TITLE = "cutaway: maker"


@dataclass(frozen=True, slots=True)
class MakeRequest:
    """Which container, and what comes with it.

    Attributes:
        container_id: its id.
        bundle: host directory with config.json and perhaps rootfs.json.
        is_terminal: no stdio descriptors come along.
        rows: the terminal's height; 0 leaves config.json's.
        columns: its width.
        namespaces: kinds of the namespaces whose descriptors come along, in their order.
    """

    container_id: str
    bundle: str
    is_terminal: bool = False
    rows: int = 0
    columns: int = 0
    namespaces: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the request as JSON values."""
        return {name: getattr(self, name) for name in self.__slots__}

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> "MakeRequest":
        """Read what ``to_json`` wrote."""
        return cls(**{**document, "namespaces": tuple(document["namespaces"])})


class Maker:
    """The shim's hold on a maker process.

    Attributes:
        pid: a child of the shim.
        control: the shim's end of the control socket.
    """

    def __init__(self, pid: int, pidfd: int, control: SyncSocket) -> None:
        self.pid = pid
        self.control = control
        self._pidfd = pidfd

    @classmethod
    def fork(cls, facts: HostFacts, cache: SeccompCache) -> "Maker":
        """Make a maker that waits for its request.

        Raises:
            KernelError: EAGAIN, ENOMEM.

        Leaves behind: a child; ``close`` ends it, and whoever reaps all children reaps it.
        """
        ours, theirs = _control_pair()
        pid, pidfd = linux.clone3(linux.CLONE(0))
        if pid == 0:
            try:
                ours.close()
                _serve(theirs, facts, cache)
            finally:
                os._exit(1)
        theirs.close()
        return cls(pid, pidfd, ours)

    def ask_ledger(
        self, journal: bytes, error: str | None, others: list[dict[str, Any]], path: str | None
    ) -> list[Record]:
        """Let the maker write the whole ledger to ``path``, or return its own records.

        Args:
            journal: the init's times.
            error: why the init failed, if it did.
            others: records of other processes, to be written too.
            path: of ledger.json; None returns the records.

        Returns:
            The records, oldest first; empty when they were written, or the maker is gone.
        """
        question = {"journal": journal.hex(), "error": error, "others": others, "path": path}
        try:
            self.control.send("L", json.dumps(question).encode())
            _, payload, _ = self.control.receive()
        except OSError:
            return []
        return [Record.from_json(record) for record in json.loads(payload or b"[]")]

    def close(self) -> None:
        """Let the maker end, and reap it unless somebody does so before; harmless twice."""
        if self._pidfd < 0:
            return
        self.control.close()
        with contextlib.suppress(linux.KernelError):
            linux.pidfd_send_signal(self._pidfd, signal.SIGKILL)
        with contextlib.suppress(linux.KernelError):
            linux.waitid_pidfd(self._pidfd)
        os.close(self._pidfd)
        self._pidfd = -1


def _control_pair() -> tuple[SyncSocket, SyncSocket]:
    first, second = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in (first, second):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    return SyncSocket(first), SyncSocket(second)


def _serve(control: SyncSocket, facts: HostFacts, cache: SeccompCache) -> NoReturn:
    """Be the maker: one request, then questions about the ledger, until the shim closes."""
    gc.disable()
    linux.prctl(PR.SET_DUMPABLE, 0)
    linux.reset_signal_dispositions()
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    linux.prctl(PR.SET_PDEATHSIG, signal.SIGKILL)
    linux.set_process_title(_TITLE)
    close_all_but([control.fd])
    letter, payload, fds = control.receive()
    if letter != "B":
        os._exit(0)
    work = _Work(MakeRequest.from_json(json.loads(payload)), facts, cache, fds)
    work.make()
    while True:
        letter, payload, _ = control.receive()
        if letter != "L":
            os._exit(0)
        control.send("R", json.dumps(work.answer_ledger(json.loads(payload))).encode())


class _Work:
    """The making of one container."""

    def __init__(
        self, request: MakeRequest, facts: HostFacts, cache: SeccompCache, fds: list[int]
    ) -> None:
        self._request = request
        self._facts = facts
        self._cache = cache
        self._init_end = SyncSocket(socket.socket(fileno=fds[0]))
        self._parent_end = SyncSocket(socket.socket(fileno=fds[1]))
        if request.is_terminal:
            namespaces = fds[2:]
            self._stdio = Stdio.terminal(request.rows, request.columns)
        else:
            namespaces = fds[5:]
            self._stdio = Stdio(in_fd=fds[2], out_fd=fds[3], err_fd=fds[4])
        self._given = dict(zip(request.namespaces, namespaces, strict=True))
        self._fds = fds[2:]
        self._ledger = Ledger(HOST_ACTOR)
        self._scope = HostScope()
        self._birth: Birth | None = None
        self._born = Born(-1, -1)
        self._is_announced = False
        self._plan: RuntimePlan | None = None

    def make(self) -> None:
        """Do everything up to where the init goes on alone; a failure is told to the shim."""
        stage = "plan"
        try:
            decided = self._plan = self._decide()
            stage = "host"
            self._ledger.apply_all(decided.before, self._scope)
            self._make_init(decided)
            self._do_host_part(decided)
        except BaseException as error:  # a child's top: everything is told to the parent
            failure = failure_of(stage, "preparing the host", error)
            if not self._is_announced:  # else the shim knows what to undo
                self._ledger.undo_all()
            with contextlib.suppress(OSError):
                self._init_end.send("E", json.dumps(failure.to_json()).encode())
        finally:
            for fd in self._fds:
                os.close(fd)
            self._init_end.close()
            self._parent_end.close()

    def _decide(self) -> RuntimePlan:
        bundle = self._request.bundle
        config = _read_document(f"{bundle}/config.json")
        process = config.get("process")
        if self._request.rows and isinstance(process, dict):
            size = {"height": self._request.rows, "width": self._request.columns}
            process["consoleSize"] = size
        try:
            extensions = Extensions.from_json(_read_document(f"{bundle}/rootfs.json"))
        except FileNotFoundError:
            extensions = Extensions()
        return plan(
            Spec.from_json(config),
            self._facts,
            id=self._request.container_id,
            bundle=bundle,
            extensions=extensions,
            handed_over=self._request.namespaces,
        )

    def _make_init(self, decided: RuntimePlan) -> None:
        filter_ = decided.spec.linux.seccomp if decided.spec.linux else None
        program = self._cache.program(filter_, self._facts.machine) if filter_ else None
        descriptors, opened = open_joined(decided, self._given)
        v2 = decided.cgroup.v2_directory()
        cgroup_fd = os.open(v2, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC) if v2 else None
        self._birth = Birth(decided, self._init_end, self._stdio, descriptors, program, cgroup_fd)
        try:
            self._ledger.apply(decided.make, self)
        finally:
            for fd in (*opened, *(() if cgroup_fd is None else (cgroup_fd,))):
                os.close(fd)
        context = plan_exec_context(decided, program)
        facts = {
            "pid": self._scope.pid,
            "context": context.to_json(),
            "warnings": decided.warnings,
        }
        self._tell_made(facts)

    def make_init(self) -> int:
        """Make the init: what ``MakeInit`` does."""
        if self._birth is None:
            raise ValueError("make_init is called by the plan's own step only")
        self._born = self._birth.make()
        self._scope.pid = self._born.pid
        return self._born.pid

    def kill_init(self) -> None:
        """SIGKILL the init: what undoes ``MakeInit``; the shim reaps it."""
        linux.pidfd_send_signal(self._born.pidfd, signal.SIGKILL)

    def _tell_made(self, facts: dict[str, Any]) -> None:
        """Give the shim the init, and the one reference that keeps its mounts.

        The last reference to a mount namespace unmounts everything in it, which waits for RCU:
        held by the shim, that happens at clean-up and not before the exit is reported.
        """
        # by number is safe: the init can't be reaped by the shim, which has not heard of it
        mounts = linux.openat2(-100, f"/proc/{self._scope.pid}/ns/mnt", os.O_RDONLY)
        fds = (self._born.pidfd, mounts, *self._born.further_pidfds)
        self._init_end.send("I", json.dumps(facts).encode(), fds)
        self._is_announced = True
        for fd in fds:
            os.close(fd)

    def _do_host_part(self, decided: RuntimePlan) -> None:
        """Make cgroups and limits while the init mounts, and tell it when it may go on."""
        maps = [step for step in decided.host if getattr(step, "name", "").endswith("_map")]
        if maps:
            self._ledger.apply_all(maps, self._scope)
            self._parent_end.send("u")
        self._ledger.apply_all((s for s in decided.host if s not in maps), self._scope)
        fds = _open_tasks_files(decided)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            # an init that is gone has told why, or its end will be seen
            self._parent_end.send("C", fds=fds)
        for fd in fds:
            os.close(fd)

    def answer_ledger(self, question: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the records, or write them with the others and return nothing."""
        steps = []
        if self._plan is not None:
            steps = [step for stage in self._plan.init_stages() for step in stage.steps]
        inside = read_journal(bytes.fromhex(question["journal"]), steps, question["error"])
        done = [record.to_json() for record in (*self._ledger.records(), *inside)]
        done += question["others"]
        done.sort(key=lambda record: int(record.get("started_ns", 0)))
        if question["path"] is None:
            return done
        document = {"version": LEDGER_VERSION, "records": done}
        with contextlib.suppress(OSError):  # a full disk must not keep the container from running
            files.write_json(question["path"], document, durable=False)
        return []


def _read_document(path: str) -> dict[str, Any]:
    with open(path, "rb") as file:
        document = json.loads(file.read())
    if not isinstance(document, dict):
        raise RuntimeFailure("plan", f"{path} is not a JSON object")
    return document


def _open_tasks_files(decided: RuntimePlan) -> tuple[int, ...]:
    """Open ``tasks`` of each v1 cgroup for the init, which will write ``0`` to them.

    Opened here, because the kernel judges the write by the opener's rights, and because the init
    can't open a path of the host's for ever.
    """
    fds: list[int] = []
    for hierarchy in decided.cgroup.layout.v1:
        path = f"{cgroup_directory(hierarchy, decided.cgroup.path)}/tasks"
        fds.append(linux.openat2(-100, path, os.O_WRONLY))
    return tuple(fds)
