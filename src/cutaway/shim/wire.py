"""One non-blocking SOCK_SEQPACKET connection that carries JSON objects and descriptors.

A packet is one JSON object. The kernel refuses packets bigger than the socket's send buffer, so a
big object travels as a memfd: the packet is then ``{"memfd": true}`` and the memfd is its first
descriptor. Nothing here blocks: what the peer does not take now waits in a queue until
``flush`` is called again (when the descriptor is writable).
"""

import contextlib
import json
import os
import socket
from collections import deque
from collections.abc import Iterator
from typing import Any, NamedTuple

PACKET_LIMIT = 64 * 1024
DOCUMENT_LIMIT = 16 * 1024 * 1024
DESCRIPTOR_LIMIT = 16
_MEMFD_PACKET = b'{"memfd":true}'
_PROBE = bytearray(1)
# With MSG_TRUNC recv(2) returns the packet's real length, however small the buffer.
_PEEK = int(socket.MSG_PEEK | socket.MSG_TRUNC)
_CLOEXEC = int(socket.MSG_CMSG_CLOEXEC)
_SPACE = socket.CMSG_SPACE(DESCRIPTOR_LIMIT * 4)
_encode = json.JSONEncoder(separators=(",", ":")).encode
_decode = json.JSONDecoder().decode


class Packet(NamedTuple):
    """One received object; the receiver owns the descriptors and must close them."""

    document: Any
    fds: tuple[int, ...]


class Channel:
    """Sends and receives packets over one SEQPACKET socket, which it owns."""

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        self._socket = connection
        self._unsent: deque[tuple[bytes, tuple[int, ...]]] = deque()
        self.at_end = False

    @classmethod
    def from_fd(cls, fd: int) -> "Channel":
        """Take over a descriptor of a connected SEQPACKET socket."""
        return cls(socket.socket(fileno=fd))

    def fileno(self) -> int:
        """Return the descriptor to poll; -1 once closed."""
        return self._socket.fileno()

    @property
    def wants_write(self) -> bool:
        """Packets wait: call ``flush`` when the descriptor is writable."""
        return bool(self._unsent)

    def send(self, document: Any, fds: tuple[int, ...] = ()) -> None:
        """Send a packet now, or queue it when the peer is behind.

        Descriptors are duplicated: the caller keeps and closes its own. A dead peer is noticed in
        ``at_end`` and never raises: its successor will ask for what it missed.
        """
        if self.at_end:
            return
        data = _encode(document).encode()
        if len(data) > PACKET_LIMIT:
            memfd = _write_memfd(data)
            self._unsent.append((_MEMFD_PACKET, (memfd, *(os.dup(fd) for fd in fds))))
        else:
            self._unsent.append((data, tuple(os.dup(fd) for fd in fds) if fds else ()))
        self.flush()

    def flush(self) -> None:
        """Send what waits, as far as the peer takes it."""
        while self._unsent:
            data, fds = self._unsent[0]
            try:
                socket.send_fds(self._socket, [data], list(fds), socket.MSG_NOSIGNAL)
            except BlockingIOError:
                return
            except OSError:  # EPIPE, ECONNRESET, ENOTCONN: the peer is gone
                self.at_end = True
                self._drop_unsent()
                return
            self._unsent.popleft()
            for fd in fds:
                os.close(fd)

    def receive(self) -> Packet | None:
        """Return the next packet, or None: nothing is there now, or ``at_end`` is set.

        Raises:
            ValueError: the packet is not JSON, or too big. Its descriptors are closed.
        """
        try:
            # A buffer of the limit's size would be 64 KiB of each idle shim's own memory.
            size = min(self._socket.recv_into(_PROBE, 1, _PEEK), PACKET_LIMIT + 1)
            # socket.recv_fds() ignores its flags: the descriptors would be inheritable.
            data, ancillary, flags, _ = self._socket.recvmsg(size, _SPACE, _CLOEXEC)
        except BlockingIOError:
            return None
        except OSError:
            self.at_end = True
            return None
        fds = _descriptors(ancillary)
        if not data:
            self.at_end = True
            return None
        try:
            if flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
                raise ValueError("a packet was bigger than the protocol allows")
            if data == _MEMFD_PACKET and fds:
                memfd, *rest = fds
                data = _read_memfd(memfd)
                os.close(memfd)
                fds = rest
            return Packet(_decode(data.decode()), tuple(fds))
        except ValueError:
            for fd in fds:
                os.close(fd)
            raise

    def peer_uid(self) -> int:
        """Return the user id of the process at the other end (SO_PEERCRED)."""
        raw = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        return int.from_bytes(raw[4:8], "little")

    def give_up(self) -> None:
        """Give the peer up: it sent what is no message."""
        self.at_end = True

    def close(self) -> None:
        """Close the socket and everything that was not sent."""
        self._drop_unsent()
        self._socket.close()
        self.at_end = True

    def _drop_unsent(self) -> None:
        while self._unsent:
            for fd in self._unsent.popleft()[1]:
                os.close(fd)


def _descriptors(ancillary: list[tuple[int, int, bytes]]) -> list[int]:
    fds: list[int] = []
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds += memoryview(data[: len(data) - len(data) % 4]).cast("i").tolist()
    return fds


def _write_memfd(data: bytes) -> int:
    if len(data) > DOCUMENT_LIMIT:
        raise ValueError(f"a message of {len(data)} bytes is bigger than the protocol allows")
    memfd = os.memfd_create("cutaway message", os.MFD_CLOEXEC)
    view = memoryview(data)
    while view:
        view = view[os.write(memfd, view) :]
    return memfd


def _read_memfd(memfd: int) -> bytes:
    size = os.fstat(memfd).st_size
    if size > DOCUMENT_LIMIT:
        raise ValueError(f"a message of {size} bytes is bigger than the protocol allows")
    return os.pread(memfd, size, 0)


def pair() -> tuple[socket.socket, socket.socket]:
    """Return the two ends of a new SEQPACKET connection, both close-on-exec."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


@contextlib.contextmanager
def short_path(path: str) -> Iterator[str]:
    """Give a socket's path a name that fits: sun_path holds 107 bytes, data roots may be longer.

    The name leads through a descriptor of the directory and is valid within the ``with`` block, in
    other processes too.
    """
    directory, name = os.path.split(path)
    fd = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/{os.getpid()}/fd/{fd}/{name}"
    finally:
        os.close(fd)


def receive_descriptor(connection: socket.socket) -> int:
    """Return the one descriptor that a peer sends (a runtime program: its pty's master).

    Raises:
        ValueError: none came.
    """
    space = socket.CMSG_SPACE(4)
    _, ancillary, _, _ = connection.recvmsg(4096, space, socket.MSG_CMSG_CLOEXEC)
    fds = _descriptors(ancillary)
    if not fds:
        raise ValueError("the peer sent no descriptor")
    return fds[0]
