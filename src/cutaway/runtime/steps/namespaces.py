"""Steps that put the init into its namespaces."""

import os
from dataclasses import dataclass

from cutaway import linux
from cutaway.linux.abi import CLONE
from cutaway.runtime.scope import InitScope
from cutaway.steps import Step

CLONE_FLAGS: dict[str, CLONE] = {
    "mount": CLONE.NEWNS,
    "pid": CLONE.NEWPID,
    "network": CLONE.NEWNET,
    "uts": CLONE.NEWUTS,
    "ipc": CLONE.NEWIPC,
    "user": CLONE.NEWUSER,
    "cgroup": CLONE.NEWCGROUP,
    "time": CLONE.NEWTIME,
}
UNSHARE_OPTIONS = {
    "mount": "--mount",
    "pid": "--pid --fork",
    "network": "--net",
    "uts": "--uts",
    "ipc": "--ipc",
    "user": "--user",
    "cgroup": "--cgroup",
    "time": "--time",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class UnshareNamespaces(Step[InitScope]):
    """Leave the host's namespaces for new ones, which the init will inherit.

    Attributes:
        kinds: by config.json's names.
    """

    kinds: tuple[str, ...]

    def describe(self) -> str:
        """Say which."""
        return f"make new {', '.join(self.kinds)} namespaces"

    def shell(self) -> str:
        """Return the unshare command."""
        return "unshare " + " ".join(UNSHARE_OPTIONS[kind] for kind in self.kinds)

    def apply(self, scope: InitScope) -> None:
        """Call unshare(2).

        Raises:
            KernelError: EPERM, ENOSPC (too many namespaces).
        """
        flags = CLONE(0)
        for kind in self.kinds:
            flags |= CLONE_FLAGS[kind]
        linux.unshare(flags)


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinNamespace(Step[InitScope]):
    """Enter an existing namespace.

    Attributes:
        kind: by config.json's name: ``network``.
        path: what named it, for people; the maker opened it before.
    """

    kind: str
    path: str

    def describe(self) -> str:
        """Say which one."""
        return f"join the {self.kind} namespace {self.path}"

    def shell(self) -> str:
        """Return the nsenter command."""
        option = UNSHARE_OPTIONS[self.kind].split()[0]
        return f"nsenter {option}={self.path}"

    def apply(self, scope: InitScope) -> None:
        """Call setns(2) with the kind, so that a descriptor of another kind is refused.

        Raises:
            KernelError: EINVAL (not such a namespace), EPERM (no rights in it).
        """
        linux.setns(scope.namespaces[self.kind], CLONE_FLAGS[self.kind])


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitForMaker(Step[InitScope]):
    """Wait until all that can be made without the init is made, and take it over."""

    def describe(self) -> str:
        """Say what is awaited."""
        return "wait for the namespaces, with all that is mounted in them"

    def shell(self) -> str:
        """Return a comment: in a script one thing is done after the other."""
        return "# recvmsg(2): descriptors of what the maker has made"

    def apply(self, scope: InitScope) -> None:
        """Wait for the maker's message; returns at once in an init that the maker forked."""
        scope.wait_handed_over()


@dataclass(frozen=True, slots=True, kw_only=True)
class EnterNamespaces(Step[InitScope]):
    """Enter the namespaces that the maker has made or joined; the init is no copy of it.

    Attributes:
        kinds: by config.json's names.
    """

    kinds: tuple[str, ...]

    def describe(self) -> str:
        """Say which."""
        return f"enter the {', '.join(self.kinds)} namespaces that were made ready"

    def shell(self) -> str:
        """Return the nsenter command."""
        options = (UNSHARE_OPTIONS[kind] for kind in self.kinds)
        return f"nsenter --target $MAKER {' '.join(options)}"

    def apply(self, scope: InitScope) -> None:
        """Call setns(2) for each.

        Raises:
            KernelError: EPERM.
        """
        for kind in self.kinds:
            fd = scope.entered.pop(kind)
            linux.setns(fd, CLONE_FLAGS[kind])
            os.close(fd)


@dataclass(frozen=True, slots=True, kw_only=True)
class UnshareCgroupNamespace(Step[InitScope]):
    """Make the cgroups the init is in now the roots it and its children see."""

    def describe(self) -> str:
        """Say what is made."""
        return "make a cgroup namespace rooted at the container's cgroups"

    def shell(self) -> str:
        """Return the unshare command."""
        return "unshare --cgroup"

    def apply(self, scope: InitScope) -> None:
        """Call unshare(CLONE_NEWCGROUP): after the cgroups were joined, or it is too early."""
        linux.unshare(CLONE.NEWCGROUP)


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinCgroups(Step[InitScope]):
    """Enter the container's v1 cgroups, each by writing ``0`` to its ``tasks``.

    A write of ``0`` moves the writer itself, a thread, and needs no grace period; a pid in
    ``cgroup.procs`` costs 4 to 12 ms in each hierarchy.

    Attributes:
        directories: the cgroups, for people; their files are opened by the maker, because the
            kernel judges the write by the opener's rights.
    """

    directories: tuple[str, ...]

    def describe(self) -> str:
        """Say how many."""
        return f"join {len(self.directories)} cgroups"

    def shell(self) -> str:
        """Return the echo commands."""
        return "; ".join(f"echo $$ > {directory}/tasks" for directory in self.directories)

    def apply(self, scope: InitScope) -> None:
        """Write to the files that the maker opened.

        Raises:
            KernelError: EACCES, ENOSPC (no processors in a cpuset).
        """
        for directory, fd in zip(self.directories, scope.tasks, strict=True):
            try:
                os.write(fd, b"0")
            except OSError as error:
                raise linux.kernel_error(
                    error.errno or 0, "write", f"{directory}/tasks", "0"
                ) from None
            finally:
                os.close(fd)


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitForIdMaps(Step[InitScope]):
    """Become root of the user namespace, of a new one once the maker has written its maps."""

    def describe(self) -> str:
        """Say what is awaited."""
        return "wait for the id maps and become root of the user namespace"

    def shell(self) -> str:
        """Return the command that does the same."""
        return "setpriv --reuid 0 --regid 0 --clear-groups"

    def apply(self, scope: InitScope) -> None:
        """Wait, take ids 0: until then files would be made with ids that have no mapping."""
        scope.wait_released()
        os.setresgid(0, 0, 0)
        os.setresuid(0, 0, 0)
        linux.prctl(linux.PR.SET_DUMPABLE, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class SetTimeOffsets(Step[InitScope]):
    """Make a time namespace whose clocks are shifted, for the process made next.

    Attributes:
        offsets: lines of ``/proc/self/timens_offsets``: ``boottime 86400 0``.
    """

    offsets: tuple[str, ...]

    def describe(self) -> str:
        """Say the offsets."""
        return f"make a time namespace with {', '.join(self.offsets)}"

    def shell(self) -> str:
        """Return the unshare command."""
        words = (offset.split() for offset in self.offsets)
        return "unshare --time " + " ".join(f"--{clock} {secs}" for clock, secs, _ in words)

    def apply(self, scope: InitScope) -> None:
        """Write the offsets before any process is in the namespace; then they are fixed."""
        linux.unshare(CLONE.NEWTIME)
        fd = os.open("/proc/self/timens_offsets", os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, "\n".join(self.offsets).encode())
        except OSError as error:
            path = "/proc/self/timens_offsets"
            raise linux.kernel_error(error.errno or 0, "write", path, *self.offsets) from None
        finally:
            os.close(fd)
