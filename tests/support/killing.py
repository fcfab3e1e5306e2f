"""One loop for every test of the form "SIGKILL it at N random moments and nothing is lost".

An ``Operation`` is something the engine is asked to do. The loop runs one at a time, SIGKILLs a
process in the middle, starts the engine again and requires, after every single kill:

- the engine answers within 3 s (``coming_back.py``);
- the store is consistent: what it lists can be inspected, what it says runs does run, the
  database is sound, and the engine's log has no traceback;
- whatever the operation itself promises (``Operation.check``);
- once the objects that appeared are removed, the host is as it was before (``picture.py``).

Moments are seeded and scaled by how long the operation takes when nobody disturbs it, so a slow
machine is killed at the same places as a fast one. Example::

    def create(attempt): attempt.client.post("/networks/create", {"Name": attempt.name})

    KillLoop(engine, seed=7).run((Operation("create", act=create),), kills=100)
"""

import os
import random
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import Any

from cutaway.client import Client
from cutaway.errors import CutawayError
from support.coming_back import start_again
from support.engine import EngineUnderTest
from support.picture import Picture, differences, processes, take_picture
from support.waiting import eventually, is_late

_CLEAN_S = 10.0
_END_S = 30.0
_BEYOND = 1.15  # some moments lie behind the operation's end


@dataclass(frozen=True)
class Attempt:
    """One run of an operation.

    Attributes:
        name: unique, for whatever the operation makes.
    """

    engine: EngineUnderTest
    name: str

    @property
    def client(self) -> Client:
        """A client of the engine."""
        return self.engine.client


def _nothing(_: Attempt) -> None:
    """Do nothing."""


@dataclass(frozen=True)
class Operation:
    """Something the engine is asked to do, and may be killed in the middle of.

    Attributes:
        act: what is cut off. It may send several requests; with a connection lost it just raises.
        prepare: makes what ``act`` needs; is not cut off.
        check: asserts what must hold after the restart, wherever the cut was.
        restore: puts back what ``act`` took away, before the host is compared. New containers,
            images, networks and volumes are removed without being told.
    """

    name: str
    act: Callable[[Attempt], object]
    prepare: Callable[[Attempt], object] = _nothing
    check: Callable[[Attempt], object] = _nothing
    restore: Callable[[Attempt], object] = _nothing


class KillLoop:
    """Kills one engine, or its helpers, again and again.

    Args:
        engine: running, with the images that the operations need and nothing that may go away.
        seed: of the moments and victims.
        victims: what is killed, one of them each time: ``engine``, or the title of a process
            (``launcher``, ``shim``, ``maker``, ``images``, ``network``), any that runs then.

    Attributes:
        killed: how often each victim was found and killed.
    """

    def __init__(
        self, engine: EngineUnderTest, *, seed: int, victims: Sequence[str] = ("engine",)
    ) -> None:
        self.engine = engine
        self.killed: dict[str, int] = dict.fromkeys(victims, 0)
        self._random = random.Random(seed)
        self._objects: dict[str, set[str]] = {}
        self._picture: Picture = {}
        self._log_read = 0
        self._attempts = 0

    def run(self, operations: Sequence[Operation], *, kills: int) -> None:
        """Kill ``kills`` times, operation after operation."""
        self._objects = self._list_objects()
        durations = [self._rehearse(operation) for operation in operations]
        durations = [self._rehearse(operation) for operation in operations]
        self._picture = self._settled_picture()
        for number in range(kills):
            index = number % len(operations)
            moment_s = self._random.uniform(0, durations[index] * _BEYOND)
            self._kill_once(operations[index], moment_s)

    def _rehearse(self, operation: Operation) -> float:
        """Run it undisturbed and return how long it took."""
        attempt = self._next_attempt()
        operation.prepare(attempt)
        started = time.monotonic()
        operation.act(attempt)
        duration_s = time.monotonic() - started
        operation.check(attempt)
        operation.restore(attempt)
        self._remove_objects()
        return duration_s

    def _next_attempt(self) -> Attempt:
        self._attempts += 1
        return Attempt(self.engine, f"killed{self._attempts}")

    def _kill_once(self, operation: Operation, moment_s: float) -> None:
        attempt = self._next_attempt()
        victim = self._random.choice(list(self.killed))
        story = f"{operation.name} ({attempt.name}), {victim} killed after {moment_s * 1000:.1f} ms"
        try:
            operation.prepare(attempt)
            running = _Running(operation, attempt)
            running.wait(moment_s)
            self._kill(victim, running)
            self._check_store()
            operation.check(attempt)
            operation.restore(attempt)
            self._remove_objects()
            running.require_end()
            self._require_clean()
        except BaseException as error:
            error.add_note(f"{story}\nthe engine's log:\n{self.engine.log.read_text()[-3000:]}")
            raise

    def _kill(self, victim: str, running: "_Running") -> None:
        if victim == "engine":
            running.is_cut = True
            self.engine.kill()
            running.wait(0.2)  # what hangs on the engine ends now; a shim may hold the rest
            start_again(self.engine)
            self.killed[victim] += 1
            return
        pids = [p for p, title in processes(self.engine) if title.startswith(f"cutaway: {victim}")]
        if pids:
            running.is_cut = True
            with suppress(ProcessLookupError):
                os.kill(self._random.choice(sorted(pids)), signal.SIGKILL)
                self.killed[victim] += 1
        running.require_end()

    def _check_store(self) -> None:
        """Require that everything listed can be inspected and is what it is said to be."""
        client = self.engine.client
        for container in client.get("/containers/json", all=True):
            eventually(lambda path=f"/containers/{container['Id']}/json": self._is_as_said(path))
        for kind, names in self._list_objects().items():
            for name in names:
                client.get(f"/{kind}/{name}/json" if kind == "images" else f"/{kind}/{name}")
        path = self.engine.data_root / "engine.db"
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
            assert database.execute("PRAGMA quick_check").fetchall() == [("ok",)]
        with open(self.engine.log) as log:
            log.seek(self._log_read)
            text = log.read()
            self._log_read = log.tell()
        assert "Traceback (most recent call last)" not in text, text

    def _is_as_said(self, path: str) -> bool:
        """Whether a container that is said to run has a process; it may be ending just now."""
        state = self.engine.client.get(path)["State"]
        is_running = state["Running"] and not state["Restarting"]
        return not is_running or os.path.exists(f"/proc/{state['Pid']}")

    def _list_objects(self) -> dict[str, set[str]]:
        client = self.engine.client
        return {
            "images": {i["Id"] for i in client.get("/images/json", all=True)},
            "networks": {n["Id"] for n in client.get("/networks")},
            "volumes": {v["Name"] for v in client.get("/volumes")["Volumes"] or ()},
        }

    def _remove_objects(self) -> None:
        self.engine.remove_containers()
        for kind, names in self._list_objects().items():
            for name in names - self._objects[kind]:
                with suppress_not_found():
                    self.engine.client.delete(f"/{kind}/{name}", force=True)

    def _settled_picture(self) -> Picture:
        """Wait until two pictures are the same: clean-up goes on behind the last answer."""
        started = time.monotonic()
        before = take_picture(self.engine)
        while True:
            time.sleep(0.3)  # polling for quiet, bounded by _CLEAN_S
            after = take_picture(self.engine)
            if not (changes := differences(before, after)):
                return after
            assert not is_late(started, _CLEAN_S), f"the host does not come to rest: {changes}"
            before = after

    def _require_clean(self) -> None:
        started = time.monotonic()
        while left := differences(self._picture, take_picture(self.engine)):
            assert not is_late(started, _CLEAN_S), "the host is not as before:\n" + "\n".join(left)
            self._remove_objects()
            time.sleep(0.02)  # polling the clean-up, bounded by _CLEAN_S


class _Running:
    """An operation in a thread of its own."""

    def __init__(self, operation: Operation, attempt: Attempt) -> None:
        self.is_cut = False
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, args=(operation, attempt), daemon=True)
        self._thread.start()

    def _run(self, operation: Operation, attempt: Attempt) -> None:
        try:
            operation.act(attempt)
        except (OSError, CutawayError, ValueError) as error:
            if not self.is_cut:
                self._error = error

    def wait(self, timeout_s: float) -> None:
        self._thread.join(timeout_s)

    def require_end(self) -> None:
        """Require that it does not hang, and failed only if it was cut."""
        started = time.monotonic()
        while self._thread.is_alive():
            assert not is_late(started, _END_S), "the request hangs"
            self.wait(0.5)
        if self._error is not None:
            raise self._error


class suppress_not_found(suppress):  # noqa: N801 - reads like contextlib's
    """Let go an answer of 404: somebody else removed it first."""

    def __init__(self) -> None:
        super().__init__(CutawayError)

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> bool:
        """Swallow only a 404."""
        return bool(super().__exit__(kind, error, traceback)) and getattr(error, "status", 0) == 404
