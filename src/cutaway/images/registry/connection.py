"""urllib3's connections, with a handle to break them from another thread."""

import contextlib
import http.client
import socket
import threading
import weakref
from typing import Any

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection


class OpenSockets:
    """The sockets of one transport; ``shut_down`` makes every blocked read and write return."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sockets: weakref.WeakSet[Any] = weakref.WeakSet()  # guarded by _lock
        self._is_shut = False  # guarded by _lock

    def add(self, opened: Any) -> None:
        """Remember a socket; shut it at once when all are."""
        with self._lock:
            self._sockets.add(opened)
            if self._is_shut:
                shut_down(opened)

    def shut_down(self) -> None:
        """Shut every socket, and those to come."""
        with self._lock:
            self._is_shut = True
            for opened in self._sockets:
                shut_down(opened)


def shut_down(opened: Any) -> None:
    """End both directions of a socket, whoever is blocked on it."""
    with contextlib.suppress(OSError):
        # The method of socket itself: SSLSocket's own would first forget its TLS state, and the
        # blocked reader would go on with what it then takes for plain text.
        socket.socket.shutdown(opened, socket.SHUT_RDWR)


class _Tracked:
    """Mixed into a connection class: sockets are tracked, and an answer must begin in time."""

    open_sockets: OpenSockets
    sock: Any
    is_verified: bool
    timeout: float  # by now the request's read time-out

    def _new_conn(self) -> socket.socket:
        opened: socket.socket = super()._new_conn()  # type: ignore[misc]
        self.open_sockets.add(opened)
        return opened

    def connect(self) -> None:
        super().connect()  # type: ignore[misc]
        # wrap_socket() detached the first socket: this is the one that reads block on.
        self.open_sockets.add(self.sock)
        # Else urllib3 warns at each request of a registry that was configured as insecure.
        self.is_verified = True

    def getresponse(self) -> Any:
        # A socket's time-out starts anew with every byte: headers sent one byte a second would
        # never end. The timer bounds all of them together.
        is_late = threading.Event()

        def give_up() -> None:
            is_late.set()
            shut_down(self.sock)

        timer = threading.Timer(self.timeout, give_up)
        timer.daemon = True
        timer.start()
        try:
            return super().getresponse()  # type: ignore[misc]
        except (OSError, http.client.HTTPException) as error:
            if is_late.is_set():
                raise TimeoutError("timed out") from error
            raise
        finally:
            timer.cancel()


def use_tracked_connections(pool: urllib3.HTTPConnectionPool, open_sockets: OpenSockets) -> None:
    """Make a pool's future connections known to ``open_sockets``."""
    base = HTTPSConnection if isinstance(pool, urllib3.HTTPSConnectionPool) else HTTPConnection
    values = {"open_sockets": open_sockets}
    pool.ConnectionCls = type("TrackedConnection", (_Tracked, base), values)
