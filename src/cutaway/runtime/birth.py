"""Making the first process of a container: clone3(2) in the right namespaces.

What a process can't do to itself is done to its maker: a pid or time namespace is joined by
pointing the maker's *children* there, and the maker back afterwards.
"""

import contextlib
import os
from collections.abc import Mapping
from dataclasses import dataclass

from cutaway import linux
from cutaway.linux.abi import CLONE
from cutaway.runtime.child import PreparingChild
from cutaway.runtime.failures import RuntimeFailure
from cutaway.runtime.init import Program, prepare_child, run_init, run_stage
from cutaway.runtime.plan import RuntimePlan
from cutaway.runtime.plan_namespaces import HANDED_OVER
from cutaway.runtime.scope import InitScope
from cutaway.runtime.stdio import Stdio
from cutaway.runtime.steps.namespaces import CLONE_FLAGS
from cutaway.runtime.sync import SyncSocket, make_sync_pair

_CHILDREN_ONLY = {"pid": CLONE.NEWPID, "time": CLONE.NEWTIME}
_OWN_NAMESPACE = {"pid": "/proc/self/ns/pid", "time": "/proc/self/ns/time"}


@dataclass(frozen=True, slots=True)
class Birth:
    """All that is needed to make a container's init.

    Attributes:
        plan: what to do.
        stdio: of the program.
        namespaces: descriptors of the namespaces to be joined, by kind.
        seccomp_program: compiled, or None.
        cgroup_fd: the v2 cgroup it is born in, or None.
    """

    plan: RuntimePlan
    stdio: Stdio
    namespaces: dict[str, int]
    seccomp_program: bytes | None
    cgroup_fd: int | None

    def make(self) -> PreparingChild:
        """Make the init; in the child this never returns.

        Raises:
            KernelError: as clone3(2).
            RuntimeFailure: the stage failed.
        """
        parent_end, init_end = make_sync_pair()
        scope = InitScope(
            init_end,
            stdio=self.stdio.descriptors(),
            namespaces=self.namespaces,
            seccomp_program=self.seccomp_program,
        )
        try:
            if self.plan.namespaces.needs_stage:
                return self._make_by_stage(parent_end, scope)
            return self._make_directly(parent_end, scope)
        except BaseException:
            parent_end.close()
            raise
        finally:
            init_end.close()

    def _make_directly(self, parent_end: SyncSocket, scope: InitScope) -> PreparingChild:
        flags = CLONE(self.plan.namespaces.clone_flags)
        pid, pidfd = clone_into(self.namespaces, flags, self.cgroup_fd)
        if pid == 0:
            self._be_init(scope)
        return PreparingChild(parent_end, pid, pidfd)

    def _be_init(self, scope: InitScope) -> None:
        program = Program(self.plan.process.args, self.plan.facts.machine)
        try:
            prepare_child(scope, self.namespaces.values())
        finally:
            run_init(self.plan.init_stages(), 0, scope, program)

    def _make_by_stage(self, parent_end: SyncSocket, scope: InitScope) -> PreparingChild:
        stage_pid, stage_pidfd = linux.clone3(CLONE(0), cgroup_fd=self.cgroup_fd)
        if stage_pid == 0:
            run_stage(self.plan, scope, self.namespaces.values())
        scope.sync.close()  # ours: else the end of the stream would never be read
        waiting = PreparingChild(parent_end, stage_pid, stage_pidfd)
        try:
            letter, payload, fds = parent_end.receive()
            while letter == "T":
                letter, payload, fds = parent_end.receive()
            if letter == "I":
                return PreparingChild(parent_end, int(payload), fds[0])
            waiting.fail(letter, payload)
            raise RuntimeFailure("init", "the stage process said nothing")
        finally:
            with contextlib.suppress(linux.KernelError):
                linux.waitid_pidfd(stage_pidfd)
            os.close(stage_pidfd)


def clone_into(
    namespaces: Mapping[str, int], flags: CLONE, cgroup_fd: int | None
) -> tuple[int, int]:
    """Make a child that is born in the given pid and time namespaces, if there are any.

    Returns:
        As clone3(2). The parent's later children are its own again; the child's are not touched.
    """
    pointed = [kind for kind in _CHILDREN_ONLY if kind in namespaces]
    if not pointed:
        return linux.clone3(flags, cgroup_fd=cgroup_fd)
    own = {kind: os.open(_OWN_NAMESPACE[kind], os.O_RDONLY | os.O_CLOEXEC) for kind in pointed}
    pid = -1
    try:
        for kind in pointed:
            linux.setns(namespaces[kind], _CHILDREN_ONLY[kind])
        pid, pidfd = linux.clone3(flags, cgroup_fd=cgroup_fd)
        return pid, pidfd
    finally:
        if pid != 0:  # in the child it would fail: the way back up is closed there
            for kind, fd in own.items():
                linux.setns(fd, _CHILDREN_ONLY[kind])
                os.close(fd)


def open_joined(plan: RuntimePlan, given: Mapping[str, int]) -> tuple[dict[str, int], list[int]]:
    """Return descriptors of all namespaces to be joined, and those of them that are ours to close.

    Raises:
        KernelError: ENOENT: the path of a namespace is not there.
        RuntimeFailure: a descriptor was promised at planning and is missing.
    """
    descriptors: dict[str, int] = {}
    opened: list[int] = []
    for kind, path in plan.namespaces.joined:
        if kind in given:
            descriptors[kind] = given[kind]
        elif path == HANDED_OVER:
            raise RuntimeFailure("namespaces", f"no descriptor of the {kind} namespace was given")
        else:
            fd = linux.openat2(-100, path, os.O_RDONLY)
            descriptors[kind] = fd
            opened.append(fd)
    return descriptors, opened


def joins_by_flag(plan: RuntimePlan) -> CLONE:
    """Return the CLONE flags of all namespaces that a container has apart from its shim's.

    Used to join a running container by its pidfd in one setns(2).
    """
    flags = CLONE(0)
    for kind in (*plan.namespaces.new, *(kind for kind, _ in plan.namespaces.joined)):
        if kind != "pid":
            flags |= CLONE_FLAGS[kind]
    return flags
