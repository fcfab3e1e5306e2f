"""A loop over descriptors and timers: all that these servers need, without asyncio's weight."""

import heapq
import itertools
import selectors
import time
from collections.abc import Callable

Callback = Callable[[], None]


class Timer:
    """A call that will be made, unless ``cancel`` comes first."""

    __slots__ = ("callback", "when")

    def __init__(self, when: float, callback: Callback) -> None:
        self.when = when
        self.callback: Callback | None = callback

    def cancel(self) -> None:
        """Don't call; harmless when it was."""
        self.callback = None


class Loop:
    """Calls back when a descriptor is ready or a time has come. One thread."""

    def __init__(self) -> None:
        self._selector = selectors.EpollSelector()
        self._timers: list[tuple[float, int, Timer]] = []
        self._order = itertools.count()
        self._stopped = False

    def watch(
        self, fd: int, *, read: Callback | None = None, write: Callback | None = None
    ) -> None:
        """Say what to call for a descriptor, in place of what was said before; None for nothing."""
        events = (selectors.EVENT_READ if read else 0) | (selectors.EVENT_WRITE if write else 0)
        known = self._selector.get_map().get(fd)
        if not events:
            if known is not None:
                self._selector.unregister(fd)
        elif known is None:
            self._selector.register(fd, events, (read, write))
        else:
            self._selector.modify(fd, events, (read, write))

    def forget(self, fd: int) -> None:
        """Watch a descriptor no more; call it before closing."""
        self.watch(fd)

    def later(self, seconds: float, callback: Callback) -> Timer:
        """Call back once, after some seconds."""
        timer = Timer(time.monotonic() + seconds, callback)
        heapq.heappush(self._timers, (timer.when, next(self._order), timer))
        return timer

    def stop(self) -> None:
        """Make ``run`` return after this round."""
        self._stopped = True

    def run(self) -> None:
        """Serve until ``stop``."""
        while not self._stopped:
            self.run_once(self._patience())

    def _patience(self) -> float | None:
        while self._timers and self._timers[0][2].callback is None:
            heapq.heappop(self._timers)
        if not self._timers:
            return None
        return max(0.0, self._timers[0][0] - time.monotonic())

    def run_once(self, timeout: float | None) -> None:
        """Wait for at most ``timeout`` seconds and make the calls that are due."""
        for key, events in self._selector.select(timeout):
            read, write = key.data
            # An earlier callback of this round may have closed the descriptor or changed its mind.
            if events & selectors.EVENT_READ and read and self._is_current(key, 0, read):
                read()
            if events & selectors.EVENT_WRITE and write and self._is_current(key, 1, write):
                write()
        now = time.monotonic()
        while self._timers and self._timers[0][0] <= now:
            _, _, timer = heapq.heappop(self._timers)
            if timer.callback is not None:
                timer.callback()

    def _is_current(self, key: selectors.SelectorKey, which: int, callback: Callback) -> bool:
        known = self._selector.get_map().get(key.fd)
        return known is not None and known.data[which] is callback
