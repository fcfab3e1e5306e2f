"""What ``build`` shows: steps that run in parallel, each with its output, time and end.

On a terminal the running steps are lines at the bottom that are drawn anew; what has ended moves up
and stays. Elsewhere every line begins with its step's number, in the order things happen.
"""

import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, TextIO

from cutaway.cli.screen.columns import terminal_columns
from cutaway.cli.screen.progress import StreamedError
from cutaway.cli.screen.ticks import Ticks

_REDRAWN_S = 0.1
_LAST_LINES = 200
Shell = Callable[[str], object]
"""Attaches the user to a container with a shell, and returns when it has ended."""


@dataclass(slots=True)
class Shown:
    """One step as far as it is known."""

    name: str
    started_s: float = 0.0
    ended: bool = False
    partial: str = ""
    output: list[str] = field(default_factory=list)


class BuildDisplay:
    """Shows the messages of one build; see ``build/story.py`` for what they are.

    Args:
        out: where to print.
        redraws: ``out`` is a terminal whose last lines may be drawn anew.
        shell: called for the shell of a failed step.
    """

    def __init__(self, out: TextIO, *, redraws: bool, shell: Shell | None = None) -> None:
        self._out = out
        self._redraws = redraws
        self._shell = shell
        self._steps: dict[str, Shown] = {}
        self._drawn = 0
        self._drawn_s = 0.0
        self._writing = False
        self._failed = ""
        self._excerpt: list[Any] = []
        self.result: dict[str, Any] = {}

    def show(self, documents: Iterable[dict[str, Any]]) -> None:
        """Show a stream to its end.

        Raises:
            StreamedError: the build failed; how is on the screen already.
        """
        with Ticks(self._tick if self._redraws else None, after_s=_REDRAWN_S, every_s=_REDRAWN_S):
            self._show(documents)

    def _show(self, documents: Iterable[dict[str, Any]]) -> None:
        for document in documents:
            self._writing = True
            if "errorDetail" in document or "error" in document:
                self._erase()
                self._show_failure()
                detail = document.get("errorDetail") or {}
                raise StreamedError(detail.get("message") or document.get("error", ""))
            self._one(document)
            self._writing = False
        self._writing = True
        self._erase()

    def _tick(self) -> None:
        """Let the seconds of running steps move while nothing comes."""
        if not self._writing:
            self._redraw()

    def _one(self, document: dict[str, Any]) -> None:
        number, status = document.get("id", ""), document.get("status", "")
        aux = document.get("aux") or {}
        if status in {"step", "settings"}:
            self._steps[number] = Shown(aux["name"])
            if status == "settings":
                self._print(f"#{number} {aux['name']}")
                self._print(f"#{number} adds no layer: it sets configuration only")
        elif status == "running":
            self._steps[number].started_s = time.monotonic()
            self._print_unless_redrawn(f"#{number} {self._steps[number].name}")
        elif status == "shell":
            self._erase()
            self._print(f"#{number} failed; a shell in its place, leave it to end the build:")
            if self._shell is not None:
                self._shell(aux["container"])
        elif status == "pull":
            self._pulled(number, aux)
        elif status:
            self._ended(number, status, aux)
        elif "stream" in document:
            self._output(number, document["stream"])
        elif not number:
            self.result |= aux
        self._redraw()

    def _pulled(self, name: str, message: dict[str, Any]) -> None:
        if not message.get("progressDetail"):
            identity = f"{message['id']}: " if message.get("id") else ""
            self._print(f"{name}: {identity}{message.get('status', '')}")

    def _output(self, number: str, text: str) -> None:
        step = self._steps.get(number)
        if step is None:
            self._print(text.rstrip("\n"))
            return
        *lines, step.partial = (step.partial + text).split("\n")
        self._lines(number, step, lines)

    def _lines(self, number: str, step: Shown, lines: list[str]) -> None:
        elapsed = time.monotonic() - step.started_s
        for line in lines:
            shown = line.rpartition("\r")[2]
            step.output = [*step.output[-_LAST_LINES:], shown]
            self._print_unless_redrawn(f"#{number} {elapsed:.3f} {shown}")

    def _ended(self, number: str, status: str, aux: dict[str, Any]) -> None:
        step = self._steps[number]
        if step.partial:
            self._lines(number, step, [step.partial])
            step.partial = ""
        if not step.started_s or self._redraws:
            self._print(f"#{number} {step.name}")
        step.ended = True
        words = {"cached": "CACHED", "failed": "ERROR"}.get(status, "DONE")
        self._print(f"#{number} {words} {aux.get('seconds', 0.0):.1f}s")
        if aux.get("reason"):
            self._print(f"#{number} why: {aux['reason']}")
        if aux.get("layer") is False and "reason" in aux:
            self._print(f"#{number} adds no layer: it changed no file")
        if status == "failed":
            self._failed, self._excerpt = number, aux.get("excerpt", [])

    def _show_failure(self) -> None:
        """Print the failed step again behind all others: its command, output, and place."""
        if not self._failed:
            return
        step = self._steps[self._failed]
        lines = ["------", f" > {step.name}:", *step.output, "------"]
        for number, text, is_it in self._excerpt:
            lines.append(f"{number:4} | {'>>>' if is_it else '   '} {text}")
        self._out.write("\n".join([*lines, "--------------------", ""]))
        self._out.flush()

    # The terminal

    def _print(self, line: str) -> None:
        self._erase()
        self._out.write(f"{line}\n")
        self._out.flush()

    def _print_unless_redrawn(self, line: str) -> None:
        if not self._redraws:
            self._print(line)

    def _erase(self) -> None:
        if self._drawn:
            self._out.write(f"\033[{self._drawn}A\033[J")
            self._drawn, self._drawn_s = 0, 0.0

    def _redraw(self) -> None:
        now = time.monotonic()
        if not self._redraws or now - self._drawn_s < _REDRAWN_S:
            return
        self._erase()
        width = terminal_columns(self._out.fileno())
        for number, step in self._steps.items():
            if step.ended or not step.started_s:
                continue
            last = step.output[-1] if step.output else ""
            line = f"#{number} {step.name}  {now - step.started_s:.1f}s  {last}"
            self._out.write(f"{line[:width]}\n")
            self._drawn += 1
        self._drawn_s = now
        self._out.flush()


def choose_display(progress: str, *, shell: Shell | None) -> BuildDisplay:
    """Return the display for ``--progress``: ``auto`` redraws on a terminal only."""
    redraws = progress == "tty" or (progress == "auto" and sys.stdout.isatty())
    return BuildDisplay(sys.stdout, redraws=redraws, shell=shell)
