"""Copy what an image has in a directory into the empty file system that will cover it.

Docker does so for new volumes (``-v data:/var/lib/x`` starts with the image's content), runc for
``tmpcopyup``. Source and target are held by descriptors and every name is opened relative to them
without following links, so a link in the image is copied as a link.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager

from cutaway import linux
from cutaway.linux.abi import AT, RESOLVE

_CHUNK = 1 << 20
_SINGLE = RESOLVE.BENEATH | RESOLVE.NO_SYMLINKS | RESOLVE.NO_XDEV


def is_empty_directory(fd: int) -> bool:
    """Whether the directory that an O_PATH descriptor holds has no entry."""
    directory = linux.openat2(fd, ".", os.O_RDONLY | os.O_DIRECTORY)
    try:
        with os.scandir(directory) as entries:
            return next(entries, None) is None
    finally:
        os.close(directory)


def copy_tree(source_fd: int, target_fd: int) -> None:
    """Copy a directory's content, owner, mode, times and extended attributes.

    Args:
        source_fd: O_PATH descriptor of a directory.
        target_fd: O_PATH descriptor, or mount, of an empty directory.

    Raises:
        OSError: ENOSPC, EDQUOT, EPERM. The target is then as empty as before.
    """
    source = linux.openat2(source_fd, ".", os.O_RDONLY | os.O_DIRECTORY)
    target = linux.openat2(target_fd, ".", os.O_RDONLY | os.O_DIRECTORY)
    try:
        with _stopped_by_quotas():
            _copy_directory(source, target)
    except OSError:
        _empty_directory(target)
        raise
    finally:
        os.close(target)
        os.close(source)


@contextmanager
def _stopped_by_quotas() -> Iterator[None]:
    """Do without CAP_SYS_RESOURCE for a while: who has it, ext4's project quotas don't stop."""
    held = linux.capget()
    effective = held.effective & ~(1 << linux.CAP.SYS_RESOURCE)
    linux.capset(effective, held.permitted, held.inheritable)
    try:
        yield
    finally:
        linux.capset(held.effective, held.permitted, held.inheritable)


def _empty_directory(directory: int) -> None:
    with os.scandir(directory) as entries:
        found = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
    for name, is_directory in found:
        if is_directory:
            inner = linux.openat2(directory, name, os.O_RDONLY | os.O_DIRECTORY, 0, _SINGLE)
            try:
                _empty_directory(inner)
            finally:
                os.close(inner)
            os.rmdir(name, dir_fd=directory)
        else:
            os.unlink(name, dir_fd=directory)


def _copy_directory(source: int, target: int) -> None:
    with os.scandir(source) as entries:
        names = [(entry.name, entry.stat(follow_symlinks=False)) for entry in entries]
    for name, status in names:
        if stat.S_ISDIR(status.st_mode):
            os.mkdir(name, 0o700, dir_fd=target)
            flags = os.O_RDONLY | os.O_DIRECTORY
            inner_source = linux.openat2(source, name, flags, 0, _SINGLE)
            inner_target = linux.openat2(target, name, flags, 0, _SINGLE)
            try:
                _copy_directory(inner_source, inner_target)
            finally:
                os.close(inner_source)
                os.close(inner_target)
        else:
            _copy_other(source, target, name, status)
    _copy_attributes(source, target, os.fstat(source))


def _copy_other(source: int, target: int, name: str, status: os.stat_result) -> None:
    if stat.S_ISREG(status.st_mode):
        from_fd = linux.openat2(source, name, os.O_RDONLY, 0, _SINGLE)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        to_fd = linux.openat2(target, name, flags, 0o600, _SINGLE)
        try:
            while os.sendfile(to_fd, from_fd, None, _CHUNK):
                pass
            _copy_attributes(from_fd, to_fd, os.fstat(from_fd))
        finally:
            os.close(from_fd)
            os.close(to_fd)
        return
    if stat.S_ISLNK(status.st_mode):
        os.symlink(os.readlink(name, dir_fd=source), name, dir_fd=target)
    else:
        linux.mknodat(target, name, status.st_mode, status.st_rdev)
        os.chmod(name, stat.S_IMODE(status.st_mode), dir_fd=target)
    linux.fchownat(target, name, status.st_uid, status.st_gid, AT.SYMLINK_NOFOLLOW)


def _copy_attributes(from_fd: int, to_fd: int, status: os.stat_result) -> None:
    for attribute in linux.flistxattr(from_fd):
        if attribute == "security.capability" or attribute.startswith("user."):
            linux.fsetxattr(to_fd, attribute, linux.fgetxattr(from_fd, attribute))
    os.fchown(to_fd, status.st_uid, status.st_gid)
    os.fchmod(to_fd, stat.S_IMODE(status.st_mode))
    os.utime(to_fd, ns=(status.st_atime_ns, status.st_mtime_ns))
