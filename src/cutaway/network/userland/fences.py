"""Egress policies in the name server: which names may be asked, and what an answer opens.

A name on an ``allow`` list is asked upstream; before the asker gets the answer its addresses are
elements of the firewall's set ``named``, for as long as the answer holds and a while longer
(programs keep addresses beyond their time). Every other name is refused and noted.
"""

import errno
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from dnslib import QTYPE, DNSError, DNSRecord

from cutaway.linux import KernelError
from cutaway.linux.netlink import NETLINK_NETFILTER, NetlinkSocket
from cutaway.linux.nftables import Batch
from cutaway.network.egress import Allowance, matches_name, without_overlaps
from cutaway.network.firewall.sets import Entry, Tables, encode_timed
from cutaway.network.userland.protocol import Denied, SandboxNames

_LEAST_TTL_S = 60
_GRACE_S = 240
_MOST_ADDRESSES = 4096
_MOST_NAMES = 512


@dataclass(slots=True)
class _Known:
    """What one sandbox asked.

    Attributes:
        names: address to the name it was an answer for.
        refused: name to when it was refused last.
        open: element to when it ends (CLOCK_MONOTONIC).
    """

    names: dict[str, str] = field(default_factory=dict)
    refused: dict[str, float] = field(default_factory=dict)
    open: dict[Entry, float] = field(default_factory=dict)


def question_name(query: bytes) -> str:
    """Return the name that is asked, without the final dot; empty when it can't be read."""
    try:
        return str(DNSRecord.parse(query).q.qname).removesuffix(".")
    except (DNSError, ValueError, IndexError):
        return ""


def answered_addresses(reply: bytes) -> Iterator[tuple[str, int]]:
    """Yield (address, time to live) of an answer."""
    try:
        records = DNSRecord.parse(reply).rr
    except (DNSError, ValueError, IndexError):
        return
    for record in records:
        if record.rtype in (QTYPE.A, QTYPE.AAAA):
            yield str(record.rdata), int(record.ttl)


class Fences:
    """The policies' part of the process; one netlink socket of the host's namespace."""

    def __init__(self) -> None:
        self._firewall: NetlinkSocket | None = None
        self._known: dict[str, _Known] = {}
        self._instances: dict[str, str] = {}

    def permits(self, sandbox: SandboxNames, name: str) -> bool:
        """A sandbox may ask for a name; a refusal is noted."""
        if sandbox.is_open or any(matches_name(a[0], name) for f in sandbox.fences for a in f[1]):
            return True
        refused = self._of(sandbox.id).refused
        if name in refused or len(refused) < _MOST_NAMES:
            refused[name] = time.monotonic()
        return False

    def learn(self, sandbox: SandboxNames, name: str, reply: bytes) -> None:
        """Open what an answer is good for."""
        known = self._of(sandbox.id)
        self._instances[sandbox.id] = sandbox.instance
        for address, ttl_s in answered_addresses(reply):
            if len(known.names) < _MOST_ADDRESSES:
                known.names[address] = name
            ends = time.monotonic() + max(ttl_s, _LEAST_TTL_S) + _GRACE_S
            for entry in opened_by(sandbox, name, address):
                if len(known.open) < _MOST_ADDRESSES or entry in known.open:
                    self._open(sandbox.instance, known, entry, ends)

    def _open(self, instance: str, known: _Known, entry: Entry, ends: float) -> None:
        if known.open.get(entry, 0.0) > time.monotonic() + _GRACE_S:
            return  # it has long enough
        known.open[entry] = ends
        self._commit(instance, entry, ends)

    def _commit(self, instance: str, entry: Entry, ends: float) -> None:
        """Add an element; one that is there is replaced, for its time can't be changed."""
        target = Tables(instance).set(entry.set_name)
        element = encode_timed(entry, timeout_ms=int((ends - time.monotonic()) * 1000))
        for batch in (Batch().delete_elements(target, [element]), Batch()):
            try:
                batch.add_elements(target, [element]).commit(self._socket())
            except KernelError as error:
                # ENOENT: it is not there, or somebody flushed the tables: ``refill`` comes.
                # EEXIST: another name with more ports has opened the same address.
                if error.errno not in (errno.ENOENT, errno.EEXIST):
                    raise
            else:
                return

    def refill(self) -> None:
        """Add everything again: the tables were made anew."""
        now = time.monotonic()
        for sandbox_id, known in self._known.items():
            known.open = {entry: ends for entry, ends in known.open.items() if ends > now}
            for entry, ends in known.open.items():
                self._commit(self._instances[sandbox_id], entry, ends)

    def narrow(self, sandbox: SandboxNames) -> None:
        """Close what was opened for addresses that a sandbox has no more: others may get them."""
        own = {address for addresses, _ in sandbox.fences for address in addresses}
        opened = self._known.get(sandbox.id, _Known()).open
        self._close(sandbox.id, [entry for entry in opened if entry.key[0] not in own])

    def forget(self, sandbox_id: str) -> None:
        """Close everything: the sandbox is no more."""
        self._close(sandbox_id, list(self._of(sandbox_id).open))
        del self._known[sandbox_id]
        self._instances.pop(sandbox_id, None)

    def _close(self, sandbox_id: str, entries: Iterable[Entry]) -> None:
        for entry in entries:
            del self._known[sandbox_id].open[entry]
            target = Tables(self._instances[sandbox_id]).set(entry.set_name)
            element = encode_timed(entry, timeout_ms=0)
            try:
                Batch().delete_elements(target, [element]).commit(self._socket())
            except KernelError as error:
                if error.errno != errno.ENOENT:  # it has ended
                    raise

    def denied(self, sandbox_id: str) -> Denied:
        """Say what was refused, and what the sandbox's addresses are called."""
        known = self._known.get(sandbox_id, _Known())
        now = time.monotonic()
        return Denied(
            names={name: now - when for name, when in known.refused.items()},
            known=dict(known.names),
        )

    def _socket(self) -> NetlinkSocket:
        if self._firewall is None:
            self._firewall = NetlinkSocket(NETLINK_NETFILTER)
        return self._firewall

    def _of(self, sandbox_id: str) -> _Known:
        return self._known.setdefault(sandbox_id, _Known())


def opened_by(sandbox: SandboxNames, name: str, address: str) -> Iterator[Entry]:
    """Yield the elements that let a sandbox reach an address it got for a name."""
    version = 6 if ":" in address else 4
    for own_addresses, allowances in sandbox.fences:
        opened = [Allowance(address, (p,), ports) for pattern, p, ports in allowances
                  if matches_name(pattern, name)]  # fmt: skip
        for _, protocol, ports in without_overlaps(opened):
            for own in own_addresses:
                if (":" in own) == (version == 6):
                    yield Entry(f"named{version}", (own, address, protocol, ports))
