"""What an archive holds: every file in the content store, every name in memory.

Links are kept as names and followed in memory, a few times at most: old Dockers wrote the same
layer as a link to another's ``layer.tar``.
"""

import contextlib
import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

from cutaway.errors import InvalidParameter
from cutaway.images.content import MAX_DOCUMENT_BYTES, ContentStore
from cutaway.images.layer_blob import LayerBlobWriter
from cutaway.images.layers import tar_header as tar
from cutaway.images.layers.compression import DecompressedStream, find_format
from cutaway.images.layers.tar_read import Entry, Limits, TarReader
from cutaway.images.resolve import split_path
from cutaway.oci import Descriptor, Digest, MediaType

_LIMITS = Limits(entries=200_000)
_MAX_LINKS = 10
_HEAD_BYTES = 6
_DOCUMENTS = frozenset({"manifest.json", "index.json", "oci-layout", "repositories"})
_IGNORED = ("/VERSION", "/json")  # of each layer, in archives of Docker before 1.10
_LAYER_TYPES = {
    "none": MediaType.OCI_LAYER,
    "gzip": MediaType.OCI_LAYER_GZIP,
    "zstd": MediaType.OCI_LAYER_ZSTD,
}

OnBlob: TypeAlias = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Blob:
    """One file of the archive, now in the content store.

    Attributes:
        descriptor: its media type is right if it is a layer.
        diff_id: when it was compressed here, so that the tar's own digest is known.
    """

    descriptor: Descriptor
    diff_id: Digest | None = None


@dataclass(slots=True)
class Members:
    """The files of an archive by name.

    Attributes:
        blobs: those in the content store.
        documents: the few that say what the rest is.
    """

    blobs: dict[str, Blob] = field(default_factory=dict)
    documents: dict[str, bytes] = field(default_factory=dict)
    _links: dict[str, str] = field(default_factory=dict)

    def find(self, name: str) -> Blob:
        """Return the file called ``name``, following links.

        Raises:
            InvalidParameter: there is none.
        """
        path = normalize(name)
        for _ in range(_MAX_LINKS):
            if path in self.blobs:
                return self.blobs[path]
            if path not in self._links:
                break
            path = self._links[path]
        raise InvalidParameter(f"invalid archive: {name!r} is named in it, but not there")


def normalize(name: str) -> str:
    """Return a name without ``.`` and ``..``, which may not climb out.

    Raises:
        InvalidParameter: it does.
    """
    components = split_path(name.encode(errors="surrogateescape"))
    if components is None:
        raise InvalidParameter(f"invalid archive: {name!r} leaves the archive")
    return b"/".join(components).decode(errors="surrogateescape")


def read_members(
    content: ContentStore,
    read: Callable[[int], bytes],
    *,
    on_blob: OnBlob | None = None,
) -> Members:
    """Take an archive in, compressed or not, in one pass.

    Args:
        content: hold a lease.
        read: the stream.
        on_blob: called with name, bytes read, and size of each large file as it grows.

    Raises:
        BadLayer, InvalidParameter: it is no tar, damaged, or a blob is not what its name says.
        System: the disk is full.
    """
    reader = TarReader(DecompressedStream(read).read_chunk, _LIMITS)
    members = Members()
    for entry in reader:
        name = normalize(entry.name.decode(errors="surrogateescape"))
        match entry.kind:
            case tar.REGULAR if name in _DOCUMENTS:
                members.documents[name] = _read_document(reader, entry, name)
            case tar.REGULAR if not name.endswith(_IGNORED):
                members.blobs[name] = _ingest(content, reader, entry, name=name, on_blob=on_blob)
            case tar.SYMLINK:
                target = entry.link.decode(errors="surrogateescape")
                base = "" if target.startswith("/") else name.rpartition("/")[0]
                members._links[name] = normalize(f"{base}/{target}")
            case tar.HARD_LINK:
                members._links[name] = normalize(entry.link.decode(errors="surrogateescape"))
    reader.drain()
    return members


def _read_document(reader: TarReader, entry: Entry, name: str) -> bytes:
    if entry.size > MAX_DOCUMENT_BYTES or entry.sparse is not None:
        raise InvalidParameter(f"invalid archive: {name} has {entry.size} bytes: too long")
    return b"".join(bytes(piece) for piece in reader.pieces())


def _ingest(
    content: ContentStore, reader: TarReader, entry: Entry, *, name: str, on_blob: OnBlob | None
) -> Blob:
    if entry.sparse is not None:
        raise InvalidParameter(f"invalid archive: {name} is sparse")
    pieces = reader.pieces()
    head = _head(pieces)
    layer_format = find_format(head)
    whole: Iterable[bytes | memoryview] = itertools.chain((head,), pieces)
    counted = _counted(whole, entry.size, name, on_blob)
    expected = _expected(name, entry.size)
    if expected is None and layer_format == "none" and name.endswith(".tar"):
        with LayerBlobWriter(content) as layer:
            for piece in counted:
                layer.write(piece)
            return Blob(*layer.commit())
    alone = content.exclusive(expected.digest) if expected else contextlib.nullcontext()
    with alone, content.ingest(expected) as ingest:
        if ingest.offset:
            ingest.restart()
        for piece in counted:
            ingest.write(piece)
        digest, size = ingest.commit()
    media_type = _LAYER_TYPES.get(layer_format, MediaType.OCI_LAYER)
    return Blob(Descriptor(media_type, digest, size))


def _head(pieces: Iterator[memoryview]) -> bytes:
    """Take the first bytes, enough to see how a file is compressed."""
    head = b""
    while len(head) < _HEAD_BYTES and (piece := next(pieces, None)) is not None:
        head += bytes(piece)
    return head


def _counted(
    pieces: Iterable[bytes | memoryview], size: int, name: str, on_blob: OnBlob | None
) -> Iterator[bytes | memoryview]:
    done = 0
    for piece in pieces:
        done += len(piece)
        yield piece
        if on_blob is not None:
            on_blob(name, done, size)


def _expected(name: str, size: int) -> Descriptor | None:
    """Return what a file below ``blobs/`` must be: its name is its digest."""
    directory, _, encoded = name.rpartition("/")
    if not directory.startswith("blobs/"):
        return None
    digest = Digest.parse(f"{directory.removeprefix('blobs/')}:{encoded}")
    return Descriptor("application/octet-stream", digest, size)
