"""Making the first process of a container: clone3(2) in the right namespaces.

What a process can't do to itself is done to its maker: a pid or time namespace is joined by
pointing the maker's *children* there, and the maker back afterwards.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass

from cutaway import linux
from cutaway.linux.abi import CLONE
from cutaway.runtime.failures import RuntimeFailure
from cutaway.runtime.init import Program, prepare_child, run_init, run_stage
from cutaway.runtime.plan import RuntimePlan
from cutaway.runtime.plan_namespaces import HANDED_OVER
from cutaway.runtime.scope import InitScope
from cutaway.runtime.stdio import Stdio
from cutaway.runtime.sync import SyncSocket, make_sync_pair

_CHILDREN_ONLY = {"pid": CLONE.NEWPID, "time": CLONE.NEWTIME}
_OWN_NAMESPACE = {"pid": "/proc/self/ns/pid", "time": "/proc/self/ns/time"}


@dataclass(frozen=True, slots=True)
class Born:
    """A process that was just made.

    Attributes:
        pid: in the maker's pid namespace.
        pidfd: close-on-exec.
        further_pidfds: of a stage process, which the same parent has to reap.
    """

    pid: int
    pidfd: int
    further_pidfds: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Birth:
    """All that is needed to make a container's init.

    Attributes:
        plan: what to do.
        sync: the init's end of the sync pair.
        stdio: of the program.
        namespaces: descriptors of the namespaces to be joined, by kind.
        seccomp_program: compiled, or None.
        cgroup_fd: the v2 cgroup it is born in, or None.
    """

    plan: RuntimePlan
    sync: SyncSocket
    stdio: Stdio
    namespaces: dict[str, int]
    seccomp_program: bytes | None
    cgroup_fd: int | None

    def make(self) -> Born:
        """Make the init, a child of the caller's parent; in the init this never returns.

        Raises:
            KernelError: as clone3(2).
            RuntimeFailure: the stage failed.
        """
        scope = InitScope(
            self.sync,
            stdio=self.stdio.descriptors(),
            namespaces=self.namespaces,
            seccomp_program=self.seccomp_program,
        )
        if self.plan.namespaces.needs_stage:
            return self._make_by_stage(scope)
        flags = CLONE(self.plan.namespaces.clone_flags) | CLONE.PARENT
        pid, pidfd = clone_into(self.namespaces, flags, self.cgroup_fd)
        if pid == 0:
            program = Program(self.plan.process.args, self.plan.facts.machine)
            try:
                prepare_child(scope, self.namespaces.values())
            finally:
                run_init(self.plan.init_stages(), 0, scope, program)
        return Born(pid, pidfd)

    def _make_by_stage(self, scope: InitScope) -> Born:
        ours, theirs = make_sync_pair()
        pid, pidfd = linux.clone3(CLONE.PARENT, cgroup_fd=self.cgroup_fd)
        if pid == 0:
            run_stage(self.plan, scope, theirs, self.namespaces.values())
        theirs.close()
        letter, payload, fds = ours.receive()
        ours.close()
        if letter == "I":
            return Born(int(payload), fds[0], (pidfd,))
        os.close(pidfd)
        if letter == "E":
            raise RuntimeFailure.parse(payload)
        raise RuntimeFailure("init", "the stage process ended without a word")


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
