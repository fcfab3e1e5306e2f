"""Compressed streams: which format, and the bytes inside, a bounded chunk at a time.

The format is found by the stream's first bytes, as dockerd and containerd do, because media types
lie. Only the formats that OCI names (none, gzip, zstd) are layers; ``docker load`` and
``docker import`` also take bzip2 and xz.

Source: RFC 1952 (gzip), RFC 8878 (zstd).
"""

import bz2
import lzma
from collections.abc import Callable
from typing import Protocol

from backports import zstd
from isal import igzip_lib

from cutaway.images.layers.errors import BadLayer

READ_SIZE = 256 * 1024
CHUNK_SIZE = 1024 * 1024
_ZSTD_WINDOW_LOG_MAX = 27  # 128 MiB: what the zstd program accepts; a frame may ask for 2 GiB
_FIRST_FEED = 4096
_LZMA_MEMORY_LIMIT = 256 * 1024 * 1024


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...

    @property
    def needs_input(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: memoryview | bytes, max_length: int) -> bytes: ...


def _new_gzip() -> _Decompressor:
    return igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP)


def _new_zstd() -> _Decompressor:
    options: dict[int, int] = {
        zstd.DecompressionParameter.window_log_max: _ZSTD_WINDOW_LOG_MAX,
    }
    return zstd.ZstdDecompressor(options=options)


def _new_bzip2() -> _Decompressor:
    return bz2.BZ2Decompressor()


def _new_xz() -> _Decompressor:
    return lzma.LZMADecompressor(format=lzma.FORMAT_XZ, memlimit=_LZMA_MEMORY_LIMIT)


_FORMATS: tuple[tuple[bytes, str, Callable[[], _Decompressor]], ...] = (
    (b"\x1f\x8b\x08", "gzip", _new_gzip),
    (b"\x28\xb5\x2f\xfd", "zstd", _new_zstd),
    (b"BZh", "bzip2", _new_bzip2),
    (b"\xfd7zXZ\x00", "xz", _new_xz),
)
_ISAL_ERROR: type[Exception] = igzip_lib.error  # type: ignore[assignment]
_DECOMPRESSION_ERRORS = (OSError, EOFError, lzma.LZMAError, zstd.ZstdError, _ISAL_ERROR)
_SKIPPABLE_FRAME = b"\x2a\x4d\x18"  # preceded by 0x50…0x5f; estargz and zstd:chunked use them


def find_format(head: bytes) -> str:
    """Return ``gzip``, ``zstd``, ``bzip2``, ``xz`` or ``none`` for a stream's first 6 bytes."""
    for magic, name, _ in _FORMATS:
        if head.startswith(magic):
            return name
    if head[1:4] == _SKIPPABLE_FRAME and head[0] & 0xF0 == 0x50:
        return "zstd"
    return "none"


class DecompressedStream:
    """The bytes inside a possibly compressed stream; ``read_chunk`` feeds a ``TarReader``.

    Args:
        read: ``read(n)`` returns up to ``n`` bytes, ``b""`` at the end.

    Attributes:
        format: as ``find_format`` says.
    """

    def __init__(self, read: Callable[[int], bytes]) -> None:
        self._read = read
        self._input = b""
        self._position = 0
        self._feed = _FIRST_FEED
        while len(self._input) < 6 and (more := read(READ_SIZE)):
            self._input += more
        self.format = find_format(self._input)
        self._new = next((new for _, name, new in _FORMATS if name == self.format), None)
        self._member = self._new() if self._new else None

    def read_chunk(self) -> bytes:
        """Return the next 1 byte to 1 MiB, ``b""`` at the end.

        Raises:
            BadLayer: the compressed stream is damaged or ends early.
        """
        if self._new is None:
            data, self._input = self._input, b""
            return data or self._read(READ_SIZE)
        try:
            return self._next_output(self._new)
        except _DECOMPRESSION_ERRORS as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise  # the file could not be read
            message = f"layer is damaged: its {self.format} stream is corrupt: {error}"
            raise BadLayer(message) from error

    def _next_output(self, new: Callable[[], _Decompressor]) -> bytes:
        """Return some output; a gzip stream may have many members, a zstd stream many frames."""
        while True:
            if self._member is None:
                if self._position == len(self._input) and not self._refill():
                    return b""
                self._member, self._feed = new(), _FIRST_FEED
            output = self._member.decompress(self._next_input(self._member), CHUNK_SIZE)
            if self._member.eof:
                self._position -= len(self._member.unused_data)
                self._member = None
            if output:
                return output

    def _next_input(self, member: _Decompressor) -> memoryview | bytes:
        """Return what to feed: little to a new member, more and more to a long one.

        What a member does not use is copied; were 256 KiB fed at once, a stream of 20-byte
        members would cost its square.
        """
        if not member.needs_input:
            return b""
        if self._position == len(self._input) and not self._refill():
            raise BadLayer(f"layer is cut short: its {self.format} stream does not end")
        piece = memoryview(self._input)[self._position : self._position + self._feed]
        self._position += len(piece)
        self._feed = min(4 * self._feed, READ_SIZE)
        return piece

    def _refill(self) -> bool:
        self._input, self._position = self._read(READ_SIZE), 0
        return bool(self._input)
