"""The part of the firewall that fences containers in: sets, rules and elements. Pure.

``fenced`` has the addresses under a policy. What they send beyond their network passes the chain
``egress``: it comes back from there if ``allowed`` has (from . to . protocol . port), or ``named``,
where the name server adds what the names of a list lead to; or if ``lanonly`` has the sender and
``lan`` the target. All else is written into ``denied`` by the kernel itself and refused, so nobody
need listen for ``cutaway denied`` to know.
"""

from cutaway.linux.nftables import (
    ACCEPT,
    HOOK,
    NFPROTO,
    RETURN,
    Chain,
    Rule,
    Table,
    expressions,
    jump,
    matches,
)
from cutaway.linux.nftables.abi import CT_STATE, DYNSET, ICMPX, META, PAYLOAD, REJECT
from cutaway.network.egress import LAN_V4, LAN_V6, parse_egress, without_overlaps
from cutaway.network.endpoint import Endpoint
from cutaway.network.firewall.conditions import FAMILIES, FILTER, ICMP, ICMPV6
from cutaway.network.firewall.sets import DENIED_MS, Entry

CHAIN = "egress"
_TCP = 6
_PORTLESS = {NFPROTO.IPV4: ICMP, NFPROTO.IPV6: ICMPV6}
_NEIGHBOUR_DISCOVERY = (b"\x85", b"\x89")  # ICMPv6 types 133 to 137 (RFC 4861)


def policy_entries(endpoint: Endpoint) -> list[Entry]:
    """Return the elements that an endpoint's policy adds."""
    policy = parse_egress(endpoint.egress)
    entries = []
    for version, address in ((4, endpoint.address), (6, endpoint.address_v6)):
        if policy.kind == "all" or not address:
            continue
        entries.append(Entry(f"fenced{version}", (address,)))
        if policy.kind == "lan":
            entries.append(Entry(f"lanonly{version}", (address,)))
        entries += [
            Entry(f"allowed{version}", (address, target, protocol, ports))
            for target, protocol, ports in without_overlaps(policy.subnets)
            if (":" in target) == (version == 6)
        ]
    if policy.kind != "all" and endpoint.host_interface:
        entries.append(Entry("fencedlinks", (endpoint.host_interface,)))
    return entries


def lan_entries() -> list[Entry]:
    """Return the elements of ``lan``: what is no address of the internet."""
    pairs = [(4, subnet) for subnet in LAN_V4] + [(6, subnet) for subnet in LAN_V6]
    return [Entry(f"lan{version}", (subnet,)) for version, subnet in pairs]


def fencing_rules(chain: Chain) -> list[Rule]:
    """Return the rules that lead what fenced addresses send to the chain ``egress``."""
    to_egress = expressions.verdict(jump(CHAIN))
    rules = []
    for family, suffix, _ in FAMILIES:
        load = matches.load_ip(family, destination=False)
        fenced = matches.ip_version(family) + load + expressions.lookup("fenced" + suffix)
        rules.append(Rule(chain, (fenced, to_egress), "egress policies"))
    return rules


def entering_rules(table: Table) -> list[Rule]:
    """Return the rules for what containers send to the host itself."""
    chain = Chain(table, "entering", "filter", HOOK.INPUT, FILTER)
    established = matches.ct_state(CT_STATE.ESTABLISHED | CT_STATE.RELATED)
    answers = Rule(chain, (established, expressions.verdict(ACCEPT)), "answers")
    return [answers, *fencing_rules(chain)]


def egress_rules(table: Table) -> list[Rule]:
    """Return the chain that decides."""
    chain = Chain(table, CHAIN)
    back = expressions.verdict(RETURN)
    rules = [
        Rule(
            chain,
            (
                matches.ip_version(NFPROTO.IPV6),
                matches.l4_protocol(_PORTLESS[NFPROTO.IPV6]),
                _icmp_type_in(*_NEIGHBOUR_DISCOVERY),
                back,
            ),
            "who has this address",
        )
    ]
    for family, suffix, words in FAMILIES:
        version = matches.ip_version(family)
        own = matches.load_ip(family, destination=False)
        other = matches.load_ip(family, destination=True)
        lan = (
            version,
            own + expressions.lookup("lanonly" + suffix),
            other + expressions.lookup("lan" + suffix),
            back,
        )
        pair = own + matches.load_ip(family, destination=True, register=words)
        protocol = expressions.meta(META.L4PROTO, 2 * words)
        port = matches.load_port(destination=True, register=2 * words + 1)
        no_port = expressions.immediate(bytes(2), 2 * words + 1)
        allowed, named = (expressions.lookup(word + suffix) for word in ("allowed", "named"))
        note = expressions.dynset(DYNSET.UPDATE, "denied" + suffix, timeout_ms=DENIED_MS)
        is_icmp, is_other = (
            matches.l4_protocol(_PORTLESS[family], invert=invert) for invert in (False, True)
        )
        rules += [
            Rule(chain, lan, "lan"),
            Rule(chain, (version, is_other, pair + protocol + port + allowed, back), "allow"),
            Rule(chain, (version, is_other, pair + protocol + port + named, back), "allow: names"),
            Rule(chain, (version, is_other, pair + protocol + port + note), "cutaway denied"),
            Rule(chain, (version, is_icmp, pair + protocol + no_port + note), "cutaway denied"),
        ]
    # ICMP would come while connect(2) holds its socket: TCP then asks again after a second.
    reset = (matches.l4_protocol(_TCP), expressions.reject(REJECT.TCP_RST))
    refuse = (expressions.reject(REJECT.ICMPX_UNREACH, ICMPX.ADMIN_PROHIBITED),)
    return [*rules, *(Rule(chain, parts, "refused by the policy") for parts in (reset, refuse))]


def _icmp_type_in(first: bytes, last: bytes) -> bytes:
    return expressions.payload(PAYLOAD.TRANSPORT, 0, 1) + expressions.in_range(first, last)
