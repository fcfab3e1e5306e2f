"""Steps that fill the container's ``/dev``: nodes, links, the console."""

import errno
import os
import stat
from dataclasses import dataclass

from cutaway import linux
from cutaway.linux.abi import AT, FSMAGIC
from cutaway.runtime.in_root import make_directory_in_root, make_file_in_root, open_in_root
from cutaway.runtime.scope import InitScope
from cutaway.steps import Step

_KINDS = {"c": stat.S_IFCHR, "u": stat.S_IFCHR, "b": stat.S_IFBLK, "p": stat.S_IFIFO}
_PTS_MAJORS = range(136, 144)


@dataclass(frozen=True, slots=True, kw_only=True)
class MakeDevice(Step[InitScope]):
    """Make a device node.

    Attributes:
        path: in the container.
        kind: ``c``, ``b``, ``u`` or ``p``.
        major: of the device.
        minor: of the device.
        mode: permission bits.
        uid: owner.
        gid: group.
    """

    path: str
    kind: str
    major: int = 0
    minor: int = 0
    mode: int = 0o666
    uid: int = 0
    gid: int = 0

    def describe(self) -> str:
        """Say which device."""
        return f"make device {self.path} {self.kind} {self.major}:{self.minor}"

    def shell(self) -> str:
        """Return the mknod command."""
        numbers = "" if self.kind == "p" else f" {self.major} {self.minor}"
        return f'mknod -m {self.mode:o} "$ROOTFS"{self.path} {self.kind}{numbers}'

    def apply(self, scope: InitScope) -> None:
        """Make it in its directory held by descriptor; what is in its place is replaced.

        Raises:
            KernelError: EPERM (no CAP_MKNOD, or the devices cgroup forbids it).
        """
        directory, _, name = self.path.rpartition("/")
        parent = make_directory_in_root(scope.root_fd, directory or "/")
        try:
            mode = _KINDS[self.kind] | self.mode
            device = os.makedev(self.major, self.minor)
            try:
                linux.mknodat(parent, name, mode, device)
            except linux.KernelError as error:
                if error.errno != errno.EEXIST:
                    raise
                os.unlink(name, dir_fd=parent)
                linux.mknodat(parent, name, mode, device)
            if self.uid or self.gid:
                linux.fchownat(parent, name, self.uid, self.gid, AT.SYMLINK_NOFOLLOW)
        finally:
            os.close(parent)


@dataclass(frozen=True, slots=True, kw_only=True)
class BindDevice(Step[InitScope]):
    """Show the host's own device node: in a user namespace mknod(2) is forbidden.

    Attributes:
        index: of the ``OpenBindSource`` that took it.
        path: in the container, and on the host.
    """

    index: int
    path: str

    def describe(self) -> str:
        """Say which device."""
        return f"bind the host's {self.path}"

    def shell(self) -> str:
        """Return the mount commands."""
        return f'touch "$ROOTFS"{self.path}; mount --bind {self.path} "$ROOTFS"{self.path}'

    def apply(self, scope: InitScope) -> None:
        """Attach the copy on an empty file."""
        tree = scope.trees.pop(self.index)
        target = make_file_in_root(scope.root_fd, self.path, mode=0o666)
        linux.attach_mount(tree, target)
        os.close(target)
        os.close(tree)


@dataclass(frozen=True, slots=True, kw_only=True)
class MakeSymlink(Step[InitScope]):
    """Make a symbolic link, such as ``/dev/fd``.

    Attributes:
        path: of the link, in the container.
        target: what it says.
    """

    path: str
    target: str

    def describe(self) -> str:
        """Say both sides."""
        return f"link {self.path} -> {self.target}"

    def shell(self) -> str:
        """Return the ln command."""
        return f'ln -sfn {self.target} "$ROOTFS"{self.path}'

    def apply(self, scope: InitScope) -> None:
        """Make it in its directory held by descriptor; an old link is replaced."""
        directory, _, name = self.path.rpartition("/")
        parent = make_directory_in_root(scope.root_fd, directory or "/")
        try:
            try:
                os.symlink(self.target, name, dir_fd=parent)
            except FileExistsError:
                os.unlink(name, dir_fd=parent)
                os.symlink(self.target, name, dir_fd=parent)
        except OSError as error:
            raise linux.kernel_error(
                error.errno or 0, "symlinkat", self.target, parent, name
            ) from None
        finally:
            os.close(parent)


@dataclass(frozen=True, slots=True, kw_only=True)
class SetUpConsole(Step[InitScope]):
    """Open a pty of the container's own devpts; its slave becomes stdin, stdout, stderr.

    The slave is opened by TIOCGPTPEER, checked, and bound to ``/dev/console`` by descriptor: a
    path like ``/dev/pts/0`` could be exchanged for a link (CVE-2025-52565).

    Attributes:
        rows: height; 0 leaves it.
        columns: width; 0 leaves it.
        binds_console: also show it as ``/dev/console``.
    """

    rows: int = 0
    columns: int = 0
    binds_console: bool = True

    def describe(self) -> str:
        """Say what becomes of it."""
        return "open a pseudo-terminal in the container" + (
            " and bind it to /dev/console" if self.binds_console else ""
        )

    def shell(self) -> str:
        """Return a comment: opening a pty has no command of its own."""
        return "# open(/dev/pts/ptmx), ioctl(TIOCGPTPEER), setsid, ioctl(TIOCSCTTY)"

    def apply(self, scope: InitScope) -> None:
        """Open both sides; the master goes to the parent with the message that all is prepared.

        Raises:
            KernelError: ENXIO (the pty is not one), ENOENT (no devpts), ENOSPC (no more ptys).
        """
        flags = os.O_RDWR | os.O_NOCTTY
        master = open_in_root(scope.root_fd, "/dev/pts/ptmx", flags, links=False)
        linux.unlock_pty(master)
        slave = linux.open_pty_peer(master)
        _check_pty(slave)
        if self.rows or self.columns:
            linux.set_window_size(slave, self.rows, self.columns)
        if self.binds_console:
            target = make_file_in_root(scope.root_fd, "/dev/console", mode=0o600)
            tree = linux.open_tree(slave, "", linux.bind_flags(False))
            linux.attach_mount(tree, target)
            os.close(tree)
            os.close(target)
        for number in range(3):
            os.dup2(slave, number)
        if slave > 2:
            os.close(slave)
        linux.set_controlling_terminal(0)
        scope.console_master = master


def _check_pty(fd: int) -> None:
    identity = linux.identify(fd)
    is_pty = stat.S_ISCHR(identity.mode) and identity.device[0] in _PTS_MAJORS
    if not is_pty or linux.fstatfs_type(fd) != FSMAGIC.DEVPTS:
        raise linux.kernel_error(errno.ENXIO, "ioctl", fd, "TIOCGPTPEER", hint="not a pty")
