"""How long each step of the init took, told to the parent in few bytes.

The parent has the same plan, so a step needs no description: its number, when it started, how
long it took. The parent makes ledger records of it when somebody asks.
"""

import struct
from collections.abc import Sequence
from typing import Any

from cutaway.steps import Record, Step

_ENTRY = struct.Struct("=HQQ")
INIT_ACTOR = "init"


class Journal:
    """What the init did so far; it appends two numbers a step and formats nothing."""

    __slots__ = ("_entries",)

    def __init__(self) -> None:
        self._entries: list[tuple[int, int, int]] = []

    def note(self, number: int, started_ns: int, duration_ns: int) -> None:
        """Remember that step ``number`` of the plan was done."""
        self._entries.append((number, started_ns, duration_ns))

    def take(self) -> bytes:
        """Return all that was noted since the last time, packed."""
        data = b"".join(_ENTRY.pack(*entry) for entry in self._entries)
        self._entries.clear()
        return data


def read_journal(data: bytes, steps: Sequence[Step[Any]], actor: str) -> list[Record]:
    """Return ledger records of the steps a journal names.

    Args:
        data: everything ``Journal.take`` returned, joined.
        steps: all steps that are noted in journals, maker's and init's.
        actor: whose journal it is.
    """
    records = []
    for number, started_ns, duration_ns in _ENTRY.iter_unpack(data):
        step = steps[number]
        records.append(
            Record(
                kind=type(step).__name__,
                actor=actor,
                what=step.describe(),
                why=step.why,
                shell=step.shell(),
                arguments=step.arguments(),
                started_ns=started_ns,
                duration_ns=duration_ns,
            )
        )
    return records


def mark_failed(records: Sequence[Record], error: str | None) -> None:
    """Write the failure into the last step begun, if there was one."""
    if records and error is not None:
        records[-1].error = error
