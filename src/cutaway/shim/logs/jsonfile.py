r"""The ``json-file`` format: one JSON object a line, byte for byte as dockerd writes it.

``{"log":"hello\n","stream":"stdout","time":"2026-01-02T03:04:05.000000006Z"}``

All lines of a batch share one time, so a batch is made by a few ``replace`` calls over the whole
of it; no Python runs for a single line. Go's encoder decides the escapes: ``\\ \" \n \r``, the
other control characters and ``< > &`` as ``\u00XX``, U+2028 and U+2029, and each byte that is not
UTF-8 as ``\ufffd``.

Source: moby daemon/logger/jsonfilelog/jsonlog/jsonlogbytes.go.
"""

import json
import re

from cutaway.shim.logs.clock import StampCache
from cutaway.shim.logs.lines import Segment

_ESCAPED = {b"\\": b"\\\\", b'"': b'\\"', b"\r": b"\\r"}
for _byte in (*range(0x20), *b"<>&"):
    if _byte not in b"\n\r":
        _ESCAPED[bytes([_byte])] = b"\\u%04x" % _byte
# The backslash comes first: the others' escapes begin with one.
_ESCAPES = tuple(_ESCAPED.items())
_PLAIN = bytes(b for b in range(0x80) if bytes([b]) not in _ESCAPED)
_SURROGATE = re.compile(rb"\xed[\xb2\xb3][\x80-\xbf]")


def escape(text: bytes) -> bytes:
    """Return ``text`` as the inside of a JSON string, newlines left as they are."""
    special = text.translate(None, _PLAIN)
    if not special:
        return text
    for byte, escaped in _ESCAPES:
        if byte in special:
            text = text.replace(byte, escaped)
    return text if special.isascii() else _escape_unicode(text)


def _escape_unicode(text: bytes) -> bytes:
    try:
        text.decode()
    except UnicodeDecodeError:
        # One lone surrogate for each wrong byte, as Go counts them; encoded they are a pattern
        # that no valid text contains.
        marked = text.decode("utf-8", "surrogateescape").encode("utf-8", "surrogatepass")
        text = _SURROGATE.sub(rb"\\ufffd", marked)
    return text.replace(b"\xe2\x80\xa8", b"\\u2028").replace(b"\xe2\x80\xa9", b"\\u2029")


class JsonFileFormat:
    """Encodes segments of one stream (``stdout`` or ``stderr``)."""

    def __init__(self, stream: str, attrs: dict[str, str] | None = None) -> None:
        extra = b""
        if attrs:
            extra = b',"attrs":' + json.dumps(attrs, separators=(",", ":")).encode()
        self._tail = b'","stream":"' + stream.encode() + b'"' + extra + b',"time":"'
        self._stamps = StampCache()

    def encode(self, segment: Segment) -> bytes:
        """Return the entries of a segment, each a line."""
        text = escape(segment.data)
        end = self._tail + self._stamps.format(segment.time_ns) + b'"}\n'
        if segment.is_partial:
            return b'{"log":"' + text + end
        line_end = b"\\n" + end
        # Every newline ends one entry and begins the next but the last.
        return b'{"log":"' + text.replace(b"\n", line_end + b'{"log":"')[:-8]
