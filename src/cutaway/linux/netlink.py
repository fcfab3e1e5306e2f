"""Netlink: requests and answers as bytes, and a socket that sends many requests at once.

A netlink message is a 16-byte header and a body; the body is a family's fixed structure and then
*attributes* (length, type, value, padded to 4 bytes), which may nest. The kernel handles all
messages of one sendmsg(2) in order before the call returns, and answers each that failed; so a
chain of dependent changes costs one round trip. It does *not* stop at the first failure.

``rtnetlink`` and ``nftables`` build ``Request`` values with the helpers here; nothing is sent until
a ``NetlinkSocket`` gets them.

Source: netlink(7); Documentation/userspace-api/netlink/intro.rst.
"""

import errno
import os
import socket
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from cutaway.linux.abi import CLONE
from cutaway.linux.errors import KernelError
from cutaway.linux.processes import setns

NETLINK_ROUTE = 0
NETLINK_NETFILTER = 12

NLM_F_REQUEST = 0x1
NLM_F_ACK = 0x4
NLM_F_ECHO = 0x8
NLM_F_DUMP_INTR = 0x10
NLM_F_DUMP = 0x300
NLM_F_REPLACE = 0x100
NLM_F_NONREC = 0x100
NLM_F_EXCL = 0x200
NLM_F_CREATE = 0x400
NLM_F_APPEND = 0x800
_NLM_F_CAPPED = 0x100
_NLM_F_ACK_TLVS = 0x200

_NLMSG_ERROR = 2
_NLMSG_DONE = 3
_NLMSGERR_ATTR_MSG = 1

NLA_F_NESTED = 0x8000
_NLA_TYPE_MASK = 0x3FFF

_SOL_NETLINK = 270
_NETLINK_ADD_MEMBERSHIP = 1
_NETLINK_CAP_ACK = 10
_NETLINK_EXT_ACK = 11
_NETLINK_GET_STRICT_CHK = 12
_SO_SNDBUFFORCE = 32
_SO_RCVBUFFORCE = 33

_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_PADDING = (b"", b"\0\0\0", b"\0\0", b"\0")
_RECEIVE_SIZE = 65536
_DUMP_TRIES = 16


@dataclass(frozen=True, slots=True)
class Request:
    """One netlink message to be sent.

    Attributes:
        kind: nlmsg_type.
        flags: NLM_F_CREATE, NLM_F_DUMP …; REQUEST and ACK are added when it is sent.
        body: the family's structure and the attributes.
        call: the request in words for an error, ``RTM_NEWLINK(veth "ve3f")``.
    """

    kind: int
    flags: int
    body: bytes
    call: str


class Message(NamedTuple):
    """One message from the kernel, its header taken apart."""

    kind: int
    flags: int
    sequence: int
    body: bytes


def attribute(kind: int, value: bytes) -> bytes:
    """Encode one attribute, padded."""
    length = len(value)
    return _ATTRIBUTE.pack(length + 4, kind) + value + _PADDING[length & 3]


def attribute_u8(kind: int, value: int) -> bytes:
    """Encode an 8-bit attribute."""
    return struct.pack("=HHBxxx", 5, kind, value)


def attribute_u16(kind: int, value: int) -> bytes:
    """Encode a 16-bit attribute in native byte order."""
    return struct.pack("=HHHxx", 6, kind, value)


def attribute_u32(kind: int, value: int) -> bytes:
    """Encode a 32-bit attribute in native byte order, as rtnetlink has it."""
    return struct.pack("=HHI", 8, kind, value)


def attribute_be16(kind: int, value: int) -> bytes:
    """Encode a 16-bit attribute in network byte order."""
    return _ATTRIBUTE.pack(6, kind) + struct.pack(">Hxx", value)


def attribute_be32(kind: int, value: int) -> bytes:
    """Encode a 32-bit attribute in network byte order, as nfnetlink has it."""
    return _ATTRIBUTE.pack(8, kind) + struct.pack(">I", value & 0xFFFFFFFF)


def attribute_be64(kind: int, value: int) -> bytes:
    """Encode a 64-bit attribute in network byte order."""
    return _ATTRIBUTE.pack(12, kind) + struct.pack(">Q", value)


def attribute_text(kind: int, value: str) -> bytes:
    """Encode a text attribute, NUL-terminated."""
    return attribute(kind, value.encode() + b"\0")


def nested(kind: int, *attributes: bytes) -> bytes:
    """Encode an attribute that holds attributes."""
    return attribute(kind | NLA_F_NESTED, b"".join(attributes))


def iterate_attributes(data: bytes, offset: int = 0) -> Iterator[tuple[int, bytes]]:
    """Yield ``(type, value)`` of the attributes that start at ``offset``, flags stripped."""
    end = len(data)
    while offset + 4 <= end:
        length, kind = _ATTRIBUTE.unpack_from(data, offset)
        if length < 4:
            return
        yield kind & _NLA_TYPE_MASK, data[offset + 4 : offset + length]
        offset += (length + 3) & ~3


def parse_attributes(data: bytes, offset: int = 0) -> dict[int, bytes]:
    """Return the attributes by type; of repeated ones the last."""
    return dict(iterate_attributes(data, offset))


def parse_text(value: bytes) -> str:
    """Return a text attribute's value."""
    return value.rstrip(b"\0").decode(errors="replace")


def parse_u32(value: bytes) -> int:
    """Return a native 32-bit attribute's value."""
    return int.from_bytes(value[:4], "little" if struct.pack("=H", 1) == b"\1\0" else "big")


def parse_be(value: bytes) -> int:
    """Return the value of a network-order attribute of any width."""
    return int.from_bytes(value, "big")


def parse_messages(data: bytes) -> Iterator[Message]:
    """Take a datagram apart into its messages."""
    offset, end = 0, len(data)
    while offset + 16 <= end:
        length, kind, flags, sequence, _ = _HEADER.unpack_from(data, offset)
        if length < 16:
            return
        yield Message(kind, flags, sequence, data[offset + 16 : offset + length])
        offset += (length + 3) & ~3


def _parse_error(body: bytes, flags: int) -> tuple[int, str]:
    """Return ``(errno, the kernel's words)`` of an NLMSG_ERROR; errno 0 is an acknowledgement."""
    (code, length) = struct.unpack_from("=iI", body)
    if not flags & _NLM_F_ACK_TLVS:
        return -code, ""
    offset = 20 if flags & _NLM_F_CAPPED else 4 + ((length + 3) & ~3)
    return -code, parse_text(parse_attributes(body, offset).get(_NLMSGERR_ATTR_MSG, b""))


def in_network_namespace(netns_fd: int, protocol: int) -> "NetlinkSocket":
    """Return a socket that speaks for the network namespace ``netns_fd`` for all its life.

    The calling thread visits that namespace for the time of one socket(2) call; other threads
    don't notice.

    Raises:
        KernelError: EPERM, or EINVAL (not a network namespace).
    """
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        setns(netns_fd, CLONE.NEWNET)
        try:
            return NetlinkSocket(protocol)
        finally:
            setns(home, CLONE.NEWNET)
    finally:
        os.close(home)


class NetlinkSocket:
    """A netlink socket of the creating thread's network namespace.

    Used by one thread at a time and never by a forked child: two readers would take each other's
    answers. A use in another process raises ``RuntimeError``.
    """

    def __init__(self, protocol: int) -> None:
        self._socket = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol
        )
        self._owner_pid = os.getpid()
        self._sequence = 0
        for option in (_NETLINK_CAP_ACK, _NETLINK_EXT_ACK, _NETLINK_GET_STRICT_CHK):
            self._socket.setsockopt(_SOL_NETLINK, option, 1)
        self._socket.bind((0, 0))

    def __enter__(self) -> "NetlinkSocket":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def fileno(self) -> int:
        """Return the descriptor, for poll."""
        return self._socket.fileno()

    def close(self) -> None:
        """Close the socket; harmless when closed."""
        self._socket.close()

    def request(self, requests: Iterable[Request]) -> list[Message]:
        """Send requests in one sendmsg(2), and wait for the kernel to have handled all.

        Returns:
            The messages that answer them (a get's result, an ECHO); mostly empty.

        Raises:
            KernelError: the first that failed, named, with the kernel's explanation as hint. The
                requests *after* it were tried too.
        """
        replies, failures = self.exchange(list(requests))
        if failures:
            raise failures[min(failures)]
        return replies

    def try_requests(self, requests: Iterable[Request]) -> list[KernelError | None]:
        """Send requests in one sendmsg(2); return each one's outcome, None for success."""
        requests = list(requests)
        _, failures = self.exchange(requests)
        return [failures.get(index) for index in range(len(requests))]

    def exchange(
        self, requests: Sequence[Request], acknowledged: int = -1
    ) -> tuple[list[Message], dict[int, KernelError]]:
        """Send requests and collect the answers: ``(replies, failures by index)``.

        Only the one with index ``acknowledged`` asks for an acknowledgement: its arrival tells
        that the kernel is through, and that whatever did not complain succeeded.
        """
        if not requests:
            return [], {}
        if self._owner_pid != os.getpid():
            raise RuntimeError("a netlink socket is never shared between processes")
        last = acknowledged % len(requests)
        first_sequence = self._send(requests, last)
        replies: list[Message] = []
        failures: dict[int, KernelError] = {}
        while True:
            for message in parse_messages(self._receive(requests[last].call)):
                index = message.sequence - first_sequence
                if not 0 <= index < len(requests):
                    continue  # an answer to an earlier exchange, or an event
                if message.kind != _NLMSG_ERROR:
                    replies.append(message)
                    continue
                code, hint = _parse_error(message.body, message.flags)
                if code:
                    failures[index] = KernelError(code, requests[index].call, hint)
                # An nfnetlink batch that is refused as a whole complains about its first message.
                if index == last or (code and index == 0 and acknowledged != -1):
                    return replies, failures

    def dump(self, request: Request) -> list[bytes]:
        """Return the bodies that answer a dump; asked again when the table changed meanwhile.

        Raises:
            KernelError: the kernel's error, or EINTR when the table never stood still.
        """
        for _ in range(_DUMP_TRIES):
            bodies = self._dump_once(request)
            if bodies is not None:
                return bodies
        raise KernelError(errno.EINTR, request.call, "the table changed during each reading")

    def join(self, group: int) -> None:
        """Subscribe to a multicast group; its messages come by ``receive_events``."""
        self._socket.setsockopt(_SOL_NETLINK, _NETLINK_ADD_MEMBERSHIP, group)

    def receive_events(self) -> list[Message]:
        """Return the messages that are there; the empty list when there are none.

        Raises:
            KernelError: ENOBUFS (events were lost: read the whole state again).
        """
        try:
            return list(parse_messages(self._socket.recv(_RECEIVE_SIZE, socket.MSG_DONTWAIT)))
        except BlockingIOError:
            return []
        except OSError as error:
            raise KernelError(error.errno or 0, "recv(netlink)", "events were lost") from None

    def set_buffer_bytes(self, send: int = 0, receive: int = 0) -> None:
        """Enlarge the socket's buffers beyond the system's limit (CAP_NET_ADMIN)."""
        for option, size in ((_SO_SNDBUFFORCE, send), (_SO_RCVBUFFORCE, receive)):
            if size:
                self._socket.setsockopt(socket.SOL_SOCKET, option, size)

    def _send(self, requests: Sequence[Request], acknowledged: int) -> int:
        first = self._sequence + 1
        self._sequence = sequence = (self._sequence + len(requests)) & 0x7FFFFFFF
        if sequence < first:  # wrapped: start anew
            first, self._sequence = 1, len(requests)
        parts = []
        for index, request in enumerate(requests):
            flags = request.flags | NLM_F_REQUEST | (NLM_F_ACK if index == acknowledged else 0)
            length = len(request.body) + 16
            parts.append(_HEADER.pack(length, request.kind, flags, first + index, 0))
            parts.append(request.body)
            parts.append(_PADDING[length & 3])
        data = b"".join(parts)
        try:
            self._socket.send(data)
        except OSError as error:
            if error.errno != errno.EMSGSIZE:
                raise KernelError(error.errno or 0, f"send({requests[0].call} …)") from None
            self.set_buffer_bytes(send=2 * len(data))
            self._socket.send(data)
        return first

    def _receive(self, call: str) -> bytes:
        # The kernel has queued every answer before send(2) returned: there is nothing to wait for.
        try:
            return self._socket.recv(_RECEIVE_SIZE, socket.MSG_DONTWAIT)
        except OSError as error:
            code = errno.EPROTO if isinstance(error, BlockingIOError) else error.errno or 0
            raise KernelError(code, call, "no answer from the kernel") from None

    def _dump_once(self, request: Request) -> list[bytes] | None:
        if self._owner_pid != os.getpid():
            raise RuntimeError("a netlink socket is never shared between processes")
        wanted = Request(request.kind, request.flags | NLM_F_DUMP, request.body, request.call)
        sequence = self._send([wanted], -1)
        bodies: list[bytes] = []
        interrupted = False
        while True:
            for message in parse_messages(self._receive(request.call)):
                if message.sequence != sequence:
                    continue
                interrupted = interrupted or bool(message.flags & NLM_F_DUMP_INTR)
                if message.kind in (_NLMSG_DONE, _NLMSG_ERROR):
                    code = -int.from_bytes(message.body[:4], "little", signed=True)
                    if code == errno.EINTR:
                        return None
                    if code:
                        raise KernelError(code, request.call)
                    return None if interrupted else bodies
                bodies.append(message.body)
