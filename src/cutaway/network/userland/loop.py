"""A loop over descriptors and timers: all that these servers need, without asyncio's weight."""

import heapq
import itertools
import select
import time
from collections.abc import Callable

Callback = Callable[[], None]
# An error or the end of a connection is for both: whoever acts finds it.
_READ_AND_WRITE = (~select.EPOLLOUT, ~select.EPOLLIN)


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
        self._epoll = select.epoll()
        self._watched: dict[int, tuple[Callback | None, Callback | None]] = {}
        self._timers: list[tuple[float, int, Timer]] = []
        self._order = itertools.count()
        self._stopped = False

    def watch(
        self, fd: int, *, read: Callback | None = None, write: Callback | None = None
    ) -> None:
        """Say what to call for a descriptor, in place of what was said before; None for nothing."""
        events = (select.EPOLLIN if read else 0) | (select.EPOLLOUT if write else 0)
        is_known = fd in self._watched
        if not events:
            if is_known:
                del self._watched[fd]
                self._epoll.unregister(fd)
            return
        self._watched[fd] = (read, write)
        if is_known:
            self._epoll.modify(fd, events)
        else:
            self._epoll.register(fd, events)

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
        ready = [(fd, events, self._watched[fd]) for fd, events in self._epoll.poll(timeout)]
        for fd, events, callbacks in ready:
            for callback, kinds in zip(callbacks, _READ_AND_WRITE, strict=True):
                # An earlier call of this round may have closed the descriptor or changed its mind.
                if callback and events & kinds and self._watched.get(fd) is callbacks:
                    callback()
        now = time.monotonic()
        while self._timers and self._timers[0][0] <= now:
            _, _, timer = heapq.heappop(self._timers)
            if timer.callback is not None:
                timer.callback()
