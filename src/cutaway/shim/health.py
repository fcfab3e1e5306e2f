"""The health check: a program run beside PID 1 at intervals, and what its exit codes add up to.

Source: Dockerfile reference HEALTHCHECK; moby daemon/health.go.
"""

import contextlib
import os
import signal
import time
from collections.abc import Callable
from typing import Any

from cutaway.errors import CutawayError
from cutaway.runtime import Extensions, Stdio
from cutaway.shim.logs.clock import format_rfc3339_nano
from cutaway.shim.loop import READABLE, Loop, Timer
from cutaway.shim.protocol import HealthCheck
from cutaway.shim.runtimes.driver import RuntimeDriver

STARTING, HEALTHY, UNHEALTHY = "starting", "healthy", "unhealthy"
KEPT_RESULTS = 5
OUTPUT_LIMIT_BYTES = 4096
_SECOND_NS = 1_000_000_000


class HealthTally:
    """Counts results into a status. Pure: times are given."""

    def __init__(self, check: HealthCheck) -> None:
        self._check = check
        self.status = STARTING
        self.failing_streak = 0
        self.log: list[dict[str, Any]] = []

    def add(self, result: dict[str, Any], *, age_ns: int) -> bool:
        """Take one result; return whether the status changed.

        Args:
            result: ``Start``, ``End``, ``ExitCode``, ``Output``, as the Engine API shows it.
            age_ns: how long the container had run when the check began; a failure within the
                start period does not count.
        """
        before = self.status
        self.log = [*self.log[-(KEPT_RESULTS - 1) :], result]
        if result["ExitCode"] == 0:
            self.failing_streak = 0
            self.status = HEALTHY
        elif not (self.status == STARTING and age_ns < self._check.start_period_ns):
            self.failing_streak += 1
            if self.failing_streak >= max(1, self._check.retries):
                self.status = UNHEALTHY
        return self.status != before

    def next_interval_ns(self, age_ns: int) -> int:
        """Return the pause before the next check: shorter in the start period, until healthy."""
        if self.status == STARTING and age_ns < self._check.start_period_ns:
            return self._check.start_interval_ns
        return self._check.interval_ns

    def to_json(self) -> dict[str, Any]:
        """Return the state as the reply of ``health``."""
        return {"status": self.status, "failing_streak": self.failing_streak, "log": self.log}

    def take(self, state: dict[str, Any]) -> None:
        """Go on from what another's ``to_json`` said."""
        self.status, self.log = state["status"], state["log"]
        self.failing_streak = state["failing_streak"]


class HealthChecker:
    """Runs the check of one run of PID 1, until ``close``.

    Args:
        is_paused: a frozen container cannot answer: it is not asked.
        on_result: told of every result, and whether the status changed.
    """

    def __init__(
        self,
        loop: Loop,
        runtime: RuntimeDriver,
        check: HealthCheck,
        *,
        is_paused: Callable[[], bool],
        on_result: Callable[[HealthTally, bool], None],
    ) -> None:
        self.tally = HealthTally(check)
        self._loop = loop
        self._runtime = runtime
        self._check = check
        self._is_paused = is_paused
        self._on_result = on_result
        self._began_ns = time.monotonic_ns()
        self._output_fd = -1
        self._output = b""
        self._pid = 0
        self._check_began_ns = 0
        self._timed_out = False
        self._timer: Timer | None = None
        self._schedule()

    @property
    def can_rest(self) -> bool:
        """No check runs."""
        return not self._pid

    def rest(self) -> dict[str, Any]:
        """Return what ``wake`` needs."""
        due_s = self._timer.due_s if self._timer else 0.0
        return {"tally": self.tally.to_json(), "began_ns": self._began_ns, "due_s": due_s}

    def wake(self, state: dict[str, Any]) -> None:
        """Go on from the ``rest`` of another shim."""
        if self._timer:
            self._timer.cancel()
        self.tally.take(state["tally"])
        self._began_ns = state["began_ns"]
        self._timer = self._loop.call_after(state["due_s"] - time.monotonic(), self._begin)

    def _age_ns(self) -> int:
        return time.monotonic_ns() - self._began_ns

    def _schedule(self) -> None:
        delay_ns = self.tally.next_interval_ns(self._age_ns())
        self._timer = self._loop.call_after(delay_ns / _SECOND_NS, self._begin)

    def _begin(self) -> None:
        if self._is_paused():
            self._schedule()
            return
        self._output, self._timed_out = b"", False
        self._check_began_ns = time.time_ns()
        null_fd = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        self._output_fd, theirs = os.pipe2(os.O_CLOEXEC)
        try:
            os.set_blocking(self._output_fd, False)
            extensions = Extensions(user=self._check.user, groups=tuple(self._check.groups))
            started = self._runtime.exec_process(
                self._check.process, Stdio(null_fd, theirs, theirs), extensions
            )
            self._pid = started.pid
        except (CutawayError, OSError) as error:
            self._output = str(error).encode()
            self._finish(-1)
            return
        finally:
            os.close(null_fd)
            os.close(theirs)
        self._loop.watch(self._output_fd, READABLE, self._read)
        self._timer = self._loop.call_after(self._check.timeout_ns / _SECOND_NS, self._time_out)

    def _read(self, _: int) -> None:
        try:
            chunk = os.read(self._output_fd, OUTPUT_LIMIT_BYTES)
        except BlockingIOError:
            return
        if not chunk:
            self._loop.unwatch(self._output_fd)
        room = OUTPUT_LIMIT_BYTES - len(self._output)
        self._output += chunk[: max(0, room)]

    def _time_out(self) -> None:
        """As dockerd: the check is killed and counts as failed."""
        self._timed_out = True
        with contextlib.suppress(OSError):
            os.kill(self._pid, signal.SIGKILL)

    def child_ended(self, pid: int, exit_code: int) -> bool:
        """Take note of an ended child; True when it was the check."""
        if not self._pid or pid != self._pid:
            return False
        self._read(0)
        if self._timed_out:
            seconds = self._check.timeout_ns / _SECOND_NS
            self._output = f"Health check exceeded timeout ({_go_duration(seconds)})".encode()
            exit_code = -1
        self._finish(exit_code)
        return True

    def _finish(self, exit_code: int) -> None:
        self._pid = 0
        if self._timer:
            self._timer.cancel()
        if self._output_fd >= 0:
            self._loop.unwatch(self._output_fd)
            os.close(self._output_fd)
            self._output_fd = -1
        result = {
            "Start": format_rfc3339_nano(self._check_began_ns).decode(),
            "End": format_rfc3339_nano(time.time_ns()).decode(),
            "ExitCode": exit_code,
            "Output": self._output.decode("utf-8", "replace"),
        }
        age_ns = self._age_ns() - (time.time_ns() - self._check_began_ns)
        changed = self.tally.add(result, age_ns=age_ns)
        self._schedule()
        self._on_result(self.tally, changed)

    def close(self) -> None:
        """The run is over: check no more."""
        if self._timer:
            self._timer.cancel()
        if self._output_fd >= 0:
            self._loop.unwatch(self._output_fd)
            os.close(self._output_fd)
            self._output_fd = -1
        self._pid = 0


def _go_duration(seconds: float) -> str:
    """Write a duration as Go prints it, for the lengths a time-out has: ``30s``, ``1m30s``."""
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(int(minutes), 60)
    text = f"{rest:g}s" if rest >= 1 or not rest else f"{rest * 1000:g}ms"
    if hours:
        return f"{hours}h{minutes}m{text}"
    return f"{minutes}m{text}" if minutes else text
