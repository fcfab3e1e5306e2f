"""Steps that build the container's file system tree inside its own mount namespace.

Every target is opened below the root descriptor and mounted on by descriptor (``in_root``), so no
link that an image or a neighbour plants is ever followed out, and none can be exchanged between a
check and the mount.
"""

import errno
import os
import shlex
import stat
from dataclasses import dataclass

from cutaway import linux
from cutaway.linux.abi import AT, FSCONFIG, FSMAGIC, MOUNT_ATTR, MS, OPEN_TREE
from cutaway.runtime.copy_up import copy_tree, is_empty_directory
from cutaway.runtime.giving import find_owner, give_tree
from cutaway.runtime.in_root import (
    make_directory_in_root,
    make_file_in_root,
    open_in_root,
    path_in_root,
)
from cutaway.runtime.mount_options import format_attributes, format_propagation
from cutaway.runtime.scope import InitScope
from cutaway.steps import Step

_READONLY = int(MOUNT_ATTR.RDONLY)
_RECURSIVE = int(MS.REC)
_TREE = AT.EMPTY_PATH | AT.RECURSIVE

# These must be the image's real directories: a link in their place would let the image choose
# where the runtime writes (CVE-2019-19921 for /proc and /sys, CVE-2026-41579 for /dev).
_REAL_DIRECTORIES = ("/proc", "/sys", "/dev")

# What may be mounted over inside /proc: files that lxcfs and the like provide (as runc allows).
PROC_EXCEPTIONS = frozenset(
    {
        "/proc/cpuinfo",
        "/proc/diskstats",
        "/proc/meminfo",
        "/proc/stat",
        "/proc/swaps",
        "/proc/uptime",
        "/proc/loadavg",
        "/proc/slabinfo",
        "/proc/net/dev",
        "/proc/sys/kernel/ns_last_pid",
        "/proc/sys/crypto/fips_enabled",
    }
)


def _in_root(path: str) -> str:
    """Return a path of the container as a shell's word; it may be the image's choice (VOLUME)."""
    return f'"$ROOTFS"{shlex.quote(path)}'


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenNullDevice(Step[InitScope]):
    """Hold the host's ``/dev/null``, checked to be it: masks are made of it (CVE-2025-31133)."""

    def describe(self) -> str:
        """Say what is opened."""
        return "open the host's /dev/null"

    def shell(self) -> str:
        """Return a comment: holding a descriptor has no command."""
        return "# open(/dev/null, O_PATH), check that it is the character device 1:3"

    def apply(self, scope: InitScope) -> None:
        """Open and check it.

        Raises:
            KernelError: ENXIO (it is something else), ENOENT.
        """
        fd = linux.openat2(-100, "/dev/null", os.O_PATH | os.O_NOFOLLOW)
        identity = linux.identify(fd)
        if not stat.S_ISCHR(identity.mode) or identity.device != (1, 3):
            raise linux.kernel_error(
                errno.ENXIO, "openat2", "/dev/null", hint="it is not the null device 1:3"
            )
        scope.null_fd = fd


@dataclass(frozen=True, slots=True, kw_only=True)
class MountFilesystem(Step[InitScope]):
    """Mount a new file system in the container.

    Attributes:
        fstype: ``proc``, ``tmpfs``, ``sysfs``, …
        source: shown in the mount table.
        target: in the container.
        attributes: MOUNT_ATTR bits.
        options: of the file system, ``size=65536k``, superblock flags included.
        propagation: MS bits; 0 leaves it private.
        copies_up: fill it with what the image has at the target.
    """

    fstype: str
    source: str
    target: str
    attributes: int = 0
    options: tuple[str, ...] = ()
    propagation: int = 0
    copies_up: bool = False

    def describe(self) -> str:
        """Say it in runc's words."""
        return f'mounting "{self.source}" to rootfs at "{self.target}"'

    def shell(self) -> str:
        """Return the mount command."""
        options = ",".join([*format_attributes(self.attributes), *self.options]) or "defaults"
        source, target = shlex.quote(self.source), _in_root(self.target)
        return f"mkdir -p {target}; mount -t {self.fstype} -o {options} {source} {target}"

    def apply(self, scope: InitScope) -> None:
        """Create the file system, then attach it on the target held by descriptor.

        Raises:
            KernelError: EINVAL (an option; the hint holds the kernel's words), ENODEV (unknown
                type), EPERM, ELOOP (the target is a link), EXDEV (the target is in /proc).
        """
        target, mode = self._open_target(scope)
        attributes = MOUNT_ATTR(self.attributes & ~_READONLY)
        options = (*mode, *self.options)
        pid_namespace = scope.pid_namespace if self.fstype == "proc" else -1
        mount_fd = create_filesystem(
            self.fstype, self.source, options, attributes, pid_namespace=pid_namespace
        )
        check_target(scope, target, mount_fd)
        if self.copies_up:
            copy_tree(target, mount_fd)
        if self.attributes & _READONLY:
            linux.mount_setattr(mount_fd, "", AT.EMPTY_PATH, attr_set=MOUNT_ATTR.RDONLY)
        linux.attach_mount(mount_fd, target)
        set_propagation(mount_fd, self.propagation)
        os.close(target)
        os.close(mount_fd)

    def _open_target(self, scope: InitScope) -> tuple[int, tuple[str, ...]]:
        """Open or make the target; a tmpfs takes over the mode of a directory that was there."""
        links = self.target.rstrip("/") not in _REAL_DIRECTORIES
        if self.fstype != "tmpfs" or any(o.startswith("mode=") for o in self.options):
            return make_directory_in_root(scope.root_fd, self.target, links=links), ()
        try:
            target = open_in_root(scope.root_fd, self.target, links=links)
        except linux.KernelError as error:
            if error.errno != errno.ENOENT:
                raise
            return make_directory_in_root(scope.root_fd, self.target, links=links), ()
        mode = stat.S_IMODE(linux.identify(target).mode)
        return target, (f"mode={mode:o}",)


def create_filesystem(
    fstype: str,
    source: str,
    options: tuple[str, ...],
    attributes: MOUNT_ATTR,
    *,
    pid_namespace: int = -1,
) -> int:
    """Return a detached mount of a new superblock: fsopen, fsconfig, fsmount.

    Args:
        fstype: ``tmpfs``.
        source: shown in the mount table.
        options: of the file system.
        attributes: of the mount.
        pid_namespace: descriptor of the one that a procfs shows; -1 is the caller's own.
    """
    context = linux.fsopen(fstype)
    try:
        if source:
            linux.fsconfig(context, FSCONFIG.SET_STRING, "source", source)
        for option in options:
            key, equals, value = option.partition("=")
            if equals:
                linux.fsconfig(context, FSCONFIG.SET_STRING, key, value)
            else:
                linux.fsconfig(context, FSCONFIG.SET_FLAG, key)
        if pid_namespace >= 0:
            linux.fsconfig(context, FSCONFIG.SET_FD, "pidns", aux=pid_namespace)
        linux.fsconfig(context, FSCONFIG.CMD_CREATE)
        return linux.fsmount(context, attr_flags=attributes)
    finally:
        os.close(context)


def check_target(scope: InitScope, target_fd: int, mount_fd: int) -> None:
    """Refuse to mount inside /proc, where a mount would fool what trusts its files.

    What counts is where the target is, not how it was called: the image may have a link there.

    Raises:
        KernelError: EXDEV: it is in /proc and none of ``PROC_EXCEPTIONS``; or it is /proc and what
            is to be mounted is no procfs.
    """
    path = path_in_root(scope.root_fd, target_fd, scope.trusted_proc_fd)
    if path == "/proc":
        if linux.fstatfs_type(mount_fd) == FSMAGIC.PROC:
            return
        reason = "because it is not of type proc"
    elif path.startswith("/proc/") or linux.fstatfs_type(target_fd) == FSMAGIC.PROC:
        if path in PROC_EXCEPTIONS:
            return
        reason = "because it is inside /proc"
    else:
        return
    hint = f'"{path}" cannot be mounted {reason}'
    raise linux.kernel_error(errno.EXDEV, "move_mount", path, hint=hint)


def set_propagation(mount_fd: int, propagation: int) -> None:
    """Call mount_setattr(2) for MS propagation bits, when any are given."""
    if propagation:
        flags = _TREE if propagation & _RECURSIVE else AT.EMPTY_PATH
        linux.mount_setattr(mount_fd, "", flags, propagation=MS(propagation & ~_RECURSIVE))


@dataclass(frozen=True, slots=True, kw_only=True)
class AttachBind(Step[InitScope]):
    """Attach the copy of a host directory or file in the container.

    Attributes:
        index: of ``OpenBindSource``.
        source: for people.
        target: in the container.
        attr_set: MOUNT_ATTR bits added.
        attr_clr: MOUNT_ATTR bits removed first.
        rec_attr_set: the same with everything below.
        rec_attr_clr: the same.
        propagation: MS bits.
        copies_up: when the source is an empty directory, fill it from the image first.
        user: Docker's ``user[:group]``, to whom the source is given; empty is ``ids``.
        ids: uid and gid to whom the source is given when ``user`` is empty; empty: to nobody.
    """

    index: int
    source: str
    target: str
    attr_set: int = 0
    attr_clr: int = 0
    rec_attr_set: int = 0
    rec_attr_clr: int = 0
    propagation: int = 0
    copies_up: bool = False
    user: str = ""
    ids: tuple[int, ...] = ()

    def describe(self) -> str:
        """Say it in runc's words."""
        return f'mounting "{self.source}" to rootfs at "{self.target}"'

    def shell(self) -> str:
        """Return the mount commands."""
        options = format_attributes(self.attr_set | self.rec_attr_set)
        propagation = format_propagation(self.propagation)
        words = ["rbind", *options, *([propagation] if propagation else [])]
        source, target = shlex.quote(self.source), _in_root(self.target)
        return (
            f"if [ -d {source} ]; then mkdir -p {target}; else "
            f"mkdir -p {_in_root(os.path.dirname(self.target))}; touch {target}; fi; "
            f"mount -o {','.join(words)} {source} {target}"
        )

    def apply(self, scope: InitScope) -> None:
        """Set the copy's flags, make the target if it is missing, attach by descriptors.

        Raises:
            KernelError: ENOTDIR (a directory on a file, or a file on a directory), EROFS (the
                target is missing and can't be made), EXDEV (the target is in /proc).
        """
        tree = scope.trees.pop(self.index)
        is_directory = stat.S_ISDIR(linux.identify(tree).mode)
        target, is_new = self._open_target(scope, is_directory)
        if stat.S_ISDIR(linux.identify(target).mode) != is_directory:  # the kernel says EINVAL
            raise linux.kernel_error(errno.ENOTDIR, "move_mount", self.source, self.target)
        check_target(scope, target, tree)
        if self.copies_up and is_directory and not is_new and is_empty_directory(tree):
            copy_tree(target, tree)
        if self.ids:
            give_tree(tree, *find_owner(scope.root_fd, self.user, self.ids))
        set_attributes(tree, self.attr_set, self.attr_clr, AT.EMPTY_PATH)
        set_attributes(tree, self.rec_attr_set, self.rec_attr_clr, _TREE)
        linux.attach_mount(tree, target)
        set_propagation(tree, self.propagation)
        os.close(target)
        os.close(tree)

    def _open_target(self, scope: InitScope, is_directory: bool) -> tuple[int, bool]:
        """Open or make what is mounted on; True when the image has nothing there."""
        try:
            flags = os.O_PATH | os.O_DIRECTORY if is_directory else os.O_PATH
            return open_in_root(scope.root_fd, self.target, flags), False
        except linux.KernelError as error:
            if error.errno != errno.ENOENT:
                raise
        make = make_directory_in_root if is_directory else make_file_in_root
        return make(scope.root_fd, self.target), True


@dataclass(frozen=True, slots=True, kw_only=True)
class BindCgroup(Step[InitScope]):
    """Show a container's own cgroup of a v1 hierarchy in the container.

    Attributes:
        source: the cgroup on the host, just made.
        target: in the container.
        attributes: MOUNT_ATTR bits.
    """

    source: str
    target: str
    attributes: int

    def describe(self) -> str:
        """Say it in runc's words."""
        return f'mounting "{self.source}" to rootfs at "{self.target}"'

    def shell(self) -> str:
        """Return the mount command."""
        options = ",".join(["bind", *format_attributes(self.attributes)])
        source, target = shlex.quote(self.source), _in_root(self.target)
        return f"mkdir -p {target}; mount -o {options} {source} {target}"

    def apply(self, scope: InitScope) -> None:
        """Clone the host's cgroup directory and attach it."""
        tree = linux.open_tree(-100, self.source, OPEN_TREE.CLONE | OPEN_TREE.CLOEXEC)
        set_attributes(tree, self.attributes, 0, AT.EMPTY_PATH)
        target = make_directory_in_root(scope.root_fd, self.target)
        linux.attach_mount(tree, target)
        os.close(target)
        os.close(tree)


def set_attributes(mount_fd: int, attr_set: int, attr_clr: int, flags: AT) -> None:
    """Call mount_setattr(2) when there is anything to change."""
    if attr_set or attr_clr:
        linux.mount_setattr(
            mount_fd, "", flags, attr_set=MOUNT_ATTR(attr_set), attr_clr=MOUNT_ATTR(attr_clr)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SetMountAttributes(Step[InitScope]):
    """Change the flags of what is mounted at a path, once everything in it is made.

    Attributes:
        target: a mount point in the container.
        attributes: MOUNT_ATTR bits added.
    """

    target: str
    attributes: int

    def describe(self) -> str:
        """Say which."""
        return f"set {','.join(format_attributes(self.attributes))} on {self.target}"

    def shell(self) -> str:
        """Return the mount command."""
        options = ",".join(format_attributes(self.attributes))
        return f"mount -o remount,bind,{options} {_in_root(self.target)}"

    def apply(self, scope: InitScope) -> None:
        """Call mount_setattr(2) on the mount that the path holds."""
        if self.target == "/":
            set_attributes(scope.root_fd, self.attributes, 0, AT.EMPTY_PATH)
            return
        fd = open_in_root(scope.root_fd, self.target)
        set_attributes(fd, self.attributes, 0, AT.EMPTY_PATH)
        os.close(fd)
