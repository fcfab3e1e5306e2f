"""What was really done: each step with its arguments, result and time, in order."""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from cutaway.steps.step import ScopeT, Step

LEDGER_VERSION = 1


@dataclass(slots=True)
class Record:
    """One line of the ledger.

    Attributes:
        kind: the step's class name, ``MountFilesystem``.
        actor: the process that did it: ``engine``, ``shim``, ``init``.
        what: ``step.describe()``.
        why: ``step.why``.
        shell: ``step.shell()``.
        arguments: ``step.arguments()``.
        started_ns: CLOCK_MONOTONIC, so that records of several processes can be merged.
        duration_ns: how long the kernel took.
        result: what ``apply`` returned, a JSON value.
        error: the failure's sentence, or None.
        undone: the step was taken back.
    """

    kind: str
    actor: str
    what: str
    why: str
    shell: str
    arguments: dict[str, Any]
    started_ns: int
    duration_ns: int
    result: Any = None
    error: str | None = None
    undone: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return the record as the JSON object that ``from_json`` reads."""
        return {name: getattr(self, name) for name in self.__slots__}

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> "Record":
        """Read what ``to_json`` wrote."""
        return cls(**document)


class Ledger:
    """Applies steps, remembers them, and can take them back in reverse order.

    Recording appends to a list in memory and formats nothing: descriptions are made when the
    ledger is written, after the container runs.
    """

    def __init__(self, actor: str) -> None:
        self.actor = actor
        self._done: list[tuple[Step[Any], Any, int, int, Any, str | None]] = []
        self._undone: set[int] = set()
        self._told: list[Record] = []

    def apply(self, step: Step[ScopeT], scope: ScopeT) -> Any:
        """Do one step and record it, also when it fails.

        Returns:
            What ``step.apply`` returned.

        Raises:
            OSError: as ``step.apply`` raised it, with a note that names the step.
        """
        started_ns = time.monotonic_ns()
        try:
            result = step.apply(scope)
        except BaseException as error:
            duration_ns = time.monotonic_ns() - started_ns
            self._done.append((step, scope, started_ns, duration_ns, None, str(error)))
            raise
        duration_ns = time.monotonic_ns() - started_ns
        self._done.append((step, scope, started_ns, duration_ns, result, None))
        return result

    def apply_all(self, plan: Iterable[Step[ScopeT]], scope: ScopeT) -> None:
        """Do every step of a plan in order; stop at the first that fails (nothing is undone)."""
        for step in plan:
            self.apply(step, scope)

    def take(self, records: Iterable[Record]) -> None:
        """Add what another process has done and told."""
        self._told += records

    def undo_all(self) -> list[Exception]:
        """Take back every step that succeeded, last first, going on after a failure.

        Returns:
            The failures of undoing, in the order met; empty when the host is as it was. They
            belong in an ``ExceptionGroup`` behind the error that made the undo necessary.
        """
        failures: list[Exception] = []
        for index in range(len(self._done) - 1, -1, -1):
            step, scope, _, _, result, error = self._done[index]
            if error is not None or index in self._undone:
                continue
            self._undone.add(index)
            try:
                step.undo(scope, result)
            except OSError as failure:
                failures.append(failure)
        return failures

    def records(self) -> list[Record]:
        """Describe what was done so far, oldest first; the list is the caller's own."""
        own = [
            Record(
                kind=type(step).__name__,
                actor=self.actor,
                what=step.describe(),
                why=step.why,
                shell=step.shell(),
                arguments=step.arguments(),
                started_ns=started_ns,
                duration_ns=duration_ns,
                result=result,
                error=error,
                undone=index in self._undone,
            )
            for index, (step, _, started_ns, duration_ns, result, error) in enumerate(self._done)
        ]
        return sorted([*own, *self._told], key=lambda record: record.started_ns)

    def to_json(self) -> dict[str, Any]:
        """Return the ledger as the document kept in ``containers/ID/ledger.json``."""
        return {"version": LEDGER_VERSION, "records": [r.to_json() for r in self.records()]}
