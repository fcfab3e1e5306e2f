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
| ``entering`` | input, filter | what containers with an egress policy send to the host |
| ``egress`` | (called) | egress policies, see ``egress.py`` |
| ``leaving`` | postrouting, srcnat | containers hide behind the host's address |

``guard`` stops a neighbour on the LAN that routes to a container by hand as well as a container
of another network. The table of family ``bridge`` (see ``spoofing.py``): a container sends with the
addresses that it was given, and claims no others.

Foreign tables are never touched. An ``accept`` here ends only our own chain; a foreign drop still
drops.

Pure: values for ``linux.nftables``. Docker's counterpart: libnetwork's ``drivers/bridge/internal/
nftabler``.
"""

from collections.abc import Iterable, Mapping, Sequence

from cutaway.linux.nftables import (
    ACCEPT,
    DROP,
    HOOK,
    NFPROTO,
    Batch,
    Chain,
    Element,
    Rule,
    Table,
    expressions,
    jump,
    matches,
)
from cutaway.linux.nftables.abi import CT_STATE, CT_STATUS, META, NAT
from cutaway.network.firewall.conditions import (
    DSTNAT,
    FAMILIES,
    FILTER,
    ICMP,
    ICMPV6,
    RAW,
    SRCNAT,
    in_link,
    out_link,
)
from cutaway.network.firewall.egress import (
    egress_rules,
    entering_rules,
    fencing_rules,
    lan_entries,
)
from cutaway.network.firewall.same_link import same_digit_entries, same_link
from cutaway.network.firewall.sets import (
    SETS,
    Entry,
    Tables,
    encode_entry,
)
from cutaway.network.firewall.spoofing import spoofing_rules


def build_ruleset(
    tables: Tables,
    entries: Iterable[Entry],
    *,
    no_router: Sequence[int] = (),
    carried: Mapping[str, Sequence[Element]] | None = None,
) -> Batch:
    """Return the batch that replaces whatever is there by the whole rule set, atomically.

    Args:
        tables: whose.
        entries: all elements.
        no_router: the IP versions whose forwarding was off before this engine switched it on:
            packets routed between links that are none of ours are dropped, as they were.
        carried: elements that others than the engine added, by set.
    """
    batch = Batch()
    for table in (tables.inet, tables.bridge):
        # "add" first: deleting a table that is not there is an error on kernels before 6.3.
        batch.add_table(table).delete_table(table).add_table(table)
    for name in SETS:
        batch.add_set(tables.set(name))
    grouped = {name: list(elements) for name, elements in (carried or {}).items()}
    for entry in (*entries, *lan_entries(), *same_digit_entries()):
        grouped.setdefault(entry.set_name, []).append(encode_entry(entry))
    for name, elements in grouped.items():
        batch.add_elements(tables.set(name), elements)
    rules = [*_inet_rules(tables.inet, no_router), *spoofing_rules(tables.bridge)]
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
    return len(_inet_rules(tables.inet, no_router)) + len(spoofing_rules(tables.bridge))


# What follows is the rule set. ``x``: loads for a lookup; each tuple of expressions is a rule.


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
        *egress_rules(table),
        *_forwarding_rules(Chain(table, "forwarding", "filter", HOOK.FORWARD, FILTER), no_router),
        *entering_rules(table),
        *_leaving_rules(Chain(table, "leaving", "nat", HOOK.POSTROUTING, SRCNAT)),
    ]


def _guard_rules(chain: Chain) -> list[Rule]:
    drop = expressions.verdict(DROP)
    rules = [
        Rule(
            chain,
            (matches.ip_destination("127.0.0.0/8"), in_link("bridges"), drop),
            "the host's loopback is not for containers, even if route_localnet is on",
        )
    ]
    for family, suffix, words in FAMILIES:
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
    for family, suffix, words in FAMILIES:
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
        # For speed. Where networks are walled off a connection may be older than the wall, from
        # a network that had the same addresses: its packets pass the rules that refuse first.
        Rule(
            chain,
            (established, in_link("walled", invert=True), out_link("walled", invert=True), accept),
            "connections",
        ),
        Rule(chain, (_links("isolated"), not_published, drop), "icc=false"),
        Rule(chain, (_links("neighbours"), accept), "within one network"),
        Rule(chain, (in_link("internal"), drop), "internal networks have no way out"),
        Rule(chain, (out_link("internal"), drop), "nor in"),
        Rule(chain, (established, accept), "connections of walled networks"),
        *fencing_rules(chain),
        Rule(chain, (out_link("bridges"), published, accept), "published ports"),
        Rule(chain, (out_link("exposed"), accept), "gateway mode nat-unprotected"),
    ]
    for family, suffix, words in FAMILIES:
        icmp = matches.l4_protocol(ICMP if family == NFPROTO.IPV4 else ICMPV6)
        loads = matches.load_ip(family, destination=True) + _protocol_and_port(words)
        opened = (
            out_link("routed"),
            matches.ip_version(family),
            loads + expressions.lookup("open" + suffix),
            accept,
        )
        rules.append(Rule(chain, (out_link("routed"), icmp, accept), "gateway mode routed"))
        rules.append(Rule(chain, opened, "gateway mode routed"))
    rules.append(Rule(chain, (out_link("bridges"), drop), "unpublished"))
    if no_router:
        rules.append(Rule(chain, (same_link(), accept), "switched, not routed"))
    for version in no_router:
        family = NFPROTO.IPV4 if version == 4 else NFPROTO.IPV6
        nothing_of_ours = (matches.ip_version(family), in_link("bridges", invert=True), drop)
        rules.append(Rule(chain, nothing_of_ours, "forwarding was off before cutaway needed it"))
    return rules


def _leaving_rules(chain: Chain) -> list[Rule]:
    rules = []
    for family, suffix, words in FAMILIES:
        from_ours = _address(family, "subnets" + suffix, destination=False)
        away = _address_and_link(
            family, words, "homes" + suffix, META.OIFNAME, destination=False, invert=True
        )
        # A container that reaches another by the host's port must get the answer from the host.
        by_host_port = (
            matches.ct_status(CT_STATUS.DNAT),
            out_link("bridges"),
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
