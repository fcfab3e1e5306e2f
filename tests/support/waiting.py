"""Waiting for what the product does in its own time."""

import time
from collections.abc import Callable


def eventually(condition: Callable[[], object], timeout_s: float = 15) -> None:
    """Poll until something is true."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.02)  # polling the product under test, bounded by timeout_s
