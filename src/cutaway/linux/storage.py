"""Room for data: files as block devices (loop(4)), project quotas (quotactl(2)), places on a disk.

A *project* is a number that a directory has and all that is made in it inherits; the file system
counts what belongs to each, and stops it at its limit.
"""

import ctypes
import errno
import fcntl
import os
import stat
import struct
from ctypes import c_int, c_uint, c_void_p
from enum import IntEnum, IntFlag
from typing import NamedTuple

from cutaway.linux.errors import Verbatim, kernel_error
from cutaway.linux.libc import check, system_call


class LOOP(IntEnum):
    """Requests of /dev/loop-control and its devices. Source: linux/loop.h."""

    GET_STATUS64 = 0x4C05
    CONFIGURE = 0x4C0A
    CTL_GET_FREE = 0x4C82


class LO_FLAGS(IntFlag):  # noqa: N801 - the kernel's prefix
    """Flags of a loop device."""

    READ_ONLY = 1
    AUTOCLEAR = 4


class FSX(IntEnum):
    """Requests for a file's extended flags. Source: linux/fs.h."""

    GETXATTR = 0x801C581F
    SETXATTR = 0x401C5820


class FSFLAGS(IntEnum):
    """Requests for an inode's flags. Source: linux/fs.h."""

    GETFLAGS = 0x80086601
    SETFLAGS = 0x40086602


class Q(IntEnum):
    """Commands of quotactl(2). Source: linux/quota.h, linux/dqblk_xfs.h."""

    GETQUOTA = 0x800007
    SETQUOTA = 0x800008
    XGETQSTAT = 0x5805


_PRJQUOTA = 2
_PDQ_ENFD = 1 << 5
_QIF_BLIMITS = 1
_QUOTA_BLOCK_BYTES = 1024
_XFLAG_PROJINHERIT = 0x200
_FLAG_TOPDIR = 0x20000
_FSXATTR = struct.Struct("=5I8x")
_FLAGS = struct.Struct("=I")
_LOOP_INFO = struct.Struct("=5Q4I64s64s32s2Q")
_LOOP_CONFIG = struct.Struct("=II232s64x")
_DQBLK = struct.Struct("=8QI4x")
_ATTEMPTS = 64
LOOP_CONTROL = "/dev/loop-control"

_quotactl_fd = system_call("quotactl_fd", c_uint, c_uint, c_int, c_void_p)


def _ioctl(fd: int, name: str, request: int, argument: int | bytes = 0) -> int | bytes:
    try:
        return fcntl.ioctl(fd, request, argument)
    except OSError as error:
        raise kernel_error(error.errno or 0, "ioctl", fd, Verbatim(name)) from None


def attach_loop(file_fd: int, name: str) -> tuple[str, int]:
    """Make a block device of a file; it goes away when its last user does (AUTOCLEAR).

    A file has one device at a time: a second one beside a file system that is still in use, or
    just being unmounted, would destroy it. So a device that is there is used again.

    Args:
        file_fd: open for reading and writing.
        name: shown by losetup(8), at most 63 bytes.

    Returns:
        Its path and an open descriptor, which holds it until it is mounted.

    Preconditions: nobody else attaches the same file meanwhile.

    Raises:
        KernelError: ENOENT, EPERM (no loop devices here), EBUSY (all are taken all the time).
    """
    found = _find_loop(os.fstat(file_fd))
    if found is not None:
        return found
    try:
        control = os.open(LOOP_CONTROL, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        raise kernel_error(error.errno or 0, "open", LOOP_CONTROL) from None
    try:
        for _ in range(_ATTEMPTS):
            number = int(_ioctl(control, "LOOP_CTL_GET_FREE", LOOP.CTL_GET_FREE))
            device = _configure_loop(number, file_fd, name)
            if device is not None:
                return f"/dev/loop{number}", device
    finally:
        os.close(control)
    raise kernel_error(errno.EBUSY, "ioctl", Verbatim("LOOP_CONFIGURE"))


def _find_loop(file: os.stat_result) -> tuple[str, int] | None:
    """Return the device that a file has already, held open."""
    for entry in os.listdir("/sys/block"):
        if not os.path.exists(f"/sys/block/{entry}/loop/backing_file"):
            continue
        try:
            device = os.open(f"/dev/{entry}", os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            # asked when it is held: it can't go away any more
            status = _ioctl(device, "LOOP_GET_STATUS64", LOOP.GET_STATUS64, bytes(_LOOP_INFO.size))
            device_number, inode = _LOOP_INFO.unpack(bytes(status))[:2]
        except OSError:  # ENXIO: it has just gone
            os.close(device)
            continue
        if inode == file.st_ino and _same_device(device_number, file.st_dev):
            return f"/dev/{entry}", device
        os.close(device)
    return None


def _same_device(kernels: int, libcs: int) -> bool:
    """Compare a device number in the kernel's new encoding with one of stat(2)."""
    major, minor = (kernels >> 8) & 0xFFF, (kernels & 0xFF) | ((kernels >> 12) & 0xFFF00)
    return (major, minor) == (os.major(libcs), os.minor(libcs))


def _configure_loop(number: int, file_fd: int, name: str) -> int | None:
    """Give the file to a free device; None when somebody else was faster."""
    path = f"/dev/loop{number}"
    if not os.path.exists(path):  # without udev, or in a /dev of our own
        with open(f"/sys/block/loop{number}/dev") as file:
            major, minor = map(int, file.read().split(":"))
        os.mknod(path, stat.S_IFBLK | 0o600, os.makedev(major, minor))
    device = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    shown = os.fsencode(name)[:63]
    info = _LOOP_INFO.pack(0, 0, 0, 0, 0, 0, 0, 0, LO_FLAGS.AUTOCLEAR, shown, b"", b"", 0, 0)
    try:
        config = _LOOP_CONFIG.pack(file_fd, 0, info)
        _ioctl(device, "LOOP_CONFIGURE", LOOP.CONFIGURE, config)
    except BaseException as error:
        os.close(device)
        if isinstance(error, OSError) and error.errno == errno.EBUSY:
            return None
        raise
    return device


def _quotactl(fd: int, command: Q, project: int, buffer: "ctypes.Array[ctypes.c_char]") -> None:
    result = _quotactl_fd(fd, command << 8 | _PRJQUOTA, project, ctypes.byref(buffer))
    check(result, "quotactl_fd", fd, command, "PRJQUOTA", project)


def has_project_quotas(fd: int) -> bool:
    """Say whether the file system of ``fd`` counts and limits projects."""
    buffer = ctypes.create_string_buffer(128)
    try:
        _quotactl(fd, Q.XGETQSTAT, 0, buffer)
    except OSError:
        return False
    (flags,) = struct.unpack_from("=H", buffer, 2)
    return bool(flags & _PDQ_ENFD)


class ProjectQuota(NamedTuple):
    """What a project may have (0: no limit), and what it has."""

    limit_bytes: int
    used_bytes: int


def project_quota(fd: int, project: int) -> ProjectQuota:
    """Return a project's limit and use; zeros when the file system has never heard of it."""
    buffer = ctypes.create_string_buffer(_DQBLK.size)
    try:
        _quotactl(fd, Q.GETQUOTA, project, buffer)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ESRCH):
            return ProjectQuota(0, 0)
        raise
    hard_limit, _, used_bytes = _DQBLK.unpack(buffer.raw)[:3]
    return ProjectQuota(hard_limit * _QUOTA_BLOCK_BYTES, used_bytes)


def limit_project(fd: int, project: int, limit_bytes: int) -> None:
    """Limit what a project may have; 0 lifts the limit.

    ext4 does not stop who has CAP_SYS_RESOURCE, so a privileged container; xfs stops everybody.

    Raises:
        KernelError: ESRCH, ENOSYS (no project quotas), EPERM.
    """
    blocks = -(-limit_bytes // _QUOTA_BLOCK_BYTES)
    record = _DQBLK.pack(blocks, blocks, 0, 0, 0, 0, 0, 0, _QIF_BLIMITS)
    buffer = ctypes.create_string_buffer(record, len(record))
    _quotactl(fd, Q.SETQUOTA, project, buffer)


def set_project(fd: int, project: int) -> None:
    """Make a directory a project's, and all that will be made in it.

    Raises:
        KernelError: EOPNOTSUPP (the file system has no projects).
    """
    answer = _ioctl(fd, "FS_IOC_FSGETXATTR", FSX.GETXATTR, bytes(_FSXATTR.size))
    flags, extent_size, extents, _, cow_size = _FSXATTR.unpack(bytes(answer))
    flags |= _XFLAG_PROJINHERIT
    record = _FSXATTR.pack(flags, extent_size, extents, project, cow_size)
    _ioctl(fd, "FS_IOC_FSSETXATTR", FSX.SETXATTR, record)


def spread_out(directory: str) -> None:
    """Have each directory that will be made in this one put elsewhere on the disk (``chattr +T``).

    ext4 puts a new inode into the group of its directory, and looks there at each inode that was
    deleted in the last minutes: where containers come and go, that takes half a millisecond.
    Other file systems have no such flag, and no such wait; nothing is changed then.
    """
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        answer = _ioctl(fd, "FS_IOC_GETFLAGS", FSFLAGS.GETFLAGS, bytes(4))
        (flags,) = _FLAGS.unpack(bytes(answer))
        if not flags & _FLAG_TOPDIR:
            _ioctl(fd, "FS_IOC_SETFLAGS", FSFLAGS.SETFLAGS, _FLAGS.pack(flags | _FLAG_TOPDIR))
    except OSError:
        return  # ENOTTY, EOPNOTSUPP, EINVAL, EPERM: only the place is another
    finally:
        os.close(fd)
