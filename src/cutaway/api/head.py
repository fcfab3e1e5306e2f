"""The head of a request, checked before h11 sees it.

h11 is lenient where a proxy in front and we could disagree about where a request ends; each such
leniency is refused here. Source: RFC 9112, 2.2, 5.2, 6.1; the project's rules, section 3.
"""

from cutaway.api.limits import HEAD_BYTES, HEAD_FIELDS, REQUEST_LINE_BYTES

HTTP2_PREFACE = b"PRI * HTTP/2.0\r\n\r\n"
HTTP2_REFUSAL = (
    b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"  # SETTINGS, empty: must come first
    b"\x00\x00\x28\x07\x00\x00\x00\x00\x00"  # GOAWAY, 40 bytes
    b"\x00\x00\x00\x00\x00\x00\x00\x0d"  # last stream 0, HTTP_1_1_REQUIRED
    b"this engine speaks HTTP/1.1 here"
)
"""What a client that speaks HTTP/2 unasked understands: use HTTP/1.1. Source: RFC 9113, 6.8, 7."""


class BadHead(Exception):
    """A head that can't be answered as a request; ``status`` is the answer's."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def find_head_end(buffer: bytes) -> int | None:
    """Return where the head ends (behind its empty line), or None when more must come.

    Raises:
        BadHead: it is too long already, or a line does not end in CR LF.
    """
    end = buffer.find(b"\r\n\r\n")
    head = buffer if end < 0 else buffer[:end]
    if head.count(b"\n") != head.count(b"\r\n"):
        raise BadHead(400, "a line of the request's head does not end in CR LF")
    line_end = head.find(b"\r\n")
    if (len(head) if line_end < 0 else line_end) > REQUEST_LINE_BYTES:
        raise BadHead(414, f"the request line is longer than {REQUEST_LINE_BYTES} bytes")
    if len(head) > HEAD_BYTES:
        raise BadHead(431, f"the request's head is longer than {HEAD_BYTES} bytes")
    return None if end < 0 else end + 4


def check_head(head: bytes) -> None:
    """Refuse heads about whose meaning two parsers could disagree.

    Args:
        head: from the request line to the empty line.

    Raises:
        BadHead: too many fields; a folded line; both Content-Length and Transfer-Encoding.
    """
    if head.count(b"\r\n") - 2 > HEAD_FIELDS:
        raise BadHead(431, f"the request has more than {HEAD_FIELDS} header fields")
    if b"\r\n " in head or b"\r\n\t" in head:
        raise BadHead(400, "the request has a folded header line (RFC 9112, 5.2 forbids it)")
    lower = head.lower()
    if b"\r\ntransfer-encoding:" in lower and b"\r\ncontent-length:" in lower:
        raise BadHead(400, "the request has both Content-Length and Transfer-Encoding")
