"""Cutting a byte stream into lines, as Docker's copier does.

A line longer than 16 KiB is cut: every full 16 KiB become a *partial* entry, the rest (which may
be empty) the last one; all carry the time of the first. What has no newline when the stream ends
is a partial entry too.

Source: moby daemon/logger/copier.go.
"""

from typing import Any, NamedTuple

PARTIAL_BYTES = 16 * 1024


class Segment(NamedTuple):
    """Some whole lines (``data`` ends with a newline), or one piece of a line that has no end."""

    data: bytes
    time_ns: int
    is_partial: bool


class LineSplitter:
    """The unfinished line of one stream."""

    def __init__(self) -> None:
        self.pending = b""
        self._partial_time_ns = 0  # not 0: pieces of the current line are already out

    def feed(self, chunk: bytes, time_ns: int) -> list[Segment]:
        """Take what the stream delivered, return what can be logged of it, in order."""
        data = self.pending + chunk if self.pending else chunk
        segments: list[Segment] = []
        size = len(data)
        emitted = position = 0
        while True:
            window_end = position + PARTIAL_BYTES
            if self._partial_time_ns:
                newline = data.find(b"\n", position, window_end)
                if newline >= 0:
                    position = newline + 1
                    segments.append(Segment(data[emitted:position], self._partial_time_ns, False))
                    emitted = position
                    self._partial_time_ns = 0
                    continue
            elif (newline := data.rfind(b"\n", position, window_end)) >= 0:
                position = newline + 1
                continue
            if size < window_end:
                break
            if emitted < position:
                segments.append(Segment(data[emitted:position], time_ns, False))
            self._partial_time_ns = self._partial_time_ns or time_ns
            segments.append(Segment(data[position:window_end], self._partial_time_ns, True))
            emitted = position = window_end
        if emitted < position:
            # Most often this is the whole chunk: bytes slices of everything are not copied.
            segments.append(Segment(data[emitted:position], time_ns, False))
        self.pending = data[position:]
        return segments

    def rest(self) -> list[Any]:
        """Return what ``wake`` needs."""
        return [self.pending.decode("latin-1"), self._partial_time_ns]

    def wake(self, state: list[Any]) -> None:
        """Go on from another's ``rest``."""
        self.pending = state[0].encode("latin-1")
        self._partial_time_ns = state[1]

    def finish(self, time_ns: int) -> list[Segment]:
        """The stream has ended: return the unfinished line, if there is one."""
        rest, self.pending = self.pending, b""
        time_ns, self._partial_time_ns = self._partial_time_ns or time_ns, 0
        return [Segment(rest, time_ns, True)] if rest else []
