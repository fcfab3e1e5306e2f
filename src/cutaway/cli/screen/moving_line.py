"""One line on the terminal that moves while work takes longer than a second.

For work whose progress this process can count (bytes it sends or receives) or can only wait for.
Nothing is shown when standard error is no terminal, and nothing stays when the work is done.
"""

import os
import sys
import time
from collections.abc import Iterable, Iterator

from cutaway.cli.screen.columns import terminal_columns
from cutaway.cli.screen.progress import progress_bar
from cutaway.cli.screen.ticks import Ticks
from cutaway.cli.units import human_size

_PATIENCE_S = 1.0
_REDRAW_S = 0.2
_WHEEL = "|/-\\"


class MovingLine:
    """Shows ``Saving busybox  12.3MB  4s`` while its ``with`` block runs.

    Args:
        what: the work, in the words of the user.
        total_bytes: of what is counted; 0 when that is unknown.
        quiet: show nothing.
    """

    def __init__(self, what: str, *, total_bytes: int = 0, quiet: bool = False) -> None:
        self._what = what
        self._total = total_bytes
        self._done = 0
        self._began = time.monotonic()
        self._drawn = 0
        shows = sys.stderr.isatty() and not quiet
        self._ticks = Ticks(self._redraw if shows else None, after_s=_PATIENCE_S, every_s=_REDRAW_S)

    def __enter__(self) -> "MovingLine":
        """Start the timer."""
        self._ticks.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the timer and wipe the line away."""
        self._ticks.__exit__()
        if self._drawn:
            os.write(2, b"\r\033[K")

    def counted(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        """Pass pieces on, counting their bytes."""
        for piece in pieces:
            self._done += len(piece)
            yield piece

    def _redraw(self) -> None:
        text = self.text(columns=terminal_columns(2), elapsed_s=time.monotonic() - self._began)
        os.write(2, f"\r{text}\033[K".encode())
        self._drawn += 1

    def text(self, *, columns: int, elapsed_s: float) -> str:
        """Return the line as it is after ``elapsed_s`` seconds."""
        end = f"  {int(elapsed_s)}s"
        if self._total and self._done <= self._total:
            room = columns - len(self._what) - len(end) - 3
            middle = progress_bar(self._done, self._total, columns=room)
        elif self._done:
            middle = human_size(self._done)
        else:
            middle = _WHEEL[self._drawn % len(_WHEEL)]
        rest = f"  {middle}{end}"
        room = max(columns - 1 - len(rest), 1)
        what = self._what if len(self._what) <= room else self._what[: room - 1] + "…"
        return what + rest
