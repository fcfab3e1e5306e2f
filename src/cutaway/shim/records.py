"""The documents a shim leaves: how the container ended, and what it was when the shim left."""

import contextlib
import json
import os
import time
from typing import Any

from cutaway import files
from cutaway.shim.protocol import Launch
from cutaway.steps.ledger import LEDGER_VERSION

EXIT_VERSION = 1
STATE_VERSION = 1


def write_exit(launch: Launch, facts: dict[str, Any], *, has_engine: bool) -> None:
    """Write exit.json, in RUN and, unless the container is one of ``--rm``, in ROOT.

    A full disk must not lose the status: RUN is a tmpfs, and it is written first. A last exit is
    put on the disk by the engine, with many others', before it acknowledges; any other, here.

    Raises:
        OSError: the copy in ROOT could not be written; the one in RUN is.
    """
    document = {"version": EXIT_VERSION, **facts}
    files.write_json(os.path.join(launch.bundle, "exit.json"), document, durable=False)
    if launch.durable:
        durable = not has_engine or bool(facts["restarting"])
        files.write_json(os.path.join(launch.directory, "exit.json"), document, durable=durable)


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
