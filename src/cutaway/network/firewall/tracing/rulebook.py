"""All tables of others, as they were at one moment."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from cutaway.linux import KernelError
from cutaway.linux.netlink import NetlinkSocket
from cutaway.linux.nftables import (
    NFPROTO,
    Table,
    dump_chains,
    dump_elements,
    dump_rules,
    dump_sets,
    dump_tables,
)
from cutaway.linux.nftables.dumps import ChainRecord, ElementRecord, RuleRecord
from cutaway.network.firewall.tracing.packet import Packet

_ROUTED = (NFPROTO.INET, NFPROTO.IPV4, NFPROTO.IPV6)


@dataclass(frozen=True, slots=True)
class Rulebook:
    """Chains, rules and sets; the table is part of every key."""

    chains: tuple[ChainRecord, ...] = ()
    rules: Mapping[tuple[Table, str], Sequence[RuleRecord]] = field(default_factory=dict)
    sets: Mapping[tuple[Table, str], tuple[ElementRecord, ...]] = field(default_factory=dict)

    def base_chains(self, packet: Packet) -> Iterator[ChainRecord]:
        """Yield the filter chains that the kernel calls for a packet, in its order."""
        wanted = (NFPROTO.INET, packet.family)
        found = [
            c
            for c in self.chains
            if c.hook == packet.hook and c.kind == "filter" and c.table.family in wanted
        ]
        yield from sorted(found, key=lambda c: c.priority)


def read_rulebook(netlink: NetlinkSocket, *, but: str) -> Rulebook:
    """Read the routed families' tables, except those of one name: the engine's own.

    Raises:
        KernelError: EPERM, or the kernel has no nftables.
    """
    chains: list[ChainRecord] = []
    rules: dict[tuple[Table, str], list[RuleRecord]] = {}
    sets: dict[tuple[Table, str], tuple[ElementRecord, ...]] = {}
    for listed in dump_tables(netlink):
        table = Table(listed.family, listed.name)
        if table.name == but or table.family not in _ROUTED:
            continue
        chains += dump_chains(netlink, table)
        for rule in dump_rules(netlink, table):
            rules.setdefault((table, rule.chain), []).append(rule)
        try:
            for one in dump_sets(netlink, table):
                sets[table, one.name] = tuple(dump_elements(netlink, table, one.name))
        except KernelError:
            continue  # somebody is changing it: what is not known may match or not
    return Rulebook(tuple(chains), rules, sets)
