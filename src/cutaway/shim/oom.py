"""OOM kills told while they happen, and counted once more before the cgroup goes."""

import contextlib
import os
from collections.abc import Callable
from typing import Any

from cutaway.shim.loop import READABLE, Loop
from cutaway.shim.luggage import Luggage
from cutaway.shim.runtimes.driver import RuntimeDriver

# A start waits for nothing of this.
_BEGIN_AFTER_S = 0.1
_LOOK_AGAIN_S = 0.05
_LOOKS = 20


class OomWatch:
    """Tells ``on_kills(count)`` whenever the kernel has killed more of a run's processes.

    Args:
        on_kills: gets the number of kills in this run so far.
    """

    def __init__(
        self, loop: Loop, runtime: RuntimeDriver, on_kills: Callable[[int], object]
    ) -> None:
        self._loop = loop
        self._runtime = runtime
        self._on_kills = on_kills
        self._kills = 0
        self._fd = -1
        self._timer = loop.call_after(_BEGIN_AFTER_S, self._begin)

    def _begin(self) -> None:
        with contextlib.suppress(OSError):  # the run's end counts in any case
            self._fd = self._runtime.watch_oom()
        if self._fd >= 0:
            self._loop.watch(self._fd, READABLE, self._told)
        self._count()

    def _told(self, _: int) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._fd, 4096)
        self._look(_LOOKS)

    def _look(self, left: int) -> None:
        """Count until there is one more: cgroup v1 tells before it kills."""
        self._timer.cancel()
        if not self._count() and left:
            self._timer = self._loop.call_after(_LOOK_AGAIN_S, lambda: self._look(left - 1))

    def _count(self) -> bool:
        kills = self._runtime.oom_kill_count()
        is_more = kills > self._kills
        if is_more:
            self._kills = kills
            self._on_kills(kills)
        return is_more

    def rest(self, luggage: Luggage) -> dict[str, Any]:
        """Return what ``wake`` needs."""
        return {"kills": self._kills, "fd": luggage.put(self._fd)}

    def wake(self, state: dict[str, Any], luggage: Luggage) -> None:
        """Go on from the ``rest`` of another shim."""
        self._timer.cancel()
        self._kills = state["kills"]
        self._fd = luggage.take(state["fd"])
        if self._fd >= 0:
            self._loop.watch(self._fd, READABLE, self._told)

    def finish(self) -> int:
        """Count a last time, forget the watch, return the run's kills."""
        self._timer.cancel()
        if self._fd >= 0:
            self._loop.unwatch(self._fd)
            os.close(self._fd)
            self._fd = -1
        self._count()
        return self._kills
