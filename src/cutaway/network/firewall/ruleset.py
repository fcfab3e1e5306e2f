"""The engine's nftables: two tables whose rules never change; only sets do.

All chains and rules are made once, by one atomic batch. What comes and goes (a network, a
container, a published port) is an element of a set or a map, so adding the five hundredth port
costs as much as adding the first, and no packet passes more rules for it.

The table of family ``inet``:

| chain | hook | what it decides |
|---|---|---|
| ``guard`` | prerouting, raw | who may reach a container's own address: its bridge |
| ``arriving`` | prerouting, dstnat | published ports, for packets from outside |
| ``departing`` | output, dstnat | published ports, for the host's own processes |
| ``published`` | (called) | the two maps: on one address, on any |
| ``forwarding`` | forward, filter | between bridges and the world |
| ``leaving`` | postrouting, srcnat | containers hide behind the host's address |

``guard`` stops a neighbour on the LAN that routes to a container by hand as well as a container
of another network. The table of family ``bridge`` has one chain, ``spoofing``: a container sends
with the addresses that it was given and no others.

Foreign tables are never touched. An ``accept`` here ends only our own chain; a foreign drop still
drops.

Pure: values for ``linux.nftables``. Docker's counterpart: libnetwork's ``drivers/bridge/internal/
nftabler``.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_network

from cutaway.linux.addressing import pack_ip, pack_mac
from cutaway.linux.nftables import (
    ACCEPT,
    DROP,
    HOOK,
    NFPROTO,
    SET,
    Batch,
    Chain,
    Element,
    KeyType,
    Rule,
    Set,
    Table,
    expressions,
    join_key,
    jump,
    matches,
    pack_ifname,
    pack_port,
    pack_protocol,
)
from cutaway.linux.nftables.abi import CMP, CT_STATE, CT_STATUS, META, NAT, PAYLOAD

IPV4, IPV6 = KeyType.IPV4_ADDR, KeyType.IPV6_ADDR
IFNAME, MAC = KeyType.IFNAME, KeyType.ETHER_ADDR
PROTOCOL, PORT = KeyType.INET_PROTO, KeyType.INET_SERVICE

PROTOCOL_NUMBERS = {"tcp": 6, "udp": 17, "sctp": 132}
_ICMP, _ICMPV6 = 1, 58
_ETH_IPV4, _ETH_IPV6, _ETH_ARP = 0x0800, 0x86DD, 0x0806

# Priorities of the hooks, as the kernel and the nft program name them.
RAW, DSTNAT, FILTER, SRCNAT = -300, -100, 0, 100


@dataclass(frozen=True, slots=True)
class SetDescription:
    """What one of our sets is: its key's and data's types.

    Attributes:
        bridge_family: in the table of family ``bridge``.
        key: one type or a concatenation.
        data: of a map.
        intervals: the addresses in it are whole subnets.
        comment: what it is for; ``nft list`` shows it.
    """

    bridge_family: bool
    key: tuple[KeyType, ...]
    data: tuple[KeyType, ...] = ()
    intervals: bool = False
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
            comment=str(others.get("comment", "")),
        )
    return found


SETS: Mapping[str, SetDescription] = {
    "bridges": SetDescription(False, (IFNAME,), comment="bridges of our networks"),
    "internal": SetDescription(False, (IFNAME,), comment="networks without a way out"),
    "routed": SetDescription(False, (IFNAME,), comment="gateway mode routed: ICMP is let in"),
    "exposed": SetDescription(False, (IFNAME,), comment="gateway mode nat-unprotected"),
    "neighbours": SetDescription(
        False, (IFNAME, IFNAME), comment="from this link to that bridge needs no publishing"
    ),
    "isolated": SetDescription(
        False, (IFNAME, IFNAME), comment="icc=false: not even by way of the gateway"
    ),
    **_pair("subnets", IPV4, intervals=True, comment="subnets of our networks"),
    **_pair("guarded", IPV4, intervals=True, comment="subnets that only homes may reach"),
    **_pair("homes", IPV4, IFNAME, intervals=True, comment="subnet and where it is at home"),
    **_pair("hidden", IPV4, intervals=True, comment="subnets behind the host's address"),
    **_pair("source", IPV4, data=(IPV4,), intervals=True, comment="address to hide behind"),
    **_pair("ports", IPV4, PROTOCOL, PORT, data=(IPV4, PORT), comment="published on one address"),
    **_pair("anyports", PROTOCOL, PORT, data=(IPV4, PORT), comment="published on any address"),
    **_pair("open", IPV4, PROTOCOL, PORT, comment="gateway mode routed: ports let in"),
    "allotted": SetDescription(True, (IFNAME,), comment="links whose addresses are fixed"),
    "macs": SetDescription(True, (IFNAME, MAC), comment="link and its Ethernet address"),
    **_pair("addresses", IFNAME, IPV4, bridge_family=True, comment="link and its IP address"),
}


@dataclass(frozen=True, slots=True)
class Entry:
    """An element of one of our sets, in words.

    Attributes:
        set_name: a key of ``SETS``.
        key: a text for each field: ``172.18.0.0/16``, ``br0``, ``tcp``, ``8080``.
        value: the same, of a map's data.
    """

    set_name: str
    key: tuple[str, ...]
    value: tuple[str, ...] = ()

    def __str__(self) -> str:
        value = f" : {' . '.join(self.value)}" if self.value else ""
        return " . ".join(self.key) + value


def _encode(types: Sequence[KeyType], texts: Sequence[str], *, last: bool) -> bytes:
    """Encode the fields of a key; of a subnet its first address or, with ``last``, its last."""
    fields = []
    for kind, text in zip(types, texts, strict=True):
        if kind is IFNAME:
            fields.append(pack_ifname(text))
        elif kind is MAC:
            fields.append(pack_mac(text))
        elif kind is PROTOCOL:
            fields.append(pack_protocol(PROTOCOL_NUMBERS[text]))
        elif kind is PORT:
            fields.append(pack_port(int(text)))
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
            flags=SET.INTERVAL if described.intervals else SET(0),
            comment=described.comment,
        )

    def family_word(self, name: str) -> str:
        """Return the nft program's word for the family of a set's table."""
        return "bridge" if SETS[name].bridge_family else "inet"


def build_ruleset(
    tables: Tables, entries: Iterable[Entry], *, no_router: Sequence[int] = ()
) -> Batch:
    """Return the batch that replaces whatever is there by the whole rule set, atomically.

    Args:
        tables: whose.
        entries: all elements.
        no_router: the IP versions whose forwarding was off before this engine switched it on:
            packets between links that are none of ours are dropped, as they were.
    """
    batch = Batch()
    for table in (tables.inet, tables.bridge):
        # "add" first: deleting a table that is not there is an error on kernels before 6.3.
        batch.add_table(table).delete_table(table).add_table(table)
    for name in SETS:
        batch.add_set(tables.set(name))
    grouped: dict[str, list[Element]] = {}
    for entry in entries:
        grouped.setdefault(entry.set_name, []).append(encode_entry(entry))
    for name, elements in grouped.items():
        batch.add_elements(tables.set(name), elements)
    rules = [*_inet_rules(tables.inet, no_router), *_bridge_rules(tables.bridge)]
    seen: set[str] = set()
    for rule in rules:
        if rule.chain.name not in seen:
            seen.add(rule.chain.name)
            batch.add_chain(rule.chain)
    for rule in rules:
        batch.add_rule(rule)
    return batch


def count_rules(tables: Tables, *, no_router: Sequence[int]) -> int:
    """Return how many rules both tables have when nobody took any away."""
    return len(_inet_rules(tables.inet, no_router)) + len(_bridge_rules(tables.bridge))


# What follows is the rule set. ``x``: loads for a lookup; each tuple of expressions is a rule.

_FAMILIES = ((NFPROTO.IPV4, "4", 1), (NFPROTO.IPV6, "6", 4))


def _inlink(set_name: str, *, invert: bool = False) -> bytes:
    return expressions.meta(META.IIFNAME) + expressions.lookup(set_name, invert=invert)


def _outlink(set_name: str, *, invert: bool = False) -> bytes:
    return expressions.meta(META.OIFNAME) + expressions.lookup(set_name, invert=invert)


def _links(set_name: str, *, invert: bool = False) -> bytes:
    """``iifname . oifname``."""
    loads = expressions.meta(META.IIFNAME, 0) + expressions.meta(META.OIFNAME, 4)
    return loads + expressions.lookup(set_name, invert=invert)


def _address(family: NFPROTO, set_name: str, *, destination: bool) -> bytes:
    """``ip daddr`` or ``ip saddr`` in a set; asks the IP version too."""
    load = matches.load_ip(family, destination=destination)
    return matches.ip_version(family) + load + expressions.lookup(set_name)


def _address_and_link(
    family: NFPROTO, words: int, set_name: str, link: META, *, destination: bool, invert: bool
) -> bytes:
    """``ip daddr . iifname``; the caller matched the IP version before."""
    loads = matches.load_ip(family, destination=destination) + expressions.meta(link, words)
    return loads + expressions.lookup(set_name, invert=invert)


def _protocol_and_port(register: int) -> bytes:
    loads = expressions.meta(META.L4PROTO, register)
    return loads + matches.load_port(destination=True, register=register + 1)


def _inet_rules(table: Table, no_router: Sequence[int]) -> list[Rule]:
    return [
        *_guard_rules(Chain(table, "guard", "filter", HOOK.PREROUTING, RAW)),
        *_published_rules(Chain(table, "published")),
        *_publishing_rules(table),
        *_forwarding_rules(Chain(table, "forwarding", "filter", HOOK.FORWARD, FILTER), no_router),
        *_leaving_rules(Chain(table, "leaving", "nat", HOOK.POSTROUTING, SRCNAT)),
    ]


def _guard_rules(chain: Chain) -> list[Rule]:
    drop = expressions.verdict(DROP)
    rules = [
        Rule(
            chain,
            (_inlink("bridges"), matches.ip_destination("127.0.0.0/8"), drop),
            "the host's loopback is not for containers, even if route_localnet is on",
        )
    ]
    for family, suffix, words in _FAMILIES:
        parts = (
            _address(family, "guarded" + suffix, destination=True),
            _address_and_link(
                family, words, "homes" + suffix, META.IIFNAME, destination=True, invert=True
            ),
            matches.destination_is_local(invert=True),
            drop,
        )
        rules.append(Rule(chain, parts, "a container is reached from its own network only"))
    return rules


def _publishing_rules(table: Table) -> list[Rule]:
    arriving = Chain(table, "arriving", "nat", HOOK.PREROUTING, DSTNAT)
    departing = Chain(table, "departing", "nat", HOOK.OUTPUT, DSTNAT)
    to_published = expressions.verdict(jump("published"))
    # A packet from 127.0.0.1 can't leave by a bridge unless route_localnet opens the host's
    # loopback to the containers; connections to loopback go through the port keeper instead.
    return [
        Rule(arriving, (matches.destination_is_local(), to_published)),
        Rule(departing, (matches.ip_destination("127.0.0.0/8"), expressions.verdict(ACCEPT))),
        Rule(departing, (matches.ip_destination("::1"), expressions.verdict(ACCEPT))),
        Rule(departing, (matches.destination_is_local(), to_published)),
    ]


def _published_rules(chain: Chain) -> list[Rule]:
    rules = []
    for family, suffix, words in _FAMILIES:
        translate = expressions.nat(NAT.DNAT, family, address=0, port=words)
        on_one = (
            matches.ip_version(family),
            matches.load_ip(family, destination=True) + _protocol_and_port(words),
            expressions.lookup("ports" + suffix, to=0),
            translate,
        )
        on_any = (
            matches.ip_version(family),
            _protocol_and_port(0),
            expressions.lookup("anyports" + suffix, to=0),
            translate,
        )
        rules += [Rule(chain, on_one, "published on one address")]
        rules += [Rule(chain, on_any, "published on any address")]
    return rules


def _forwarding_rules(chain: Chain, no_router: Sequence[int]) -> list[Rule]:
    accept, drop = expressions.verdict(ACCEPT), expressions.verdict(DROP)
    established = matches.ct_state(CT_STATE.ESTABLISHED | CT_STATE.RELATED)
    not_published = matches.ct_status(CT_STATUS.DNAT, invert=True)
    published = matches.ct_status(CT_STATUS.DNAT)
    rules = [
        Rule(chain, (_links("isolated"), not_published, drop), "icc=false"),
        Rule(chain, (_links("neighbours"), accept), "within one network"),
        Rule(chain, (_inlink("internal"), drop), "internal networks have no way out"),
        Rule(chain, (_outlink("internal"), drop), "nor in"),
        Rule(chain, (established, accept), "answers"),
        Rule(chain, (_outlink("bridges"), published, accept), "published ports"),
        Rule(chain, (_outlink("exposed"), accept), "gateway mode nat-unprotected"),
    ]
    for family, suffix, words in _FAMILIES:
        icmp = matches.l4_protocol(_ICMP if family == NFPROTO.IPV4 else _ICMPV6)
        loads = matches.load_ip(family, destination=True) + _protocol_and_port(words)
        opened = (
            _outlink("routed"),
            matches.ip_version(family),
            loads + expressions.lookup("open" + suffix),
            accept,
        )
        rules.append(Rule(chain, (_outlink("routed"), icmp, accept), "gateway mode routed"))
        rules.append(Rule(chain, opened, "gateway mode routed"))
    rules.append(Rule(chain, (_outlink("bridges"), drop), "unpublished"))
    for version in no_router:
        family = NFPROTO.IPV4 if version == 4 else NFPROTO.IPV6
        nothing_of_ours = (matches.ip_version(family), _inlink("bridges", invert=True), drop)
        rules.append(Rule(chain, nothing_of_ours, "forwarding was off before cutaway needed it"))
    return rules


def _leaving_rules(chain: Chain) -> list[Rule]:
    rules = []
    for family, suffix, words in _FAMILIES:
        from_ours = _address(family, "subnets" + suffix, destination=False)
        away = _address_and_link(
            family, words, "homes" + suffix, META.OIFNAME, destination=False, invert=True
        )
        # A container that reaches another by the host's port must get the answer from the host.
        by_host_port = (
            matches.ct_status(CT_STATUS.DNAT),
            _outlink("bridges"),
            from_ours,
            expressions.masquerade(),
        )
        load_source = matches.load_ip(family, destination=False)
        to_fixed = (
            matches.ip_version(family),
            away,
            load_source + expressions.lookup("source" + suffix, to=0),
            expressions.nat(NAT.SNAT, family, address=0),
        )
        hidden = (
            _address(family, "hidden" + suffix, destination=False),
            away,
            expressions.masquerade(),
        )
        rules.append(Rule(chain, by_host_port, "a container by the host's port"))
        rules.append(Rule(chain, to_fixed, "host_ipv4, host_ipv6"))
        rules.append(Rule(chain, hidden, "behind the host's address"))
    return rules


def _bridge_rules(table: Table) -> list[Rule]:
    chain = Chain(table, "spoofing", "filter", HOOK.PREROUTING, RAW)
    accept, drop = expressions.verdict(ACCEPT), expressions.verdict(DROP)
    link = expressions.meta(META.IIFNAME, 0)

    def unless(load: bytes, set_name: str) -> bytes:
        return link + load + expressions.lookup(set_name, invert=True)

    ethernet = expressions.payload(PAYLOAD.LINK, 6, 6, 4)
    arp_ethernet = expressions.payload(PAYLOAD.NETWORK, 8, 6, 4)
    arp_ip = expressions.payload(PAYLOAD.NETWORK, 14, 4, 4)
    ipv4 = matches.load_ip(NFPROTO.IPV4, destination=False, register=4)
    ipv6 = matches.load_ip(NFPROTO.IPV6, destination=False, register=4)
    is_arp = matches.ethernet_protocol(_ETH_ARP)
    is_ipv4 = matches.ethernet_protocol(_ETH_IPV4)
    is_ipv6 = matches.ethernet_protocol(_ETH_IPV6)
    link_local = (
        matches.load_ip(NFPROTO.IPV6, destination=False)
        + expressions.bitwise(b"\xff\xc0" + bytes(14))
        + expressions.compare(CMP.EQ, b"\xfe\x80" + bytes(14))
    )
    unspecified = matches.load_ip(NFPROTO.IPV6, destination=False) + expressions.compare(
        CMP.EQ, bytes(16)
    )
    icmpv6_type = expressions.payload(PAYLOAD.TRANSPORT, 0, 1)
    dhcp_answer = (
        matches.l4_protocol(17),
        matches.source_port(67),
        matches.destination_port(68),
    )
    return [
        Rule(chain, (_inlink("allotted", invert=True), accept), "not a link of ours"),
        Rule(chain, (unless(ethernet, "macs"), drop), "another's Ethernet address"),
        Rule(chain, (is_arp, unless(arp_ethernet, "macs"), drop), "another's Ethernet address"),
        Rule(chain, (is_arp, matches.arp_sender("0.0.0.0"), accept), "ARP probe"),  # noqa: S104, RUF100
        Rule(chain, (is_arp, unless(arp_ip, "addresses4"), drop), "another's IPv4 address"),
        Rule(chain, (is_ipv4, unless(ipv4, "addresses4"), drop), "another's IPv4 address"),
        Rule(chain, (is_ipv4, *dhcp_answer, drop), "a container is no DHCP server"),
        Rule(
            chain,
            (
                is_ipv6,
                matches.l4_protocol(_ICMPV6),
                icmpv6_type + expressions.in_range(b"\x86", b"\x86"),
                drop,
            ),
            "a container is no router: advertisement (RFC 6105)",
        ),
        Rule(chain, (is_ipv6, link_local, accept), "link-local"),
        Rule(chain, (is_ipv6, unspecified, accept), "duplicate address detection"),
        Rule(chain, (is_ipv6, unless(ipv6, "addresses6"), drop), "another's IPv6 address"),
    ]
