"""Tables, chains, sets, elements, rules and verdicts, as values."""

import struct
from dataclasses import dataclass
from enum import Enum

from cutaway.linux.addressing import pack_ip
from cutaway.linux.nftables.abi import (
    HOOK,
    NETDEV_HOOK,
    NFPROTO,
    NFT_DATA_VERDICT,
    PAYLOAD,
    SET,
)

_IFNAMSIZ = 16


class KeyType(Enum):
    """The types a set's key or a map's data is made of: ``(nft's number, length in bytes)``."""

    IPV4_ADDR = (7, 4)
    IPV6_ADDR = (8, 16)
    ETHER_ADDR = (9, 6)
    INET_PROTO = (12, 1)
    INET_SERVICE = (13, 2)
    MARK = (19, 4)
    IFACE_INDEX = (20, 4)
    IFNAME = (41, 16)
    VERDICT = (NFT_DATA_VERDICT, 0)

    @property
    def number(self) -> int:
        """Nft's number of the type."""
        return self.value[0]

    @property
    def length(self) -> int:
        """Bytes of one value."""
        return self.value[1]

    @property
    def is_host_order(self) -> bool:
        """Whether values are in native byte order; else in the network's."""
        return self in (KeyType.MARK, KeyType.IFACE_INDEX, KeyType.IFNAME)


@dataclass(frozen=True, slots=True)
class RawField:
    """A field of a key that is bytes of a header which nft has no word for: ``@th,64,128``.

    Such a key has no ``type`` in nft's language, only a ``typeof`` that says what rules load.

    Attributes:
        base: where ``offset`` counts from.
        offset: first byte.
        length: bytes.
    """

    base: PAYLOAD
    offset: int
    length: int

    @property
    def number(self) -> int:
        """Nft's number of the type: an integer."""
        return 4

    @property
    def is_host_order(self) -> bool:
        """See ``KeyType``."""
        return False


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of the packet, or which chain goes on."""

    code: int
    chain: str = ""


DROP = Verdict(0)
ACCEPT = Verdict(1)
CONTINUE = Verdict(-1)
RETURN = Verdict(-5)


def jump(chain: str) -> Verdict:
    """Go on in ``chain`` and come back."""
    return Verdict(-3, chain)


def goto(chain: str) -> Verdict:
    """Go on in ``chain`` and do not come back."""
    return Verdict(-4, chain)


@dataclass(frozen=True, slots=True)
class Table:
    """A table: a family and a name."""

    family: NFPROTO
    name: str
    comment: str = ""


@dataclass(frozen=True, slots=True)
class Chain:
    """A chain; with a hook it is a base chain that the kernel calls, else one that rules call.

    Attributes:
        table: where it is.
        name: not a word of the nft language, or ``nft`` can't read its own listing back.
        kind: ``filter``, ``nat`` or ``route``; empty for a regular chain.
        hook: where the kernel calls it.
        priority: order among the base chains of a hook, lower is earlier.
        policy: DROP or ACCEPT, what holds when no rule decides.
        device: of the netdev family and of inet ingress.
        comment: shown by ``nft list``.
    """

    table: Table
    name: str
    kind: str = ""
    hook: HOOK | NETDEV_HOOK | None = None
    priority: int = 0
    policy: Verdict = ACCEPT
    device: str = ""
    comment: str = ""


@dataclass(frozen=True, slots=True)
class Set:
    """A set of keys, or with ``data`` a map from keys to data.

    Attributes:
        table: where it is.
        name: unique in the table.
        key: one type, or several whose concatenation is the key; beside raw fields IFNAME is
            ``iifname``.
        data: a map's value types; ``(KeyType.VERDICT,)`` is a verdict map.
        flags: INTERVAL, TIMEOUT, CONSTANT, EVAL; MAP and CONCAT follow from the types.
        timeout_ms: of elements that don't have their own.
        comment: shown by ``nft list``.
    """

    table: Table
    name: str
    key: tuple[KeyType | RawField, ...]
    data: tuple[KeyType, ...] = ()
    flags: SET = SET(0)
    timeout_ms: int = 0
    comment: str = ""

    @property
    def all_flags(self) -> SET:
        """The flags the kernel is told."""
        flags = self.flags
        if self.data:
            flags |= SET.MAP
        if self.is_concatenated and flags & SET.INTERVAL:
            flags |= SET.CONCAT
        if self.timeout_ms:
            flags |= SET.TIMEOUT
        return flags

    @property
    def is_concatenated(self) -> bool:
        """Whether a key has several fields."""
        return len(self.key) > 1


@dataclass(frozen=True, slots=True)
class Element:
    """An element of a set.

    Attributes:
        key: ``join_key`` of the fields' bytes.
        key_end: the last key of an interval, itself included; empty for a single key.
        data: a map's value, bytes (``join_key`` of its fields) or a verdict.
        timeout_ms: its own; 0 is the set's.
        comment: shown by ``nft list``.
    """

    key: bytes
    key_end: bytes = b""
    data: bytes | Verdict | None = None
    timeout_ms: int = 0
    comment: str = ""


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule: expressions done in order until one does not match or a verdict is given.

    Attributes:
        chain: where it is.
        expressions: what the functions of ``expressions`` and ``matches`` return.
        comment: at most 253 bytes; the way to know one's own rules again.
    """

    chain: Chain
    expressions: tuple[bytes, ...]
    comment: str = ""


def join_key(*fields: bytes) -> bytes:
    """Concatenate fields; each is padded to whole 32-bit registers, a single one is not."""
    if len(fields) == 1:
        return fields[0]
    return b"".join(field + bytes(-len(field) % 4) for field in fields)


def pack_port(port: int) -> bytes:
    """Return a port's bytes."""
    return struct.pack(">H", port)


def pack_protocol(number: int) -> bytes:
    """Return an IP protocol's byte: 6 is TCP, 17 UDP, 132 SCTP."""
    return bytes((number,))


def pack_ifname(name: str) -> bytes:
    """Return a link's name as a whole key."""
    data = name.encode()
    if len(data) >= _IFNAMSIZ:
        raise ValueError(f"not a link name of 1 to 15 bytes: {name!r}")
    return data.ljust(_IFNAMSIZ, b"\0")


def pack_ifindex(index: int) -> bytes:
    """Return a link's index as a key."""
    return struct.pack("=I", index)


def pack_mark(mark: int) -> bytes:
    """Return a packet mark's bytes."""
    return struct.pack("=I", mark)


__all__ = [
    "ACCEPT",
    "CONTINUE",
    "DROP",
    "RETURN",
    "Chain",
    "Element",
    "KeyType",
    "RawField",
    "Rule",
    "Set",
    "Table",
    "Verdict",
    "goto",
    "join_key",
    "jump",
    "pack_ifindex",
    "pack_ifname",
    "pack_ip",
    "pack_mark",
    "pack_port",
    "pack_protocol",
]
