"""Waiting for what the product does in its own time."""

import os
import time
from collections.abc import Callable

SLOWNESS = float(os.environ.get("SLOWNESS", "1"))
"""How many times as long as usual everything may take: on an emulated machine."""


def eventually(condition: Callable[[], object], timeout_s: float = 15) -> None:
    """Poll until something is true."""
    deadline = time.monotonic() + timeout_s * SLOWNESS
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.02)  # polling the product under test, bounded by timeout_s


def eventually_equal(look: Callable[[], object], wanted: object, timeout_s: float = 15) -> None:
    """Poll until what is seen is what is wanted; the difference is shown when it never is."""
    deadline = time.monotonic() + timeout_s * SLOWNESS
    while (seen := look()) != wanted:
        assert time.monotonic() < deadline, f"still {seen}, not {wanted}"
        time.sleep(0.02)  # polling the product under test, bounded by timeout_s
