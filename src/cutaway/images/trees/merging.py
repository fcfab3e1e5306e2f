"""Several layers made one: what the topmost says of each path, deletions included.

The layers are read from the top down, twice each. The first reading gathers names only, since

- a later entry of a path replaces an earlier one of the same layer;
- a hard link may be all that shows of a file whose first name a higher layer has taken: the
  content must then be written under the link's name.

Memory is bounded by the number of paths, never by their content. Four tables say what is known of
the layers above the one being read: ``_kinds`` (paths that are written), ``_implied`` (directories
that written paths need), ``_hidden`` (deleted) and ``_opaque`` (directories of which nothing below
shows).
"""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from cutaway.images.layers import tar_header as tar
from cutaway.images.layers import whiteout
from cutaway.images.layers.attributes import show
from cutaway.images.layers.compression import DecompressedStream
from cutaway.images.layers.errors import BadLayer
from cutaway.images.layers.tar_read import Entry, TarReader
from cutaway.images.layers.tar_write import TarWriter
from cutaway.images.resolve import split_path


@dataclass(slots=True)
class _Names:
    """What the first reading of a layer finds.

    Attributes:
        last: position of the entry that counts, by path.
        kinds: its kind.
        targets: the file that a hard link is a name of; never another hard link.
        linked: files that have hard links.
        heirs: the name under which a file is written whose own name does not show.
    """

    last: dict[bytes, int] = field(default_factory=dict)
    kinds: dict[bytes, bytes] = field(default_factory=dict)
    targets: dict[bytes, bytes] = field(default_factory=dict)
    linked: set[bytes] = field(default_factory=set)
    heirs: dict[bytes, bytes] = field(default_factory=dict)


class Merger:
    """Decides for each entry of each layer, topmost layer first, whether it shows.

    Args:
        writer: gets what shows.
        keeps_whiteouts: something is below the layers, so deletions must stay told.
    """

    def __init__(self, writer: TarWriter, *, keeps_whiteouts: bool) -> None:
        self._writer = writer
        self._keeps_whiteouts = keeps_whiteouts
        self._kinds: dict[bytes, bytes] = {}
        self._implied: set[bytes] = set()
        self._hidden: set[bytes] = set()
        self._opaque: set[bytes] = set()

    def add_layer(self, open_layer: Callable[[], TarReader]) -> None:
        """Take the next lower layer.

        Args:
            open_layer: starts reading it from its beginning; called twice.

        Raises:
            BadLayer: hostile, damaged, or of a kind that one tar can't say.
        """
        names = self._read_names(open_layer())
        shown = {path for path, kind in names.kinds.items() if self._shows(path, kind)}
        for link, target in names.targets.items():
            if link in shown and target not in shown:
                names.heirs.setdefault(target, link)
        reader = open_layer()
        for position, entry in enumerate(reader):
            path = _path(entry.name)
            if names.last.get(path) == position:
                self._write(entry, path, names, reader, shown=shown)
        reader.drain()
        self._close_layer(names, shown)

    def _read_names(self, reader: TarReader) -> _Names:
        names = _Names()
        hidden: set[bytes] = set()
        opaque: set[bytes] = set()
        for position, entry in enumerate(reader):
            path = _path(entry.name)
            directory, _, leaf = path.rpartition(b"/")
            if leaf == whiteout.OPAQUE_NAME:
                opaque.add(directory)
            elif leaf.startswith(whiteout.PREFIX):
                gone = whiteout.parse_whiteout(leaf)
                if gone is not None:
                    hidden.add(directory + b"/" + gone if directory else gone)
            else:
                self._note(entry, path, position, names)
        reader.drain()
        self._layer_hidden, self._layer_opaque = hidden, opaque
        return names

    def _note(self, entry: Entry, path: bytes, position: int, names: _Names) -> None:
        for above in _parents(path):
            if names.kinds.get(above, tar.DIRECTORY) != tar.DIRECTORY:
                # Unpacked, it would go through a link of this layer, or fail.
                raise BadLayer(
                    f"layer entry {show(entry.name)} is below no directory: can't squash"
                )
        if entry.sparse is not None:
            raise BadLayer(f"layer entry {show(entry.name)} is sparse: can't be squashed")
        was = names.kinds.get(path)
        if was is not None and (was == tar.DIRECTORY) != (entry.kind == tar.DIRECTORY):
            raise BadLayer(f"layer has {show(path)} as a directory and as something else")
        if was is not None and (path in names.linked or path in names.targets):
            raise BadLayer(f"layer replaces the hard-linked {show(path)}: can't be squashed")
        if entry.kind == tar.HARD_LINK:
            target = _path(entry.link)
            target = names.targets.get(target, target)
            if names.kinds.get(target, tar.DIRECTORY) == tar.DIRECTORY:
                raise BadLayer(f"layer's hard link {show(path)} leads to no file of the layer")
            names.targets[path] = target
            names.linked.add(target)
        names.last[path] = position
        names.kinds[path] = entry.kind

    def _shows(self, path: bytes, kind: bytes) -> bool:
        """Whether the layers above leave a path of this layer to be seen."""
        if kind != tar.DIRECTORY and path in self._implied:
            return False  # a directory above stands where this was
        if path in self._kinds or path in self._hidden or (path and b"" in self._opaque):
            return False
        for above in _parents(path):
            if above in self._hidden or above in self._opaque:
                return False
            if self._kinds.get(above, tar.DIRECTORY) != tar.DIRECTORY:
                return False
        return True

    def _write(
        self, entry: Entry, path: bytes, names: _Names, reader: TarReader, *, shown: set[bytes]
    ) -> None:
        if entry.kind == tar.HARD_LINK:
            target = names.targets[path]
            heir = names.heirs.get(target)
            if path not in shown or heir == path:
                return  # replaced above, or written with the content already
            entry.link = heir or target
        elif path not in shown:
            if path not in names.heirs:
                return
            path = entry.name = names.heirs[path]
        self._kinds[path] = entry.kind
        self._implied.update(_parents(path))
        self._writer.add(entry, reader.pieces() if entry.kind == tar.REGULAR else ())

    def _close_layer(self, names: _Names, shown: set[bytes]) -> None:
        """Let this layer's deletions count for what is below it, and tell them if need be."""
        replaced = {
            path
            for path, kind in names.kinds.items()
            if kind != tar.DIRECTORY and self._is_directory(path) and self._reaches_below(path)
        }
        deleted = {path for path in self._layer_hidden if self._reaches_below(path)}
        emptied = {path for path in self._layer_opaque if self._reaches_below(path)}
        emptied |= replaced | {path for path in deleted if self._is_directory(path)}
        if self._keeps_whiteouts:
            for path in sorted(deleted - emptied):
                if path not in self._kinds:
                    self._tell(path.rpartition(b"/")[0], whiteout.PREFIX + path.rpartition(b"/")[2])
            for path in sorted(emptied):
                self._tell(path, whiteout.OPAQUE_NAME)
        self._hidden |= deleted - emptied
        self._opaque |= emptied

    def _is_directory(self, path: bytes) -> bool:
        return path in self._implied or self._kinds.get(path) == tar.DIRECTORY

    def _reaches_below(self, path: bytes) -> bool:
        """Whether what a layer says of a path is news for the layers below it."""
        if path in self._hidden or path in self._opaque:
            return False
        kind = self._kinds.get(path, tar.DIRECTORY)
        above = [p for p in (b"", *_parents(path)) if p != path]
        return (
            (kind == tar.DIRECTORY or path in self._implied)
            and not any(p in self._hidden or p in self._opaque for p in above)
            and all(self._kinds.get(p, tar.DIRECTORY) == tar.DIRECTORY for p in above)
        )

    def _tell(self, directory: bytes, leaf: bytes) -> None:
        name = directory + b"/" + leaf if directory else leaf
        self._implied.update(_parents(name))
        self._writer.add(Entry(name, tar.REGULAR, 0o600))


def _parents(path: bytes) -> Iterator[bytes]:
    """Yield the directories above a path, without the root."""
    at = path.find(b"/")
    while at >= 0:
        yield path[:at]
        at = path.find(b"/", at + 1)


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
