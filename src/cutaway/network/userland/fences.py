"""Egress policies in the name server: which names may be asked, and what an answer opens.

A name on an ``allow`` list is asked upstream; before the asker gets the answer its addresses are
elements of the firewall's set ``allowed``, for as long as the answer holds and a while longer
(programs keep addresses beyond their time). Every other name is refused and noted.
"""

import errno
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from dnslib import QTYPE, DNSError, DNSRecord

from cutaway.linux import KernelError
from cutaway.linux.netlink import NETLINK_NETFILTER, NetlinkSocket
from cutaway.linux.nftables import Batch
from cutaway.network.egress import matches_name
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
        before = known.open.get(entry, 0.0)
        if before > time.monotonic() + _GRACE_S:
            return  # it has long enough
        known.open[entry] = ends
        if not (before and self._commit(instance, entry, ends, is_there=True)):
            self._commit(instance, entry, ends, is_there=False)

    def _commit(self, instance: str, entry: Entry, ends: float, *, is_there: bool) -> bool:
        """Add an element; one that is there is replaced, for its time can't be changed."""
        if self._firewall is None:
            self._firewall = NetlinkSocket(NETLINK_NETFILTER)
        target = Tables(instance).set(entry.set_name)
        element = encode_timed(entry, timeout_ms=int((ends - time.monotonic()) * 1000))
        batch = Batch()
        if is_there:
            batch.delete_elements(target, [element])
        try:
            batch.add_elements(target, [element]).commit(self._firewall)
        except KernelError as error:
            # ENOENT: it has ended, or somebody flushed the tables: ``refill`` comes. EEXIST: it
            # is part of what the list allows by address.
            if error.errno not in (errno.ENOENT, errno.EEXIST):
                raise
            return False
        return True

    def refill(self) -> None:
        """Add everything again: the tables were made anew."""
        now = time.monotonic()
        for sandbox_id, known in self._known.items():
            known.open = {entry: ends for entry, ends in known.open.items() if ends > now}
            for entry, ends in known.open.items():
                self._commit(self._instances[sandbox_id], entry, ends, is_there=False)

    def forget(self, sandbox_id: str) -> None:
        """The sandbox is no more; its elements end by themselves or with its address' next use."""
        known = self._known.pop(sandbox_id, _Known())
        instance = self._instances.pop(sandbox_id, "")
        for entry in known.open:
            target = Tables(instance).set(entry.set_name)
            element = encode_timed(entry, timeout_ms=0)
            try:
                batch = Batch().delete_elements(target, [element])
                if self._firewall is not None:
                    batch.commit(self._firewall)
            except KernelError as error:
                if error.errno != errno.ENOENT:
                    raise

    def denied(self, sandbox_id: str) -> Denied:
        """Say what was refused, and what the sandbox's addresses are called."""
        known = self._known.get(sandbox_id, _Known())
        now = time.monotonic()
        return Denied(
            names={name: now - when for name, when in known.refused.items()},
            known=dict(known.names),
        )

    def _of(self, sandbox_id: str) -> _Known:
        return self._known.setdefault(sandbox_id, _Known())


def opened_by(sandbox: SandboxNames, name: str, address: str) -> Iterator[Entry]:
    """Yield the elements that let a sandbox reach an address it got for a name."""
    version = 6 if ":" in address else 4
    for own_addresses, allowances in sandbox.fences:
        for pattern, protocol, ports in allowances:
            if matches_name(pattern, name):
                for own in own_addresses:
                    if (":" in own) == (version == 6):
                        yield Entry(f"allowed{version}", (own, address, protocol, ports))
