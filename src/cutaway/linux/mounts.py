"""Mounts: mount(2) and its family, and the newer calls that hold a mount by a descriptor.

The newer family separates what mount(2) does at once: ``fsopen`` names a file system type,
``fsconfig`` sets its options and creates the superblock, ``fsmount`` makes a mount of it that is
attached nowhere, ``mount_setattr`` changes its flags, ``move_mount`` attaches it. ``open_tree``
clones an existing tree into such a detached mount (a bind mount without a place yet).
"""

import ctypes
import os
from ctypes import c_char_p, c_int, c_uint, c_ulong, c_void_p

from cutaway.linux.abi import (
    AT,
    FSCONFIG,
    FSMOUNT,
    FSOPEN,
    FSPICK,
    MNT,
    MOUNT_ATTR,
    MOVE_MOUNT,
    MS,
    OPEN_TREE,
)
from cutaway.linux.errors import kernel_error
from cutaway.linux.libc import Path, check, encode, function, system_call


class _MountAttr(ctypes.Structure):
    """struct mount_attr of mount_setattr(2)."""

    _fields_ = (
        ("attr_set", ctypes.c_uint64),
        ("attr_clr", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("userns_fd", ctypes.c_uint64),
    )


_BY_DESCRIPTORS = MOVE_MOUNT.F_EMPTY_PATH | MOVE_MOUNT.T_EMPTY_PATH
_CLONE = OPEN_TREE.CLONE | OPEN_TREE.CLOEXEC | OPEN_TREE.AT_EMPTY_PATH
_CLONE_TREE = _CLONE | OPEN_TREE.AT_RECURSIVE

_mount = function("mount", c_char_p, c_char_p, c_char_p, c_ulong, c_char_p)
_umount2 = function("umount2", c_char_p, c_int)
_pivot_root = system_call("pivot_root", c_char_p, c_char_p)
_fsopen = system_call("fsopen", c_char_p, c_uint)
_fsconfig = system_call("fsconfig", c_int, c_uint, c_char_p, c_char_p, c_int)
_fsmount = system_call("fsmount", c_int, c_uint, c_uint)
_fspick = system_call("fspick", c_int, c_char_p, c_uint)
_open_tree = system_call("open_tree", c_int, c_char_p, c_uint)
_move_mount = system_call("move_mount", c_int, c_char_p, c_int, c_char_p, c_uint)
_mount_setattr = system_call("mount_setattr", c_int, c_char_p, c_uint, c_void_p, c_ulong)


def mount(
    source: Path | None,
    target: Path,
    fstype: str | None = None,
    flags: MS = MS(0),
    data: Path | None = None,
) -> None:
    """Attach a file system, or change or move a mount, as ``flags`` say: mount(2).

    Raises:
        KernelError: EPERM (no CAP_SYS_ADMIN, or a locked flag of a user namespace), ENODEV (no
            such file system in this kernel), EINVAL (bad option: the kernel log says which),
            EBUSY (already mounted there), ENOENT (source or target is missing).
    """
    result = _mount(encode(source), encode(target), encode(fstype), flags, encode(data))
    check(result, "mount", source, target, fstype, flags, data)


def umount2(target: Path, flags: MNT = MNT(0)) -> None:
    """Detach a mount: umount2(2).

    Raises:
        KernelError: EBUSY (in use, and not DETACH), EINVAL (not a mount point).
    """
    check(_umount2(encode(target), flags), "umount2", target, flags)


def pivot_root(new_root: Path, put_old: Path) -> None:
    """Make ``new_root`` the root of this mount namespace, the old root at ``put_old``.

    Raises:
        KernelError: EBUSY (``new_root`` is on the current root's mount), EINVAL (it is no mount
            point, or its parent is shared).
    """
    check(_pivot_root(encode(new_root), encode(put_old)), "pivot_root", new_root, put_old)


def fsopen(fsname: str, flags: FSOPEN = FSOPEN.CLOEXEC) -> int:
    """Return a descriptor in which a new superblock of type ``fsname`` is configured."""
    return check(_fsopen(encode(fsname), flags), "fsopen", fsname, flags)


def fspick(dirfd: int, path: Path, flags: FSPICK = FSPICK.CLOEXEC) -> int:
    """Return a descriptor in which a mounted superblock is reconfigured: fspick(2)."""
    return check(_fspick(dirfd, encode(path), flags), "fspick", dirfd, path, flags)


def fsconfig(
    fd: int, cmd: FSCONFIG, key: str | None = None, value: Path | None = None, aux: int = 0
) -> None:
    """Set one option of the configuration at ``fd``, or create or reconfigure its superblock.

    Raises:
        KernelError: the hint holds the kernel's own words, read from ``fd``.
    """
    if _fsconfig(fd, cmd, encode(key), encode(value), aux) < 0:
        errno = ctypes.get_errno()
        hint = read_fs_messages(fd)
        raise kernel_error(errno, "fsconfig", fd, cmd, key, value, aux, hint=hint)


def read_fs_messages(fd: int) -> str:
    """Return what the kernel wrote about a configuration descriptor, joined by semicolons."""
    messages = []
    try:
        while message := os.read(fd, 4096):
            messages.append(message.decode(errors="replace").strip()[2:])
    except OSError:  # ENODATA: no more messages
        pass
    return "; ".join(messages)


def fsmount(
    fd: int, flags: FSMOUNT = FSMOUNT.CLOEXEC, attr_flags: MOUNT_ATTR = MOUNT_ATTR(0)
) -> int:
    """Return a descriptor of a new mount of the superblock at ``fd``, attached nowhere yet.

    Leaves behind: the mount, which goes when the descriptor is closed unless it was moved.
    """
    return check(_fsmount(fd, flags, attr_flags), "fsmount", fd, flags, attr_flags)


def open_tree(dirfd: int, pathname: Path, flags: OPEN_TREE) -> int:
    """Return a descriptor of the mount at ``pathname``; with CLONE, of a detached copy of it.

    Raises:
        KernelError: ENOENT, EINVAL (CLONE of an unbindable or foreign mount), EPERM.
    """
    result = _open_tree(dirfd, encode(pathname), flags)
    return check(result, "open_tree", dirfd, pathname, flags)


def move_mount(
    from_dirfd: int,
    from_pathname: Path,
    to_dirfd: int,
    to_pathname: Path,
    flags: MOVE_MOUNT = MOVE_MOUNT(0),
) -> None:
    """Attach a detached mount, or move an attached one: move_mount(2)."""
    result = _move_mount(from_dirfd, encode(from_pathname), to_dirfd, encode(to_pathname), flags)
    check(result, "move_mount", from_dirfd, from_pathname, to_dirfd, to_pathname, flags)


def attach_mount(mount_fd: int, target_fd: int) -> None:
    """Attach the detached mount ``mount_fd`` on the file that ``target_fd`` holds.

    Both sides are descriptors, so no path can be exchanged in between (CVE-2025-31133).
    """
    move_mount(mount_fd, "", target_fd, "", _BY_DESCRIPTORS)


def mount_setattr(
    dirfd: int,
    pathname: Path,
    flags: AT = AT(0),
    *,
    attr_set: MOUNT_ATTR = MOUNT_ATTR(0),
    attr_clr: MOUNT_ATTR = MOUNT_ATTR(0),
    propagation: MS = MS(0),
    userns_fd: int = 0,
) -> None:
    """Change the flags of a mount, with AT.RECURSIVE of all below it: mount_setattr(2).

    Args:
        dirfd: the mount's descriptor, with ``pathname`` empty and AT.EMPTY_PATH in ``flags``.
        pathname: relative to ``dirfd``.
        flags: EMPTY_PATH, RECURSIVE, SYMLINK_NOFOLLOW.
        attr_set: added. To set one of the atime kinds, ATIME_MASK must be in ``attr_clr``.
        attr_clr: removed first.
        propagation: one of PRIVATE, SLAVE, SHARED, UNBINDABLE, or nothing.
        userns_fd: the user namespace whose map IDMAP applies.

    Raises:
        KernelError: EPERM (a locked flag), EINVAL (no id-mapped mounts on this file system).
    """
    attr = _MountAttr(attr_set, attr_clr, propagation, userns_fd)
    result = _mount_setattr(dirfd, encode(pathname), flags, ctypes.byref(attr), ctypes.sizeof(attr))
    arguments = (dirfd, pathname, flags, attr_set, attr_clr, propagation)
    check(result, "mount_setattr", *arguments)


def bind_flags(recursive: bool) -> OPEN_TREE:
    """Return open_tree(2) flags that clone what a descriptor holds, alone or with submounts."""
    return _CLONE_TREE if recursive else _CLONE
