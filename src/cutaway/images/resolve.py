"""Paths inside a directory that somebody else filled: walked by the kernel, never leaving it.

Every path from an image or a container is a string that its author chose, through links that its
author placed. The kernel walks it in one call from a descriptor of the root, with ``/`` and
``..`` bound to that root, and what comes back is a descriptor: nothing is resolved twice.
"""

import errno
import os

from cutaway import linux

IN_ROOT = linux.RESOLVE.IN_ROOT | linux.RESOLVE.NO_MAGICLINKS
INSIDE_NO_LINKS = linux.RESOLVE.BENEATH | linux.RESOLVE.NO_SYMLINKS | linux.RESOLVE.NO_XDEV
_DIRECTORY = os.O_PATH | os.O_DIRECTORY


def open_in_root(root_fd: int, path: bytes, flags: int) -> int:
    """Open ``path`` with ``root_fd`` as its root, following links inside it.

    Raises:
        KernelError: ENOENT, ENOTDIR, ELOOP, EACCES as open(2).
    """
    return linux.openat2(root_fd, path or b".", flags, 0, IN_ROOT)


def make_directories_in_root(root_fd: int, path: bytes) -> None:
    """Make a directory and its parents where they are missing, 0755; never outside the root.

    Raises:
        KernelError, OSError: ENOTDIR, ELOOP: something on the way is no directory.
    """
    made = b""
    for component in split_path(path) or ():
        parent_fd = open_directory_in_root(root_fd, made)
        try:
            os.mkdir(component, 0o755, dir_fd=parent_fd)
        except FileExistsError:
            pass
        finally:
            os.close(parent_fd)
        made = made + b"/" + component if made else component


def open_directory_in_root(root_fd: int, path: bytes) -> int:
    """Return an O_PATH descriptor of a directory, to be used with ``…at`` calls."""
    return linux.openat2(root_fd, path or b".", _DIRECTORY, 0, IN_ROOT)


def split_path(path: bytes) -> list[bytes] | None:
    """Return a path's components without ``.``, ``..`` taken away in text as Docker does.

    Returns:
        An empty list for the root itself; None when the path climbs above it.
    """
    components: list[bytes] = []
    for component in path.split(b"/"):
        if component == b"..":
            if not components:
                return None
            components.pop()
        elif component and component != b".":
            components.append(component)
    return components


def is_missing(error: OSError) -> bool:
    """Whether the error says that a path, or a directory on its way, is not there."""
    return error.errno in (errno.ENOENT, errno.ENOTDIR)
