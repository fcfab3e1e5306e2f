"""HTTP/1.1 to the engine over a plain socket, light enough for a command that lives 20 ms."""

import json
import socket
from collections.abc import Iterable, Iterator
from typing import Any

from cutaway.client.hosts import Host
from cutaway.errors import CutawayError, Unavailable

_READ_BYTES = 65536
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/:,")


class ApiError(CutawayError):
    """The engine refused; ``str(error)`` is its sentence.

    Attributes:
        status: the HTTP status.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class EngineUnreachable(Unavailable):
    """Nobody answers where the engine should listen."""

    def __init__(self, url: str, reason: OSError) -> None:
        super().__init__(
            f"Cannot connect to the Docker daemon at {url}. Is the docker daemon running? "
            f"({reason.strerror or reason})"
        )
        self.url = url
        self.reason = reason


def quote(text: str) -> str:
    """Percent-encode a path segment or a query value (RFC 3986)."""
    return "".join(chr(b) if b in _UNRESERVED else f"%{b:02X}" for b in text.encode())


def encode_query(query: dict[str, Any] | None) -> str:
    """Write ``?a=1&b=2``; None values are left out, lists repeat, booleans are 1 and 0."""
    pairs = []
    for key, value in (query or {}).items():
        for item in value if isinstance(value, list | tuple) else (value,):
            if item is None:
                continue
            text = str(int(item)) if isinstance(item, bool) else str(item)
            pairs.append(f"{key}={quote(text).replace('/', '%2F')}")
    return "?" + "&".join(pairs) if pairs else ""


class Hijacked:
    """A connection that has left HTTP: the raw stream of an attach or exec.

    Attributes:
        socket: the connection; the owner closes it.
        pending: bytes that arrived right behind the response's headers.
        multiplexed: the stream carries stdcopy frames (no terminal).
    """

    def __init__(self, connection: socket.socket, pending: bytes, *, multiplexed: bool) -> None:
        self.socket = connection
        self.pending = pending
        self.multiplexed = multiplexed


class Response:
    """An answer whose headers have been read and whose body is read on demand."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._buffer = b""
        self.status, self.headers = self._read_head()

    def _read_more(self) -> bool:
        data = self._socket.recv(_READ_BYTES)
        self._buffer += data
        return bool(data)

    def _read_head(self) -> tuple[int, dict[str, str]]:
        while b"\r\n\r\n" not in self._buffer:
            if not self._read_more():
                raise ApiError(0, "the engine closed the connection without an answer")
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {}
        for line in lines:
            name, _, value = line.partition(":")
            headers[name.strip().lower()] = value.strip()
        return int(first.split(" ", 2)[1]), headers

    def chunks(self) -> Iterator[bytes]:
        """Yield the body as it arrives, to its end; the connection is then closed."""
        try:
            if self.status in {204, 304}:
                return
            if "chunked" in self.headers.get("transfer-encoding", ""):
                yield from self._chunked()
            elif "content-length" in self.headers:
                yield from self._sized(int(self.headers["content-length"]))
            else:
                yield from self._until_end()
        finally:
            self.close()

    def _sized(self, length: int) -> Iterator[bytes]:
        while length > 0:
            if not self._buffer and not self._read_more():
                raise ApiError(0, "the engine closed the connection in the middle of an answer")
            piece, self._buffer = self._buffer[:length], self._buffer[length:]
            length -= len(piece)
            yield piece

    def _chunked(self) -> Iterator[bytes]:
        while True:
            while b"\r\n" not in self._buffer:
                if not self._read_more():
                    raise ApiError(0, "the engine closed the connection in the middle of an answer")
            line, _, self._buffer = self._buffer.partition(b"\r\n")
            size = int(line.split(b";")[0], 16)
            if size == 0:
                return
            yield from self._sized(size)
            while len(self._buffer) < 2 and self._read_more():
                pass
            self._buffer = self._buffer[2:]

    def _until_end(self) -> Iterator[bytes]:
        while self._buffer or self._read_more():
            piece, self._buffer = self._buffer, b""
            yield piece

    def read(self) -> bytes:
        """Return the whole body."""
        return b"".join(self.chunks())

    def json(self) -> Any:
        """Return the body's JSON document, None when it is empty."""
        body = self.read()
        return json.loads(body) if body.strip() else None

    def documents(self) -> Iterator[Any]:
        """Yield the JSON documents of a stream, one a line, as they arrive."""
        rest = b""
        for chunk in self.chunks():
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                if line.strip():
                    yield json.loads(line)
        if rest.strip():
            yield json.loads(rest)

    def raise_for_status(self) -> "Response":
        """Return the response itself, or raise the engine's own sentence.

        Raises:
            ApiError: the status is 400 or more.
        """
        if self.status < 400:
            return self
        body = self.read().decode("utf-8", "replace").strip()
        try:
            message = json.loads(body)["message"]
        except (ValueError, KeyError, TypeError):
            message = body or f"the engine answered with status {self.status}"
        raise ApiError(self.status, message)

    def hijack(self) -> Hijacked:
        """Take the connection over after 101 UPGRADED (or the older 200 with a raw stream)."""
        multiplexed = self.headers.get("content-type", "").endswith("multiplexed-stream")
        return Hijacked(self._socket, self._buffer, multiplexed=multiplexed)

    def fileno(self) -> int:
        """Let ``select`` wait for this answer's bytes."""
        return self._socket.fileno()

    def close(self) -> None:
        """Close the connection; harmless when it is closed."""
        self._socket.close()


class Client:
    """Sends requests to one engine.

    Args:
        host: where it listens.
        version: the API version to speak, ``1.51``; empty means the engine's newest.
        headers: sent with every request.
    """

    def __init__(
        self, host: Host, *, version: str = "", headers: dict[str, str] | None = None
    ) -> None:
        self.host = host
        self.prefix = f"/v{version}" if version else ""
        self.headers = headers or {}

    def send(
        self,
        method: str,
        path: str,
        *,
        query: dict[str, Any] | None = None,
        body: Any = None,
        headers: dict[str, str] | None = None,
    ) -> Response:
        """Send one request and read the answer's headers, whatever its status.

        Args:
            method: GET, POST, …
            path: without the version, ``/containers/json``; already percent-encoded.
            query: see ``encode_query``.
            body: bytes, an iterable of bytes (sent in chunks), or any JSON value.
            headers: for this request.

        Raises:
            EngineUnreachable: nobody listens there.
            ApiError: the connection ended before the headers.
        """
        try:
            connection = self.host.connect()
        except OSError as error:
            raise EngineUnreachable(self.host.url, error) from error
        try:
            target = self.prefix + path + encode_query(query)
            self._write(connection, method, target, body=body, headers=headers)
            return Response(connection)
        except BaseException:
            connection.close()
            raise

    def _write(
        self,
        connection: socket.socket,
        method: str,
        target: str,
        *,
        body: Any,
        headers: dict[str, str] | None,
    ) -> None:
        all_headers = {
            "Host": self.host.header, "User-Agent": "cutaway", **self.headers, **(headers or {})
        }  # fmt: skip
        stream: Iterable[bytes] | None = None
        data = b""
        if isinstance(body, bytes):
            data = body
        elif body is not None and isinstance(body, Iterator):
            stream = body
            all_headers["Transfer-Encoding"] = "chunked"
        elif body is not None:
            data = json.dumps(body).encode()
            all_headers.setdefault("Content-Type", "application/json")
        if stream is None and (data or method in {"POST", "PUT"}):
            all_headers["Content-Length"] = str(len(data))
        lines = [f"{method} {target} HTTP/1.1", *(f"{k}: {v}" for k, v in all_headers.items())]
        connection.sendall("\r\n".join([*lines, "", ""]).encode() + data)
        if stream is not None:
            self._write_chunks(connection, stream)

    @staticmethod
    def _write_chunks(connection: socket.socket, stream: Iterable[bytes]) -> None:
        try:
            for piece in stream:
                if piece:
                    connection.sendall(b"%x\r\n%b\r\n" % (len(piece), piece))
            connection.sendall(b"0\r\n\r\n")
        except (BrokenPipeError, ConnectionResetError):
            pass  # the engine has answered early, most likely with an error: read that

    def request(
        self,
        method: str,
        path: str,
        *,
        query: dict[str, Any] | None = None,
        body: Any = None,
        headers: dict[str, str] | None = None,
    ) -> Response:
        """Send one request; an answer of 400 or more is raised.

        Raises:
            ApiError: with the engine's own sentence.
            EngineUnreachable: nobody listens there.
        """
        response = self.send(method, path, query=query, body=body, headers=headers)
        return response.raise_for_status()

    def get(self, path: str, /, **query: Any) -> Any:
        """GET a JSON document."""
        return self.request("GET", path, query=query).json()

    def post(self, path: str, body: Any = None, /, **query: Any) -> Any:
        """POST a JSON value and return the JSON answer, None when there is none."""
        return self.request("POST", path, query=query, body=body).json()

    def delete(self, path: str, /, **query: Any) -> Any:
        """DELETE and return the JSON answer, None when there is none."""
        return self.request("DELETE", path, query=query).json()

    def hijack(
        self, path: str, *, query: dict[str, Any] | None = None, body: Any = None
    ) -> Hijacked:
        """POST and take the connection over as a raw stream.

        Raises:
            ApiError: the engine refused to upgrade.
        """
        upgrade = {"Upgrade": "tcp", "Connection": "Upgrade"}
        return self.request("POST", path, query=query, body=body, headers=upgrade).hijack()
