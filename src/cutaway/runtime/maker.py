"""The maker: a process that makes a container for its shim, and takes its memory along.

The problem: deciding and making a container touches some thousand pages of Python's memory, each
copied on its first write because the shim is a fork: 4 MB that would stay for as long as the
container lives, where the shim itself needs less than 1.

The model: the shim forks a *maker*, before or when it is needed. The maker reads the bundle, plans,
makes the cgroups, goes into the container's namespaces and builds its file system, while its stem
(``birth``) forks the init, which has little left to do; then it comes back to the host. The init
is made with CLONE_PARENT, so it is the shim's child as if the shim had made it. At the end the
maker writes the ledger, which only it knows. When the container lives on, the maker is ended; when
the container has ended by then, the maker is at home, has all its pages, and makes the shim's next
container.

Shim and maker talk over a *control* socket:

====== ====== ================================= ==========================================
letter from   meaning                           carries
====== ====== ================================= ==========================================
``B``  shim   make this container (or the next) ``MakeRequest``; fds: both ends of the sync
                                                pair, stdio, namespaces
``L``  shim   write, or return, the ledger      path, the init's times, other records
``R``  maker  here it is, or it is written      records
====== ====== ================================= ==========================================

What happens on the way to the container is told on the sync pair, whose init's end the maker holds
until the init may go on alone: ``I`` (made) and ``E`` (failed), as ``sync`` says.
"""

import contextlib
import json
import os
import signal
import socket
from dataclasses import dataclass
from typing import Any, NoReturn

from cutaway import files, linux
from cutaway.cgroups import cgroup_directory
from cutaway.linux.abi import CLONE, PR
from cutaway.oci.runtime_spec import Spec
from cutaway.runtime.birth import Stem, Work, hand_over_scope, hand_over_work
from cutaway.runtime.exec_context import plan_exec_context
from cutaway.runtime.extensions import Extensions
from cutaway.runtime.facts import HostFacts
from cutaway.runtime.failures import RuntimeFailure, failure_of
from cutaway.runtime.init import Program, apply_stages, prepare_child, run_init
from cutaway.runtime.journal import INIT_ACTOR, Journal, mark_failed, read_journal
from cutaway.runtime.plan import RuntimePlan, plan, steps_of
from cutaway.runtime.plan_namespaces import HANDED_OVER
from cutaway.runtime.scope import InitScope
from cutaway.runtime.seccomp_cache import SeccompCache
from cutaway.runtime.steps.host import HostScope, MakeInit
from cutaway.runtime.steps.namespaces import CLONE_FLAGS
from cutaway.runtime.steps.security import close_all_but
from cutaway.runtime.sync import SyncSocket
from cutaway.runtime.warm_up import warm_up
from cutaway.steps import Ledger, Record, Step
from cutaway.steps.ledger import LEDGER_VERSION

MAKER_ACTOR = "maker"
STEM_ACTOR = "stem"


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
        pidfd: readable when it has ended; -1 once closed.
        control: the shim's end of the control socket.
        is_reusable: it has made a container and come home: it can make another.
    """

    def __init__(self, pid: int, pidfd: int, control: SyncSocket) -> None:
        self.pid = pid
        self.control = control
        self.is_reusable = False
        self.pidfd = pidfd

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
    ) -> None:
        """Let the maker write the whole ledger to ``path``, or return its own records.

        It works beside its shim; ``take_ledger`` waits for it.

        Args:
            journal: the init's times.
            error: why the init failed, if it did.
            others: records of other processes, to be written too.
            path: of ledger.json; None returns the records.
        """
        question = {"journal": journal.hex(), "error": error, "others": others, "path": path}
        with contextlib.suppress(OSError):
            self.control.send("L", json.dumps(question).encode())

    def take_ledger(self, path: str | None) -> list[Record]:
        """Wait until what ``ask_ledger`` asked for is done.

        Returns:
            The records, oldest first; empty when they were written, or the maker is gone.
        """
        try:
            _, payload, _ = self.control.receive()
        except OSError:
            return []
        records = json.loads(payload or b"[]")
        if records and path is not None:  # the maker could not come back to the host's mounts
            write_ledger(path, records)
            return []
        return [Record.from_json(record) for record in records]

    def close(self) -> None:
        """Let the maker end, and reap it unless somebody does so before; harmless twice."""
        if self.pidfd < 0:
            return
        self.control.close()
        with contextlib.suppress(linux.KernelError):
            linux.pidfd_send_signal(self.pidfd, signal.SIGKILL)
        with contextlib.suppress(linux.KernelError):
            linux.waitid_pidfd(self.pidfd)
        os.close(self.pidfd)
        self.pidfd = -1


def _control_pair() -> tuple[SyncSocket, SyncSocket]:
    first, second = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in (first, second):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    return SyncSocket(first), SyncSocket(second)


def _serve(control: SyncSocket, facts: HostFacts, cache: SeccompCache) -> NoReturn:
    """Be the maker: a request, then questions about the ledger, again until the shim closes."""
    linux.prctl(PR.SET_PDEATHSIG, signal.SIGKILL)
    home_fd = linux.pidfd_open(os.getppid())
    stem = Stem.fork()
    prepare_child(InitScope(control), (home_fd, stem.fd), "cutaway: maker")
    warm_up(facts, rounds=1)  # while nobody waits: the pages that planning touches are copied
    work: _Work | None = None
    while True:
        letter, payload, fds = control.receive()
        if letter == "B":
            request = MakeRequest.from_json(json.loads(payload))
            kept_fds = (control.fd, home_fd, stem.fd)
            work = _Work(request, facts, cache, stem=stem, kept_fds=kept_fds, fds=fds)
            work.make()
        elif letter == "L" and work is not None:
            control.send("R", json.dumps(work.answer_ledger(json.loads(payload))).encode())
        else:
            os._exit(0)


class _Work:
    """The making of one container."""

    def __init__(
        self,
        request: MakeRequest,
        facts: HostFacts,
        cache: SeccompCache,
        *,
        stem: Stem,
        kept_fds: tuple[int, int, int],
        fds: list[int],
    ) -> None:
        self._stem = stem
        self._kept_fds = kept_fds
        self._request = request
        self._facts = facts
        self._cache = cache
        self._parent_end = SyncSocket(socket.socket(fileno=fds[1]))
        self._scope = InitScope(SyncSocket(socket.socket(fileno=fds[0])))
        number = 2 if request.is_terminal else 5
        if not request.is_terminal:
            self._scope.stdio = (fds[2], fds[3], fds[4])
        given = dict(zip(request.namespaces, fds[number:], strict=True))
        self._scope.namespaces.update(given)
        self._host_scope = HostScope()
        self._ledger = Ledger(MAKER_ACTOR)
        self._journal = Journal()
        self._pidfd = -1
        self._cgroup_fd: int | None = None
        self._mounts_fd = -1
        self._is_asked = False
        self._own_times = b""
        self._is_home = True
        self._is_announced = False
        self._plan: RuntimePlan | None = None

    def make(self) -> None:
        """Do everything up to where the init goes on alone; a failure is told to the shim."""
        stage = "plan"
        try:
            decided = self._plan = self._decide()
            stage = "host"
            self._ledger.apply_all(decided.host, self._host_scope)
            self._open_what_is_needed(decided)
            self._ask_for_init(decided)
            apply_stages(decided.outside, 0, self._scope, self._journal)
            self._make_init(decided)
            self._come_home()
            self._tell_made(decided)
            self._finish_outside(decided)
        except BaseException as error:  # a child's top: everything is told to the parent
            failure = failure_of(stage, "preparing the host", error)
            self._come_home()
            if not self._is_announced:  # else the shim knows what to undo
                if self._plan is not None:
                    self._withdraw_init(self._plan.make)
                self._ledger.undo_all()
            with contextlib.suppress(OSError):
                self._scope.sync.send("E", json.dumps(failure.to_json()).encode())
        finally:
            self._let_go()

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

    def _open_what_is_needed(self, decided: RuntimePlan) -> None:
        """Open by the host's paths what is used where they are not valid any more."""
        filter_ = decided.spec.linux.seccomp if decided.spec.linux else None
        if filter_ is not None:
            self._scope.seccomp_program = self._cache.program(filter_, self._facts.machine)
        for kind, path in decided.namespaces.joined:
            if kind in self._scope.namespaces:
                continue
            if path == HANDED_OVER:
                message = f"no descriptor of the {kind} namespace was given"
                raise RuntimeFailure("namespaces", message)
            self._scope.namespaces[kind] = linux.openat2(-100, path, os.O_RDONLY)
        self._scope.tasks = tuple(
            linux.openat2(-100, f"{cgroup_directory(h, decided.cgroup.path)}/tasks", os.O_WRONLY)
            for h in decided.cgroup.layout.v1
        )
        v2 = decided.cgroup.v2_directory()
        self._cgroup_fd = linux.openat2(-100, v2, os.O_RDONLY | os.O_DIRECTORY) if v2 else None

    def _ask_for_init(self, decided: RuntimePlan) -> None:
        """Have the stem fork the init meanwhile, when it can join what is made here."""
        if decided.is_for_stem:
            flags = CLONE(decided.namespaces.clone_flags)
            self._is_asked = self._stem.ask(flags, self._scope.sync, self._cgroup_fd)
        if self._is_asked:
            hand_over_work(_work(decided), self._scope, self._parent_end)

    def _take_init(self, make: MakeInit) -> None:
        """Wait until the stem has forked the init; it is the stem's step, with the stem's time.

        Raises:
            KernelError: it could not.
        """
        self._is_asked = False
        birth = self._stem.take_init()
        self._host_scope.pid, self._pidfd = birth.pid, birth.pidfd
        journal = Journal()
        journal.note(0, birth.started_ns, birth.duration_ns)
        self._ledger.take(read_journal(journal.take(), (make,), STEM_ACTOR))

    def _withdraw_init(self, make: MakeInit) -> None:
        """End an init that the stem has forked or forks just now; the shim reaps it."""
        with contextlib.suppress(linux.KernelError):
            if self._is_asked:
                self._take_init(make)
            if self._pidfd >= 0:
                self.kill_init()

    def _make_init(self, decided: RuntimePlan) -> None:
        """Have an init that needs nothing more of this process's memory."""
        self._open_entered(decided)
        if self._is_asked:
            self._take_init(decided.make)
            self._scope.pid_namespace = self._open_pid_namespace(decided)
            number = len(steps_of(decided.outside))
            apply_stages(decided.beside, number, self._scope, self._journal)
            hand_over_scope(self._scope, self._parent_end)
        else:
            self._ledger.apply(decided.make, self)

    def _open_pid_namespace(self, decided: RuntimePlan) -> int:
        """Open the init's pid namespace, if it has one of its own; else return -1."""
        if "pid" not in decided.namespaces.made_by_clone or not self._facts.can_show_pids:
            return -1
        path = f"/proc/{self._host_scope.pid}/ns/pid"
        fd = linux.openat2(-100, path, os.O_RDONLY)
        linux.pidfd_send_signal(self._pidfd, 0)  # it lives: the number was its own
        return fd

    def _open_entered(self, decided: RuntimePlan) -> None:
        # Now: as soon as there is an init, it may pivot /proc away.
        if decided.namespaces.can_be_joined:
            for kind in decided.namespaces.entered:
                self._scope.entered[kind] = _open_own_namespace(kind)
        joined = self._scope.namespaces.get("mount")
        self._mounts_fd = _open_own_namespace("mount") if joined is None else joined

    def make_init(self) -> int:
        """Fork the init: what ``MakeInit`` does; in the init this never returns."""
        decided = self._plan
        if decided is None:
            raise ValueError("make_init is called by the plan's own step only")
        flags = CLONE(decided.namespaces.clone_flags) | CLONE.PARENT
        pid, self._pidfd = linux.clone3(flags, cgroup_fd=self._cgroup_fd)
        if pid == 0:
            self._be_init(_work(decided, is_copy=True))
        self._host_scope.pid = pid
        return pid

    def _be_init(self, work: Work) -> NoReturn:
        """Go on as the container's init, in a copy of all that the maker knows."""
        try:
            linux.prctl(PR.SET_DUMPABLE, 0)
            linux.set_process_title("cutaway: init")
            self._parent_end.close()  # held here, the shim's end would never be heard
        finally:
            run_init(work.stages, work.first_number, self._scope, work.program)

    def kill_init(self) -> None:
        """SIGKILL the init: what undoes ``MakeInit``; the shim reaps it."""
        linux.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    def _come_home(self) -> None:
        """Go back into the shim's namespaces: the init is about to pivot this one's root away."""
        if self._plan is None:
            return
        namespaces = self._plan.namespaces
        kinds = {"mount", *namespaces.new, *(kind for kind, _ in namespaces.joined)} - {"user"}
        try:
            linux.setns(self._kept_fds[1], CLONE(sum(CLONE_FLAGS[kind] for kind in kinds)))
        except linux.KernelError:  # a joined user namespace gives no way back
            self._is_home = False

    def _tell_made(self, decided: RuntimePlan) -> None:
        """Give the shim the init, and the one reference that keeps its mounts.

        The last reference to a mount namespace unmounts everything in it, which waits for RCU:
        held by the shim, that happens at clean-up and not before the exit is reported.
        """
        context = plan_exec_context(decided, self._scope.seccomp_program)
        facts = {
            "pid": self._host_scope.pid,
            "context": context.to_json(),
            "warnings": decided.warnings,
            "is_home": self._is_home,
        }
        if decided.namespaces.has_user and self._is_home:
            os.close(self._mounts_fd)  # only the sources' place: the init has a copy of its own
            path = f"/proc/{self._host_scope.pid}/ns/mnt"
            self._mounts_fd = linux.openat2(-100, path, os.O_RDONLY)
        fds = (self._pidfd, self._mounts_fd)
        self._scope.sync.send("I", json.dumps(facts).encode(), fds)
        self._is_announced = True

    def _finish_outside(self, decided: RuntimePlan) -> None:
        """Do what is done to the init from outside, and tell it when it may go on."""
        self._ledger.apply_all(decided.after, self._host_scope)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            # an init that is gone has told why, or its end will be seen
            self._parent_end.send("u")

    def _let_go(self) -> None:
        """Close everything: no reference to the container must be left in this process."""
        self._scope.sync.close()
        self._parent_end.close()
        close_all_but(sorted(self._kept_fds))

    def answer_ledger(self, question: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the records, or write them with the others and return nothing."""
        steps: list[Step[Any]] = []
        if self._plan is not None:
            stages = (*self._plan.outside, *self._plan.beside, *self._plan.init)
            steps = [*steps_of(stages)]
        self._own_times += self._journal.take()
        own = read_journal(self._own_times, steps, MAKER_ACTOR)
        inside = read_journal(bytes.fromhex(question["journal"]), steps, INIT_ACTOR)
        mark_failed((*own, *inside), question["error"])
        done = [record.to_json() for record in (*self._ledger.records(), *own, *inside)]
        done += question["others"]
        done.sort(key=lambda record: int(record.get("started_ns", 0)))
        if question["path"] is None or not self._is_home:
            return done
        write_ledger(question["path"], done)
        return []


def _work(decided: RuntimePlan, *, is_copy: bool = False) -> Work:
    """Return the init's part of a plan; that of a copy of the maker is what is left of all."""
    args, has_reaper = decided.process.args, decided.extensions.init
    done = decided.outside if is_copy else (*decided.outside, *decided.beside)
    return Work(
        stages=(*decided.beside, *decided.init) if is_copy else decided.init,
        first_number=len(steps_of(done)),
        program=Program(args, decided.facts.machine, has_reaper=has_reaper),
        tasks=len(decided.cgroup.layout.v1),
    )


def _open_own_namespace(kind: str) -> int:
    name = {"mount": "mnt", "network": "net"}.get(kind, kind)
    return linux.openat2(-100, f"/proc/self/ns/{name}", os.O_RDONLY)


def write_ledger(path: str, records: list[dict[str, Any]]) -> None:
    """Write ledger.json; a full disk must not keep the container from running."""
    with contextlib.suppress(OSError):
        files.write_json(path, {"version": LEDGER_VERSION, "records": records}, durable=False)


def _read_document(path: str) -> dict[str, Any]:
    with open(path, "rb") as file:
        document = json.loads(file.read())
    if not isinstance(document, dict):
        raise RuntimeFailure("plan", f"{path} is not a JSON object")
    return document
