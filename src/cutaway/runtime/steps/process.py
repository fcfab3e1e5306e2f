"""Steps that make the init into the process that config.json describes: who, where, what."""

import errno
import os
import shlex
import stat
from dataclasses import dataclass

from cutaway import linux
from cutaway.linux.abi import (
    PR,
    RLIMIT,
)
from cutaway.runtime.executables import DEFAULT_PATH, find_program
from cutaway.runtime.failures import not_a_directory
from cutaway.runtime.in_root import make_directory_in_root, read_file_in_root
from cutaway.runtime.scope import InitScope
from cutaway.runtime.users import FILE_LIMIT_BYTES, find_home, find_identity
from cutaway.steps import Step


@dataclass(frozen=True, slots=True, kw_only=True)
class MakeWorkingDirectory(Step[InitScope]):
    """Make the working directory if the image lacks it, inside the root (CVE-2026-55686)."""

    path: str

    def describe(self) -> str:
        """Say which."""
        return f"make sure that {self.path} exists"

    def shell(self) -> str:
        """Return the mkdir command."""
        return f'mkdir -p "$ROOTFS"{shlex.quote(self.path)}'

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
            RuntimeFailure: it is no directory.
            KernelError: ENOENT, EACCES; EXDEV (the directory is outside the root,
                CVE-2024-21626).
        """
        if scope.cwd_is_set:
            return
        try:
            os.chdir(self.path)
        except OSError as error:
            if not self.as_user and error.errno in (errno.EACCES, errno.EPERM):
                return
            if error.errno == errno.ENOTDIR:  # dockerd's sentence, and its status: 400
                raise not_a_directory(self.path) from None
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
