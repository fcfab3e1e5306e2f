"""The sets of the engine's tables, and their elements in words. Pure.

``ruleset.py`` says what the rules do with them.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from ipaddress import ip_network

from cutaway.linux.addressing import pack_ip, pack_mac
from cutaway.linux.nftables import (
    NFPROTO,
    SET,
    Element,
    KeyType,
    RawField,
    Set,
    Table,
    join_key,
    pack_ifindex,
    pack_ifname,
    pack_port,
    pack_protocol,
)
from cutaway.linux.nftables.abi import PAYLOAD

IPV4, IPV6 = KeyType.IPV4_ADDR, KeyType.IPV6_ADDR
IFNAME, MAC = KeyType.IFNAME, KeyType.ETHER_ADDR
PROTOCOL, PORT, IFINDEX = KeyType.INET_PROTO, KeyType.INET_SERVICE, KeyType.IFACE_INDEX
# Of a message of neighbour discovery: its type, the address it is about, its first option.
MESSAGE, TARGET, OPTION = (
    RawField(PAYLOAD.TRANSPORT, offset, length) for offset, length in ((0, 1), (8, 16), (24, 8))
)

PROTOCOL_NUMBERS = {"tcp": 6, "udp": 17, "sctp": 132}
DENIED_MS = 3_600_000


class Fed(Enum):
    """Who else adds elements to a set, beside the engine."""

    NOT = SET(0)
    BY_NAMES = SET.TIMEOUT
    BY_RULES = SET.TIMEOUT | SET.EVAL


@dataclass(frozen=True, slots=True)
class SetDescription:
    """What one of our sets is: its key's and data's types.

    Attributes:
        bridge_family: in the table of family ``bridge``.
        key: one type or a concatenation.
        data: of a map.
        intervals: the addresses in it are whole subnets.
        fed: elements come and go by themselves: the name server or a rule adds them, for a time.
        comment: what it is for; ``nft list`` shows it.
    """

    bridge_family: bool
    key: tuple[KeyType | RawField, ...]
    data: tuple[KeyType, ...] = ()
    intervals: bool = False
    fed: Fed = Fed.NOT
    comment: str = ""


def _pair(name: str, *key: KeyType, **others: object) -> Mapping[str, SetDescription]:
    """Describe an IPv4 set and its IPv6 twin."""
    found = {}
    for suffix, address in (("4", IPV4), ("6", IPV6)):
        own = tuple(address if k is IPV4 else k for k in key)
        data = tuple(address if k is IPV4 else k for k in others.get("data", ()))  # type: ignore[attr-defined]
        found[name + suffix] = SetDescription(
            bridge_family=bool(others.get("bridge_family")),
            key=own,
            data=data,
            intervals=bool(others.get("intervals")),
            fed=others.get("fed", Fed.NOT),  # type: ignore[arg-type]
            comment=str(others.get("comment", "")),
        )
    return found


SETS: Mapping[str, SetDescription] = {
    "bridges": SetDescription(False, (IFNAME,), comment="bridges of our networks"),
    "internal": SetDescription(False, (IFNAME,), comment="networks without a way out"),
    "walled": SetDescription(False, (IFNAME,), comment="networks that are internal or icc=false"),
    "routed": SetDescription(False, (IFNAME,), comment="gateway mode routed: ICMP is let in"),
    "exposed": SetDescription(False, (IFNAME,), comment="gateway mode nat-unprotected"),
    "neighbours": SetDescription(
        False, (IFNAME, IFNAME), comment="from this link to that bridge needs no publishing"
    ),
    "isolated": SetDescription(
        False, (IFNAME, IFNAME), comment="icc=false: not even by way of the gateway"
    ),
    "samedigits": SetDescription(
        False, (IFINDEX, IFINDEX), comment="compares two links, see firewall/same_link.py"
    ),
    **_pair("subnets", IPV4, intervals=True, comment="subnets of our networks"),
    **_pair("guarded", IPV4, intervals=True, comment="subnets that only homes may reach"),
    **_pair("homes", IPV4, IFNAME, intervals=True, comment="subnet and where it is at home"),
    **_pair("hidden", IPV4, intervals=True, comment="subnets behind the host's address"),
    **_pair("source", IPV4, data=(IPV4,), intervals=True, comment="address to hide behind"),
    **_pair("ports", IPV4, PROTOCOL, PORT, data=(IPV4, PORT), comment="published on one address"),
    **_pair("anyports", PROTOCOL, PORT, data=(IPV4, PORT), comment="published on any address"),
    **_pair("open", IPV4, PROTOCOL, PORT, comment="gateway mode routed: ports let in"),
    **_pair("fenced", IPV4, comment="addresses with an egress policy"),
    **_pair("lanonly", IPV4, comment="egress lan"),
    **_pair("lan", IPV4, intervals=True, comment="what egress lan may reach"),
    **_pair(
        "allowed",
        *(IPV4, IPV4, PROTOCOL, PORT),
        intervals=True,
        comment="egress allow: from, to, protocol, port",
    ),
    **_pair(
        "named",
        *(IPV4, IPV4, PROTOCOL, PORT),
        intervals=True,
        fed=Fed.BY_NAMES,
        comment="egress allow: what its names led to",
    ),
    **_pair(
        "denied",
        *(IPV4, IPV4, PROTOCOL, PORT),
        fed=Fed.BY_RULES,
        comment="what was refused in the last hour",
    ),
    "fencedlinks": SetDescription(True, (IFNAME,), comment="links with an egress policy"),
    "allotted": SetDescription(True, (IFNAME,), comment="links whose addresses are fixed"),
    "macs": SetDescription(True, (IFNAME, MAC), comment="link and its Ethernet address"),
    **_pair("addresses", IFNAME, IPV4, bridge_family=True, comment="link and its IP address"),
    "targets6": SetDescription(True, (IFNAME, TARGET), comment="the same, as bytes of ICMPv6"),
    "options6": SetDescription(
        True, (IFNAME, MESSAGE, OPTION), comment="link and how it tells its Ethernet address"
    ),
}


@dataclass(frozen=True, slots=True)
class Entry:
    """An element of one of our sets, in words.

    Attributes:
        set_name: a key of ``SETS``.
        key: a text for each field: ``172.18.0.0/16``, ``br0``, ``tcp``, ``8080``, ``0x88``.
        value: the same, of a map's data.
    """

    set_name: str
    key: tuple[str, ...]
    value: tuple[str, ...] = ()

    def __str__(self) -> str:
        value = f" : {' . '.join(self.value)}" if self.value else ""
        return " . ".join(self.key) + value


def _encode(types: Sequence[KeyType | RawField], texts: Sequence[str], *, last: bool) -> bytes:
    """Encode the fields of a key; of a subnet its first address or, with ``last``, its last."""
    fields = []
    for kind, text in zip(types, texts, strict=True):
        if isinstance(kind, RawField):
            fields.append(int(text, 16).to_bytes(kind.length, "big"))
        elif kind is IFNAME:
            fields.append(pack_ifname(text))
        elif kind is MAC:
            fields.append(pack_mac(text))
        elif kind is PROTOCOL:
            fields.append(pack_protocol(PROTOCOL_NUMBERS[text]))
        elif kind is IFINDEX:
            fields.append(pack_ifindex(int(text)))
        elif kind is PORT:
            first, _, end = text.partition("-")
            fields.append(pack_port(int(end if last and end else first)))
        elif "/" in text:
            subnet = ip_network(text)
            fields.append((subnet.broadcast_address if last else subnet.network_address).packed)
        else:
            fields.append(pack_ip(text))
    return join_key(*fields)


def encode_entry(entry: Entry) -> Element:
    """Turn words into the element's bytes."""
    described = SETS[entry.set_name]
    return Element(
        key=_encode(described.key, entry.key, last=False),
        key_end=_encode(described.key, entry.key, last=True) if described.intervals else b"",
        data=_encode(described.data, entry.value, last=False) if described.data else None,
    )


def wanted_keys(entries: Iterable[Entry]) -> dict[str, set[bytes]]:
    """Return the keys that each set must have, as a dump shows them."""
    keys: dict[str, set[bytes]] = {}
    for entry in entries:
        keys.setdefault(entry.set_name, set()).add(encode_entry(entry).key)
    return keys


def encode_timed(entry: Entry, *, timeout_ms: int) -> Element:
    """Turn words into the bytes of an element that ends by itself."""
    return replace(encode_entry(entry), timeout_ms=timeout_ms)


@dataclass(frozen=True, slots=True)
class Tables:
    """The two tables of one engine and their sets; ``instance`` is their name."""

    instance: str

    @property
    def inet(self) -> Table:
        """Routed packets."""
        return Table(NFPROTO.INET, self.instance)

    @property
    def bridge(self) -> Table:
        """Switched frames."""
        return Table(NFPROTO.BRIDGE, self.instance)

    def set(self, name: str) -> Set:
        """Return one of our sets."""
        described = SETS[name]
        return Set(
            table=self.bridge if described.bridge_family else self.inet,
            name=name,
            key=described.key,
            data=described.data,
            flags=(SET.INTERVAL if described.intervals else SET(0)) | described.fed.value,
            comment=described.comment,
        )

    def family_word(self, name: str) -> str:
        """Return the nft program's word for the family of a set's table."""
        return "bridge" if SETS[name].bridge_family else "inet"
