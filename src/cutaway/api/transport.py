"""A client's bytes: one interface over a plain socket, and (in ``tls.py``) over TLS.

Reading happens only when somebody asks, so an unread body holds its sender back and nothing is
buffered ahead. That also makes hijacking exact: what was not asked for is still in the kernel,
and the socket can change hands at any moment.
"""

import asyncio
import contextlib
import fcntl
import socket
import struct
import termios
from collections.abc import Callable
from typing import Protocol

from cutaway.api.limits import RECEIVE_BYTES


class ClientGone(ConnectionError):
    """The client left, or broke the connection, where more was expected of it."""


class Transport(Protocol):
    """Both directions of one client's connection.

    Attributes:
        peer: whose it is, for the log.
        shared: somebody else may still write to it through a duplicate, so that closing must not
            end it.
    """

    peer: str
    shared: bool

    async def receive(self) -> bytes:
        """Return the next bytes; empty when the client has ended its direction.

        Raises:
            ClientGone: the connection is broken.
        """
        ...

    async def send(self, data: bytes) -> None:
        """Send all of ``data``, waiting while the client does not read.

        Raises:
            ClientGone: EPIPE, ECONNRESET.
        """
        ...

    def watch(self, gone: Callable[[], None]) -> None:
        """Call ``gone`` once if the client ends or breaks the connection while nobody reads."""
        ...

    def unwatch(self) -> None:
        """Stop watching; harmless when not watching."""
        ...

    async def settle(self) -> None:
        """Wait a moment until the client has read what was sent."""
        ...

    def duplicate(self) -> int | None:
        """Return a descriptor of the same connection, the caller's own; None if there is none."""
        ...

    async def detach(self, unread: bytes) -> tuple[int, bytes]:
        """Give the connection away: a descriptor, the caller's own, and bytes already received."""
        ...

    def close(self) -> None:
        """End the connection; harmless when it was given away."""
        ...


class Readiness:
    """Waits for one non-blocking socket of the running loop, without a transport of asyncio."""

    def __init__(self, sock: socket.socket) -> None:
        self._fd = sock.fileno()
        self._loop = asyncio.get_running_loop()

    async def readable(self) -> None:
        """Wait until a read would not block."""
        future = self._loop.create_future()
        self._loop.add_reader(self._fd, _resolve, future)
        try:
            await future
        finally:
            self._loop.remove_reader(self._fd)

    async def writable(self) -> None:
        """Wait until a write would not block."""
        future = self._loop.create_future()
        self._loop.add_writer(self._fd, _resolve, future)
        try:
            await future
        finally:
            self._loop.remove_writer(self._fd)

    def on_readable(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` whenever a read would not block, until ``forget``."""
        self._loop.add_reader(self._fd, callback)

    def forget(self) -> None:
        """Stop calling."""
        self._loop.remove_reader(self._fd)


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


async def send_all(sock: socket.socket, readiness: Readiness, data: bytes) -> None:
    """Send all of ``data``; usually one send(2) and no wait.

    Raises:
        ClientGone: EPIPE, ECONNRESET: the other side has gone.
    """
    view = memoryview(data)
    while view:
        try:
            view = view[sock.send(view) :]
        except BlockingIOError:
            await readiness.writable()
        except OSError as error:
            raise ClientGone(str(error)) from error


async def receive_some(sock: socket.socket, readiness: Readiness) -> bytes:
    """Return what recv(2) has, waiting for it if need be; empty at the end of the stream.

    Raises:
        ClientGone: ECONNRESET and its like.
    """
    while True:
        try:
            return sock.recv(RECEIVE_BYTES)
        except BlockingIOError:
            await readiness.readable()
        except OSError as error:
            raise ClientGone(str(error)) from error


async def settle_socket(sock: socket.socket) -> None:
    """Wait, at most about 20 ms, until the client has taken our last bytes from its socket.

    Some clients parse headers with a buffered reader and then read the raw socket: bytes that came
    in one piece with the headers are lost to them. On a unix socket SIOCOUTQ tells when the peer
    has read all; on TCP it tells when they were acknowledged, so a millisecond is added.
    """
    for attempt in range(60):
        waiting = struct.unpack("i", fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, b"\0\0\0\0"))[0]
        if waiting == 0:
            break
        # A client needs some 0.1 ms to wake; the loop's timer can't wait for less than 1 ms.
        await asyncio.sleep(0 if attempt < 40 else 0.001)
    if sock.family != socket.AF_UNIX:
        await asyncio.sleep(0.001)


class SocketTransport:
    """A plain unix or TCP connection."""

    def __init__(self, sock: socket.socket, peer: str) -> None:
        self.peer = peer
        self._sock = sock
        self._readiness = Readiness(sock)
        self._watching = False
        self._detached = False
        self.shared = False

    async def receive(self) -> bytes:
        """See ``Transport``."""
        self.unwatch()
        return await receive_some(self._sock, self._readiness)

    async def send(self, data: bytes) -> None:
        """See ``Transport``."""
        await send_all(self._sock, self._readiness, data)

    def watch(self, gone: Callable[[], None]) -> None:
        """See ``Transport``."""
        self._watching = True
        self._readiness.on_readable(lambda: self._peek(gone))

    def _peek(self, gone: Callable[[], None]) -> None:
        try:
            data = self._sock.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self.unwatch()  # pipelined bytes stay readable: watching on would spin
        if not data:
            gone()

    def unwatch(self) -> None:
        """See ``Transport``."""
        if self._watching:
            self._watching = False
            self._readiness.forget()

    async def settle(self) -> None:
        """See ``Transport``."""
        await settle_socket(self._sock)

    def duplicate(self) -> int | None:
        """See ``Transport``."""
        self.shared = True
        return self._sock.dup().detach()

    async def detach(self, unread: bytes) -> tuple[int, bytes]:
        """See ``Transport``: the socket itself, not a copy."""
        self.unwatch()
        self._detached = True
        return self._sock.detach(), unread

    def close(self) -> None:
        """See ``Transport``."""
        if self._detached:
            return
        self.unwatch()
        if not self.shared:  # shutdown(2) would end the duplicate, too
            with contextlib.suppress(OSError):
                self._sock.shutdown(socket.SHUT_WR)
        self._sock.close()
