"""What must be remembered over a restart, and the few methods it takes.

A lease is not a row of its own: an address is taken exactly when the record of an endpoint says
so. One truth, one write, so an address can be neither leaked nor given twice, whenever the engine
dies. Networks and endpoints are written before the kernel is touched, so everything on the host
has a record; what has none is an orphan and is removed at the next start.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

RecordKind = Literal["network", "endpoint", "sandbox", "release"]


@dataclass(frozen=True, slots=True)
class Change:
    """One record to write, or to delete when ``document`` is None."""

    kind: RecordKind
    key: str
    document: Mapping[str, Any] | None


class LeaseStore(Protocol):
    """Where the controller keeps its records; the engine's database fits it.

    Both methods are called by the controller with its lock held, on the thread that called the
    controller: only its methods marked "writes the store" do.
    """

    def load_network_records(self) -> Iterable[tuple[RecordKind, str, Mapping[str, Any]]]:
        """Return every record; called once, by ``Controller.start``."""

    def write_network_records(self, changes: Sequence[Change]) -> None:
        """Make all the changes or none, in one transaction.

        They must survive the engine's death, but need not survive the machine's: after a reboot
        no endpoint lives (SQLite: WAL with ``synchronous=NORMAL`` will do; no fsync on the start
        path).
        """


class MemoryStore:
    """A store for tests and for ``cutaway plan``: it forgets everything with the process."""

    def __init__(self) -> None:
        self.records: dict[tuple[RecordKind, str], Mapping[str, Any]] = {}

    def load_network_records(self) -> Iterable[tuple[RecordKind, str, Mapping[str, Any]]]:
        """Return what was written; the list is the caller's own."""
        return [(kind, key, document) for (kind, key), document in self.records.items()]

    def write_network_records(self, changes: Sequence[Change]) -> None:
        """Write all changes."""
        for change in changes:
            if change.document is None:
                self.records.pop((change.kind, change.key), None)
            else:
                self.records[change.kind, change.key] = change.document
