"""Steps that set what the kernel keeps for a namespace or a process: names, parameters, labels."""

import errno
import os
import shlex
from dataclasses import dataclass

from cutaway import linux
from cutaway.linux.abi import (
    IOPRIO_WHO,
    KEYCTL,
)
from cutaway.runtime.scope import InitScope
from cutaway.steps import Step

_KEYRING_PERMISSIONS = 0x3F1B0000


@dataclass(frozen=True, slots=True, kw_only=True)
class SetHostname(Step[InitScope]):
    """Set the container's host name."""

    name: str

    def describe(self) -> str:
        """Say the name."""
        return f"set the host name {self.name}"

    def shell(self) -> str:
        """Return the hostname command."""
        return f"hostname {shlex.quote(self.name)}"

    def apply(self, scope: InitScope) -> None:
        """Call sethostname(2)."""
        linux.sethostname(self.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class SetDomainname(Step[InitScope]):
    """Set the container's NIS domain name."""

    name: str

    def describe(self) -> str:
        """Say the name."""
        return f"set the domain name {self.name}"

    def shell(self) -> str:
        """Return the domainname command."""
        return f"domainname {shlex.quote(self.name)}"

    def apply(self, scope: InitScope) -> None:
        """Call setdomainname(2)."""
        linux.setdomainname(self.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteSysctl(Step[InitScope]):
    """Set a kernel parameter of one of the container's namespaces.

    Attributes:
        name: with dots.
        value: text.
    """

    name: str
    value: str

    def describe(self) -> str:
        """Say name and value."""
        return f"set sysctl {self.name} = {self.value}"

    def shell(self) -> str:
        """Return the sysctl command."""
        return f"sysctl -qw {self.name}='{self.value}'"

    def apply(self, scope: InitScope) -> None:
        """Write it through the private procfs (CVE-2025-52881).

        Raises:
            KernelError: ENOENT (this kernel has no such parameter), EINVAL (its value).
        """
        scope.write_proc("sys/" + self.name.replace(".", "/"), self.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinKeyring(Step[InitScope]):
    """Leave the engine's session keyring for one of the container's own.

    Attributes:
        name: ``_ses.<id>``, as runc names it.
    """

    name: str

    def describe(self) -> str:
        """Say the name."""
        return f"join session keyring {self.name}"

    def shell(self) -> str:
        """Return a comment: keyctl(1) can only start another program with it."""
        return f"# keyctl(KEYCTL_JOIN_SESSION_KEYRING, {self.name})"

    def apply(self, scope: InitScope) -> None:
        """Call keyctl(2); a kernel without keyrings has nothing to leak."""
        try:
            serial = linux.join_session_keyring(self.name)
            linux.keyctl(KEYCTL.SETPERM, serial, _KEYRING_PERMISSIONS)
        except linux.KernelError as error:
            if error.errno not in (errno.ENOSYS, errno.EPERM, errno.EACCES):
                raise


@dataclass(frozen=True, slots=True, kw_only=True)
class SetPersonality(Step[InitScope]):
    """Set the execution domain.

    Attributes:
        persona: personality(2)'s number.
    """

    persona: int

    def describe(self) -> str:
        """Say the number."""
        return f"set personality {self.persona:#x}"

    def shell(self) -> str:
        """Return the setarch command."""
        return "setarch linux32" if self.persona == 8 else "setarch"

    def apply(self, scope: InitScope) -> None:
        """Call personality(2)."""
        linux.personality(self.persona)


@dataclass(frozen=True, slots=True, kw_only=True)
class SetIoPriority(Step[InitScope]):
    """Set the I/O class and priority.

    Attributes:
        io_class: 1 real-time, 2 best effort, 3 idle.
        priority: 0 (first) to 7.
    """

    io_class: int
    priority: int

    def describe(self) -> str:
        """Say both."""
        return f"set I/O class {self.io_class}, priority {self.priority}"

    def shell(self) -> str:
        """Return the ionice command."""
        return f"ionice -c {self.io_class} -n {self.priority} -p $$"

    def apply(self, scope: InitScope) -> None:
        """Call ioprio_set(2)."""
        linux.ioprio_set(IOPRIO_WHO.PROCESS, 0, self.io_class << 13 | self.priority)


@dataclass(frozen=True, slots=True, kw_only=True)
class SetProfile(Step[InitScope]):
    """Choose the AppArmor profile or SELinux label that execve(2) will switch to.

    Attributes:
        attribute: ``apparmor/exec`` or ``exec``, below ``/proc/self/attr``.
        value: what is written.
    """

    attribute: str
    value: str

    def describe(self) -> str:
        """Say which."""
        return f"set {self.attribute} to {self.value}"

    def shell(self) -> str:
        """Return the echo command."""
        return f"echo '{self.value}' > /proc/self/attr/{self.attribute}"

    def apply(self, scope: InitScope) -> None:
        """Write it through the private procfs (CVE-2019-16884, CVE-2025-52881)."""
        number = os.readlink("self", dir_fd=scope.proc_fd())
        scope.write_proc(f"{number}/attr/{self.attribute}", self.value)
