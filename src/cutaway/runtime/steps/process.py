"""Steps that make the init into the process that config.json describes."""

import errno
import os
import stat
from dataclasses import dataclass

from cutaway import linux
from cutaway.linux.abi import (
    CAP,
    IOPRIO_WHO,
    KEYCTL,
    PR,
    RLIMIT,
    SECCOMP_FILTER_FLAG,
    SECCOMP_SET_MODE,
)
from cutaway.runtime.executables import DEFAULT_PATH, find_program
from cutaway.runtime.in_root import make_directory_in_root, read_file_in_root
from cutaway.runtime.scope import InitScope
from cutaway.runtime.users import FILE_LIMIT_BYTES, find_home, find_identity
from cutaway.steps import Step

# the default of a new session keyring, and KEY_USR_SEARCH: the user may search it, as in runc
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
        return f"hostname {self.name}"

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
        return f"domainname {self.name}"

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
        return f"sysctl -w {self.name}='{self.value}'"

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
        """Return the keyctl command."""
        return f"keyctl session {self.name}"

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


@dataclass(frozen=True, slots=True, kw_only=True)
class MakeWorkingDirectory(Step[InitScope]):
    """Make the working directory if the image lacks it, inside the root (CVE-2026-55686)."""

    path: str

    def describe(self) -> str:
        """Say which."""
        return f"make sure that {self.path} exists"

    def shell(self) -> str:
        """Return the mkdir command."""
        return f'mkdir -p "$ROOTFS"{self.path}'

    def apply(self, scope: InitScope) -> None:
        """Make it by descriptors; one that exists is left as it is."""
        try:
            os.close(make_directory_in_root(scope.root_fd, self.path))
        except linux.KernelError as error:
            # read-only and missing, or no directory: entering it says so better
            if error.errno not in (errno.EROFS, errno.ENOTDIR, errno.EACCES):
                raise


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolveUser(Step[InitScope]):
    """Look the user up in the container's own files, and complete the environment.

    Attributes:
        user: Docker's ``user[:group]``; empty is the numbers below.
        extra_groups: names or numbers.
        uid: from config.json.
        gid: from config.json.
        groups: from config.json.
        environment: ``NAME=value`` strings.
    """

    user: str
    extra_groups: tuple[str, ...]
    uid: int
    gid: int
    groups: tuple[int, ...]
    environment: tuple[str, ...]

    def describe(self) -> str:
        """Say whom."""
        who = self.user or f"{self.uid}:{self.gid}"
        return f"look up user {who} in the container's /etc/passwd"

    def shell(self) -> str:
        """Return the id command."""
        return f"id {self.user or self.uid}"

    def apply(self, scope: InitScope) -> None:
        """Read the two files (bounded) and remember the answer.

        Raises:
            InvalidParameter: no such user or group, in Docker's words.
        """
        environment = {}
        for entry in self.environment:
            name, _, value = entry.partition("=")
            environment[os.fsencode(name)] = os.fsencode(value)
        passwd = b""
        if self.user or self.extra_groups or not environment.get(b"HOME"):
            passwd = read_file_in_root(scope.root_fd, "/etc/passwd", FILE_LIMIT_BYTES) or b""
        if self.user or self.extra_groups:
            group = read_file_in_root(scope.root_fd, "/etc/group", FILE_LIMIT_BYTES) or b""
            user = self.user or f"{self.uid}:{self.gid}"
            found = find_identity(user, self.extra_groups, passwd, group)
            scope.uid, scope.gid = found.uid, found.gid
            # the primary group is in the list too, or a file's deny entry for it is escaped
            # (CVE-2022-36109)
            scope.groups = tuple(sorted({found.gid, *found.groups, *self.groups}))
            home = found.home
        else:
            scope.uid, scope.gid, scope.groups = self.uid, self.gid, self.groups
            home = "" if environment.get(b"HOME") else find_home(self.uid, passwd)
        if not environment.get(b"HOME"):
            environment[b"HOME"] = os.fsencode(home)
        scope.environment = environment


@dataclass(frozen=True, slots=True, kw_only=True)
class GiveStdio(Step[InitScope]):
    """Make the user the owner of its stdin, stdout and stderr, so that it can reopen them."""

    def describe(self) -> str:
        """Say what changes."""
        return "give stdin, stdout and stderr to the user"

    def shell(self) -> str:
        """Return the chown command."""
        return "chown $USER /proc/self/fd/0 /proc/self/fd/1 /proc/self/fd/2"

    def apply(self, scope: InitScope) -> None:
        """Call fchown(2) on each that is a pipe or terminal of its own."""
        for fd in range(3):
            status = os.fstat(fd)
            is_shared = stat.S_ISCHR(status.st_mode) and os.major(status.st_rdev) == 1  # /dev/null
            if status.st_uid == scope.uid or is_shared:
                continue
            try:
                os.fchown(fd, scope.uid, -1)
            except OSError as error:
                # no mapping in this user namespace, or a read-only file: it stays as it is
                if error.errno not in (errno.EINVAL, errno.EPERM, errno.EROFS):
                    raise linux.kernel_error(error.errno or 0, "fchown", fd, scope.uid) from None


@dataclass(frozen=True, slots=True, kw_only=True)
class EnterWorkingDirectory(Step[InitScope]):
    """Change to the working directory, and make sure that it is inside the container.

    Attributes:
        path: in the container.
        as_user: the second attempt, after the user was changed: root may be refused a directory
            (a network file system) that the user may enter.
    """

    path: str
    as_user: bool = False

    def describe(self) -> str:
        """Say which."""
        return f'chdir to cwd ("{self.path}") set in config.json'

    def shell(self) -> str:
        """Return the cd command."""
        return f"cd {self.path}"

    def apply(self, scope: InitScope) -> None:
        """Call chdir(2), then getcwd(2).

        Raises:
            KernelError: ENOENT, ENOTDIR, EACCES; EXDEV (the directory is outside the root,
                CVE-2024-21626).
        """
        if scope.cwd_is_set:
            return
        try:
            os.chdir(self.path)
        except OSError as error:
            if not self.as_user and error.errno in (errno.EACCES, errno.EPERM):
                return
            raise linux.kernel_error(error.errno or 0, "chdir", self.path) from None
        try:
            is_inside = os.getcwd().startswith("/")
        except OSError:
            is_inside = False
        if not is_inside:
            hint = "current working directory is outside of container mount namespace root"
            raise linux.kernel_error(errno.EXDEV, "getcwd", hint=hint)
        scope.cwd_is_set = True


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
class SetRlimit(Step[InitScope]):
    """Set a resource limit, late: it would bind the init's own work too.

    Attributes:
        resource: ``RLIMIT_NOFILE``.
        soft: the limit.
        hard: how far the program may raise it.
    """

    resource: str
    soft: int
    hard: int

    def describe(self) -> str:
        """Say the limit."""
        return f"set {self.resource} to {self.soft}:{self.hard}"

    def shell(self) -> str:
        """Return the prlimit command."""
        name = self.resource.removeprefix("RLIMIT_").lower()
        return f"prlimit --pid $$ --{name}={self.soft}:{self.hard}"

    def apply(self, scope: InitScope) -> None:
        """Call prlimit(2) while still root: raising needs CAP_SYS_RESOURCE.

        Raises:
            KernelError: EPERM (raising without the right), EINVAL (soft above hard).
        """
        name = self.resource.removeprefix("RLIMIT_")
        linux.prlimit(0, RLIMIT[name], (self.soft, self.hard))


@dataclass(frozen=True, slots=True, kw_only=True)
class SwitchUser(Step[InitScope]):
    """Take the user's ids and groups, keeping the capabilities that are set next.

    Attributes:
        umask: of the program.
        may_set_groups: False in a user namespace whose maps forbid setgroups(2).
    """

    umask: int
    may_set_groups: bool = True

    def describe(self) -> str:
        """Say what is set."""
        return f"set groups, gid, uid and umask {self.umask:04o}"

    def shell(self) -> str:
        """Return the setpriv command."""
        return f"umask {self.umask:04o}; setpriv --reuid $UID --regid $GID --groups $GROUPS"

    def apply(self, scope: InitScope) -> None:
        """Call setgroups, setresgid, setresuid under PR_SET_KEEPCAPS.

        Raises:
            KernelError: EINVAL (an id that has no mapping in the user namespace).
        """
        linux.prctl(PR.SET_KEEPCAPS, 1)
        try:
            if self.may_set_groups:
                os.setgroups(scope.groups)
            os.setresgid(scope.gid, scope.gid, scope.gid)
            os.setresuid(scope.uid, scope.uid, scope.uid)
        except OSError as error:
            raise linux.kernel_error(
                error.errno or 0, "setresuid", scope.uid, scope.gid, scope.groups
            ) from None
        linux.prctl(PR.SET_KEEPCAPS, 0)
        linux.prctl(PR.SET_DUMPABLE, 0)  # a change of ids may have made us dumpable again
        os.umask(self.umask)


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


@dataclass(frozen=True, slots=True, kw_only=True)
class FindProgram(Step[InitScope]):
    """Find the program in the container, as its user.

    Attributes:
        name: ``argv[0]``.
    """

    name: str

    def describe(self) -> str:
        """Say which."""
        return f"find {self.name} in the container's PATH"

    def shell(self) -> str:
        """Return the command that answers the same."""
        return f"command -v {self.name}"

    def apply(self, scope: InitScope) -> None:
        """Search PATH by stat(2); os.execvp would import from the image (DESIGN, trap 1).

        Raises:
            RuntimeFailure: 127 or 126, in Docker's words.
        """
        search_path = os.fsdecode(scope.environment.get(b"PATH", DEFAULT_PATH.encode()))
        scope.program = os.fsencode(find_program(self.name, search_path))
