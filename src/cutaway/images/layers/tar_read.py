"""Read a layer's tar as a stream of entries: bounded in everything, and never seeking back.

Limits come first: a tar header can claim any size, so nothing here is allocated because a header
said so. Data is handed out as views of the chunks that the decompressor made; only headers, PAX
records and sparse maps are gathered, each under its limit.

Reading order: ``tar_header.py``, ``pax.py``, then ``TarReader.__iter__``.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from cutaway.images.layers import pax
from cutaway.images.layers import tar_header as tar
from cutaway.images.layers.errors import BadLayer
from cutaway.images.layers.sparse import (
    Segment,
    SparseMap,
    check_map,
    parse_gnu_entries,
    parse_pax_map_0,
    parse_pax_map_1,
)
from cutaway.images.layers.tar_header import BLOCK_SIZE, RawHeader

MAX_ID = (1 << 32) - 2  # (uid_t)-1 means "don't change" to chown(2)


@dataclass(frozen=True, slots=True)
class Limits:
    """How much of anything one layer may have.

    Attributes:
        entries: headers of every kind, extended ones too.
        path_bytes: PATH_MAX less its NUL.
        header_bytes: one PAX or GNU long-name entry.
        sparse_segments: pieces of data in one sparse file.
    """

    entries: int = 10_000_000
    path_bytes: int = 4095
    header_bytes: int = 1 << 20
    sparse_segments: int = 100_000


@dataclass(slots=True)
class Entry:
    """One member of a tar, all dialects resolved.

    Attributes:
        name: as written, neither cleaned nor trusted.
        kind: one of the constants of ``tar_header``: REGULAR, HARD_LINK, SYMLINK, CHARACTER,
            BLOCK, DIRECTORY, FIFO; others are handed on as they are.
        size: of the file as its reader will see it.
        stored_size: bytes of data that follow in the tar; less than ``size`` when sparse.
        link: target of a hard link (a name in this tar) or a symlink (any text).
        xattrs: every ``SCHILY.xattr.`` record, unfiltered.
        sparse: where the stored bytes belong, or None for all from 0 on.
    """

    name: bytes
    kind: bytes
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    size: int = 0
    stored_size: int = 0
    mtime_ns: int = 0
    link: bytes = b""
    device_major: int = 0
    device_minor: int = 0
    xattrs: dict[bytes, bytes] = field(default_factory=dict)
    sparse: tuple[Segment, ...] | None = None


class TarReader:
    """Iterates over the entries of a tar; read an entry's data before asking for the next.

    Args:
        read_chunk: returns the next bytes of the uncompressed stream, ``b""`` at its end.
        limits: what is refused as too much.

    Raises (when iterating or reading):
        BadLayer: damaged, cut short, or over a limit.
    """

    def __init__(self, read_chunk: Callable[[], bytes], limits: Limits | None = None) -> None:
        self._read_chunk = read_chunk
        self._limits = limits or Limits()
        self._chunk = b""
        self._position = 0
        self._left = 0
        self._padding = 0
        self.entries = 0

    def __iter__(self) -> Iterator[Entry]:
        """Yield entries up to the end-of-archive mark or the clean end of the stream."""
        records: dict[bytes, bytes] = {}
        long_name = long_link = None
        while (header := self._next_header()) is not None:
            self._left = 0 if header.typeflag in tar.WITHOUT_DATA else header.size
            self._padding = -self._left % BLOCK_SIZE
            match header.typeflag:
                case tar.PAX_NEXT:
                    records = pax.parse_records(self._extended_header("PAX header"))
                case tar.PAX_GLOBAL:
                    continue  # Go and Docker read past it too: it does not describe layer files
                case tar.GNU_LONG_NAME:
                    long_name = self._extended_header("GNU long name").split(b"\0", 1)[0]
                case tar.GNU_LONG_LINK:
                    long_link = self._extended_header("GNU long link").split(b"\0", 1)[0]
                case _:
                    if long_name is not None:
                        header.name = long_name
                    if long_link is not None:
                        header.linkname = long_link
                    yield self._entry(header, records)
                    records, long_name, long_link = {}, None, None
        if records or long_name is not None or long_link is not None:
            raise BadLayer("layer is damaged: it ends after an extended header")

    def pieces(self) -> Iterator[memoryview]:
        """Yield the current entry's stored bytes, in views that die with the next call."""
        while self._left:
            piece = self._some(self._left)
            self._left -= len(piece)
            yield piece

    def drain(self) -> None:
        """Read on to the end of the stream, so that its digest covers every byte."""
        self._chunk = b""
        self._position = 0
        while self._read_chunk():
            pass

    def _next_header(self) -> RawHeader | None:
        self._skip_rest()
        block = self._exactly(BLOCK_SIZE, may_end=True)
        if not block:
            return None
        if block == tar.ZERO_BLOCK:
            second = self._exactly(BLOCK_SIZE, may_end=True)
            if second and second != tar.ZERO_BLOCK:
                raise BadLayer("layer is damaged: a single zero block stands between two entries")
            return None
        self.entries += 1
        if self.entries > self._limits.entries:
            raise BadLayer(f"layer has more than {self._limits.entries} entries: refused")
        return tar.parse_header(block)

    def _entry(self, header: RawHeader, records: dict[bytes, bytes]) -> Entry:
        entry = Entry(
            name=header.name,
            kind=header.typeflag,
            mode=header.mode,
            uid=header.uid,
            gid=header.gid,
            size=header.size,
            mtime_ns=header.mtime_s * 1_000_000_000,
            link=header.linkname,
            device_major=header.device_major,
            device_minor=header.device_minor,
        )
        if records:
            _merge(entry, records)
        if entry.kind == b"\0":
            entry.kind = tar.DIRECTORY if entry.name.endswith(b"/") else tar.REGULAR
        elif entry.kind == tar.CONTIGUOUS:
            entry.kind = tar.REGULAR
        self._check(entry)
        if entry.kind in tar.WITHOUT_DATA:
            entry.size = 0
        self._left = entry.stored_size = entry.size
        self._padding = -entry.size % BLOCK_SIZE
        self._resolve_sparse(entry, header, records)
        return entry

    def _check(self, entry: Entry) -> None:
        limit = self._limits.path_bytes
        for what, path in (("path", entry.name), ("link target", entry.link)):
            if len(path) > limit:
                raise BadLayer(f"layer has a {what} of {len(path)} bytes, more than {limit}")
            if b"\0" in path:
                raise BadLayer(f"layer is damaged: a {what} has a NUL byte in it")
        if entry.uid > MAX_ID or entry.gid > MAX_ID:
            raise BadLayer(
                f"layer's {_show(entry.name)} belongs to {entry.uid}:{entry.gid}: "
                f"the kernel knows ids up to {MAX_ID}"
            )
        if not -(1 << 62) < entry.mtime_ns // 1_000_000_000 < 1 << 62:
            raise BadLayer(f"layer's {_show(entry.name)} has a time out of range")

    def _resolve_sparse(self, entry: Entry, header: RawHeader, records: dict[bytes, bytes]) -> None:
        sparse = self._sparse_map(header, records)
        if sparse is None:
            return
        if entry.kind not in (tar.REGULAR, tar.GNU_SPARSE):
            raise BadLayer(f"layer is damaged: {_show(entry.name)} is sparse but not a file")
        if sparse.name:
            entry.name = sparse.name
            self._check(entry)
        entry.kind = tar.REGULAR
        check_map(sparse, stored_size=self._left)
        entry.size = sparse.real_size
        entry.stored_size = self._left
        entry.sparse = tuple(sparse.segments)

    def _sparse_map(self, header: RawHeader, records: dict[bytes, bytes]) -> SparseMap | None:
        limit = self._limits.sparse_segments
        if header.typeflag == tar.GNU_SPARSE:
            sparse, has_more = parse_gnu_entries(header.block)
            while has_more:
                more, has_more = parse_gnu_entries(self._exactly(BLOCK_SIZE), is_extension=True)
                sparse.segments += more.segments
                if len(sparse.segments) > limit:
                    raise BadLayer(f"layer has a sparse file of more than {limit} pieces")
            return sparse
        if records.get(b"GNU.sparse.major") == b"1" and records.get(b"GNU.sparse.minor") == b"0":
            return parse_pax_map_1(records, self._data_block, limit=limit)
        return parse_pax_map_0(records, limit=limit)

    def _data_block(self) -> bytes:
        """Take one block of the current entry's own data (PAX 1.0 keeps its map there)."""
        if self._left < BLOCK_SIZE:
            raise BadLayer("layer is damaged: a sparse map is longer than its file")
        self._left -= BLOCK_SIZE
        return self._exactly(BLOCK_SIZE)

    def _extended_header(self, what: str) -> bytes:
        if self._left > self._limits.header_bytes:
            raise BadLayer(
                f"layer has a {what} of {self._left} bytes, more than {self._limits.header_bytes}"
            )
        data = self._exactly(self._left)
        self._left = 0
        return data

    def _skip_rest(self) -> None:
        while self._left:
            self._left -= len(self._some(self._left))
        # Docker's client leaves out the padding of a context's last entry; Go doesn't miss it.
        while self._padding and self._has_more():
            self._padding -= len(self._some(self._padding))
        self._padding = 0

    def _some(self, limit: int) -> memoryview:
        """Return at least one and at most ``limit`` bytes of what comes next."""
        if not self._has_more():
            raise BadLayer("layer is cut short: the tar ends in the middle of an entry")
        piece = memoryview(self._chunk)[self._position : self._position + limit]
        self._position += len(piece)
        return piece

    def _has_more(self) -> bool:
        if self._position == len(self._chunk):
            self._chunk, self._position = self._read_chunk(), 0
        return bool(self._chunk)

    def _exactly(self, size: int, *, may_end: bool = False) -> bytes:
        """Gather ``size`` bytes; with ``may_end``, ``b""`` if the stream ends before the first."""
        end = self._position + size
        if end <= len(self._chunk):
            data = self._chunk[self._position : end]
            self._position = end
            return data
        if may_end and not self._has_more():
            return b""
        gathered = bytearray()
        while len(gathered) < size:
            gathered += self._some(size - len(gathered))
        return bytes(gathered)


def _merge(entry: Entry, records: dict[bytes, bytes]) -> None:
    """Let PAX records override the header; an empty value leaves the header's, as Go does."""
    for key, value in records.items():
        if key.startswith(pax.XATTR_PREFIX):
            entry.xattrs[key[len(pax.XATTR_PREFIX) :]] = value
        elif not value:
            continue
        elif key == b"path":
            entry.name = value
        elif key == b"linkpath":
            entry.link = value
        elif key == b"size":
            entry.size = pax.parse_integer(value, "size")
        elif key == b"uid":
            entry.uid = pax.parse_integer(value, "uid")
        elif key == b"gid":
            entry.gid = pax.parse_integer(value, "gid")
        elif key == b"mtime":
            entry.mtime_ns = pax.parse_time_ns(value)


def _show(name: bytes) -> str:
    return ascii(name[:200].decode("utf-8", "replace"))
