"""A directory tree as a tar: for layers out of upper directories, for ``docker cp`` and export.

Entries come in the order of their names' bytes, a directory before what it holds, so the same
tree gives the same tar. Nothing is followed and nothing but regular files and directories is
opened; a file that shrinks or grows meanwhile has the size it had when it was looked at.
"""

import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from cutaway import linux
from cutaway.errors import InvalidParameter
from cutaway.images.layers import tar_header as tar
from cutaway.images.layers import whiteout
from cutaway.images.layers.attributes import is_allowed_xattr, is_whiteout, show
from cutaway.images.layers.file_content import FileContent
from cutaway.images.layers.tar_read import Entry
from cutaway.images.resolve import IN_ROOT, is_missing

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_BLOCK_BYTES = 512  # of st_blocks, whatever the file system's are
_KINDS = {
    stat.S_IFREG: tar.REGULAR,
    stat.S_IFDIR: tar.DIRECTORY,
    stat.S_IFLNK: tar.SYMLINK,
    stat.S_IFCHR: tar.CHARACTER,
    stat.S_IFBLK: tar.BLOCK,
    stat.S_IFIFO: tar.FIFO,
}


class EntryWriter(Protocol):
    """What takes the entries: a tar, or whoever makes or hashes them at once."""

    def add(self, entry: Entry, pieces: Iterable[bytes] = ()) -> None:
        """Take one entry and, of a regular file, its content."""


@dataclass(slots=True)
class TreeTar:
    """Writes parts of one tree into one tar.

    Attributes:
        writer: where entries go.
        is_layer: the tree is an overlay upper directory: its whiteouts become ``.wh.`` files.
        latest_mtime_ns: no entry is newer.
        keeps_holes: sparse files stay sparse (PAX notation 1.0); without, holes are zeros.
        keeps_links: a file's further names are hard links; without, they are files of their own.
        stubs: names of files and directories that are left out where they are empty.
        entries: how many were written.
    """

    writer: EntryWriter
    is_layer: bool = False
    keeps_links: bool = True
    keeps_holes: bool = False
    latest_mtime_ns: int | None = None
    stubs: frozenset[bytes] = frozenset()
    entries: int = 0
    _links: dict[tuple[int, int], bytes] = field(default_factory=dict)

    def add_tree(self, root_fd: int, path: bytes, name: bytes) -> None:
        """Write what is at ``path`` and, if a directory, all below it.

        Args:
            root_fd: the tree's root.
            path: without links on the way; empty for the root itself.
            name: what the tar calls it; entries below are ``name/…``, or plain when empty.

        Raises:
            OSError: EIO; ENAMETOOLONG (deeper than 4095 bytes of path).
            InvalidParameter: a name can't be said in a layer.
        """
        pending = [(path, name)]
        while pending:
            directory, prefix = pending.pop()
            fd = self._open(root_fd, directory)
            if fd is None:
                continue  # gone meanwhile
            try:
                if prefix in self.stubs and not os.listdir(fd):
                    continue
                self._add(fd, b"", prefix, os.fstat(fd))
                below = list(self._add_children(fd, directory, prefix))
            finally:
                os.close(fd)
            pending += reversed(below)

    def add_one(self, parent_fd: int, leaf: bytes, name: bytes) -> None:
        """Write one file that is no directory."""
        self._add(parent_fd, leaf, name, os.stat(leaf, dir_fd=parent_fd, follow_symlinks=False))

    def _open(self, root_fd: int, path: bytes) -> int | None:
        try:
            # Submounts (volumes) belong to the tree; leaving it does not.
            resolve = IN_ROOT | linux.RESOLVE.NO_SYMLINKS
            return linux.openat2(root_fd, path or b".", _DIRECTORY, 0, resolve)
        except OSError as error:
            if is_missing(error):
                return None
            raise

    def _add_children(
        self, fd: int, directory: bytes, prefix: bytes
    ) -> Iterator[tuple[bytes, bytes]]:
        """Write the files of a directory; yield its subdirectories, to be written after.

        A tar that lists files first and subdirectories after is as reproducible as a sorted one,
        and needs one open directory at a time.
        """
        for leaf in sorted(os.fsencode(name) for name in os.listdir(fd)):
            try:
                status = os.stat(leaf, dir_fd=fd, follow_symlinks=False)
            except FileNotFoundError:
                continue
            name = prefix + b"/" + leaf if prefix not in (b"", b"/") else prefix + leaf
            if stat.S_ISDIR(status.st_mode):
                if self.is_layer:
                    _check_name(leaf)
                yield (directory + b"/" + leaf if directory else leaf), name
            elif name not in self.stubs or status.st_size or not stat.S_ISREG(status.st_mode):
                self._add(fd, leaf, name, status)

    def _add(self, parent_fd: int, leaf: bytes, name: bytes, status: os.stat_result) -> None:
        kind = _KINDS.get(stat.S_IFMT(status.st_mode))
        if kind is None:
            return  # a socket: no archive can hold it, Docker leaves it out too
        if self.is_layer and is_whiteout(status):
            self._add_whiteout(name)
            return
        if self.is_layer and leaf:
            _check_name(leaf)
        entry = Entry(
            name=name,
            kind=kind,
            mode=stat.S_IMODE(status.st_mode),
            uid=status.st_uid,
            gid=status.st_gid,
            mtime_ns=status.st_mtime_ns,
        )
        if self.latest_mtime_ns is not None:
            entry.mtime_ns = min(entry.mtime_ns, self.latest_mtime_ns)
        if kind == tar.DIRECTORY:
            self._add_directory(parent_fd, entry)
        elif not self._add_link(entry, status):
            self._add_new(parent_fd, leaf, entry, status)
        self.entries += 1

    def _add_directory(self, fd: int, entry: Entry) -> None:
        entry.xattrs = _xattrs(fd)
        if not entry.name.endswith(b"/"):
            entry.name += b"/" if entry.name else b"./"
        self.writer.add(entry)
        if self.is_layer and _is_opaque(fd):
            self.writer.add(Entry(entry.name + whiteout.OPAQUE_NAME, tar.REGULAR, 0o600))

    def _add_whiteout(self, name: bytes) -> None:
        directory, slash, leaf = name.rpartition(b"/")
        self.writer.add(Entry(directory + slash + whiteout.PREFIX + leaf, tar.REGULAR, 0o600))
        self.entries += 1

    def _add_link(self, entry: Entry, status: os.stat_result) -> bool:
        """Write a further name of a file that the tar has already."""
        if status.st_nlink < 2 or not self.keeps_links:
            return False
        identity = (status.st_dev, status.st_ino)
        first = self._links.setdefault(identity, entry.name)
        if first == entry.name:
            return False
        entry.kind, entry.link = tar.HARD_LINK, first
        self.writer.add(entry)
        return True

    def _add_new(self, parent_fd: int, leaf: bytes, entry: Entry, status: os.stat_result) -> None:
        if entry.kind == tar.SYMLINK:
            entry.link = os.readlink(leaf, dir_fd=parent_fd)
        elif entry.kind in (tar.CHARACTER, tar.BLOCK):
            entry.device_major = os.major(status.st_rdev)
            entry.device_minor = os.minor(status.st_rdev)
        if entry.kind != tar.REGULAR:
            self.writer.add(entry)
            return
        try:
            fd = os.open(leaf, _FILE, dir_fd=parent_fd)
        except FileNotFoundError:
            return
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                return  # exchanged for something else meanwhile
            entry.size = status.st_size
            entry.xattrs = _xattrs(fd)
            self._add_content(entry, FileContent(fd, entry.size), status)
        finally:
            os.close(fd)

    def _add_content(self, entry: Entry, content: FileContent, status: os.stat_result) -> None:
        if not self.keeps_holes or status.st_blocks * _BLOCK_BYTES >= entry.size:
            self.writer.add(entry, content)
            return
        entry.sparse = content.segments()
        entry.stored_size = sum(length for _, length in entry.sparse)
        self.writer.add(entry, content.stored(entry.sparse))


def _check_name(leaf: bytes) -> None:
    if leaf.startswith(whiteout.PREFIX):
        raise InvalidParameter(
            f"a file called {show(leaf)} can't be in an image: names that start with .wh. "
            "mean deletions there; rename it"
        )


def _xattrs(fd: int) -> dict[bytes, bytes]:
    """Return the attributes that an archive keeps: the same that one may bring."""
    kept = {}
    try:
        names = os.listxattr(fd)
    except OSError:
        return {}
    for name in map(os.fsencode, names):
        if is_allowed_xattr(name):
            try:
                kept[name] = os.getxattr(fd, name)
            except OSError:
                continue  # removed meanwhile
    return kept


def _is_opaque(fd: int) -> bool:
    try:
        return os.getxattr(fd, whiteout.OPAQUE_XATTR) == b"y"
    except OSError:
        return False
