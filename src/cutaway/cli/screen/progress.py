"""Progress as docker shows it: one line a layer on a terminal, plain lines elsewhere.

The engine sends JSON documents ``{"id", "status", "progressDetail": {"current", "total"}}``; a
document with ``error`` ends the operation.
"""

from collections.abc import Iterable
from typing import Any, TextIO

from cutaway.cli.screen.columns import terminal_columns
from cutaway.cli.units import human_size
from cutaway.errors import CutawayError

_BAR_CELLS = 50
_LEAST_CELLS = 10
_AMOUNT_CELLS = 20  # of "999.9MB/999.9MB" and what stands around the bar


class StreamedError(CutawayError):
    """The engine reported a failure in the middle of a progress stream."""


def show_progress(documents: Iterable[dict[str, Any]], out: TextIO | None = None) -> list[Any]:
    """Print a progress stream to its end.

    Args:
        documents: as the engine sends them.
        out: where to print; None prints nothing (``--quiet``).

    Returns:
        The ``aux`` values of the stream, in order.

    Raises:
        StreamedError: the operation failed.
    """
    display = _Display(out) if out is not None else None
    auxiliary = []
    for document in documents:
        if "error" in document or "errorDetail" in document:
            detail = document.get("errorDetail") or {}
            raise StreamedError(document.get("error") or detail.get("message", "unknown error"))
        if "aux" in document:
            auxiliary.append(document["aux"])
        elif display is not None:
            display.show(document)
    return auxiliary


class _Display:
    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._is_terminal = out.isatty()
        self._lines: dict[str, int] = {}

    def show(self, document: dict[str, Any]) -> None:
        if "stream" in document:
            self._out.write(document["stream"])
            self._out.flush()
            self._lines.clear()
            return
        identity = document.get("id", "")
        progress = document.get("progressDetail") or {}
        text = f"{identity}: " if identity else ""
        text += document.get("status", "")
        if not self._is_terminal:
            if not progress.get("current"):
                self._out.write(text + "\n")
            return
        if progress.get("current"):
            room = terminal_columns(2) - len(text) - 2
            bar = progress_bar(progress["current"], progress.get("total") or 0, columns=room)
            text += f" {bar}"
        self._show_on_terminal(identity, text)

    def _show_on_terminal(self, identity: str, text: str) -> None:
        text = text[: terminal_columns(2) - 1]
        if not identity:
            self._out.write(text + "\n")
            # Lines above can no longer be counted from here: later ids start new lines.
            self._lines.clear()
        elif identity in self._lines:
            up = len(self._lines) - self._lines[identity]
            self._out.write(f"\033[{up}A\033[2K\r{text}\033[{up}B\r")
        else:
            self._lines[identity] = len(self._lines)
            self._out.write(text + "\n")
        self._out.flush()


def progress_bar(current: int, total: int, *, columns: int = 120) -> str:
    """Draw ``[=====>     ]  12.3MB/45.6MB``, as long as there is room for it.

    Args:
        current: how much is done.
        total: of how much; 0 when that is unknown, then only the amount is shown.
        columns: how many there are.
    """
    if total <= 0:
        return human_size(current)
    amounts = f"{human_size(current)}/{human_size(total)}"
    cells = min(_BAR_CELLS, columns - _AMOUNT_CELLS)
    if cells < _LEAST_CELLS:
        return amounts
    full = min(cells, cells * current // total)
    bar = "=" * full + ">" if full < cells else "=" * cells
    return f"[{bar.ljust(cells)}]  {amounts}"
