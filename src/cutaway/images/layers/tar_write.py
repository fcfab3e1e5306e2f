"""Write tars that every reader understands and that are the same for the same content.

USTAR where it suffices, one PAX header before an entry where it does not: names over 100 bytes or
not ASCII, numbers over the field, fractions of a second, attributes. No access or change times,
no user names, no padding to a record size: nothing that differs between two runs.

Source: POSIX pax "ustar Interchange Format".
"""

from collections.abc import Callable, Iterable
from itertools import chain
from typing import Any

from cutaway.images.layers import pax
from cutaway.images.layers import tar_header as tar
from cutaway.images.layers.sparse import format_pax_map_1
from cutaway.images.layers.tar_read import Entry

_NAME_BYTES = 100
_BLOCK = tar.BLOCK_SIZE
_MAX_7_DIGITS = 0o7777777
_MAX_11_DIGITS = 0o77777777777
_GATHER_BYTES = 256 * 1024


class TarWriter:
    """Writes entries one after the other; ``close`` writes the end mark.

    Args:
        write: takes bytes-like objects, all of each; small ones are gathered first.
    """

    def __init__(self, write: Callable[[bytes | memoryview], Any]) -> None:
        self._write = write
        self._gathered = bytearray()

    def add(self, entry: Entry, pieces: Iterable[bytes | memoryview] = ()) -> None:
        """Write one entry with its data.

        Args:
            entry: a sparse one is written in PAX notation 1.0.
            pieces: for a regular file, ``entry.size`` bytes together; of a sparse one those of its
                segments.

        Raises:
            ValueError: the pieces are more or less than that; the tar is then broken.
        """
        head = b"" if entry.sparse is None else format_pax_map_1(entry.sparse, entry.size)
        size = 0
        if entry.kind == tar.REGULAR:
            size = entry.size if entry.sparse is None else len(head) + entry.stored_size
        records = _pax_records(entry, size)
        if records:
            data = pax.format_records(records)
            self._put(_header(Entry(b"PaxHeaders/x", tar.PAX_NEXT, 0o644), len(data)))
            self._put(data + bytes(-len(data) % _BLOCK))
        self._put(_header(entry, size))
        written = 0
        for piece in chain((head,), pieces):
            written += len(piece)
            self._put(piece)
        if written != size:
            raise ValueError(f"{entry.name!r} gave {written} bytes, not {size}")
        if size % _BLOCK:
            self._put(bytes(-size % _BLOCK))

    def add_file(self, name: str, data: bytes, *, mtime_s: int = 0) -> None:
        """Write a small regular file that belongs to root."""
        entry = Entry(name.encode(), tar.REGULAR, size=len(data), mtime_ns=mtime_s * 10**9)
        self.add(entry, (data,))

    def close(self) -> None:
        """Write the end-of-archive mark and what was gathered."""
        self._put(bytes(2 * _BLOCK))
        self.flush()

    def flush(self) -> None:
        """Hand on what was gathered."""
        if self._gathered:
            self._write(bytes(self._gathered))
            self._gathered.clear()

    def _put(self, data: bytes | memoryview) -> None:
        if len(data) >= _GATHER_BYTES:
            self.flush()
            self._write(data)
            return
        self._gathered += data
        if len(self._gathered) >= _GATHER_BYTES:
            self.flush()


def _pax_records(entry: Entry, size: int) -> list[tuple[bytes, bytes]]:
    """Return what USTAR's fields can't hold, in a fixed order."""
    records = []
    if len(entry.name) > _NAME_BYTES or not entry.name.isascii():
        records.append((b"path", entry.name))
    if len(entry.link) > _NAME_BYTES or not entry.link.isascii():
        records.append((b"linkpath", entry.link))
    if size > _MAX_11_DIGITS:
        records.append((b"size", b"%d" % size))
    if entry.uid > _MAX_7_DIGITS:
        records.append((b"uid", b"%d" % entry.uid))
    if entry.gid > _MAX_7_DIGITS:
        records.append((b"gid", b"%d" % entry.gid))
    if entry.sparse is not None:
        records += [
            (b"GNU.sparse.major", b"1"),
            (b"GNU.sparse.minor", b"0"),
            (b"GNU.sparse.name", entry.name),
            (b"GNU.sparse.realsize", b"%d" % entry.size),
        ]
    seconds, fraction = divmod(entry.mtime_ns, 1_000_000_000)
    if fraction or not 0 <= seconds <= _MAX_11_DIGITS:
        records.append((b"mtime", pax.format_time(entry.mtime_ns)))
    records += [(pax.XATTR_PREFIX + name, entry.xattrs[name]) for name in sorted(entry.xattrs)]
    return records


def _header(entry: Entry, size: int) -> bytes:
    seconds = min(max(entry.mtime_ns // 1_000_000_000, 0), _MAX_11_DIGITS)
    block = b"".join(
        (
            entry.name[:_NAME_BYTES].ljust(_NAME_BYTES, b"\0"),
            b"%07o\0" % (entry.mode & 0o7777),
            b"%07o\0" % min(entry.uid, _MAX_7_DIGITS),
            b"%07o\0" % min(entry.gid, _MAX_7_DIGITS),
            b"%011o\0" % min(size, _MAX_11_DIGITS),
            b"%011o\0" % seconds,
            b"        ",
            entry.kind,
            entry.link[:_NAME_BYTES].ljust(_NAME_BYTES, b"\0"),
            b"ustar\x0000",
            bytes(64),
            b"%07o\0" % entry.device_major,
            b"%07o\0" % entry.device_minor,
            bytes(167),
        )
    )
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]
