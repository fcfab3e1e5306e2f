"""Asking a plugin: one POST, one answer, a deadline, and no trust.

A plugin is another program: it may listen and never answer, answer a byte a second, send a
gigabyte, or JSON that is none. Every call ends in time with the answer, or with an error that
names the plugin and the method.

As in Docker, a plugin that does not listen (yet) is tried again for 30 seconds: it may be a
container that is being started. Unlike in Docker, only then: what may have been received is never
sent twice, so that a plugin never does a thing twice.
"""

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

import h11
import msgspec

from cutaway.plugins.discovery import PluginAddress
from cutaway.plugins.errors import PluginFailed, PluginRefused

MIME_TYPE = "application/vnd.docker.plugins.v1.2+json"
CALL_TIMEOUT_S = 60.0
"""How long a plugin may take for one method."""
CONNECT_PATIENCE_S = 30.0
"""How long one that does not listen is waited for."""
ANSWER_BYTES = 1024 * 1024
"""The longest answer; Docker has no limit, real answers have a few hundred bytes."""
_HEAD_BYTES = 64 * 1024
_READ_BYTES = 64 * 1024
_REASON_CHARACTERS = 1000


class Answer(msgspec.Struct, rename="pascal", kw_only=True):
    """What a plugin answers; subclasses declare the fields, with a default if one may be missing.

    Field names are Go's: ``src_name`` is ``SrcName``. A field that is null is as one that is
    missing; unknown fields are left alone.
    """


AnswerT = TypeVar("AnswerT", bound=Answer)


class CallsInProgress:
    """The calls that wait for plugins, for the engine's end to cut short. Any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._connections: set[socket.socket] = set()
        self._is_cut = threading.Event()

    @contextlib.contextmanager
    def holding(self, connection: socket.socket) -> Iterator[socket.socket]:
        """Hold a connection for a call, and close it."""
        with connection:
            with self._lock:
                self._connections.add(connection)
            try:
                if self._is_cut.is_set():
                    raise ConnectionAbortedError("the engine is stopping")
                yield connection
            finally:
                with self._lock:
                    self._connections.discard(connection)

    def pause(self, seconds: float) -> bool:
        """Wait before another try; return whether there shall be none."""
        return self._is_cut.wait(seconds)

    def cut(self) -> None:
        """End every call, and those to come, with an error."""
        self._is_cut.set()
        with self._lock:
            for connection in self._connections:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)


class PluginClient:
    """Asks one plugin. Any thread; a connection a call.

    Args:
        address: where it listens.
        calls: where its calls are known while they last.
        timeout_s: for one method, from connected to answered.
        patience_s: how long one that does not listen is waited for.
    """

    def __init__(
        self,
        address: PluginAddress,
        *,
        calls: CallsInProgress | None = None,
        timeout_s: float = CALL_TIMEOUT_S,
        patience_s: float = CONNECT_PATIENCE_S,
    ) -> None:
        self.address = address
        self._calls = calls or CallsInProgress()
        self._timeout_s = timeout_s
        self._patience_s = patience_s

    def call(
        self,
        method: str,
        arguments: Mapping[str, Any] | None,
        answer: type[AnswerT],
        *,
        timeout_s: float | None = None,
    ) -> AnswerT:
        """Ask the plugin for one thing.

        Args:
            method: ``VolumeDriver.Mount``.
            arguments: the request's JSON object; None sends an empty body.
            answer: what is expected.
            timeout_s: of somebody who can do without the answer: how long one that does not listen
                is waited for, and then the answer.

        Raises:
            PluginRefused: the plugin answered with an error of its own.
            PluginFailed: it can't be reached, does not answer in time, or not with an ``answer``.
        """
        body = b"" if arguments is None else msgspec.json.encode(arguments)
        connection = self._connect(method, self._patience_s if timeout_s is None else timeout_s)
        status, text = self._exchange(connection, method, body, timeout_s or self._timeout_s)
        document = self._decode(method, text, status)
        reason = _error_of(document)
        if reason or status != 200:
            reason = reason or text.decode("utf-8", "replace").strip() or f"HTTP status {status}"
            reason = reason[:_REASON_CHARACTERS]
            raise PluginRefused(self.address.name, method, reason, status=status)
        try:
            return msgspec.convert(document, type=answer)
        except msgspec.ValidationError as error:
            raise self._failed(method, f"its answer does not fit: {error}") from error

    def _failed(self, method: str, reason: str) -> PluginFailed:
        return PluginFailed(self.address.name, method, reason, answered=True)

    def _connect(self, method: str, patience_s: float) -> socket.socket:
        """Return a connection, waiting for somebody to listen: 1 s, 2 s, 4 s … as Docker does."""
        start, pause_s = time.monotonic(), 1.0
        while True:
            try:
                return open_connection(self.address, min(patience_s, self._timeout_s))
            except OSError as error:
                patience_ends = time.monotonic() - start + pause_s >= patience_s
                if patience_ends or self._calls.pause(pause_s):
                    reason = f"nobody answers at {self.address.place}: {error.strerror or error}"
                    raise PluginFailed(self.address.name, method, reason) from error
            pause_s *= 2

    def _exchange(
        self, connection: socket.socket, method: str, body: bytes, timeout_s: float
    ) -> tuple[int, bytes]:
        deadline = time.monotonic() + timeout_s
        try:
            with self._calls.holding(connection):
                return exchange(connection, method, body, deadline=deadline)
        except TimeoutError:
            reason = f"it did not answer within {timeout_s:g} s"
            raise self._failed(method, reason) from None
        except (OSError, ValueError, h11.ProtocolError) as error:
            raise self._failed(method, f"it answered no HTTP: {error}") from error

    def _decode(self, method: str, text: bytes, status: int) -> Any:
        """Return the answer's JSON value without nulls; {} for what is no object."""
        try:
            document = without_nulls(msgspec.json.decode(text or b"{}"))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            if status != 200:
                return {}
            raise self._failed(method, f"it answered no JSON: {error}") from error
        return document


def _error_of(document: Any) -> str:
    """Return the error in an answer: ``Err`` of volumes and networks, ``Error`` of IPAM."""
    if not isinstance(document, dict):
        return ""
    reason = document.get("Err") or document.get("Error") or ""
    return reason if isinstance(reason, str) else str(reason)


def without_nulls(value: Any) -> Any:
    """Return a JSON value without the members that are null, as Go reads them: not said."""
    if isinstance(value, dict):
        return {k: without_nulls(v) for k, v in value.items() if v is not None}
    return [without_nulls(v) for v in value] if isinstance(value, list) else value


def open_connection(address: PluginAddress, timeout_s: float) -> socket.socket:
    """Connect to a plugin.

    Raises:
        OSError: nobody listens, or TLS can't be agreed on.
    """
    if address.scheme == "unix":
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            connection.settimeout(timeout_s)
            connection.connect(address.place)
        except BaseException:
            connection.close()
            raise
        return connection
    host, _, port = address.place.rpartition(":")
    host = host.strip("[]")
    connection = socket.create_connection((host, int(port)), timeout=timeout_s)
    if address.scheme != "https":
        return connection
    with contextlib.ExitStack() as stack:
        stack.callback(connection.close)
        secure = _tls_context(address).wrap_socket(connection, server_hostname=host)
        stack.pop_all()
    return secure


def _tls_context(address: PluginAddress) -> ssl.SSLContext:
    """Docker's rule: without a CA file any certificate will do."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if address.ca_file:
        context.load_verify_locations(address.ca_file)
    if address.insecure or not address.ca_file:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if address.cert_file:
        context.load_cert_chain(address.cert_file, address.key_file or None)
    return context


def exchange(
    connection: socket.socket, method: str, body: bytes, *, deadline: float
) -> tuple[int, bytes]:
    """Send one request and return the answer's status and body.

    Args:
        connection: to the plugin.
        method: the path without its slash.
        body: of the request.
        deadline: on CLOCK_MONOTONIC, for everything.

    Raises:
        TimeoutError: the answer was not complete in time.
        ValueError: it was longer than ``ANSWER_BYTES``.
        OSError: the connection broke. h11.ProtocolError: that is no HTTP.
    """
    http = h11.Connection(h11.CLIENT, max_incomplete_event_size=_HEAD_BYTES)
    headers = [
        ("Host", "plugin.moby.localhost"),
        ("Accept", MIME_TYPE),
        ("Content-Type", MIME_TYPE),
        ("Content-Length", str(len(body))),
        ("Connection", "close"),
    ]
    request = h11.Request(method="POST", target=f"/{method}", headers=headers)
    parts = (http.send(e) or b"" for e in (request, h11.Data(body), h11.EndOfMessage()))
    connection.sendall(b"".join(parts))
    status, text = 0, bytearray()
    for event in _events(http, connection, deadline):
        if isinstance(event, h11.Response):
            status = event.status_code
        elif isinstance(event, h11.Data):
            text += event.data
            if len(text) > ANSWER_BYTES:
                raise ValueError(f"more than {ANSWER_BYTES} bytes")
    return status, bytes(text)


def _events(
    http: h11.Connection, connection: socket.socket, deadline: float
) -> Iterator[h11.Event]:
    """Yield what arrives until the answer is complete."""
    while True:
        event = http.next_event()
        if event is h11.NEED_DATA:
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                raise TimeoutError
            connection.settimeout(left_s)
            http.receive_data(connection.recv(_READ_BYTES))
        elif isinstance(event, h11.EndOfMessage):
            return
        elif isinstance(event, h11.Event):
            yield event
