"""Steps by which the init gives up what the program must not have."""

import errno
from dataclasses import dataclass

from cutaway import linux
from cutaway.linux.abi import (
    CAP,
    PR,
    SECCOMP_FILTER_FLAG,
    SECCOMP_SET_MODE,
)
from cutaway.runtime.scope import InitScope
from cutaway.steps import Step


@dataclass(frozen=True, slots=True, kw_only=True)
class DropBoundingSet(Step[InitScope]):
    """Give up for good every capability that the container may never have.

    Attributes:
        keep: bit set.
    """

    keep: int

    def describe(self) -> str:
        """Say how many stay."""
        return f"drop all but {self.keep.bit_count()} capabilities from the bounding set"

    def shell(self) -> str:
        """Return the setpriv command."""
        return f"setpriv --bounding-set {format_capabilities(self.keep)}"

    def apply(self, scope: InitScope) -> None:
        """Call prctl(PR_CAPBSET_DROP)."""
        linux.drop_bounding_set(self.keep)


def format_capabilities(bits: int) -> str:
    """Return a bit set as setpriv(1) writes it: ``-all,+chown``."""
    names = [f"+{CAP(n).name.lower()}" for n in range(bits.bit_length()) if bits >> n & 1]
    return ",".join(["-all", *names])


@dataclass(frozen=True, slots=True, kw_only=True)
class SetCapabilities(Step[InitScope]):
    """Set the capability sets of the program.

    Attributes:
        effective: bit set.
        permitted: bit set.
        inheritable: bit set.
        ambient: bit set, or None: it was set before.
    """

    effective: int
    permitted: int
    inheritable: int
    ambient: int | None = None

    def describe(self) -> str:
        """Say the sets."""
        return f"set capabilities: permitted {self.permitted:#x}, effective {self.effective:#x}"

    def shell(self) -> str:
        """Return the setpriv command."""
        inheritable = format_capabilities(self.inheritable)
        ambient = format_capabilities(self.ambient or 0)
        return f"setpriv --inh-caps {inheritable} --ambient-caps {ambient}"

    def apply(self, scope: InitScope) -> None:
        """Call capset(2), then prctl(PR_CAP_AMBIENT).

        Raises:
            KernelError: EPERM (a capability this process does not have).
        """
        linux.capset(self.effective, self.permitted, self.inheritable)
        if self.ambient is not None:
            linux.set_ambient_set(self.ambient)


@dataclass(frozen=True, slots=True, kw_only=True)
class SetNoNewPrivileges(Step[InitScope]):
    """Promise the kernel that no execve(2) from here gains privileges."""

    def describe(self) -> str:
        """Say what is set."""
        return "set no_new_privs"

    def shell(self) -> str:
        """Return the setpriv command."""
        return "setpriv --no-new-privs"

    def apply(self, scope: InitScope) -> None:
        """Call prctl(PR_SET_NO_NEW_PRIVS)."""
        linux.prctl(PR.SET_NO_NEW_PRIVS, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class CloseDescriptors(Step[InitScope]):
    """Close everything that the program must not inherit, now, while the filter allows it."""

    def describe(self) -> str:
        """Say what is closed."""
        return "close every file descriptor but stdin, stdout, stderr and the sync socket"

    def shell(self) -> str:
        """Return a comment: no command does it."""
        return "# close_range(3, ~0)"

    def apply(self, scope: InitScope) -> None:
        """Close all others; what is wanted still is marked close-on-exec (CVE-2024-21626)."""
        close_all_but(sorted(fd for fd in (scope.sync.fd, scope.console_master) if fd > 2))


def close_all_but(kept: list[int]) -> None:
    """Close every descriptor from 3 on but ``kept``, which is sorted."""
    first = 3
    for fd in kept:
        if fd > first:
            linux.close_range(first, fd - 1)
        first = max(first, fd + 1)
    linux.close_range(first, 0xFFFFFFFF)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadSeccomp(Step[InitScope]):
    """Install the system call filter, for good.

    Attributes:
        flags: SECCOMP_FILTER_FLAG bits.
        call_names: how many calls the profile names, for people.
    """

    flags: int
    call_names: int

    def describe(self) -> str:
        """Say how long the profile is."""
        return f"load the seccomp filter ({self.call_names} system calls named)"

    def shell(self) -> str:
        """Return a comment: no command does it."""
        return "# seccomp(SECCOMP_SET_MODE_FILTER)"

    def apply(self, scope: InitScope) -> None:
        """Call seccomp(2) with the program that the parent compiled.

        Raises:
            KernelError: EACCES (no CAP_SYS_ADMIN and no no_new_privs), EINVAL.
        """
        program = scope.seccomp_program
        if program is None:
            raise linux.kernel_error(errno.ENOENT, "seccomp", hint="no compiled filter was given")
        linux.seccomp(SECCOMP_SET_MODE.FILTER, SECCOMP_FILTER_FLAG(self.flags), program)
