"""Progress in Docker's words: the JSON objects that ``docker pull`` and ``push`` draw bars from."""

import threading
import time
from collections.abc import Callable
from typing import Any, TypeAlias

ProgressCallback: TypeAlias = Callable[[dict[str, Any]], None]

_INTERVAL_S = 0.1
_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")
_BAR = 50


def ignore_progress(event: dict[str, Any]) -> None:
    """Drop an event: the callback of callers who don't look."""


class Progress:
    """Sends events from several threads, one at a time; counters at most ten times a second."""

    def __init__(self, send: ProgressCallback) -> None:
        self._send = send
        self._lock = threading.Lock()
        self._sent_at: dict[tuple[str, str], float] = {}  # guarded by _lock

    def message(self, status: str, item: str = "") -> None:
        """Say something about the whole, or with ``item`` about one layer.

        Args:
            status: Docker's word: ``Pulling fs layer``, ``Pull complete``.
            item: the layer's short id.
        """
        event: dict[str, Any] = {"status": status}
        if item:
            event |= {"progressDetail": {}, "id": str(item)}
        with self._lock:
            self._send(event)

    def title(self, status: str, item: str) -> None:
        """Say a line that has an id but is about no layer: ``latest: Pulling from …``."""
        with self._lock:
            self._send({"status": status, "id": str(item)})

    def auxiliary(self, value: dict[str, Any]) -> None:
        """Send facts for programs: ``{"Tag": …, "Digest": …, "Size": …}``."""
        with self._lock:
            self._send({"progressDetail": {}, "aux": value})

    def count(self, status: str, item: str, current: int, total: int) -> None:
        """Say how far one layer is; dropped when one was sent a moment ago and this is no end."""
        now = time.monotonic()
        with self._lock:
            due = now - self._sent_at.get((status, item), 0.0) >= _INTERVAL_S
            if not due and current < total:
                return
            self._sent_at[status, item] = now
            self._send(
                {
                    "status": status,
                    "progressDetail": {"current": current, "total": total},
                    "progress": progress_bar(current, total),
                    "id": str(item),
                }
            )


def progress_bar(current: int, total: int) -> str:
    """Return the bar as text: ``[=====>    ]  1.2MB/2.4MB``, for clients that don't draw it."""
    if total <= 0:
        return f"{human_size(current):>8}"
    filled = min(_BAR, current * _BAR // total)
    bar = f"[{'=' * filled}>{' ' * (_BAR - filled)}]"
    if current > total:
        return f"{bar} {human_size(current):>8}"
    return f"{bar} {human_size(current):>8}/{human_size(total)}"


def human_size(size_bytes: float) -> str:
    """Return a size with four digits and a decimal unit, as docker/go-units does."""
    value = float(size_bytes)
    unit = 0
    while value >= 1000.0 and unit < len(_UNITS) - 1:
        value /= 1000.0
        unit += 1
    return f"{value:.4g}{_UNITS[unit]}"
