"""``/containers/ID/attach/ws``: a container's streams over a web socket (RFC 6455).

The backend is given one end of a socketpair, as for any attach; a pump turns frames into bytes and
bytes into frames. Docker's web socket is never multiplexed: the stdcopy headers that the shim
writes for a container without terminal are taken off again.
"""

import asyncio
import base64
import binascii
import contextlib
import hashlib
import socket
from collections.abc import Awaitable, Callable

from cutaway.api.request import Request
from cutaway.api.transport import ClientGone, Readiness, receive_some, send_all
from cutaway.errors import InvalidParameter
from cutaway.model import HijackedConnection, Upgrade

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_TEXT, _BINARY, _CLOSE, _PING, _PONG = 1, 2, 8, 9, 10
_FRAME_LIMIT = 1024 * 1024


class FrameReader:
    """Takes web socket frames apart. Feed it bytes; it returns whole messages' pieces."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """Return (opcode, payload) of each frame that is whole now; 0 is a continuation.

        Raises:
            InvalidParameter: a frame is not masked, or longer than 1 MiB.
        """
        self._buffer += data
        frames = []
        while (frame := self._next()) is not None:
            frames.append(frame)
        return frames

    def _next(self) -> tuple[int, bytes] | None:
        buffer = self._buffer
        if len(buffer) < 2:
            return None
        opcode, length, start = buffer[0] & 0x0F, buffer[1] & 0x7F, 2
        if not buffer[1] & 0x80:
            raise InvalidParameter("a client's web socket frame must be masked (RFC 6455, 5.1)")
        extra = {126: 2, 127: 8}.get(length, 0)
        if len(buffer) < start + extra + 4:
            return None
        if extra:
            length = int.from_bytes(buffer[start : start + extra], "big")
            start += extra
        if length > _FRAME_LIMIT:
            raise InvalidParameter(f"a web socket frame is longer than {_FRAME_LIMIT} bytes")
        if len(buffer) < start + 4 + length:
            return None
        mask = bytes(buffer[start : start + 4])
        payload = _unmask(bytes(buffer[start + 4 : start + 4 + length]), mask)
        del buffer[: start + 4 + length]
        return opcode, payload


def _unmask(payload: bytes, mask: bytes) -> bytes:
    length = len(payload)
    key = (mask * (length // 4 + 1))[:length]
    mixed = int.from_bytes(payload, "big") ^ int.from_bytes(key, "big")
    return mixed.to_bytes(length, "big")


def make_frame(opcode: int, payload: bytes) -> bytes:
    """Return one whole, unmasked frame."""
    length = len(payload)
    if length < 126:
        head = bytes((0x80 | opcode, length))
    elif length < 1 << 16:
        head = bytes((0x80 | opcode, 126)) + length.to_bytes(2, "big")
    else:
        head = bytes((0x80 | opcode, 127)) + length.to_bytes(8, "big")
    return head + payload


class StdcopyReader:
    """Takes the 8-byte headers out of a multiplexed stream."""

    def __init__(self) -> None:
        self._buffer = b""
        self._left = 0

    def feed(self, data: bytes) -> bytes:
        """Return the payload in ``data``, of all streams in their order."""
        pieces = []
        self._buffer += data
        while self._buffer:
            if self._left == 0:
                if len(self._buffer) < 8:
                    break
                self._left = int.from_bytes(self._buffer[4:8], "big")
                self._buffer = self._buffer[8:]
                continue
            piece = self._buffer[: self._left]
            self._left -= len(piece)
            self._buffer = self._buffer[len(piece) :]
            pieces.append(piece)
        return b"".join(pieces)


def accept_key(key: str) -> str:
    """Return what proves to the client that we understood its handshake."""
    return base64.b64encode(hashlib.sha1(key.encode("latin-1") + _GUID).digest()).decode()


def _check_handshake(request: Request) -> str:
    headers = request.headers
    if headers.get("upgrade", "").lower() != "websocket":
        raise InvalidParameter("this operation needs a web socket: Upgrade: websocket is missing")
    if headers.get("sec-websocket-version") != "13":
        raise InvalidParameter("the web socket's version must be 13")
    key = headers.get("sec-websocket-key", "")
    try:
        good = len(base64.b64decode(key, validate=True)) == 16
    except (binascii.Error, ValueError):
        good = False
    if not good:
        raise InvalidParameter("Sec-WebSocket-Key must be 16 bytes in base64")
    return key


async def serve_websocket(request: Request, start: Callable[[Upgrade], Awaitable[None]]) -> None:
    """Join a client's web socket to whatever ``start`` attaches.

    Returns when either side has ended.

    Raises:
        InvalidParameter: it is no web socket handshake.
    """
    key = _check_handshake(request)
    pump: _Pump | None = None

    async def upgrade(*, tty: bool) -> HijackedConnection:
        nonlocal pump
        lines = [
            "HTTP/1.1 101 Switching Protocols",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Accept: {accept_key(key)}",
        ]
        protocol = request.headers.get("sec-websocket-protocol")
        if protocol:
            lines.append(f"Sec-WebSocket-Protocol: {protocol.partition(',')[0].strip()}")
        head = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
        client = await request.exchange.take(head)
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        pump = _Pump(client, ours, None if tty else StdcopyReader())
        return HijackedConnection(theirs.detach(), b"")

    await start(upgrade)
    if pump is not None:
        await pump.run()


class _Pump:
    """Carries bytes between a web socket and a socketpair until either ends."""

    def __init__(
        self, client: HijackedConnection, pair: socket.socket, stdcopy: StdcopyReader | None
    ) -> None:
        self._client = socket.socket(fileno=client.fd)
        self._client.setblocking(False)
        self._pair = pair
        self._pair.setblocking(False)
        self._first = client.unread
        self._stdcopy = stdcopy
        self._client_ready = Readiness(self._client)
        self._pair_ready = Readiness(self._pair)
        self._sending = asyncio.Lock()  # a pong must not fall into the middle of another frame

    async def run(self) -> None:
        """Carry until the container's side ends or the client leaves."""
        tasks = {asyncio.create_task(self._carry_in()), asyncio.create_task(self._carry_out())}
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._pair.close()
            with contextlib.suppress(OSError):
                self._client.send(make_frame(_CLOSE, b"\x03\xe8"))
            self._client.close()

    async def _carry_in(self) -> None:
        reader = FrameReader()
        data = self._first or await receive_some(self._client, self._client_ready)
        while data:
            for opcode, payload in reader.feed(data):
                if opcode == _CLOSE:
                    return
                if opcode == _PING:
                    await self._send(make_frame(_PONG, payload))
                elif opcode in (0, _TEXT, _BINARY) and payload:
                    await self._feed_stdin(payload)
            data = await receive_some(self._client, self._client_ready)

    async def _feed_stdin(self, payload: bytes) -> None:
        # A closed stdin is no reason to stop reading: output may still come.
        with contextlib.suppress(ClientGone):
            await send_all(self._pair, self._pair_ready, payload)

    async def _carry_out(self) -> None:
        while data := await receive_some(self._pair, self._pair_ready):
            payload = self._stdcopy.feed(data) if self._stdcopy else data
            if payload:
                await self._send(make_frame(_BINARY, payload))

    async def _send(self, frame: bytes) -> None:
        async with self._sending:
            await send_all(self._client, self._client_ready, frame)
