"""The ``local`` format: output as it came, in records of many lines; made to be cheap.

A record is a head of 16 bytes, the payload and its size once more, so that a reader can walk
backwards. Numbers are little-endian.

    offset  bytes  field
    0       4      payload size
    4       1      stream: 1 stdout, 2 stderr
    5       1      flags: 1 partial (the payload has no newline at its end)
    6       2      magic 0xc7a9
    8       8      time, nanoseconds since 1970
    16      size   payload: whole lines with their newlines, or one partial
    16+size 4      payload size

Docker's ``local`` has the same purpose and another format (protobuf, one record a line).
"""

import os
from collections.abc import Iterator
from struct import Struct

from cutaway.shim.logs.batch import Batch, TailStart, count_lines
from cutaway.shim.logs.lines import Segment

HEAD = Struct("<IBBHQ")
TAIL = Struct("<I")
MAGIC = 0xC7A9
PARTIAL = 1
OVERHEAD_BYTES = HEAD.size + TAIL.size


class LocalFormat:
    """Encodes segments of one stream (1 stdout, 2 stderr)."""

    def __init__(self, stream: int) -> None:
        self._stream = stream

    def encode(self, segment: Segment) -> bytes:
        """Return the record of a segment."""
        size = len(segment.data)
        flags = PARTIAL if segment.is_partial else 0
        head = HEAD.pack(size, self._stream, flags, MAGIC, segment.time_ns)
        return head + segment.data + TAIL.pack(size)


def complete_length(data: bytes) -> int:
    """Return how much of ``data`` is whole records."""
    position, size = 0, len(data)
    while position + HEAD.size <= size:
        end = position + OVERHEAD_BYTES + HEAD.unpack_from(data, position)[0]
        if end > size:
            break
        position = end
    return position


def read_batches(data: bytes) -> Iterator[Batch]:
    """Yield the records; a damaged one (a torn write) ends the reading of this block."""
    position = 0
    while position + HEAD.size <= len(data):
        size, stream, _, magic, time_ns = HEAD.unpack_from(data, position)
        if magic != MAGIC:
            return
        start = position + HEAD.size
        yield Batch(stream, time_ns, data[start : start + size])
        position = start + size + TAIL.size


def find_tail(fd: int, count: int) -> TailStart:
    """Find the record where the last ``count`` lines of a file begin, walking backwards."""
    position = _valid_end(fd)
    missing = count
    while position >= OVERHEAD_BYTES and missing:
        size = TAIL.unpack(os.pread(fd, TAIL.size, position - TAIL.size))[0]
        begin = position - OVERHEAD_BYTES - size
        lines = count_lines(os.pread(fd, size, begin + HEAD.size))
        if lines >= missing:
            return TailStart(begin, lines - missing, 0)
        missing -= lines
        position = begin
    return TailStart(position if not missing else 0, 0, missing)


def _valid_end(fd: int) -> int:
    """Return where the last whole record ends; a torn write may follow it."""
    size = os.fstat(fd).st_size
    if size >= OVERHEAD_BYTES:
        payload = TAIL.unpack(os.pread(fd, TAIL.size, size - TAIL.size))[0]
        begin = size - OVERHEAD_BYTES - payload
        if begin >= 0:
            head_size, _, _, magic, _ = HEAD.unpack(os.pread(fd, HEAD.size, begin))
            if magic == MAGIC and head_size == payload:
                return size
    position = 0
    while position + OVERHEAD_BYTES <= size:
        head_size, _, _, magic, _ = HEAD.unpack(os.pread(fd, HEAD.size, position))
        end = position + OVERHEAD_BYTES + int(head_size)
        if magic != MAGIC or end > size:
            break
        position = end
    return position
