"""Large files of a copy become further names of what is copied from, and are not written again.

That is right where nobody ever writes to either: the origin is a build's own (its context, what it
fetched), the destination becomes a layer. Only a file that the copy leaves as it is (owner, mode
and time), and that has one name so far, is linked: in a layer's archive two names would be one
file. The worker can't link, since it sees the two trees as two mounts; it makes the place, puts a
mark there and tells its parent, who sees both on one file system. Where a later source has put
something else in the place, the mark is gone, and nothing is linked.
"""

import errno
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass

from cutaway import linux
from cutaway.images.layers.file_content import FileContent
from cutaway.images.resolve import INSIDE_NO_LINKS, is_missing
from cutaway.images.trees.paths import resolve_links

_SMALLEST_BYTES = 1 << 18  # below, copying costs no more than linking
_MARK_BYTES = 16
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

Tell = Callable[[bytes, bytes, bytes], None]
"""Told the origin's path, the place's (without links, relative to their roots) and the mark."""


@dataclass(frozen=True, slots=True)
class SharedFiles:
    """Where a copy may link.

    Attributes:
        origin: directory of the files copied from, on the destination's file system.
        destination: directory of the files that the copy makes.
    """

    origin: str
    destination: str

    def link(self, origin_path: bytes, path: bytes, mark: bytes) -> None:
        """Put a file of the origin into its place, unless that has something else by now.

        Preconditions: the worker has ended, and with it its mount of the destination.
        """
        try:
            to_fd, place = _open_parent(self.destination, path)
        except OSError as error:
            if is_missing(error) or error.errno == errno.ELOOP:
                return  # a directory on the way was replaced
            raise
        try:
            if _holds(to_fd, place, mark):
                self._replace(to_fd, place, origin_path)
        finally:
            os.close(to_fd)

    def _replace(self, to_fd: int, place: bytes, origin_path: bytes) -> None:
        from_fd, leaf = _open_parent(self.origin, origin_path)
        try:
            times = os.fstat(to_fd)
            os.unlink(place, dir_fd=to_fd)
            os.link(leaf, place, src_dir_fd=from_fd, dst_dir_fd=to_fd, follow_symlinks=False)
            os.utime(to_fd, ns=(times.st_atime_ns, times.st_mtime_ns))
        finally:
            os.close(from_fd)


def _holds(directory_fd: int, leaf: bytes, mark: bytes) -> bool:
    try:
        status = os.stat(leaf, dir_fd=directory_fd, follow_symlinks=False)
    except FileNotFoundError:
        return False
    if not stat.S_ISREG(status.st_mode) or status.st_size != len(mark):
        return False  # not opened: it may be a device
    fd = os.open(leaf, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory_fd)
    try:
        return os.read(fd, len(mark)) == mark
    finally:
        os.close(fd)


def _open_parent(root: str, path: bytes) -> tuple[int, bytes]:
    directory, _, leaf = path.rpartition(b"/")
    root_fd = os.open(root, _DIRECTORY)
    try:
        return linux.openat2(root_fd, directory or b".", _DIRECTORY, 0, INSIDE_NO_LINKS), leaf
    finally:
        os.close(root_fd)


class LinkOffers:
    """The worker's side: says which files of a source are to be linked, each once.

    Args:
        root_fd: of the destination.
        tell: takes what is to be linked.
    """

    def __init__(self, root_fd: int, tell: Tell) -> None:
        self._root_fd = root_fd
        self._tell = tell
        self._offered: set[int] = set()
        self._prefix = self._origin_path = b""

    def begin(self, prefix: bytes, origin_path: bytes) -> None:
        """Take the next source: its entries' names start with ``prefix`` for ``origin_path``."""
        self._prefix, self._origin_path = prefix, origin_path.strip(b"/")

    def offer(self, name: bytes, content: FileContent) -> bytes:
        """Tell of a file that is made under ``name``; return its mark, or nothing: copy it."""
        status = content.status()
        is_fit = status.st_nlink == 1 and status.st_size >= _SMALLEST_BYTES
        if not is_fit or status.st_ino in self._offered:
            return b""
        self._offered.add(status.st_ino)
        below = name.removeprefix(self._prefix).strip(b"/")
        origin_path = b"/".join(filter(None, (self._origin_path, below)))
        directory, _, leaf = name.rpartition(b"/")
        place = resolve_links(self._root_fd, b"/" + directory) + b"/" + leaf
        mark = os.urandom(_MARK_BYTES).hex().encode()
        self._tell(origin_path, place.lstrip(b"/"), mark)
        return mark
