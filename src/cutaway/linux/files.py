"""Files held by descriptors: what Python's ``os`` lacks or does only by path.

A path that a container can change is resolved once, by ``openat2`` below a root descriptor; all
that follows is relative to the descriptor it returned. An O_PATH descriptor names a file without
opening it; the calls with ``AT.EMPTY_PATH`` act on what it names.
"""

import ctypes
import errno as errno_module
import os
from ctypes import c_char_p, c_int, c_int64, c_long, c_uint, c_uint64, c_void_p
from dataclasses import dataclass

from cutaway.linux.abi import AT, RENAME, RESOLVE, STATX, O
from cutaway.linux.errors import kernel_error, octal
from cutaway.linux.libc import Path, check, encode, function, system_call


class _OpenHow(ctypes.Structure):
    """struct open_how of openat2(2)."""

    _fields_ = (("flags", c_uint64), ("mode", c_uint64), ("resolve", c_uint64))


class _Timespec(ctypes.Structure):
    """struct timespec."""

    _fields_ = (("seconds", c_long), ("nanoseconds", c_long))


class _StatxBuffer(ctypes.Structure):
    """struct statx, as far as it is read here."""

    _fields_ = (
        ("mask", ctypes.c_uint32),
        ("blksize", ctypes.c_uint32),
        ("attributes", c_uint64),
        ("nlink", ctypes.c_uint32),
        ("uid", ctypes.c_uint32),
        ("gid", ctypes.c_uint32),
        ("mode", ctypes.c_uint16),
        ("spare0", ctypes.c_uint16),
        ("ino", c_uint64),
        ("size", c_uint64),
        ("blocks", c_uint64),
        ("attributes_mask", c_uint64),
        ("atime", ctypes.c_uint8 * 16),
        ("btime_seconds", c_int64),
        ("btime_nanoseconds", ctypes.c_uint32),
        ("btime_spare", ctypes.c_uint32),
        ("ctime_and_mtime", ctypes.c_uint8 * 32),
        ("rdev_major", ctypes.c_uint32),
        ("rdev_minor", ctypes.c_uint32),
        ("dev_major", ctypes.c_uint32),
        ("dev_minor", ctypes.c_uint32),
        ("mnt_id", c_uint64),
        ("spare", ctypes.c_uint8 * 104),
    )


class _StatfsBuffer(ctypes.Structure):
    """struct statfs, of which only the type is read."""

    _fields_ = (("type", c_long), ("rest", c_long * 15))


@dataclass(frozen=True, slots=True)
class FileIdentity:
    """Which file a descriptor holds, and on which mount.

    Attributes:
        mode: type and permission bits, ``stat.S_ISCHR`` and its like.
        device: ``(major, minor)`` of a device node, else ``(0, 0)``.
        filesystem: ``(major, minor)`` of the superblock.
        inode: unique in that file system.
        mount_id: as in ``/proc/self/mountinfo``.
        is_mount_root: it is the root of a mount.
    """

    mode: int
    device: tuple[int, int]
    filesystem: tuple[int, int]
    inode: int
    mount_id: int
    is_mount_root: bool


_openat2 = system_call("openat2", c_int, c_char_p, c_void_p, ctypes.c_size_t)
_syncfs = function("syncfs", c_int)
_fallocate = function("fallocate", c_int, c_int, c_int64, c_int64)
_fchownat = function("fchownat", c_int, c_char_p, c_uint, c_uint, c_int)
_fchmodat2 = system_call("fchmodat2", c_int, c_char_p, c_uint, c_int)
_mknodat = function("mknodat", c_int, c_char_p, c_uint, c_uint64)
_linkat = function("linkat", c_int, c_char_p, c_int, c_char_p, c_int)
_renameat2 = function("renameat2", c_int, c_char_p, c_int, c_char_p, c_uint)
_utimensat = function("utimensat", c_int, c_char_p, c_void_p, c_int)
_statx = function("statx", c_int, c_char_p, c_int, c_uint, c_void_p)
_fstatfs = function("fstatfs", c_int, c_void_p)

_IDENTITY = STATX.BASIC_STATS | STATX.MNT_ID
_STATX_ATTR_MOUNT_ROOT = 0x2000
_FALLOC_FL_KEEP_SIZE = 1


def openat2(
    dirfd: int, path: Path, flags: int, mode: int = 0, resolve: RESOLVE = RESOLVE(0)
) -> int:
    """Open ``path`` relative to ``dirfd``, walking it only as ``resolve`` allows: openat2(2).

    Args:
        dirfd: with RESOLVE.IN_ROOT, the root that ``/`` and ``..`` mean.
        path: may be absolute with IN_ROOT.
        flags: ``os.O_…``; CLOEXEC is always added.
        mode: with O_CREAT or O_TMPFILE only.
        resolve: IN_ROOT follows symbolic links inside the root, BENEATH refuses those that leave.

    Raises:
        KernelError: EXDEV (BENEATH, NO_XDEV: the path leaves), ELOOP (NO_SYMLINKS, or a magic
            link), ENOENT, and EAGAIN when somebody renames on the way for too long.
    """
    flags |= os.O_CLOEXEC
    how = _OpenHow(flags, mode, resolve)
    data, address = encode(path), ctypes.byref(how)
    for _ in range(64):  # EAGAIN: "..", while something was renamed: the man page says try again
        fd = _openat2(dirfd, data, address, ctypes.sizeof(how))
        if fd >= 0:  # a start opens a hundred: what an error would say is made for an error only
            return fd
        if ctypes.get_errno() not in (errno_module.EAGAIN, errno_module.EINTR):
            break
    return check(fd, "openat2", dirfd, path, O(flags), octal(mode), resolve)


def syncfs(fd: int) -> None:
    """Write everything of the file system that ``fd`` is on to its device: syncfs(2)."""
    check(_syncfs(fd), "syncfs", fd)


def reserve_space(fd: int, length: int) -> None:
    """Give a file room on the disk up to ``length`` without changing its size: fallocate(2).

    Raises:
        KernelError: ENOSPC, EOPNOTSUPP (the file system can't).
    """
    result = _fallocate(fd, _FALLOC_FL_KEEP_SIZE, 0, length)
    check(result, "fallocate", fd, "KEEP_SIZE", 0, length)


def fchownat(dirfd: int, path: Path, uid: int, gid: int, flags: AT = AT(0)) -> None:
    """Change the owner; -1 leaves a side as it is. EMPTY_PATH acts on ``dirfd`` itself."""
    result = _fchownat(dirfd, encode(path), uid & 0xFFFFFFFF, gid & 0xFFFFFFFF, flags)
    check(result, "fchownat", dirfd, path, uid, gid, flags)


def fchmodat2(dirfd: int, path: Path, mode: int, flags: AT = AT(0)) -> None:
    """Change permission bits without following a link: fchmodat2(2).

    Raises:
        KernelError: ENOSYS (Linux before 6.6), EOPNOTSUPP (a symbolic link has no mode).
    """
    result = _fchmodat2(dirfd, encode(path), mode, flags)
    check(result, "fchmodat2", dirfd, path, octal(mode), flags)


def mknodat(dirfd: int, path: Path, mode: int, device: int = 0) -> None:
    """Make a device node, fifo, socket or empty file: mknodat(2); the umask applies.

    Args:
        dirfd: the directory ``path`` is relative to.
        path: must not exist.
        mode: type and permission bits.
        device: ``os.makedev(major, minor)``.
    """
    result = _mknodat(dirfd, encode(path), mode, device)
    check(result, "mknodat", dirfd, path, octal(mode), device)


def linkat(olddirfd: int, oldpath: Path, newdirfd: int, newpath: Path, flags: AT = AT(0)) -> None:
    """Make a hard link; EMPTY_PATH links the file that ``olddirfd`` holds (O_TMPFILE's)."""
    result = _linkat(olddirfd, encode(oldpath), newdirfd, encode(newpath), flags)
    check(result, "linkat", olddirfd, oldpath, newdirfd, newpath, flags)


def renameat2(
    olddirfd: int, oldpath: Path, newdirfd: int, newpath: Path, flags: RENAME = RENAME(0)
) -> None:
    """Rename, with NOREPLACE never over an existing file: renameat2(2)."""
    result = _renameat2(olddirfd, encode(oldpath), newdirfd, encode(newpath), flags)
    check(result, "renameat2", olddirfd, oldpath, newdirfd, newpath, flags)


def utimensat(
    dirfd: int, path: Path, atime_ns: int, mtime_ns: int, flags: AT = AT.SYMLINK_NOFOLLOW
) -> None:
    """Set times since the epoch; EMPTY_PATH acts on ``dirfd`` itself: utimensat(2)."""
    times = (_Timespec * 2)(*(_Timespec(*divmod(t, 10**9)) for t in (atime_ns, mtime_ns)))
    result = _utimensat(dirfd, encode(path), ctypes.byref(times), flags)
    check(result, "utimensat", dirfd, path, atime_ns, mtime_ns, flags)


def identify(fd: int) -> FileIdentity:
    """Return which file and mount ``fd`` holds: statx(2) with STATX_MNT_ID."""
    buffer = _StatxBuffer()
    result = _statx(fd, b"", AT.EMPTY_PATH, _IDENTITY, ctypes.byref(buffer))
    check(result, "statx", fd, "", AT.EMPTY_PATH, _IDENTITY)
    return FileIdentity(
        mode=buffer.mode,
        device=(buffer.rdev_major, buffer.rdev_minor),
        filesystem=(buffer.dev_major, buffer.dev_minor),
        inode=buffer.ino,
        mount_id=buffer.mnt_id,
        is_mount_root=bool(buffer.attributes & _STATX_ATTR_MOUNT_ROOT),
    )


def birth_time_ns(fd: int) -> int:
    """Return when the file ``fd`` holds was made, since the epoch; 0: its file system forgets."""
    buffer = _StatxBuffer()
    result = _statx(fd, b"", AT.EMPTY_PATH, STATX.BTIME, ctypes.byref(buffer))
    check(result, "statx", fd, "", AT.EMPTY_PATH, STATX.BTIME)
    if not buffer.mask & STATX.BTIME:
        return 0
    return int(buffer.btime_seconds) * 10**9 + int(buffer.btime_nanoseconds)


def fstatfs_type(fd: int) -> int:
    """Return the file system's type at ``fd``, one of ``FSMAGIC``: fstatfs(2)."""
    buffer = _StatfsBuffer()
    check(_fstatfs(fd, ctypes.byref(buffer)), "fstatfs", fd)
    return int(buffer.type) & 0xFFFFFFFF


def fgetxattr(fd: int, name: str) -> bytes:
    """Return an extended attribute of the open file (not O_PATH) ``fd``.

    Raises:
        KernelError: ENODATA (no such attribute), EOPNOTSUPP.
    """
    try:
        return os.getxattr(fd, name)
    except OSError as error:
        raise kernel_error(error.errno or 0, "fgetxattr", fd, name) from None


def fsetxattr(fd: int, name: str, value: bytes) -> None:
    """Set an extended attribute of the open file (not O_PATH) ``fd``."""
    try:
        os.setxattr(fd, name, value)
    except OSError as error:
        raise kernel_error(error.errno or 0, "fsetxattr", fd, name, value) from None


def flistxattr(fd: int) -> list[str]:
    """Return the names of the extended attributes of the open file (not O_PATH) ``fd``."""
    try:
        return os.listxattr(fd)
    except OSError as error:
        raise kernel_error(error.errno or 0, "flistxattr", fd) from None


def fremovexattr(fd: int, name: str) -> None:
    """Remove an extended attribute of the open file (not O_PATH) ``fd``."""
    try:
        os.removexattr(fd, name)
    except OSError as error:
        raise kernel_error(error.errno or 0, "fremovexattr", fd, name) from None


def memfd_create(name: str, flags: int = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING) -> int:
    """Return the descriptor of a file that lives in memory and has no path: memfd_create(2)."""
    try:
        return os.memfd_create(name, flags)
    except OSError as error:
        raise kernel_error(error.errno or 0, "memfd_create", name, flags) from None
