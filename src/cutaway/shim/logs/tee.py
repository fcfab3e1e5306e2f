"""Log drivers that send lines elsewhere, and keep them here too so that they can be read back.

dockerd's "dual logging": what ``docker logs`` shows of a ``syslog`` or ``journald`` container comes
from a cache in the format of ``local``.
"""

import time
from typing import Protocol

from cutaway.shim.logs.driver import LogDriver
from cutaway.shim.logs.lines import LineSplitter, Segment
from cutaway.shim.logs.stdcopy import STDERR, STDOUT


class Sink(Protocol):
    """Where lines go, one call for the lines of one read."""

    @property
    def is_stalled(self) -> bool:
        """It takes no more just now."""

    def send(self, stream: int, lines: list[bytes], *, is_partial: bool) -> None:
        """Take lines without their newlines; ``is_partial``: the last one goes on."""

    def flush(self) -> bool:
        """Send what waits; True when nothing is left."""

    def close(self) -> None:
        """Send what can be sent at once, and release the connection."""


class TeeLog(LogDriver):
    """A sink for the lines and a log file that is read back.

    Args:
        cache: the file, or a driver that keeps nothing.
    """

    def __init__(self, sink: Sink, cache: LogDriver) -> None:
        self._sink = sink
        self._cache = cache
        self._splitters = {STDOUT: LineSplitter(), STDERR: LineSplitter()}

    @property
    def is_stalled(self) -> bool:
        """The disk is full, or the sink takes no more."""
        return self._cache.is_stalled or self._sink.is_stalled

    def write(self, stream: int, chunk: bytes) -> None:
        """Log and send all lines that ``chunk`` completes."""
        self._cache.write(stream, chunk)
        self._send(stream, self._splitters[stream].feed(chunk, time.time_ns()))

    def finish(self, stream: int) -> None:
        """Log and send the line that was never ended."""
        self._cache.finish(stream)
        self._send(stream, self._splitters[stream].finish(time.time_ns()))

    def _send(self, stream: int, segments: list[Segment]) -> None:
        for segment in segments:
            lines = segment.data.removesuffix(b"\n").split(b"\n")
            self._sink.send(stream, lines, is_partial=segment.is_partial)

    def pending(self, stream: int) -> bytes:
        """Return the start of the stream's unfinished line."""
        return self._cache.pending(stream)

    def retry(self) -> bool:
        """Try the disk and the sink again."""
        written, sent = self._cache.retry(), self._sink.flush()
        return written and sent

    def child_ended(self, pid: int, *, succeeded: bool) -> bool:
        """Tell of an ended child; True when it worked for the cache."""
        return self._cache.child_ended(pid, succeeded=succeeded)

    @property
    def can_rest(self) -> bool:
        """No: the sink's connection is open."""
        return False

    def close(self) -> None:
        """Close both."""
        self._cache.close()
        self._sink.close()
