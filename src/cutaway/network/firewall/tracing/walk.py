"""Follow a packet through the chains of others. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass

from cutaway.linux.nftables import ACCEPT, DROP, NFPROTO, RETURN, Table, Verdict
from cutaway.linux.nftables.dumps import ChainRecord, RuleRecord
from cutaway.network.firewall.tracing.machine import Machine, Match
from cutaway.network.firewall.tracing.packet import Packet
from cutaway.network.firewall.tracing.rulebook import Rulebook

_JUMP, _GOTO = -3, -4
_DEEPEST = 16
_FAMILIES = {NFPROTO.INET: "inet", NFPROTO.IPV4: "ip", NFPROTO.IPV6: "ip6"}


@dataclass(frozen=True, slots=True)
class Block:
    """Who stops a packet.

    Attributes:
        table: ``inet firewalld``.
        chain: the chain that decides.
        handle: the rule's, as ``nft -a list ruleset`` shows it; 0 for the chain's policy.
        is_certain: False when a rule that can't be read here might let it through before.
    """

    table: str
    chain: str
    handle: int
    is_certain: bool

    def __str__(self) -> str:
        rule = f"rule handle {self.handle}" if self.handle else "policy drop"
        maybe = "" if self.is_certain else ", unless an earlier rule lets it through"
        return f"table {self.table}, chain {self.chain}, {rule}{maybe}"


def find_block(book: Rulebook, path: Iterable[Packet]) -> Block | None:
    """Return the first that stops a packet on its path through the hooks; None for nobody."""
    for packet in path:
        for chain in book.base_chains(packet):
            block = _Walk(book, packet, chain).block()
            if block is not None:
                return block
    return None


def name_table(table: Table) -> str:
    """Return a table's family and name as the nft program writes them."""
    return f"{_FAMILIES.get(table.family, table.family)} {table.name}"


class _Walk:
    """One packet, one base chain."""

    def __init__(self, book: Rulebook, packet: Packet, chain: ChainRecord) -> None:
        self._book = book
        self._packet = packet
        self._chain = chain
        self._is_certain = True
        self._dropped_by: RuleRecord | None = None

    def block(self) -> Block | None:
        verdict = self._follow(self._chain.name, 0)
        table = name_table(self._chain.table)
        if verdict == DROP and self._dropped_by is not None:
            rule = self._dropped_by
            return Block(table, rule.chain, rule.handle, self._is_certain)
        if verdict is None and self._chain.policy == DROP.code:
            return Block(table, self._chain.name, 0, self._is_certain)
        return None

    def _follow(self, chain: str, depth: int) -> Verdict | None:
        """Return ACCEPT or DROP, or None when the chain's end is reached."""
        table = self._chain.table
        for rule in self._book.rules.get((table, chain), ()):
            machine = Machine(self._packet, lambda name: self._book.sets.get((table, name)))
            match = machine.run(rule.expressions)
            verdict = machine.verdict
            if match is Match.NO or verdict is None:
                continue
            if match is Match.UNKNOWN:
                self._is_certain = False
                continue
            if verdict.code in (_JUMP, _GOTO):
                result = self._follow(verdict.chain, depth + 1) if depth < _DEEPEST else None
                if result is not None or verdict.code == _GOTO:
                    return result
            elif verdict == RETURN:
                return None
            elif verdict.code >= 0:
                self._dropped_by = rule
                return DROP if verdict == DROP else ACCEPT
        return None
