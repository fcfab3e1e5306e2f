"""Asking other name servers, each question from a socket and a port of its own.

A question goes out from the container's network namespace, so that the servers its network can
reach (and no others) are asked, and what its firewall forbids stays forbidden. A server on the
host's loopback (systemd-resolved, dnsmasq) is asked from the host's namespace: nobody else can.
"""

import os
import socket
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address

from cutaway.network.facts import host_resolv_conf, parse_nameservers
from cutaway.network.namespace import inside
from cutaway.network.userland.answers import matches_query
from cutaway.network.userland.loop import Loop, Timer

PATIENCE_S = 4.0
_SHORT_PATIENCE_S = 1.5  # while there is another way to try: resolvers give up after 5 s
MAX_SERVERS = 3
MAX_PENDING = 1024
_DNS_PORT = 53
_REPLY_SIZE = 65535
_RCODE_MASK = 0x000F
_BAD_CODES = (2, 4, 5)  # SERVFAIL, NOTIMP, REFUSED: another server may know better

Answered = Callable[[bytes | None], None]
Way = tuple[str, int | None]
"""A server's address, and the namespace to ask it from; None is the host's."""


class HostServers:
    """The servers of the host's resolv.conf, read again when the file has changed."""

    def __init__(self, path: str = "/etc/resolv.conf") -> None:
        self._path = path
        self._stamp: tuple[int, int, int] | None = None
        self._servers: tuple[str, ...] = ()

    def current(self) -> tuple[str, ...]:
        """Return the servers as they are now; one stat(2) when nothing changed."""
        try:
            info = os.stat(self._path)
            stamp = (info.st_ino, info.st_mtime_ns, info.st_size)
        except OSError:
            stamp = (0, 0, 0)
        if stamp != self._stamp:
            self._stamp = stamp
            self._servers = parse_nameservers(host_resolv_conf(self._path))
        return self._servers


@dataclass(slots=True)
class _Question:
    """One question on its way, with the servers not asked yet."""

    query: bytes
    wire: bytes
    ways: list[Way]
    answered: Answered
    connection: socket.socket | None = None
    timer: Timer | None = None
    fallback: bytes | None = None
    pending: bytearray = field(default_factory=bytearray)


class Upstream:
    """Asks servers, one after the other, until one knows."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._pending: set[int] = set()

    def ask(self, query: bytes, ways: Sequence[Way], answered: Answered) -> None:
        """Ask by UDP.

        Args:
            query: as the container sent it.
            ways: tried in order; a namespace must stay open until ``answered`` is called.
            answered: gets the reply with the query's own id, or None when nobody answered.
        """
        if len(self._pending) >= MAX_PENDING:
            answered(None)
            return
        # A random id and a random port (the kernel's choice for each new socket) are what a
        # forger would have to guess.
        wire = os.urandom(2) + query[2:]
        question = _Question(query, wire, list(ways), answered)
        self._pending.add(id(question))
        self._next(question)

    def _next(self, question: _Question) -> None:
        self._drop(question)
        while question.ways:
            server, netns_fd = question.ways.pop(0)
            try:
                connection = open_socket(server, socket.SOCK_DGRAM, netns_fd)
                question.connection = connection
                connection.connect((server, _DNS_PORT))
                connection.send(question.wire)
            except OSError:
                self._drop(question)
                continue
            self._loop.watch(connection.fileno(), read=lambda: self._receive(question))
            patience_s = _SHORT_PATIENCE_S if question.ways else PATIENCE_S
            question.timer = self._loop.later(patience_s, lambda: self._next(question))
            return
        self._finish(question, question.fallback)

    def _receive(self, question: _Question) -> None:
        if question.connection is None:
            return
        try:
            # A connected socket takes datagrams from the server's address and port only.
            reply = question.connection.recv(_REPLY_SIZE)
        except BlockingIOError:
            return
        except OSError:  # ECONNREFUSED: nobody listens there
            self._next(question)
            return
        if reply[:2] != question.wire[:2] or not matches_query(question.query, reply):
            return  # forged or late: wait for the true one
        restored = question.query[:2] + reply[2:]
        if struct.unpack_from(">H", reply, 2)[0] & _RCODE_MASK in _BAD_CODES:
            question.fallback = question.fallback or restored
            self._next(question)
            return
        self._finish(question, restored)

    def _drop(self, question: _Question) -> None:
        if question.timer is not None:
            question.timer.cancel()
            question.timer = None
        if question.connection is not None:
            self._loop.forget(question.connection.fileno())
            question.connection.close()
            question.connection = None

    def _finish(self, question: _Question, reply: bytes | None) -> None:
        self._drop(question)
        self._pending.discard(id(question))
        question.answered(reply)


def open_socket(server: str, kind: int, netns_fd: int | None) -> socket.socket:
    """Return a non-blocking socket that can reach a server.

    Raises:
        OSError: the namespace is gone, or has no IPv6.
    """
    address = ip_address(server)
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    if address.is_loopback or netns_fd is None:
        made = socket.socket(family, kind)
    else:
        with inside(netns_fd):
            made = socket.socket(family, kind)
    made.setblocking(False)
    return made
