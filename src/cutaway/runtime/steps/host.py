"""Steps the maker takes for a container's init, from outside."""

import contextlib
import os
from dataclasses import dataclass
from typing import Any

from cutaway import linux
from cutaway.linux.abi import RLIMIT
from cutaway.steps import Step


class HostScope:
    """What host-side steps act on.

    Attributes:
        pid: of the container's init, -1 before it is made. It is our child and not yet reaped,
            so its number can't be anybody else's.
    """

    __slots__ = ("pid",)

    def __init__(self) -> None:
        self.pid = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class RaiseHardLimit(Step[HostScope]):
    """Raise a hard limit of an init that has no right to in its user namespace.

    Attributes:
        resource: ``RLIMIT_NOFILE``.
        soft: the limit in force, which stays.
        hard: the new hard limit.
    """

    resource: str
    soft: int
    hard: int

    def describe(self) -> str:
        """Say the limit."""
        return f"raise the init's hard {self.resource} to {self.hard}"

    def shell(self) -> str:
        """Return the prlimit command."""
        name = self.resource.removeprefix("RLIMIT_").lower()
        return f"prlimit --pid $PID --{name}={self.soft}:{self.hard}"

    def apply(self, scope: HostScope) -> None:
        """Call prlimit(2) from outside.

        Raises:
            KernelError: EPERM: no CAP_SYS_RESOURCE.
        """
        name = self.resource.removeprefix("RLIMIT_")
        linux.prlimit(scope.pid, RLIMIT[name], (self.soft, self.hard))


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteProcessFile(Step[HostScope]):
    """Write a file of the init's ``/proc`` directory: its id maps, its OOM score.

    Attributes:
        name: below ``/proc/<pid>``.
        value: text, in one write(2).
    """

    name: str
    value: str

    def describe(self) -> str:
        """Say file and value."""
        return f"write {self.value.strip()!r} to the init's {self.name}"

    def shell(self) -> str:
        """Return the printf command."""
        value = self.value.replace("\n", "\\n")
        return f"printf '{value}' > /proc/$PID/{self.name}"

    def apply(self, scope: HostScope) -> None:
        """Write it.

        Raises:
            KernelError: EPERM or EACCES (the engine lacks a privilege), EINVAL.
        """
        path = f"/proc/{scope.pid}/{self.name}"
        try:
            fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
            try:
                os.write(fd, self.value.encode())
            finally:
                os.close(fd)
        except OSError as error:
            raise linux.kernel_error(error.errno or 0, "write", path, self.value) from None


@dataclass(frozen=True, slots=True, kw_only=True)
class MakeInit(Step[Any]):
    """Make the container's first process in its new namespaces.

    Attributes:
        namespaces: kinds that are new.
        joined: kinds that exist already.
        cgroup: the v2 cgroup it is born in, or empty.
    """

    namespaces: tuple[str, ...]
    joined: tuple[str, ...]
    cgroup: str

    def describe(self) -> str:
        """Say what is new and what is joined."""
        words = [f"new {kind}" for kind in self.namespaces] + [f"joined {k}" for k in self.joined]
        return f"make the init with {', '.join(words) or 'no further'} namespaces"

    def shell(self) -> str:
        """Return the unshare command."""
        from cutaway.runtime.steps.namespaces import UNSHARE_OPTIONS

        options = " ".join(UNSHARE_OPTIONS[kind] for kind in self.namespaces)
        enter = f"unshare {options or '--fork'} sh"
        return f"echo $$ > {self.cgroup}/cgroup.procs\n{enter}" if self.cgroup else enter

    def apply(self, scope: Any) -> Any:
        """Call ``scope.make_init()``: clone3(2)."""
        return scope.make_init()

    def undo(self, scope: Any, result: Any) -> None:
        """Kill it; the shim, its parent, reaps it."""
        with contextlib.suppress(OSError):
            scope.kill_init()
