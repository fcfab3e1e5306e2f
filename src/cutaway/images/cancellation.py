"""Stop a blocking transfer from outside, within a second."""

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from cutaway.errors import CutawayError

T = TypeVar("T")

_POLL_S = 0.1
_GRACE_S = 0.8


class Cancelled(CutawayError):
    """The caller gave up; partial blobs are kept for the next try."""

    def __init__(self) -> None:
        super().__init__("context canceled")


class _Outcome(Generic[T]):
    """What a worker thread came to; filled by it, read after it ended."""

    def __init__(self) -> None:
        self.value: T | None = None
        self.error: BaseException | None = None
        self.is_done = False


def run_cancellable(
    work: Callable[[], T],
    *,
    is_cancelled: Callable[[], bool],
    stop: Callable[[], None],
    name: str,
) -> T:
    """Run ``work`` in a thread and wait for it, or for a cancellation.

    Args:
        work: blocks; ends soon after ``stop``.
        is_cancelled: asked ten times a second.
        stop: makes ``work`` end: breaks its connections.
        name: of the thread.

    Returns:
        What ``work`` returned.

    Raises:
        Cancelled: within a second of the cancellation.
        Exception: what ``work`` raised.

    Leaves behind: after a cancellation, if ``work`` sits in a call that can't be broken (a name
        look-up), its thread; it ends with that call and changes nothing any more.
    """
    outcome: _Outcome[T] = _Outcome()

    def run() -> None:
        try:
            outcome.value = work()
            outcome.is_done = True
        except BaseException as error:  # noqa: BLE001 - handed to the waiting thread
            outcome.error = error

    thread = threading.Thread(target=run, name=name, daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(_POLL_S)
        if thread.is_alive() and is_cancelled():
            stop()
            thread.join(_GRACE_S)
            if not outcome.is_done:
                raise Cancelled
    if outcome.error is not None:
        raise outcome.error
    return outcome.value  # type: ignore[return-value]
