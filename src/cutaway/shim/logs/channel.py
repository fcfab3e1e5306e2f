"""A connection to a log daemon that never blocks the shim.

What the daemon does not take at once waits in memory, up to a bound; beyond it the driver is
stalled, and the container's streams are read no further (Docker's ``mode=blocking``), or, with
``mode=non-blocking``, the oldest messages are dropped. A daemon that has gone is called again at
the next message, at most once a second; what is said meanwhile is lost to it, as with dockerd.
"""

import socket
import time
from collections import deque
from contextlib import suppress
from typing import Any

from cutaway.shim.loop import WRITABLE, Loop

WAITING_BYTES = 1 << 20
_CALL_AGAIN_S = 1.0
_CONNECT_TIMEOUT_S = 5.0


class Channel:
    """Messages to one address.

    Args:
        loop: tells when a daemon that took no more takes some again.
        kind: ``unixgram``, ``unix``, ``udp`` or ``tcp``.
        address: a path, or (host, port).
        limit_bytes: how much may wait.
        drops: a full channel drops its oldest messages, and is never stalled.

    Raises:
        OSError: ENOENT, ECONNREFUSED (no daemon listens there), or the host is not known.
    """

    def __init__(
        self,
        loop: Loop,
        kind: str,
        address: str | tuple[str, int],
        *,
        limit_bytes: int = WAITING_BYTES,
        drops: bool = False,
    ) -> None:
        self._loop = loop
        self._kind = kind
        self._address = address
        self._limit_bytes = limit_bytes
        self._drops = drops
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._called_s = 0.0
        self._socket: socket.socket | None = self._connect()

    @property
    def is_full(self) -> bool:
        """Nothing more should be sent before ``flush`` has sent something."""
        return not self._drops and self._waiting_bytes >= self._limit_bytes

    def _connect(self) -> socket.socket:
        self._called_s = time.monotonic()
        stream = self._kind in ("unix", "tcp")
        kind = socket.SOCK_STREAM if stream else socket.SOCK_DGRAM
        family: int = socket.AF_UNIX
        target: Any = self._address
        if isinstance(self._address, tuple):
            family, _, _, _, target = socket.getaddrinfo(*self._address, type=kind)[0]
        connection = socket.socket(family, kind | socket.SOCK_CLOEXEC)
        try:
            connection.settimeout(_CONNECT_TIMEOUT_S)
            connection.connect(target)
            connection.setblocking(False)
        except OSError:
            connection.close()
            raise
        return connection

    def send(self, message: bytes) -> None:
        """Send a message, after those that wait."""
        self._waiting.append(message)
        self._waiting_bytes += len(message)
        self.flush()
        while self._drops and self._waiting_bytes > self._limit_bytes:
            self._forget_first()

    def _forget_first(self) -> None:
        self._waiting_bytes -= len(self._waiting.popleft())

    def flush(self) -> bool:
        """Send what waits; True when nothing is left."""
        while self._waiting:
            connection = self._connection()
            if connection is None:
                self._forget_first()
                continue
            first = self._waiting[0]
            try:
                sent = connection.send(first)
            except BlockingIOError:
                self._loop.watch(connection.fileno(), WRITABLE, lambda _: self.flush())
                return False
            except OSError:  # the daemon has gone, or the message is longer than it takes
                self._hang_up()
                self._forget_first()
                continue
            if sent < len(first):
                self._waiting[0] = first[sent:]
                self._waiting_bytes -= sent
            else:
                self._forget_first()
        if self._socket is not None:
            self._loop.unwatch(self._socket.fileno())
        return True

    def _connection(self) -> socket.socket | None:
        if self._socket is None and time.monotonic() - self._called_s >= _CALL_AGAIN_S:
            with suppress(OSError):
                self._socket = self._connect()
        return self._socket

    def _hang_up(self) -> None:
        if self._socket is not None:
            self._loop.unwatch(self._socket.fileno())
            self._socket.close()
            self._socket = None

    def close(self) -> None:
        """Send what the daemon takes at once, and hang up."""
        self.flush()
        self._hang_up()
