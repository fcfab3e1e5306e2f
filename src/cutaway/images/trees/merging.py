"""Several layers made one: what the topmost says of each path, deletions included.

The layers are read from the top down, twice each: a first time for names, since a hard link may be
all that is left of a file whose first name a higher layer has taken. Memory is bounded by the
number of paths, not by their content.
"""

import os
from collections.abc import Callable, Sequence

from cutaway.images.layers import tar_header as tar
from cutaway.images.layers import whiteout
from cutaway.images.layers.compression import DecompressedStream
from cutaway.images.layers.errors import BadLayer
from cutaway.images.layers.tar_read import Entry, TarReader
from cutaway.images.layers.tar_write import TarWriter
from cutaway.images.resolve import split_path


class Merger:
    """Decides for each entry of each layer, topmost layer first, whether it shows.

    Args:
        writer: gets what shows.
        keeps_whiteouts: see ``squash_layers``.
    """

    def __init__(self, writer: TarWriter, *, keeps_whiteouts: bool) -> None:
        self._writer = writer
        self._keeps_whiteouts = keeps_whiteouts
        self._kinds: dict[bytes, bytes] = {}
        self._hidden: set[bytes] = set()
        self._opaque: set[bytes] = set()

    def add_layer(self, open_layer: Callable[[], TarReader]) -> None:
        """Take the next lower layer."""
        heirs = self._find_heirs(open_layer())
        hidden: set[bytes] = set()
        opaque: set[bytes] = set()
        reader = open_layer()
        for entry in reader:
            path = _path(entry.name)
            directory, _, leaf = path.rpartition(b"/")
            if leaf == whiteout.OPAQUE_NAME:
                opaque.add(directory)
            elif leaf.startswith(whiteout.PREFIX):
                gone = whiteout.parse_whiteout(leaf)
                if gone is not None:
                    hidden.add(directory + b"/" + gone if directory else gone)
            else:
                self._take(entry, path, reader, heirs)
        reader.drain()
        self._hide(hidden, opaque)

    def _find_heirs(self, reader: TarReader) -> dict[bytes, bytes]:
        """Return, for each file that does not show, the first of its links that does."""
        heirs: dict[bytes, bytes] = {}
        for entry in reader:
            if entry.kind == tar.HARD_LINK:
                target, path = _path(entry.link), _path(entry.name)
                if not self._shows(target) and self._shows(path):
                    heirs.setdefault(target, path)
        reader.drain()
        return heirs

    def _shows(self, path: bytes) -> bool:
        if path in self._kinds:
            return False
        parts = path.split(b"/")
        for count in range(1, len(parts)):
            above = b"/".join(parts[:count])
            if above in self._hidden or above in self._opaque:
                return False
            if self._kinds.get(above, tar.DIRECTORY) != tar.DIRECTORY:
                return False
        return path not in self._hidden and b"" not in self._opaque

    def _take(
        self, entry: Entry, path: bytes, reader: TarReader, heirs: dict[bytes, bytes]
    ) -> None:
        if entry.kind == tar.HARD_LINK:
            target = _path(entry.link)
            if heirs.get(target) == path or not self._shows(path):
                return  # written with the content already, or replaced above
            entry.link = heirs.get(target, target)
        elif entry.kind == tar.REGULAR and path in heirs:
            path = heirs[path]
            entry.name = path
        elif not self._shows(path) and path:
            return
        if path in self._kinds:
            return
        self._kinds[path] = entry.kind
        if entry.sparse is not None:
            raise BadLayer("a layer with sparse entries can't be squashed")
        pieces = reader.pieces() if entry.kind == tar.REGULAR else ()
        self._writer.add(entry, pieces)

    def _hide(self, hidden: set[bytes], opaque: set[bytes]) -> None:
        """Apply a layer's deletions to what is below it, and tell them where they still count."""
        for path in sorted(hidden):
            if self._keeps_whiteouts and path not in self._hidden:
                self._tell_deleted(path)
        for path in sorted(opaque):
            if self._keeps_whiteouts and path not in self._opaque:
                self._tell_opaque(path)
        self._hidden |= hidden
        self._opaque |= opaque | {p for p in hidden if self._kinds.get(p) == tar.DIRECTORY}

    def _tell_deleted(self, path: bytes) -> None:
        kind = self._kinds.get(path)
        if kind == tar.DIRECTORY:
            self._tell_opaque(path)
        elif kind is None and self._shows(path):
            directory, slash, leaf = path.rpartition(b"/")
            name = directory + slash + whiteout.PREFIX + leaf
            self._writer.add(Entry(name, tar.REGULAR, 0o600))

    def _tell_opaque(self, path: bytes) -> None:
        name = path + b"/" + whiteout.OPAQUE_NAME if path else whiteout.OPAQUE_NAME
        self._writer.add(Entry(name, tar.REGULAR, 0o600))


def _path(name: bytes) -> bytes:
    components = split_path(name)
    if components is None:
        raise BadLayer("a layer's entry leaves the root directory: refused")
    return b"/".join(components)


def merge(fds: Sequence[int], write: Callable[[bytes | memoryview], None], *, keeps: bool) -> None:
    """Merge the layers of open blobs, lowest first, into one tar; runs in the sealed worker."""
    writer = TarWriter(write)
    merger = Merger(writer, keeps_whiteouts=keeps)
    for fd in reversed(fds):
        merger.add_layer(lambda fd=fd: _open(fd))  # type: ignore[misc]
    writer.close()


def _open(fd: int) -> TarReader:
    os.lseek(fd, 0, os.SEEK_SET)
    return TarReader(DecompressedStream(lambda size: os.read(fd, size)).read_chunk)
