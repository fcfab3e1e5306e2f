"""TCP connections to the host's loopback, relayed to a container without copying through Python.

splice(2) moves the bytes from socket to pipe to socket inside the kernel.
"""

import os
import socket
from collections.abc import Callable
from contextlib import suppress

from cutaway.network.userland.loop import Loop, Timer

_CHUNK = 1 << 20
_PIPE_SIZE = 1 << 18
_F_SETPIPE_SZ = 1031
_CONNECT_S = 30.0
_BURST = 64


class TcpListener:
    """Relays every connection to a listening socket."""

    def __init__(self, loop: Loop, listener: socket.socket, target: tuple[str, int]) -> None:
        self._loop = loop
        self._listener = listener
        self.target = target
        self._relays: set[Relay] = set()
        listener.setblocking(False)
        loop.watch(listener.fileno(), read=self._accept)

    def _accept(self) -> None:
        for _ in range(_BURST):
            try:
                client, _ = self._listener.accept()
            except BlockingIOError:
                return
            except OSError:
                # EMFILE, ENFILE: leave it in the backlog for a while instead of spinning.
                self._loop.forget(self._listener.fileno())
                self._loop.later(0.1, self._resume)
                return
            family = socket.AF_INET6 if ":" in self.target[0] else socket.AF_INET
            try:
                other = socket.socket(family, socket.SOCK_STREAM)
            except OSError:
                client.close()
                continue
            relay = Relay(self._loop, client, other, self.target, ended=self._relays.discard)
            if relay.is_open:
                self._relays.add(relay)

    def _resume(self) -> None:
        if self._listener.fileno() >= 0:
            self._loop.watch(self._listener.fileno(), read=self._accept)

    def close(self) -> None:
        """Close the listener and every connection: the container is gone."""
        self._loop.forget(self._listener.fileno())
        self._listener.close()
        for relay in list(self._relays):
            relay.close()


class _Direction:
    """Bytes on their way from one socket to the other, by a pipe."""

    __slots__ = ("at_end", "closed", "filled", "read_fd", "sink", "source", "write_fd")

    def __init__(self, source: socket.socket, sink: socket.socket) -> None:
        self.source = source
        self.sink = sink
        self.read_fd, self.write_fd = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self.filled = 0
        self.at_end = False
        self.closed = False

    def fill(self) -> None:
        """Move what has come from the source into the pipe."""
        if self.at_end or self.filled >= _PIPE_SIZE // 2:
            return
        try:
            count = _splice(self.source.fileno(), self.write_fd)
        except BlockingIOError:
            return
        self.filled += count
        self.at_end = count == 0

    def drain(self) -> None:
        """Move what is in the pipe to the sink; pass the end on when it is empty."""
        while self.filled:
            try:
                self.filled -= _splice(self.read_fd, self.sink.fileno())
            except BlockingIOError:
                return
        if self.at_end and not self.closed:
            self.closed = True
            self.sink.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Close the pipe."""
        os.close(self.read_fd)
        os.close(self.write_fd)


def _splice(source: int, sink: int) -> int:
    return os.splice(source, sink, _CHUNK, flags=os.SPLICE_F_NONBLOCK | os.SPLICE_F_MOVE)


class Relay:
    """One connection to two sockets; each half ends on its own.

    Args:
        loop: serves it.
        client: connected; the relay owns it.
        other: not connected yet; the relay owns it.
        target: where ``other`` is to connect.
        head: bytes that were read from the client already.
        ended: called once, when it is over.
    """

    def __init__(
        self,
        loop: Loop,
        client: socket.socket,
        other: socket.socket,
        target: tuple[str, int],
        *,
        head: bytes = b"",
        ended: Callable[["Relay"], None] | None = None,
    ) -> None:
        self._loop = loop
        self._client = client
        self._other = other
        self._head = head
        self._ended = ended
        self._directions: tuple[_Direction, ...] = ()
        self.is_open = True
        for one in (client, other):
            one.setblocking(False)
            with suppress(OSError):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._timer: Timer = loop.later(_CONNECT_S, self.close)
        try:
            other.connect(target)
        except BlockingIOError:
            pass
        except OSError:
            self._reset()
            return
        loop.watch(other.fileno(), write=self._connected)

    def _connected(self) -> None:
        self._timer.cancel()
        if self._other.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self._reset()
            return
        try:
            if self._head:
                self._other.sendall(self._head)
            self._directions = (
                _Direction(self._client, self._other),
                _Direction(self._other, self._client),
            )
        except OSError:
            self._reset()
            return
        self._move()

    def _move(self) -> None:
        try:
            for direction in self._directions:
                direction.fill()
                direction.drain()
        except OSError:
            self._reset()
            return
        if all(d.closed for d in self._directions):
            self.close()
            return
        self._watch()

    def _watch(self) -> None:
        outward, inward = self._directions
        for one, reads, writes in (
            (self._client, outward, inward),
            (self._other, inward, outward),
        ):
            wants_read = not reads.at_end and reads.filled < _PIPE_SIZE // 2
            self._loop.watch(
                one.fileno(),
                read=self._move if wants_read else None,
                write=self._move if writes.filled else None,
            )

    def _reset(self) -> None:
        """End with a reset: the client must not take a refused connection for an empty answer."""
        with suppress(OSError):
            self._client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.close()

    def close(self) -> None:
        """Close both sockets; harmless when closed."""
        if not self.is_open:
            return
        self.is_open = False
        self._timer.cancel()
        for one in (self._client, self._other):
            if one.fileno() >= 0:
                self._loop.forget(one.fileno())
                one.close()
        for direction in self._directions:
            direction.close()
        if self._ended is not None:
            self._ended(self)
