"""A clock for what moves on the terminal while this process waits for the engine."""

import signal
from collections.abc import Callable


class Ticks:
    """Calls ``action`` again and again while its ``with`` block runs.

    By a timer's signal, so that things move also while the engine says nothing: Python tries an
    interrupted system call again by itself. ``action`` may thus run between any two steps of the
    block, and must not write by a stream that the block may be writing to at that moment.

    Args:
        action: what to do; None does nothing.
        after_s: how long the first call waits.
        every_s: the pause between calls.
    """

    def __init__(
        self, action: Callable[[], None] | None, *, after_s: float, every_s: float
    ) -> None:
        self._action = action
        self._times = (after_s, every_s)

    def __enter__(self) -> "Ticks":
        """Start the timer."""
        if (action := self._action) is not None:
            signal.signal(signal.SIGALRM, lambda number, frame: action())
            signal.setitimer(signal.ITIMER_REAL, *self._times)
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it."""
        if self._action is not None:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
