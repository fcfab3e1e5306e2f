"""Answers as bytes: status lines, headers, chunks. Source: RFC 9112.

Reading is h11's; writing is so little that it is done here, at a tenth of the time.
"""

import time
from http import HTTPStatus

from cutaway.api.version import NEWEST

_STATUS_LINES = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus
}
LAST_CHUNK = b"0\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
WAIT_TEMPLATE = b'13\r\n{"StatusCode":%3d}\n\r\n' + LAST_CHUNK
"""The end of a ``wait``: one chunk of 0x13 bytes (JSON allows the padding) and the last chunk."""


class HeadWriter:
    """Writes heads with the headers that every answer of this engine has."""

    def __init__(self, *, product: str, experimental: bool) -> None:
        self.common = (
            f"Api-Version: {NEWEST}\r\n"
            f"Docker-Experimental: {'true' if experimental else 'false'}\r\n"
            "Ostype: linux\r\n"
            f"Server: {product} (linux)\r\n"
        ).encode()
        self._second = 0
        self._date = b""

    def head(
        self,
        status: int,
        content_type: str,
        headers: tuple[tuple[str, str], ...],
        *,
        length: int | None,
        close: bool = False,
        chunked: bool = False,
    ) -> bytes:
        """Return a head up to its empty line.

        Args:
            status: of the answer.
            content_type: left out when empty.
            headers: further ones; their values must not hold line ends.
            length: of the body; None: it is chunked, or (with ``close``) ends with the connection.
            close: the connection will be closed behind the body.
            chunked: a body without length comes in chunks also when the connection will be closed.
        """
        parts = [_STATUS_LINES[status], self.common, self._dated()]
        if content_type:
            parts.append(f"Content-Type: {content_type}\r\n".encode())
        parts.extend(f"{name}: {_clean(value)}\r\n".encode("latin-1") for name, value in headers)
        if length is not None:
            if status >= 200 and status not in (204, 304):
                parts.append(b"Content-Length: %d\r\n" % length)
        elif chunked or not close:
            parts.append(b"Transfer-Encoding: chunked\r\n")
        parts.append(b"Connection: close\r\n\r\n" if close else b"\r\n")
        return b"".join(parts)

    def hijack_head(self, content_type: str, *, upgrade: bool) -> bytes:
        """Return the head behind which the connection is no longer HTTP."""
        kind = content_type.encode()
        if upgrade:
            return (
                b"HTTP/1.1 101 UPGRADED\r\n"
                + self.common
                + b"Content-Type: "
                + kind
                + b"\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"
            )
        return b"HTTP/1.1 200 OK\r\n" + self.common + b"Content-Type: " + kind + b"\r\n\r\n"

    def _dated(self) -> bytes:
        now = int(time.time())
        if now != self._second:
            text = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(now))
            self._second, self._date = now, f"Date: {text}\r\n".encode()
        return self._date


def _clean(value: str) -> str:
    return value.replace("\r", " ").replace("\n", " ")


def chunk(piece: bytes) -> bytes:
    """Return one piece of a chunked body; an empty piece would end it and must not be given."""
    return b"%x\r\n%b\r\n" % (len(piece), piece)
