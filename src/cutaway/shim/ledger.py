"""ledger.json of one container: written once a run, added to when the engine did more."""

from collections.abc import Sequence
from typing import Any

from cutaway.shim import records
from cutaway.shim.runtimes.driver import RuntimeDriver
from cutaway.steps import Ledger

Records = Sequence[dict[str, Any]]


class LedgerFile:
    """What was done to the host for the container, by engine, shim, maker and init.

    Attributes:
        engine_records: of the engine's own steps; the maker writes them with its own.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self.engine_records: list[dict[str, Any]] = []
        self._is_due = False

    def run_started(self) -> None:
        """A run has begun, whose records are not written yet."""
        self._is_due = True

    def begin(self, runtime: RuntimeDriver, own: Ledger) -> None:
        """Have the runtime write it, once a run; ``own`` are the shim's steps.

        Raises:
            OSError: it could not be written.
        """
        if self._is_due:
            self._is_due = False
            runtime.write_ledger(self._path, self.others(own))

    def others(self, own: Ledger) -> list[dict[str, Any]]:
        """Return what the maker does not know: the engine's records, and the shim's ``own``."""
        return [*self.engine_records, *(record.to_json() for record in own.records())]

    def add(self, more: Records) -> list[dict[str, Any]]:
        """Add to what is written; return everything."""
        if more:
            self.engine_records += more
            records.write_ledger(self._path, [*records.read_ledger(self._path), *more])
        return records.read_ledger(self._path)
