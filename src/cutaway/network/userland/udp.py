"""UDP to the host's loopback, relayed to a container: each client gets a socket of its own."""

import socket
import time
from contextlib import suppress
from typing import Any

from cutaway.network.userland.loop import Loop, Timer

IDLE_S = 90.0
MAX_CLIENTS = 4096
_SIZE = 65535
_BURST = 64
_PKTINFO_SIZE = 64
_IPV6_RECVPKTINFO = 49
_IPV6_PKTINFO = 50
_IP_PKTINFO = 8


class _Client:
    """One sender: a connected socket to the container, how to answer, and when it was last heard.

    It has one timer, which is not set anew by every datagram: a flood would fill the loop's heap.
    """

    __slots__ = ("ancillary", "connection", "heard", "peer", "timer")

    def __init__(
        self, connection: socket.socket, peer: Any, ancillary: list[tuple[int, int, bytes]]
    ) -> None:
        self.connection = connection
        self.peer = peer
        self.ancillary = ancillary
        self.heard = time.monotonic()
        self.timer: Timer | None = None


class UdpPort:
    """Relays the datagrams that come to a bound socket, and the answers."""

    def __init__(self, loop: Loop, bound: socket.socket, target: tuple[str, int]) -> None:
        self._loop = loop
        self._bound = bound
        self.target = target
        self._clients: dict[Any, _Client] = {}
        bound.setblocking(False)
        # The answer must come from the address that was asked (127.0.0.5 is one, too).
        if bound.family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVPKTINFO, 1)
        else:
            bound.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
        loop.watch(bound.fileno(), read=self._receive)

    def _receive(self) -> None:
        for _ in range(_BURST):
            try:
                data, ancillary, _, peer = self._bound.recvmsg(_SIZE, _PKTINFO_SIZE)
            except (BlockingIOError, ConnectionError):
                return
            client = self._clients.get(peer) or self._open(peer, ancillary)
            if client is None:
                continue
            with suppress(OSError):  # nobody listens in the container: UDP says nothing
                client.connection.send(data)
            client.heard = time.monotonic()

    def _open(self, peer: Any, ancillary: list[tuple[int, int, bytes]]) -> _Client | None:
        if len(self._clients) >= MAX_CLIENTS:
            return None
        family = socket.AF_INET6 if ":" in self.target[0] else socket.AF_INET
        try:
            connection = socket.socket(family, socket.SOCK_DGRAM)
            connection.setblocking(False)
            connection.connect(self.target)
        except OSError:
            return None
        client = _Client(connection, peer, [self._answer_from(*a) for a in ancillary])
        self._clients[peer] = client
        self._loop.watch(connection.fileno(), read=lambda: self._answer(client))
        self._drop_if_idle(client)
        return client

    @staticmethod
    def _answer_from(level: int, kind: int, data: bytes) -> tuple[int, int, bytes]:
        """Turn where a datagram came to into where its answer comes from."""
        if kind == _IPV6_PKTINFO and level == socket.IPPROTO_IPV6:
            return level, kind, data
        # struct in_pktinfo: interface, address to send from, address of the header
        return level, kind, bytes(4) + data[8:12] + bytes(4)

    def _answer(self, client: _Client) -> None:
        for _ in range(_BURST):
            try:
                data = client.connection.recv(_SIZE)
            except BlockingIOError:
                break
            except OSError:  # ECONNREFUSED: the container has closed the port
                break
            with suppress(OSError):
                self._bound.sendmsg([data], client.ancillary, 0, client.peer)
        client.heard = time.monotonic()

    def _drop_if_idle(self, client: _Client) -> None:
        idle_s = time.monotonic() - client.heard
        if idle_s >= IDLE_S:
            self._drop(client)
        else:
            client.timer = self._loop.later(IDLE_S - idle_s, lambda: self._drop_if_idle(client))

    def _drop(self, client: _Client) -> None:
        self._clients.pop(client.peer, None)
        if client.timer is not None:
            client.timer.cancel()
        self._loop.forget(client.connection.fileno())
        client.connection.close()

    def close(self) -> None:
        """Close the bound socket and all clients'."""
        self._loop.forget(self._bound.fileno())
        self._bound.close()
        for client in list(self._clients.values()):
            self._drop(client)
