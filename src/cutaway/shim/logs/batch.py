"""What a log holds, independent of its format: batches of lines with one stream and time."""

from typing import NamedTuple


class Batch(NamedTuple):
    """Lines (or one piece of a line) that were logged together.

    Attributes:
        stream: 1 stdout, 2 stderr.
        time_ns: since 1970.
        data: whole lines with their newlines, or a partial piece without.
        attrs: the entry's ``attrs`` as ``key=value,key=value``, empty when it has none.
    """

    stream: int
    time_ns: int
    data: bytes
    attrs: bytes = b""


class TailStart(NamedTuple):
    """Where the last N entries of a file begin.

    Attributes:
        offset: of the first record to read.
        skip_lines: lines of that record that come before the last N.
        missing: entries still to be found in older files.
    """

    offset: int
    skip_lines: int
    missing: int


def count_lines(data: bytes) -> int:
    """Return the entries in a batch's data; a partial piece counts as one."""
    return data.count(b"\n") + (not data.endswith(b"\n"))


def skip_lines(data: bytes, count: int) -> bytes:
    """Return a batch's data without its first ``count`` lines."""
    position = 0
    for _ in range(count):
        position = data.find(b"\n", position) + 1
    return data[position:]
