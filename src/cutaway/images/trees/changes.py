"""``docker diff``: what an upper directory changes in the layers below it.

Source: moby pkg/archive/changes.go and changes_linux.go.
"""

import os
import stat
from collections.abc import Callable
from enum import IntEnum

from cutaway import linux
from cutaway.images.layers.attributes import is_whiteout
from cutaway.images.resolve import INSIDE_NO_LINKS, is_missing
from cutaway.images.trees.operations import iterate_directory

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_PATH = os.O_PATH | os.O_NOFOLLOW


class ChangeKind(IntEnum):
    """The API's numbers; the command line prints ``C``, ``A`` and ``D``."""

    MODIFIED = 0
    ADDED = 1
    DELETED = 2


def find_changes(
    upper_fd: int, lower_fd: int | None, report: Callable[[ChangeKind, bytes], None]
) -> None:
    """Report each changed path, a directory before what it holds.

    Args:
        upper_fd: the upper directory.
        lower_fd: the layers below as one tree; None when there are none.
        report: gets the kind and the absolute path.
    """
    reported: set[bytes] = set()

    def add(kind: ChangeKind, path: bytes) -> None:
        parent = path.rpartition(b"/")[0]
        # A directory in which something came or went has changed itself.
        if kind is not ChangeKind.MODIFIED and parent and parent not in reported:
            reported.add(parent)
            report(ChangeKind.MODIFIED, parent)
        report(kind, path)

    pending = [b""]
    while pending:
        directory = pending.pop()
        try:
            fd = linux.openat2(upper_fd, directory or b".", _DIRECTORY, 0, INSIDE_NO_LINKS)
        except OSError:
            continue  # gone meanwhile, or too deep to be named
        below = []
        try:
            for leaf, status in iterate_directory(fd):
                path = directory + b"/" + leaf if directory else leaf
                kind = _kind(status, lower_fd, path)
                is_directory = stat.S_ISDIR(status.st_mode)
                if is_directory:
                    below.append(path)
                if kind is not None and b"/" + path not in reported:
                    if is_directory:
                        reported.add(b"/" + path)
                    add(kind, b"/" + path)
        finally:
            os.close(fd)
        pending += reversed(below)


def _kind(status: os.stat_result, lower_fd: int | None, path: bytes) -> ChangeKind | None:
    if is_whiteout(status):
        return ChangeKind.DELETED
    lower = None if lower_fd is None else _lower_status(lower_fd, path)
    if lower is None:
        return ChangeKind.ADDED
    is_same_directory = (
        stat.S_ISDIR(status.st_mode)
        and status.st_mode == lower.st_mode
        and status.st_mtime_ns == lower.st_mtime_ns
        and (status.st_uid, status.st_gid) == (lower.st_uid, lower.st_gid)
    )
    # Copied up only because something below it changed: not changed itself.
    return None if is_same_directory else ChangeKind.MODIFIED


def _lower_status(lower_fd: int, path: bytes) -> os.stat_result | None:
    try:
        fd = linux.openat2(lower_fd, path, _PATH, 0, INSIDE_NO_LINKS)
    except OSError as error:
        if is_missing(error) or error.errno is not None:
            return None
        raise
    try:
        return os.fstat(fd)
    finally:
        os.close(fd)
