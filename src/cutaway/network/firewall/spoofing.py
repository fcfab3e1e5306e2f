"""The table of family ``bridge``: a container sends with its own addresses and no others. Pure.

Not stopped is a neighbour advertisement that claims another's IPv6 address in its body: ``nft`` of
Debian 12 has no word for that field beside a link, and a rule set that it lists must be one that
it reads, or nobody could save and restore theirs.
"""

from cutaway.linux.nftables import (
    ACCEPT,
    DROP,
    HOOK,
    NFPROTO,
    Chain,
    Rule,
    Table,
    expressions,
    matches,
)
from cutaway.linux.nftables.abi import CMP, META, PAYLOAD
from cutaway.network.firewall.conditions import ICMPV6, RAW, in_link

_ETH_IPV4, _ETH_IPV6, _ETH_ARP = 0x0800, 0x86DD, 0x0806
_ROUTER_ADVERTISEMENT = b"\x86"
_ACCEPT, _DROP = expressions.verdict(ACCEPT), expressions.verdict(DROP)
_IS_ARP = matches.ethernet_protocol(_ETH_ARP)
_IS_IPV4 = matches.ethernet_protocol(_ETH_IPV4)
_IS_IPV6 = matches.ethernet_protocol(_ETH_IPV6)


def _unless(load: bytes, set_name: str) -> bytes:
    """``iifname . what the load put behind it`` is not in the set."""
    link = expressions.meta(META.IIFNAME, 0)
    return link + load + expressions.lookup(set_name, invert=True)


def spoofing_rules(table: Table) -> list[Rule]:
    """Return the rules of the chain ``spoofing``: each packet passes them, so IPv4's come first."""
    chain = Chain(table, "spoofing", "filter", HOOK.PREROUTING, RAW)
    ethernet = expressions.payload(PAYLOAD.LINK, 6, 6, 4)
    return [
        Rule(chain, (in_link("allotted", invert=True), _ACCEPT), "not a link of ours"),
        Rule(chain, (_unless(ethernet, "macs"), _DROP), "another's Ethernet address"),
        *_ipv4_rules(chain),
        *_arp_rules(chain),
        *_ipv6_rules(chain),
    ]


def _arp_rules(chain: Chain) -> list[Rule]:
    ethernet = expressions.payload(PAYLOAD.NETWORK, 8, 6, 4)
    address = expressions.payload(PAYLOAD.NETWORK, 14, 4, 4)
    nobody = matches.arp_sender("0.0.0.0")  # noqa: S104, RUF100 - the address of an ARP probe
    return [
        Rule(chain, (_IS_ARP, _unless(ethernet, "macs"), _DROP), "another's Ethernet address"),
        Rule(chain, (_IS_ARP, nobody, _ACCEPT), "ARP probe"),
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
    source = matches.load_ip(NFPROTO.IPV6, destination=False)
    link_local = (
        source
        + expressions.bitwise(b"\xff\xc0" + bytes(14))
        + expressions.compare(CMP.EQ, b"\xfe\x80" + bytes(14))
    )
    nobody = source + expressions.compare(CMP.EQ, bytes(16))
    address = matches.load_ip(NFPROTO.IPV6, destination=False, register=4)
    is_icmp = matches.l4_protocol(ICMPV6)
    is_other = matches.l4_protocol(ICMPV6, invert=True)
    advertisement = expressions.payload(PAYLOAD.TRANSPORT, 0, 1) + expressions.in_range(
        _ROUTER_ADVERTISEMENT, _ROUTER_ADVERTISEMENT
    )
    fenced = (link_local, in_link("fencedlinks"), is_other, _DROP)
    return [
        Rule(
            chain,
            (_IS_IPV6, is_icmp, advertisement, _DROP),
            "a container is no router: advertisement (RFC 6105)",
        ),
        Rule(chain, (_IS_IPV6, *fenced), "egress policies know no link-local address"),
        Rule(chain, (_IS_IPV6, link_local, _ACCEPT), "link-local"),
        Rule(chain, (_IS_IPV6, nobody, _ACCEPT), "duplicate address detection"),
        Rule(chain, (_IS_IPV6, _unless(address, "addresses6"), _DROP), "another's IPv6 address"),
    ]
