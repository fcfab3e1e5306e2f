"""A sandbox's name server: answers on 127.0.0.11, by UDP and TCP."""

import os
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from dnslib import RCODE

from cutaway.network.userland.answers import (
    Forward,
    Refuse,
    answer,
    datagram_size,
    error_answer,
    fit,
)
from cutaway.network.userland.fences import Fences, question_name
from cutaway.network.userland.loop import Loop, Timer
from cutaway.network.userland.protocol import SandboxNames
from cutaway.network.userland.records import Records
from cutaway.network.userland.tcp import Relay
from cutaway.network.userland.upstream import (
    MAX_SERVERS,
    HostServers,
    Upstream,
    Way,
    open_socket,
)

_BURST = 64
_PACKET_SIZE = 4097
_CACHE_SIZE = 2048
_IDLE_S = 10.0
_MAX_CONNECTIONS = 64
_LENGTH = struct.Struct(">H")


class NameServer:
    """Serves one sandbox. Its sockets were made in the sandbox's namespace by the engine.

    The sockets and ``netns_fd`` keep the namespace alive, so ``close`` must come when the sandbox
    is gone.
    """

    def __init__(
        self,
        loop: Loop,
        records: Records,
        upstream: Upstream,
        host_servers: HostServers,
        *,
        names: SandboxNames,
        fences: Fences,
        catch_up: Callable[[], None],
        netns_fd: int,
        udp: socket.socket,
        tcp: socket.socket,
    ) -> None:
        self.names = names
        self._fences = fences
        self._catch_up = catch_up
        self._loop = loop
        self._records = records
        self._upstream = upstream
        self._host_servers = host_servers
        self._netns_fd = netns_fd
        self._udp = udp
        self._tcp = tcp
        self._cache: dict[bytes, bytes] = {}
        self._connections: set[_Connection] = set()
        self._closed = False
        for one in (udp, tcp):
            one.setblocking(False)
        loop.watch(udp.fileno(), read=self._receive)
        loop.watch(tcp.fileno(), read=self._accept)

    def forget_answers(self) -> None:
        """Drop the cached answers: a name has changed."""
        self._cache.clear()

    def servers(self) -> tuple[str, ...]:
        """Return whom to ask for what is no container's name."""
        if self.names.servers is not None:
            return self.names.servers
        return self._host_servers.current()

    def _receive(self) -> None:
        for _ in range(_BURST):
            try:
                query, peer = self._udp.recvfrom(_PACKET_SIZE)
            except (BlockingIOError, ConnectionError):
                return
            self._catch_up()
            if self._closed:
                return
            cached = self._cache.get(query[2:])
            if cached is not None:
                self._send(query[:2] + cached, peer)
                continue
            self._serve_datagram(query, peer)

    def _serve_datagram(self, query: bytes, peer: Any) -> None:
        def reply(data: bytes) -> None:
            self._send(fit(data, datagram_size(query)), peer)

        own = self.serve(query, reply)
        if own is not None and len(own) <= 512 and own[6:8] == b"\0\1":
            # One address only: several are shuffled anew each time.
            if len(self._cache) >= _CACHE_SIZE:
                self._cache.clear()
            self._cache[query[2:]] = own[2:]

    def look_up(self, query: bytes) -> bytes | Forward | Refuse:
        """Answer from the records as they are now."""
        self._catch_up()
        return answer(query, self._records, self.names)

    def serve(self, query: bytes, reply: Callable[[bytes], object]) -> bytes | None:
        """Answer a query, at once or when upstream has.

        Returns:
            What was answered, if it was from the records.
        """
        result = answer(query, self._records, self.names)
        if isinstance(result, Refuse):
            return None
        if isinstance(result, bytes):
            reply(result)
            return result

        name = question_name(query) if self.names.fences else ""
        if self.names.fences and not self._fences.permits(self.names, name):
            reply(error_answer(query, RCODE.REFUSED))
            return None

        def answered(data: bytes | None) -> None:
            if self._closed:
                return
            if data is not None and self.names.fences:
                self._fences.learn(self.names, name, data)
            reply(data if data is not None else error_answer(query, RCODE.SERVFAIL))

        self._upstream.ask(query, self._ways(), answered)
        return None

    def _ways(self) -> list[Way]:
        """Return whom to ask, and from which namespace, in order.

        The container's network is tried first; the host's own servers are tried from the host,
        too, because they may be reachable from there alone. A fenced container's questions are
        the host's: its own packets would be refused.
        """
        servers = self.servers()[:MAX_SERVERS]
        own = [] if self.names.asks_from_host else [(s, self._netns_fd) for s in servers]
        follows_host = self.names.servers is None
        by_host = [(s, None) for s in servers] if follows_host or not own else []
        return [*own, *by_host]

    def _send(self, data: bytes, peer: Any) -> None:
        with suppress(OSError):  # the asker is gone, or its buffer is full: it will ask again
            self._udp.sendto(data, peer)

    def _accept(self) -> None:
        try:
            connection, _ = self._tcp.accept()
        except OSError:
            return
        if len(self._connections) >= _MAX_CONNECTIONS:
            connection.close()
            return
        self._connections.add(_Connection(self, self._loop, connection))

    def ended(self, connection: "_Connection") -> None:
        """Forget a TCP connection that ended."""
        self._connections.discard(connection)

    def relay_tcp(self, client: socket.socket, head: bytes) -> bool:
        """Hand a TCP connection over to the first server that can be reached; True when done."""
        for server in self.servers():
            try:
                other = open_socket(server, socket.SOCK_STREAM, self._netns_fd)
            except OSError:
                continue
            Relay(self._loop, client, other, (server, 53), head=head)
            return True
        return False

    def close(self) -> None:
        """Close all: the namespace may die now."""
        self._closed = True
        for connection in list(self._connections):
            connection.close()
        for one in (self._udp, self._tcp):
            self._loop.forget(one.fileno())
            one.close()
        os.close(self._netns_fd)


class _Connection:
    """A TCP client: queries one after the other, each with its length before it.

    A question for upstream makes the whole connection upstream's, from that question on.
    """

    def __init__(self, server: NameServer, loop: Loop, connection: socket.socket) -> None:
        self._server = server
        self._loop = loop
        self._connection = connection
        self._received = b""
        self._timer: Timer = loop.later(_IDLE_S, self.close)
        connection.setblocking(False)
        loop.watch(connection.fileno(), read=self._read)

    def _read(self) -> None:
        try:
            data = self._connection.recv(4096)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.close()
            return
        self._received += data
        while len(self._received) >= 2:
            (length,) = _LENGTH.unpack_from(self._received)
            if len(self._received) < length + 2:
                return
            query = self._received[2 : length + 2]
            if not self._serve(query):
                return
            self._received = self._received[length + 2 :]

    def _serve(self, query: bytes) -> bool:
        """Answer; False when the connection is not ours any more."""
        result = self._server.look_up(query)
        if isinstance(result, Forward) and self._server.names.fences:
            # Not relayed: every question must be looked at.
            self._server.serve(query, self._reply)
            return True
        if isinstance(result, Forward):
            self._loop.forget(self._connection.fileno())
            self._timer.cancel()
            self._server.ended(self)
            if self._server.relay_tcp(self._connection, self._received):
                return False
            result = error_answer(query, RCODE.SERVFAIL)
        if isinstance(result, Refuse):
            self.close()
            return False
        return self._reply(result)

    def _reply(self, answer: bytes) -> bool:
        """Send an answer; False when the connection has ended."""
        try:
            self._connection.sendall(_LENGTH.pack(len(answer)) + answer)
        except OSError:
            self.close()
            return False
        return True

    def close(self) -> None:
        """End the connection; harmless when it has ended."""
        if self._connection.fileno() >= 0:
            self._loop.forget(self._connection.fileno())
            self._connection.close()
        self._timer.cancel()
        self._server.ended(self)
