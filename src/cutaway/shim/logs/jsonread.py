"""Reading ``json-file`` entries back, a batch at a time where the shim wrote them as a batch.

Entries of one batch differ only in their text: what follows the text is the same in each. So the
end of the first entry is looked up, and the run of entries with that very end is taken apart by
one ``replace``. Entries that stand alone, or were written by dockerd, take the slower way.
"""

import json
import os
import re
from collections.abc import Iterator

from cutaway.shim.logs import stdcopy
from cutaway.shim.logs.batch import Batch, TailStart
from cutaway.shim.logs.clock import parse_stamp

_BEGIN = b'{"log":"'
_LINE_END = re.compile(
    rb'\\n","stream":"(stdout|stderr)"(?:,"attrs":(\{[^\n]*?\}))?,"time":"([0-9T:.Z-]+)"\}\n'
)
_STREAMS = {"stdout": stdcopy.STDOUT, "stderr": stdcopy.STDERR}
_BLOCK_BYTES = 1 << 16


def complete_length(data: bytes) -> int:
    """Return how much of ``data`` is whole entries."""
    return data.rfind(b"\n") + 1


def read_batches(data: bytes) -> Iterator[Batch]:
    """Yield the batches of whole entries; a damaged entry (a torn write) is left out."""
    position, size = 0, len(data)
    while position < size:
        run = _read_run(data, position)
        if run is not None:
            batch, position = run
            yield batch
            continue
        line_end = data.find(b"\n", position) + 1 or size
        single = _read_one(data[position:line_end])
        if single is not None:
            yield single
        position = line_end


def _read_run(data: bytes, position: int) -> tuple[Batch, int] | None:
    """Take apart the longest run of whole-line entries with one end; None: no such run here."""
    if not data.startswith(_BEGIN, position):
        return None
    first_end = data.find(b"\n", position)
    match = _LINE_END.search(data, position, first_end + 1)
    if match is None or match.end() != first_end + 1:
        return None
    end = match.group()
    last = data.rfind(end, match.start())
    # The end's backslash may be the second half of an escaped backslash: then a partial entry
    # ends with a backslash and the letter n, and that is not a line's end.
    if data.find(b"\\" + end, position, last + len(end)) >= 0:
        return None
    lines = data[position + len(_BEGIN) : last].replace(end + _BEGIN, b"\\n")
    if b"\n" in lines:  # other entries stand between: take the first alone
        last = match.start()
        lines = data[position + len(_BEGIN) : last]
    stream, attrs, stamp = match.groups()
    try:
        raw = _unescape(lines) + b"\n"
        time_ns = parse_stamp(stamp)
    except ValueError:
        return None
    shown_attrs = _show_attrs(attrs)
    return Batch(_STREAMS[stream.decode()], time_ns, raw, shown_attrs), last + len(end)


def _unescape(text: bytes) -> bytes:
    plain = text.replace(b"\\n", b"\n")
    if b"\\" not in plain:
        return plain
    return str(json.loads(b'"' + text + b'"')).encode("utf-8", "replace")


def _show_attrs(attrs: bytes | None) -> bytes:
    if not attrs:
        return b""
    document = json.loads(attrs)
    return ",".join(f"{key}={document[key]}" for key in sorted(document)).encode()


def _read_one(line: bytes) -> Batch | None:
    try:
        entry = json.loads(line)
        text = entry.get("log", "").encode("utf-8", "replace")
        time_ns = parse_stamp(entry["time"].encode())
        attrs = ",".join(f"{k}={v}" for k, v in sorted((entry.get("attrs") or {}).items()))
        return Batch(_STREAMS[entry.get("stream", "stdout")], time_ns, text, attrs.encode())
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def find_tail(fd: int, count: int) -> TailStart:
    """Find where the last ``count`` entries of a file begin."""
    position = os.fstat(fd).st_size
    needed = count + 1  # the newline before the first wanted entry
    while position > 0:
        begin = max(0, position - _BLOCK_BYTES)
        block = os.pread(fd, position - begin, begin)
        found = block.count(b"\n")
        if found >= needed:
            stop = len(block)
            for _ in range(needed):
                stop = block.rfind(b"\n", 0, stop)
            return TailStart(begin + stop + 1, 0, 0)
        needed -= found
        position = begin
    return TailStart(0, 0, needed - 1)
