"""The table of family ``bridge``: a container sends with its own addresses and no others. Pure.

| chain | what it decides |
|---|---|
| ``spoofing`` | whose addresses a frame is sent from, and in ARP: whose it claims |
| ``discovery`` | (called) ICMPv6: whose addresses a message of neighbour discovery claims |

``discovery`` lets pass what it knows to be harmless. A message that claims an address, in pieces
or cut off before it says which, is none of that.

``nft`` lists a rule as what it knows of the bytes that it loads, and must be able to read its own
listing: a set's key of bytes that Debian 12's has no word for is one of raw fields. A later
``nft`` knows the target of a message whose type it has seen as an ``icmpv6`` type, and would ask
for a set of IPv6 addresses: beside ``targets6`` the type is loaded as a raw byte, too.
"""

from cutaway.linux.nftables import (
    ACCEPT,
    DROP,
    HOOK,
    NFPROTO,
    Chain,
    RawField,
    Rule,
    Table,
    expressions,
    goto,
    matches,
)
from cutaway.linux.nftables.abi import CMP, META, PAYLOAD
from cutaway.network.firewall.conditions import ICMPV6, RAW, in_link
from cutaway.network.firewall.sets import MESSAGE, OPTION, TARGET

_ETH_IPV4, _ETH_IPV6, _ETH_ARP = 0x0800, 0x86DD, 0x0806
_ETH_VLANS = (0x8100, 0x88A8)
_SOLICITATION, _ADVERTISEMENT = 135, 136
_NEIGHBOUR_DISCOVERY = (133, 137)  # ICMPv6 types, RFC 4861: routers', neighbours', redirect
_ACCEPT, _DROP = expressions.verdict(ACCEPT), expressions.verdict(DROP)
_IS_ARP = matches.ethernet_protocol(_ETH_ARP)
_IS_IPV4 = matches.ethernet_protocol(_ETH_IPV4)
_IS_IPV6 = matches.ethernet_protocol(_ETH_IPV6)
_IS_ICMPV6 = _IS_IPV6 + matches.l4_protocol(ICMPV6)
_IS_NOT_ICMPV6 = _IS_IPV6 + matches.l4_protocol(ICMPV6, invert=True)
_IPV6_SOURCE = matches.load_ip(NFPROTO.IPV6, destination=False)
_IS_FROM_SOMEBODY = _IS_IPV6 + _IPV6_SOURCE + expressions.compare(CMP.NEQ, bytes(16))


def _with_link(load: bytes, set_name: str, *, invert: bool = False) -> bytes:
    """``iifname . what the load put behind it`` is in the set."""
    return expressions.meta(META.IIFNAME, 0) + load + expressions.lookup(set_name, invert=invert)


def _unless(load: bytes, set_name: str) -> bytes:
    return _with_link(load, set_name, invert=True)


def _raw(field: RawField, register: int) -> bytes:
    return expressions.payload(field.base, field.offset, field.length, register)


def spoofing_rules(table: Table) -> list[Rule]:
    """Return the rules of both chains: each packet passes the first, so IPv4's come first."""
    chain = Chain(table, "spoofing", "filter", HOOK.PREROUTING, RAW)
    discovery = Chain(table, "discovery")
    ethernet = expressions.payload(PAYLOAD.LINK, 6, 6, 4)
    return [
        Rule(chain, (in_link("allotted", invert=True), _ACCEPT), "not a link of ours"),
        Rule(chain, (_unless(ethernet, "macs"), _DROP), "another's Ethernet address"),
        *_ipv4_rules(chain),
        *_arp_rules(chain),
        *_ipv6_rules(chain),
        Rule(chain, (_IS_IPV6, expressions.verdict(goto(discovery.name)))),
        *_vlan_rules(chain),
        *_discovery_rules(discovery),
    ]


def _arp_rules(chain: Chain) -> list[Rule]:
    ethernet = expressions.payload(PAYLOAD.NETWORK, 8, 6, 4)
    address = expressions.payload(PAYLOAD.NETWORK, 14, 4, 4)
    sought = expressions.payload(PAYLOAD.NETWORK, 24, 4, 4)
    nobody = matches.arp_sender("0.0.0.0")  # noqa: S104, RUF100 - the address of an ARP probe
    probe = (_IS_ARP, nobody, _with_link(sought, "addresses4"), _ACCEPT)
    return [
        Rule(chain, (_IS_ARP, _unless(ethernet, "macs"), _DROP), "another's Ethernet address"),
        Rule(chain, probe, "ARP probe: it claims what it asks for (RFC 5227)"),
        Rule(chain, (_IS_ARP, _unless(address, "addresses4"), _DROP), "another's IPv4 address"),
    ]


def _ipv4_rules(chain: Chain) -> list[Rule]:
    address = matches.load_ip(NFPROTO.IPV4, destination=False, register=4)
    dhcp_answer = (
        matches.l4_protocol(17),
        matches.source_port(67),
        matches.destination_port(68),
    )
    return [
        Rule(chain, (_IS_IPV4, _unless(address, "addresses4"), _DROP), "another's IPv4 address"),
        Rule(chain, (_IS_IPV4, *dhcp_answer, _DROP), "a container is no DHCP server"),
        Rule(chain, (_IS_IPV4, _ACCEPT), "its own"),
    ]


def _ipv6_rules(chain: Chain) -> list[Rule]:
    link_local = (
        _IPV6_SOURCE
        + expressions.bitwise(b"\xff\xc0" + bytes(14))
        + expressions.compare(CMP.EQ, b"\xfe\x80" + bytes(14))
    )
    address = matches.load_ip(NFPROTO.IPV6, destination=False, register=4)
    fenced = (_IS_NOT_ICMPV6, link_local, in_link("fencedlinks"), _DROP)
    anothers = (_IS_FROM_SOMEBODY, _unless(address, "addresses6"), _DROP)
    return [
        Rule(chain, fenced, "egress policies know no link-local address"),
        Rule(chain, anothers, "another's IPv6 address"),
        Rule(chain, (_IS_NOT_ICMPV6, _ACCEPT), "its own, or none yet"),
    ]


def _vlan_rules(chain: Chain) -> list[Rule]:
    """Return the rules for a tag within a tag: the kernel took one off before, two at arrival."""
    return [
        Rule(chain, (matches.ethernet_protocol(kind), _DROP), "a second tag hides what it carries")
        for kind in _ETH_VLANS
    ]


def _discovery_rules(chain: Chain) -> list[Rule]:
    others = matches.icmpv6_type(*_NEIGHBOUR_DISCOVERY, invert=True)
    option = _raw(MESSAGE, 4) + _raw(OPTION, 5)
    claim = _raw(MESSAGE, 0) + expressions.in_range(
        bytes((_SOLICITATION,)), bytes((_ADVERTISEMENT,))
    )
    question = (_IS_ICMPV6, matches.icmpv6_type(_SOLICITATION), _IS_FROM_SOMEBODY)
    return [
        Rule(chain, (matches.is_later_fragment(), _ACCEPT), "nothing without the first"),
        Rule(chain, (_IS_ICMPV6, others, _ACCEPT), "not of neighbour discovery"),
        Rule(chain, (matches.is_fragment(), _DROP), "neighbour discovery in pieces (RFC 6980)"),
        Rule(
            chain,
            (_IS_FROM_SOMEBODY, _unless(option, "options6"), _DROP),
            "at another's Ethernet address",
        ),
        Rule(chain, (*question, _ACCEPT), "asks for anybody"),
        Rule(chain, (claim, _with_link(_raw(TARGET, 4), "targets6"), _ACCEPT), "claims its own"),
        Rule(chain, (_DROP,), "claims another's, or to be a router (RFC 4861, 6105)"),
    ]
