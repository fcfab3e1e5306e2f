"""Steps that change the engine's nftables."""

import errno
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from cutaway.linux import KernelError
from cutaway.linux.conntrack import delete_flows, dump_flows
from cutaway.linux.nftables import Batch, Element, dump_elements
from cutaway.network.firewall.ruleset import build_ruleset
from cutaway.network.firewall.sets import SETS, Entry, Fed, Tables, encode_entry
from cutaway.network.steps import NetworkScope
from cutaway.steps import Step


@dataclass(frozen=True, slots=True, kw_only=True)
class InstallFirewall(Step[NetworkScope]):
    """Put the engine's two tables in place, whole, in one transaction.

    Replacing them leaves no moment without rules, and connection tracking keeps the connections.
    """

    instance: str
    entries: tuple[Entry, ...]
    no_router: tuple[int, ...] = ()

    def arguments(self) -> dict[str, Any]:
        """Return the elements as texts."""
        texts = [f"{e.set_name} {{ {e} }}" for e in self.entries]
        return {"instance": self.instance, "entries": texts, "no_router": list(self.no_router)}

    def describe(self) -> str:
        """See ``Step``."""
        return f"install the tables inet and bridge {self.instance}, {len(self.entries)} elements"

    def shell(self) -> str:
        """See ``Step``."""
        return f"# sendmsg(nfnetlink batch): see `nft list table inet {self.instance}`"

    def apply(self, scope: NetworkScope) -> None:
        """One sendmsg.

        Raises:
            KernelError: EOPNOTSUPP (the kernel lacks nftables or an expression), EPERM.
        """
        tables = Tables(self.instance)
        carried = fed_elements(scope, tables)
        batch = build_ruleset(tables, self.entries, no_router=self.no_router, carried=carried)
        _commit(scope, batch)

    def undo(self, scope: NetworkScope, result: Any) -> None:
        """Remove both tables."""
        RemoveFirewall(why="undo", instance=self.instance).apply(scope)


def _commit(scope: NetworkScope, batch: Batch) -> None:
    with scope.commits.lock:
        batch.commit(scope.firewall)
        scope.commits.count += len(batch) > 0


def fed_elements(scope: NetworkScope, tables: Tables) -> dict[str, list[Element]]:
    """Return what the name server and the rules added, to be kept: it has no other record."""
    carried = {}
    for name, described in SETS.items():
        if described.fed is Fed.NOT:
            continue
        try:
            found = dump_elements(scope.firewall, tables.set(name).table, name)
        except KernelError as error:
            if error.errno != errno.ENOENT:
                raise
            return {}
        carried[name] = [
            Element(key=e.key, key_end=e.key_end, timeout_ms=e.expires_ms)
            for e in found
            if e.expires_ms
        ]
    return carried


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveFirewall(Step[NetworkScope]):
    """Take the engine's two tables away."""

    instance: str

    def describe(self) -> str:
        """See ``Step``."""
        return f"remove the tables inet and bridge {self.instance}"

    def shell(self) -> str:
        """See ``Step``."""
        lines = (f"nft delete table {f} {self.instance}" for f in ("inet", "bridge"))
        return "\n".join(lines)

    def apply(self, scope: NetworkScope) -> None:
        """One sendmsg."""
        batch = Batch()
        for table in (Tables(self.instance).inet, Tables(self.instance).bridge):
            batch.add_table(table).delete_table(table)
        _commit(scope, batch)


def _group(entries: Iterable[Entry]) -> dict[str, list[Entry]]:
    grouped: dict[str, list[Entry]] = {}
    for entry in entries:
        grouped.setdefault(entry.set_name, []).append(entry)
    return grouped


def _add(scope: NetworkScope, tables: Tables, entries: Iterable[Entry]) -> None:
    batch = Batch()
    for name, own in _group(entries).items():
        batch.add_elements(tables.set(name), map(encode_entry, own))
    _commit(scope, batch)


def _delete(scope: NetworkScope, tables: Tables, entries: Iterable[Entry]) -> None:
    batch = Batch()
    grouped = _group(entries)
    for name, own in grouped.items():
        batch.delete_elements(tables.set(name), map(encode_entry, own))
    try:
        _commit(scope, batch)
    except KernelError as error:
        if error.errno != errno.ENOENT:
            raise
        _delete_each(scope, tables, entries)


def _delete_each(scope: NetworkScope, tables: Tables, entries: Iterable[Entry]) -> None:
    """One of them was gone already (somebody flushed the table): delete those that are there."""
    for entry in entries:
        batch = Batch().delete_elements(tables.set(entry.set_name), [encode_entry(entry)])
        try:
            _commit(scope, batch)
        except KernelError as error:
            if error.errno != errno.ENOENT:
                raise


@dataclass(frozen=True, slots=True, kw_only=True)
class _ElementStep(Step[NetworkScope]):
    """Elements, told in the ledger as ``nft`` writes them."""

    instance: str
    entries: tuple[Entry, ...]

    def arguments(self) -> dict[str, Any]:
        """Return the elements as texts."""
        texts = [f"{e.set_name} {{ {e} }}" for e in self.entries]
        return {"instance": self.instance, "entries": texts}


@dataclass(frozen=True, slots=True, kw_only=True)
class AddFirewallElements(_ElementStep):
    """Add elements to the sets of the engine's tables."""

    def describe(self) -> str:
        """See ``Step``."""
        words = "; ".join(f"{e.set_name} {e}" for e in self.entries)
        return f"firewall: add {words}"

    def shell(self) -> str:
        """See ``Step``."""
        return _shell("add", self.instance, self.entries)

    def apply(self, scope: NetworkScope) -> None:
        """One sendmsg, all or nothing.

        Raises:
            KernelError: ENOENT (somebody removed the tables), EEXIST (a port's element is there
                with another target).
        """
        _add(scope, Tables(self.instance), self.entries)

    def undo(self, scope: NetworkScope, result: Any) -> None:
        """Remove them."""
        _delete(scope, Tables(self.instance), self.entries)


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveFirewallElements(_ElementStep):
    """Remove elements from the sets of the engine's tables."""

    def describe(self) -> str:
        """See ``Step``."""
        words = "; ".join(f"{e.set_name} {e}" for e in self.entries)
        return f"firewall: remove {words}"

    def shell(self) -> str:
        """See ``Step``."""
        return _shell("delete", self.instance, self.entries)

    def apply(self, scope: NetworkScope) -> None:
        """One sendmsg; fine when some are gone."""
        _delete(scope, Tables(self.instance), self.entries)


@dataclass(frozen=True, slots=True, kw_only=True)
class ForgetFlows(Step[NetworkScope]):
    """Make connection tracking forget flows of UDP that lead where a port led before.

    Attributes:
        ports: of the host.
        keep: the address that they lead to now; empty: nowhere.
    """

    ports: tuple[int, ...]
    keep: tuple[str, ...] = ()

    def describe(self) -> str:
        """See ``Step``."""
        return f"forget older flows to UDP ports {', '.join(map(str, self.ports))}"

    def shell(self) -> str:
        """See ``Step``."""
        return "\n".join(f"conntrack -D -p udp --orig-port-dst {port}" for port in self.ports)

    def apply(self, scope: NetworkScope) -> int:
        """Read the flows and delete those; return how many there were.

        Raises:
            KernelError: EPERM.
        """
        stale = [
            flow
            for family in (socket.AF_INET, socket.AF_INET6)
            for flow in dump_flows(scope.firewall, family)
            if flow.protocol == socket.IPPROTO_UDP
            and flow.port in self.ports
            and flow.answerer not in self.keep
        ]
        delete_flows(scope.firewall, stale)
        return len(stale)


def _shell(verb: str, instance: str, entries: Iterable[Entry]) -> str:
    tables = Tables(instance)
    return "\n".join(
        f"nft '{verb} element {tables.family_word(e.set_name)} {instance} {e.set_name} {{ {e} }}'"
        for e in entries
    )
