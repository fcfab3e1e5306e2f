"""One life of a container's PID 1: prepared, started, ended."""

import select
import time
from collections.abc import Callable
from typing import Any

from cutaway.errors import Conflict, CutawayError, System
from cutaway.shim.engine_link import Pending
from cutaway.shim.io.streams import ProcessStreams
from cutaway.shim.loop import READABLE, Loop
from cutaway.shim.runtimes.driver import RuntimeDriver

_KEPT_SIGNALS = 16


class Run:
    """Drives the runtime through create and start without blocking while the init prepares.

    Args:
        on_started: PID 1 executes its program.
        on_failed: create or start failed; everything of this run is undone.
    """

    def __init__(
        self,
        loop: Loop,
        runtime: RuntimeDriver,
        streams: ProcessStreams,
        *,
        on_started: Callable[["Run"], None],
        on_failed: Callable[["Run", Exception], None],
    ) -> None:
        self.runtime = runtime
        self.streams = streams
        self.started_ns = 0
        self.signals: list[dict[str, Any]] = []
        self.is_prepared = False
        self.stopped_by_user = False
        self.is_unhealthy = False
        self._started_monotonic = 0.0
        self._loop = loop
        self._on_started = on_started
        self._on_failed = on_failed
        self._start_requests: list[Pending] = []
        self.is_start_wanted = False
        self._ready_fd = -1
        self._on_ready: Callable[[int], None] = self._made
        self._is_maker_gone = False

    def create(self, network_fd: int, *, rows: int, columns: int) -> None:
        """Begin: the runtime clones the init, which prepares itself meanwhile."""
        try:
            stdio = self.streams.open(rows, columns)
            self.runtime.create(stdio, network_fd)
        except (CutawayError, OSError, ValueError) as error:
            self.fail(error)
            return
        self._watch(self._made)

    def _watch(self, callback: Callable[[int], None]) -> None:
        self._ready_fd = self.runtime.ready_fd
        self._on_ready = callback
        self._loop.watch(self._ready_fd, READABLE, callback)
        if self._is_maker_gone:
            self._loop.call_after(0, self._stop_waiting)

    def maker_ended(self) -> None:
        """The process that makes the container has ended: what it has not said, it never will."""
        self._is_maker_gone = True
        self._stop_waiting()

    def _stop_waiting(self) -> None:
        if self._ready_fd >= 0:
            self._on_ready(0)

    def _unwatch(self) -> None:
        """Must come before the runtime may close the descriptor."""
        if self._ready_fd >= 0:
            self._loop.unwatch(self._ready_fd)
            self._ready_fd = -1

    def _made(self, _: int) -> None:
        self._unwatch()
        try:
            self.runtime.take_made()
        except (CutawayError, OSError) as error:
            self.fail(error)
            return
        self._watch(self._prepared)

    def _prepared(self, _: int) -> None:
        self._unwatch()
        try:
            self.runtime.finish_create()
        except (CutawayError, OSError) as error:
            self.fail(error)
            return
        self.streams.process_made(self.runtime.console_fd)
        self.is_prepared = True
        if self.is_start_wanted:
            self._start()

    def want_start(self, pending: Pending | None = None) -> None:
        """Start as soon as the init is prepared."""
        self.is_start_wanted = True
        if pending is not None:
            self._start_requests.append(pending)
        if self.is_prepared:
            # After this request's reply is bound to its connection.
            self._loop.call_after(0, self._start)

    def _start(self) -> None:
        try:
            self.runtime.start()
        except (CutawayError, OSError) as error:
            self.fail(error)
            return
        self.started_ns = time.time_ns()
        self._started_monotonic = time.monotonic()
        self._on_started(self)
        self.answer_starts({"pid": self.runtime.pid, "started_ns": self.started_ns})

    def answer_starts(self, result: Any) -> None:
        """Reply to everybody who asked for the start."""
        for pending in self._start_requests:
            pending.reply(result)
        self._start_requests.clear()

    @property
    def is_started(self) -> bool:
        """PID 1 runs, or ran, its program."""
        return self.started_ns > 0

    @property
    def ran_ms(self) -> int:
        """How long PID 1 has run, by a clock that never jumps."""
        return int((time.monotonic() - self._started_monotonic) * 1000) if self.is_started else 0

    def rest(self) -> dict[str, Any]:
        """Return what ``wake`` needs of a run that has started, beside its runtime and streams."""
        return {
            "started_ns": self.started_ns,
            "started_s": self._started_monotonic,
            "signals": self.signals,
            "stopped_by_user": self.stopped_by_user,
            "is_unhealthy": self.is_unhealthy,
        }

    def wake(self, state: dict[str, Any]) -> None:
        """Go on, in another shim, from its ``rest``."""
        self.is_prepared = self.is_start_wanted = True
        self.started_ns = state["started_ns"]
        self._started_monotonic = state["started_s"]
        self.signals = state["signals"]
        self.stopped_by_user = state["stopped_by_user"]
        self.is_unhealthy = state["is_unhealthy"]

    def note_signal(self, signal: int, origin: str, *, ends: bool = True) -> None:
        """Remember who sent what, for the exit record; ``ends``: it was to end the container."""
        note = {"signal": signal, "origin": origin, "time_ns": time.time_ns(), "ends": ends}
        self.signals.append(note)
        del self.signals[:-_KEPT_SIGNALS]

    def describe_exit(self, exit_code: int, fatal_signal: int) -> dict[str, Any]:
        """Return the run's part of an exit record; its end is now."""
        return {
            "exit_code": exit_code,
            "signal": fatal_signal,
            "started_ns": self.started_ns,
            "exited_ns": time.time_ns(),
            "signals": self.signals,
        }

    def fail(self, error: Exception) -> None:
        """Undo everything of this run and tell who waits for its start."""
        self._unwatch()
        failures = self.runtime.abort()
        for failure in failures:
            error.add_note(f"undoing: {failure}")
        self.streams.abandon()
        self._on_failed(self, error)
        for pending in self._start_requests:
            pending.fail(error)
        self._start_requests.clear()

    def cancel(self) -> None:
        """The container is not wanted any more, before its program ran: undo what is made."""
        self.fail(Conflict("the container was deleted before it was started"))

    def ended_early(self, exit_code: int) -> None:
        """The init has ended before it was started: it says why, or somebody killed it."""
        error: Exception = System(
            f"the container's init ended with {exit_code} before it was started"
        )
        # What it said before its end is in the socket, heard of later than the end itself.
        fd = -1 if self.is_prepared else self.runtime.ready_fd
        if fd >= 0 and select.select([fd], [], [], 0)[0]:
            try:
                self.runtime.finish_create()
            except (CutawayError, OSError) as reason:
                error = reason
        self.runtime.mark_stopped()
        self.fail(error)
