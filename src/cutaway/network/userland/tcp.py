"""TCP connections to the host's loopback, relayed to a container without copying through Python.

splice(2) moves the bytes from socket to pipe to socket inside the kernel.
"""

import fcntl
import os
import socket
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from cutaway.network.userland.loop import Loop, Timer

_CHUNK = 1 << 20
_PIPE_BYTES = 1 << 16  # as pipe(2) makes it
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
    """Bytes on their way from one socket to the other, by a pipe.

    Attributes:
        filled: bytes in the pipe that the sink did not take: nothing more is read then.
        at_end: the source has said its last.
    """

    __slots__ = ("_is_wide", "_read_fd", "_write_fd", "at_end", "filled", "sink", "source")

    def __init__(self, source: socket.socket, sink: socket.socket) -> None:
        self.source = source
        self.sink = sink
        self._read_fd, self._write_fd = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._is_wide = False
        self.filled = 0
        self.at_end = False

    def move(self) -> None:
        """Move what has come as far as the sink takes it, and pass the end on."""
        try:
            if not self.filled:
                self.filled = _splice(self.source.fileno(), self._write_fd)
                self.at_end = self.filled == 0
                if self.filled >= _PIPE_BYTES and not self._is_wide:
                    self._widen()
            while self.filled:
                self.filled -= _splice(self._read_fd, self.sink.fileno())
        except BlockingIOError:
            return
        if self.at_end:
            self.sink.shutdown(socket.SHUT_WR)

    def _widen(self) -> None:
        """Let more through at a time; only for who sends much: a user's pipes are limited."""
        self._is_wide = True
        with suppress(OSError):
            fcntl.fcntl(self._write_fd, _F_SETPIPE_SZ, _CHUNK)

    def close(self) -> None:
        """Close the pipe."""
        os.close(self._read_fd)
        os.close(self._write_fd)


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
        self._watch()

    def _move(self, direction: _Direction) -> None:
        before = direction.filled > 0
        try:
            direction.move()
        except OSError:
            self._reset()
            return
        if direction.at_end or before != (direction.filled > 0):
            self._watch()

    def _watch(self) -> None:
        """Read from each side what the other has taken all of; else wait for that other."""
        outward, inward = self._directions
        if outward.at_end and inward.at_end:
            self.close()
            return
        for one, reads, writes in (
            (self._client, outward, inward),
            (self._other, inward, outward),
        ):
            is_ready = not reads.at_end and not reads.filled
            self._loop.watch(
                one.fileno(),
                read=partial(self._move, reads) if is_ready else None,
                write=partial(self._move, writes) if writes.filled else None,
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
