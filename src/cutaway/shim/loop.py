"""The shim's event loop: descriptors, timers and ended children, in one thread.

asyncio would cost each shim megabytes and 90 ms; this is the part of it that a shim needs. The
loop alone reaps children, so that the container's process, exec processes, helpers and orphans
(the shim is a subreaper) are all told apart by their pid in one place: a pid cannot be used anew
before it is reaped.
"""

import contextlib
import os
import select
import signal
import time
from collections.abc import Callable

READABLE = select.EPOLLIN
WRITABLE = select.EPOLLOUT
HUNG_UP = select.EPOLLHUP | select.EPOLLERR

OnReady = Callable[[int], object]
OnChild = Callable[[int, int, int], None]
_NEVER = float("inf")


def watch_children() -> int:
    """Return a new descriptor that is readable when a child has ended since it was last read."""
    wake_read, wake_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    return wake_read


def how_ended(result: os.waitid_result) -> tuple[int, int, int]:
    """Return (pid, exit code, signal) of an ended child.

    The exit code is 128+n for a child that died of signal n; else the signal is 0.
    """
    status = result.si_status
    fatal = 0 if result.si_code == os.CLD_EXITED else status
    return result.si_pid, 128 + fatal if fatal else status, fatal


class Timer:
    """Something to be done at a time; ``cancel`` forgets it."""

    __slots__ = ("callback", "due_s")

    def __init__(self, due_s: float, callback: Callable[[], object]) -> None:
        self.due_s = due_s
        self.callback: Callable[[], object] | None = callback

    def cancel(self) -> None:
        """Do nothing when the time comes."""
        self.callback = None


class Loop:
    """Calls back when descriptors are ready, times have come, children have ended.

    Args:
        on_error: told of every exception that a callback lets out; the loop goes on.
    """

    def __init__(self, on_error: Callable[[Exception], None]) -> None:
        self._epoll = select.epoll()
        self._callbacks: dict[int, OnReady] = {}
        self._events: dict[int, int] = {}
        self._timers: list[Timer] = []
        self.on_error = on_error
        self._stopped = False
        self.on_child: OnChild = lambda pid, exit_code, signal: None
        self._idle_s = _NEVER
        self._idle_due_s = _NEVER
        self._on_idle: Callable[[], object] = lambda: None
        self._wake_read = watch_children()
        self.watch(self._wake_read, READABLE, self._woken)

    def watch(self, fd: int, events: int, callback: OnReady) -> None:
        """Call ``callback(events)`` while ``fd`` is ready; a second call changes the first.

        With ``events`` 0 only hanging up is told.
        """
        if fd not in self._callbacks:
            self._epoll.register(fd, events)
        elif self._events[fd] != events:
            self._epoll.modify(fd, events)
        self._callbacks[fd] = callback
        self._events[fd] = events

    def unwatch(self, fd: int) -> None:
        """Forget a descriptor; must come before it is closed. Harmless when not watched."""
        if self._callbacks.pop(fd, None) is not None:
            del self._events[fd]
            with contextlib.suppress(OSError):
                self._epoll.unregister(fd)

    def call_after(self, delay_s: float, callback: Callable[[], object]) -> Timer:
        """Call once, ``delay_s`` from now on CLOCK_MONOTONIC (which clock jumps don't touch)."""
        timer = Timer(time.monotonic() + delay_s, callback)
        self._timers.append(timer)
        return timer

    def when_idle(self, idle_s: float, callback: Callable[[], object]) -> None:
        """Call each time that nothing has happened for so long."""
        self._idle_s, self._on_idle = idle_s, callback

    @property
    def timers(self) -> list[Timer]:
        """Those whose time is still to come."""
        return [timer for timer in self._timers if timer.callback]

    def watched(self) -> list[tuple[int, int]]:
        """Return all descriptors that are watched, and for what."""
        return list(self._events.items())

    def reset(self) -> None:
        """Forget all that was watched and awaited, for another use of the loop."""
        for fd in tuple(self._callbacks):
            self.unwatch(fd)
        self.watch(self._wake_read, READABLE, self._woken)
        self._timers.clear()
        self._stopped = False
        self._idle_s = self._idle_due_s = _NEVER
        self.on_child = lambda pid, exit_code, signal: None

    def stop(self) -> None:
        """Return from ``run`` after the callback that called this."""
        self._stopped = True

    def run(self) -> None:
        """Serve until ``stop``."""
        while not self._stopped:
            ready = self._epoll.poll(self._until_next_timer())
            for fd, events in ready:
                callback = self._callbacks.get(fd)
                if callback is not None:  # an earlier callback may have closed it
                    self._guard(callback, events)
            has_fired = self._fire_timers()
            if self._idle_s < _NEVER:
                self._look_if_idle(is_busy=bool(ready) or has_fired)

    def _until_next_timer(self) -> float:
        due = [timer.due_s for timer in self._timers if timer.callback]
        next_s = min(self._idle_due_s, *due) if due else self._idle_due_s
        return max(0.0, next_s - time.monotonic()) if next_s < _NEVER else -1

    def _look_if_idle(self, *, is_busy: bool) -> None:
        now = time.monotonic()
        if is_busy:
            self._idle_due_s = now + self._idle_s
        elif now >= self._idle_due_s:
            self._idle_due_s = _NEVER  # until something happens
            self._guard(lambda _: self._on_idle(), 0)

    def _fire_timers(self) -> bool:
        if not self._timers:
            return False
        now = time.monotonic()
        due = sorted((t for t in self._timers if t.due_s <= now), key=lambda timer: timer.due_s)
        self._timers = [t for t in self._timers if t.due_s > now and t.callback]
        for timer in due:
            callback = timer.callback
            if callback is not None:
                self._guard(lambda _, callback=callback: callback(), 0)  # type: ignore[misc]
        return bool(due)

    def _guard(self, callback: OnReady, events: int) -> None:
        try:
            callback(events)
        except Exception as error:
            self.on_error(error)

    def _woken(self, _: int) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._wake_read, 4096)
        self.reap()

    def reap(self) -> None:
        """Collect every child that has ended and tell ``on_child`` ``how_ended``."""
        while True:
            try:
                result = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG)
            except ChildProcessError:
                return
            if result is None:
                return
            self.tell_ended(how_ended(result))

    def tell_ended(self, how: tuple[int, int, int]) -> None:
        """Tell ``on_child`` of a child that was reaped."""
        self._guard(lambda _: self.on_child(*how), 0)
