"""Owner, mode, extended attributes and times of what a layer makes."""

import errno
import os
import stat

from cutaway.errors import CutawayError, System
from cutaway.images.layers import tar_header as tar
from cutaway.images.layers.errors import BadLayer
from cutaway.images.layers.tar_read import Entry

SPECIAL_BITS = 0o7000  # set-user-id, set-group-id, sticky
_CAPABILITY = b"security.capability"
_USER = b"user."
# Ours alone when overlay runs with "userxattr"; from an archive it would be an injection.
_USER_OVERLAY = b"user.overlay."
_LAYER_FAULTS = frozenset(
    {
        errno.ENOENT,
        errno.ENOTDIR,
        errno.EISDIR,
        errno.EEXIST,
        errno.ELOOP,
        errno.EXDEV,
        errno.ENAMETOOLONG,
        errno.EINVAL,
        errno.EMLINK,
        errno.EFBIG,
    }
)


def is_allowed_xattr(name: bytes) -> bool:
    """Whether a layer may set this attribute: ``user.*`` and file capabilities, nothing else."""
    if name == _CAPABILITY:
        return True
    return name.startswith(_USER) and not name.startswith(_USER_OVERLAY)


def set_xattrs(fd: int, entry: Entry) -> None:
    """Set the allowed attributes of a regular file or directory; others are dropped.

    Raises:
        OSError: ENOSPC, E2BIG, ERANGE (more than the file system keeps for one file).
    """
    for name, value in entry.xattrs.items():
        if not is_allowed_xattr(name):
            continue
        try:
            os.setxattr(fd, name, value)
        except OSError as error:
            if error.errno != errno.ENOTSUP:  # tmpfs of old kernels has no user.*; Docker goes on
                raise


def set_by_name(entry: Entry, parent_fd: int, leaf: bytes) -> None:
    """Set owner, mode and time of what can't be opened: a link, device or fifo just made."""
    os.chown(leaf, entry.uid, entry.gid, dir_fd=parent_fd, follow_symlinks=False)
    if entry.mode & SPECIAL_BITS and entry.kind != tar.SYMLINK:
        # Safe: this process made the node a moment ago, and nobody else is in the directory.
        os.chmod(leaf, entry.mode, dir_fd=parent_fd)
    times = (entry.mtime_ns, entry.mtime_ns)
    os.utime(leaf, ns=times, dir_fd=parent_fd, follow_symlinks=False)


def mode_of(parent_fd: int, name: bytes) -> int | None:
    """Return the ``st_mode`` of ``name``, not followed; None when there is nothing."""
    try:
        return os.stat(name, dir_fd=parent_fd, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return None


def is_whiteout(status: os.stat_result) -> bool:
    """Whether a file is overlay's mark of a deletion: a character device 0:0."""
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


def explain(error: OSError, entry: Entry) -> CutawayError:
    """Return the error to raise for a refused system call: the layer's fault or the host's."""
    name = show(entry.name)
    reason = os.strerror(error.errno or 0)
    if entry.kind == tar.HARD_LINK and error.errno in (errno.ENOENT, errno.ENOTDIR, errno.EPERM):
        return BadLayer(
            f"layer's hard link {name} points to {show(entry.link)}, "
            f"which is no file of this layer ({reason})"
        )
    if error.errno in _LAYER_FAULTS:
        return BadLayer(f"layer entry {name} can't be made: {reason}")
    return System(f"unpacking layer entry {name}: {reason.lower()}")


def show(name: bytes) -> str:
    """Return a name for a message: quoted, printable, at most 200 bytes of it."""
    return ascii(name[:200].decode("utf-8", "replace"))
