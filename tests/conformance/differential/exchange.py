"""One HTTP exchange with an engine, kept whole: status, headers, body."""

import json
import socket
from dataclasses import dataclass, field
from typing import Any

TIMEOUT_S = 6
_STREAMS = {0: "stdin", 1: "stdout", 2: "stderr"}


@dataclass(frozen=True)
class Answer:
    """What came back.

    Attributes:
        headers: names in lower case.
        body: parsed JSON, a list of JSON documents, a list of [stream, text], text, or None.
    """

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: Any = None


def send(path: str, head: str, body: bytes = b"", *, half_close: bool = False) -> bytes:
    """Send raw bytes to a unix socket and return everything until the engine closes."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(TIMEOUT_S)
        connection.connect(path)
        connection.sendall(head.encode("latin-1") + body)
        if half_close:
            connection.shutdown(socket.SHUT_WR)
        pieces = []
        try:
            while piece := connection.recv(65536):
                pieces.append(piece)
        except TimeoutError:
            pieces.append(b"<nothing more came>")
        except ConnectionResetError:
            pieces.append(b"<reset>")
        return b"".join(pieces)


def parse(data: bytes, method: str) -> Answer:
    """Read an HTTP response and its body in whatever form it has."""
    head, _, rest = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    if not first.startswith("HTTP/1.1 "):
        return Answer(0, {}, data.decode("latin-1"))
    status = int(first.split(" ")[1])
    if "chunked" in headers.get("transfer-encoding", ""):
        rest = _unchunk(rest)
    return Answer(status, headers, None if method == "HEAD" else _body(rest, headers))


def _unchunk(data: bytes) -> bytes:
    out = b""
    while data:
        size, _, data = data.partition(b"\r\n")
        length = int(size.split(b";")[0] or b"0", 16)
        if not length:
            break
        out, data = out + data[:length], data[length + 2 :]
    return out


def _body(data: bytes, headers: dict[str, str]) -> Any:
    kind = headers.get("content-type", "")
    if not data:
        return None
    if data[257:262] == b"ustar":
        return "<tar>"
    if kind.startswith("application/vnd.docker.multiplexed-stream"):
        return _frames(data)
    if kind.startswith("application/vnd.docker.raw-stream"):
        return data.decode("latin-1")
    if kind.startswith("application/json"):
        return _documents(data)
    if kind.startswith("application/x-tar"):
        return "<tar>"
    return data.decode("latin-1")


def _documents(data: bytes) -> Any:
    try:
        return json.loads(data)
    except ValueError:
        pass
    try:
        return [json.loads(line) for line in data.splitlines() if line.strip()]
    except ValueError:
        return data.decode("latin-1")


def _frames(data: bytes) -> list[list[str]]:
    frames: list[list[str]] = []
    while len(data) >= 8:
        size = int.from_bytes(data[4:8], "big")
        stream, text = _STREAMS.get(data[0], str(data[0])), data[8 : 8 + size].decode("latin-1")
        if frames and frames[-1][0] == stream:
            frames[-1][1] += text
        else:
            frames.append([stream, text])
        data = data[8 + size :]
    return frames + ([["rest", data.decode("latin-1")]] if data else [])
