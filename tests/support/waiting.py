"""Waiting for what the product does in its own time.

Every bound is one for a machine with a free processor. Only where it is passed is the machine
measured: what is late by no more than the machine is slow at that moment is not late.
"""

import os
import time
from collections.abc import Callable

SLOWNESS = float(os.environ.get("SLOWNESS", "1"))
"""How many times as long as usual everything may take: on an emulated machine."""

_YARDSTICK_S = 0.1


def slowness() -> float:
    """Return how many times as long as on an idle machine everything takes now: at least 1.

    The load average tells of the last minute. How long this thread has to be here to get a tenth
    of a second of a processor tells of now, of processors that others have, too.
    """
    started, ran_before = time.monotonic(), time.thread_time()
    while time.thread_time() - ran_before < _YARDSTICK_S:
        pass
    now = (time.monotonic() - started) / _YARDSTICK_S
    recently = os.getloadavg()[0] / (os.cpu_count() or 1)
    return SLOWNESS * max(1.0, now, recently)


def is_late(started: float, bound_s: float) -> bool:
    """Tell whether more than ``bound_s`` is over since ``started``, on a machine as slow as now."""
    taken_s = time.monotonic() - started
    return taken_s > bound_s * SLOWNESS and taken_s > bound_s * slowness()


def require_within(bound_s: float, started: float) -> None:
    """Require that what was ``started`` (by ``time.monotonic()``) and ends now was in time."""
    taken_s = time.monotonic() - started
    assert not is_late(started, bound_s), f"it took {taken_s:.1f} s, not {bound_s:g} s"


def eventually(condition: Callable[[], object], timeout_s: float = 15) -> None:
    """Poll until something is true."""
    started = time.monotonic()
    while not condition():
        assert not is_late(started, timeout_s), "it never came true"
        time.sleep(0.02)  # polling the product under test, bounded by timeout_s


def eventually_equal(look: Callable[[], object], wanted: object, timeout_s: float = 15) -> None:
    """Poll until what is seen is what is wanted; the difference is shown when it never is."""
    started = time.monotonic()
    while (seen := look()) != wanted:
        assert not is_late(started, timeout_s), f"still {seen}, not {wanted}"
        time.sleep(0.02)  # polling the product under test, bounded by timeout_s
