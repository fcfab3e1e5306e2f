"""Where a file of a container comes from: which layer has it, which hides it.

An overlay shows of each path the topmost layer's file. A layer hides what is below by a *whiteout*
(a character device 0:0), an *opaque* directory, or anything that is no directory where below there
is one. What was changed in the container lies in its own layer: a file of the image that was
*copied up* is marked with the one it came from (``trusted.overlay.origin``).
"""

import os
import stat
from dataclasses import dataclass

from cutaway import linux
from cutaway.images.layers.attributes import is_whiteout
from cutaway.images.layers.whiteout import OPAQUE_XATTR

_ORIGIN_XATTR = "trusted.overlay.origin"
_HOLD = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one layer says of a path.

    Attributes:
        is_there: it has the file, directory or link.
        is_deleted: it says that there is none.
        hides_below: whatever the layers below have of it is not seen.
        is_copied_up: it was taken from a layer below, to be changed.
        is_merged: it is a directory that shows what the layers below have in it, too.
        born_ns: when this layer got it, nanoseconds since the epoch; 0: not known.
    """

    is_there: bool = False
    is_deleted: bool = False
    hides_below: bool = False
    is_copied_up: bool = False
    is_merged: bool = False
    born_ns: int = 0


def look_in_layer(directory: str, path: str) -> Finding:
    """Look a path up in one layer's own files. Links are not followed.

    Args:
        directory: the layer's, or a container's own.
        path: as the container's root has it, links on the way resolved.
    """
    names = [name for name in path.split("/") if name]
    fd = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    is_opaque = False
    try:
        for position, name in enumerate(names):
            try:
                inner = os.open(name, _HOLD, dir_fd=fd)
            except FileNotFoundError:
                # an opaque directory on the way: what it has not, there is not
                return Finding(is_deleted=is_opaque, hides_below=is_opaque)
            os.close(fd)
            fd = inner
            status = os.fstat(fd)
            if is_whiteout(status):
                return Finding(is_deleted=True, hides_below=True, born_ns=linux.birth_time_ns(fd))
            is_last = position == len(names) - 1
            if not stat.S_ISDIR(status.st_mode):
                return _describe(fd, is_merged=False) if is_last else Finding(hides_below=True)
            is_opaque = is_opaque or _xattr(fd, OPAQUE_XATTR) == b"y"
        return _describe(fd, is_merged=not is_opaque)
    finally:
        os.close(fd)


def _describe(fd: int, *, is_merged: bool) -> Finding:
    return Finding(
        is_there=True,
        is_merged=is_merged,
        hides_below=not is_merged,
        is_copied_up=bool(_xattr(fd, _ORIGIN_XATTR)),
        born_ns=linux.birth_time_ns(fd),
    )


def _xattr(fd: int, name: str) -> bytes:
    try:
        return os.getxattr(f"/proc/self/fd/{fd}", name)  # an O_PATH descriptor has no other way
    except OSError:
        return b""
