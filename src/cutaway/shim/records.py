"""The documents a shim leaves: how the container ended, and what it was when the shim left."""

import contextlib
import json
import os
import time
from collections.abc import Callable
from typing import Any, TypeAlias

from cutaway import files
from cutaway.shim.protocol import Launch
from cutaway.steps.ledger import LEDGER_VERSION

EXIT_VERSION = 1
STATE_VERSION = 1

KeepExit: TypeAlias = Callable[[Launch, dict[str, Any]], None]


def note_exit(launch: Launch, facts: dict[str, Any]) -> None:
    """Write exit.json in RUN, first of all: a tmpfs, so that a full disk can't lose the status."""
    _write_exit(launch.bundle, facts, durable=False)


def copy_exit(launch: Launch, facts: dict[str, Any]) -> None:
    """Write it in ROOT, unless the container is one of ``--rm``.

    A last exit is put on the disk by the engine, with many others', before it acknowledges.
    """
    if launch.durable:
        with contextlib.suppress(FileNotFoundError):  # who heard of the exit has removed it
            _write_exit(launch.directory, facts, durable=False)


def keep_exit(launch: Launch, facts: dict[str, Any]) -> None:
    """Put it on the disk in ROOT: one that no engine hears of, or that a restart follows."""
    if launch.durable:
        _write_exit(launch.directory, facts, durable=True)


def _write_exit(directory: str, facts: dict[str, Any], *, durable: bool) -> None:
    document = {"version": EXIT_VERSION, **facts}
    files.write_json(os.path.join(directory, "exit.json"), document, durable=durable)


def remove_exit(bundle: str, directory: str) -> None:
    """Take away what an earlier run left."""
    for place in (bundle, directory):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(place, "exit.json"))


def write_state(bundle: str, state: dict[str, Any]) -> None:
    """Write state.json in RUN: what a later engine reads when no shim answers."""
    document = {"version": STATE_VERSION, **state}
    files.write_json(os.path.join(bundle, "state.json"), document, durable=False)


def append_error(bundle: str, error: Exception) -> None:
    """Note an unexpected error, with the places it came through, in the bundle's shim.log."""
    place = ""
    trace = error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        place = f"{code.co_filename}:{trace.tb_lineno} ({code.co_name})\n  {place}"
        trace = trace.tb_next
    with open(os.path.join(bundle, "shim.log"), "a") as file:
        file.write(f"{time.time():.6f} {type(error).__name__}: {error}\n  {place}\n")


def in_order(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the records of all actors as plain JSON values, in the order of their time."""
    ordered = sorted(records, key=lambda record: int(record.get("started_ns", 0)))
    return json.loads(json.dumps(ordered, default=_plain))  # type: ignore[no-any-return]


def read_ledger(path: str) -> list[dict[str, Any]]:
    """Return the records of a ledger.json, none when there is none yet."""
    try:
        records: list[dict[str, Any]] = files.read_json(path)["records"]
    except FileNotFoundError:
        return []
    return records


def write_ledger(path: str, records: list[dict[str, Any]]) -> None:
    """Write a ledger.json."""
    document = {"version": LEDGER_VERSION, "records": in_order(records)}
    files.write_json(path, document, durable=False)


def _plain(value: Any) -> Any:
    """Write an argument that is a small dataclass as its fields."""
    names = getattr(value, "__slots__", None)
    return {name: getattr(value, name) for name in names} if names else str(value)
