"""Log drivers: where the lines of a container's two streams go."""

import time
from typing import Any

from cutaway.shim.logs import stdcopy
from cutaway.shim.logs.jsonfile import JsonFileFormat
from cutaway.shim.logs.lines import LineSplitter, Segment
from cutaway.shim.logs.local import LocalFormat
from cutaway.shim.logs.logfile import LogFile
from cutaway.shim.protocol import LogSettings

_STREAM_NAMES = {stdcopy.STDOUT: "stdout", stdcopy.STDERR: "stderr"}


class LogDriver:
    """Keeps nothing: the driver ``none``, and the interface of the others."""

    @property
    def is_stalled(self) -> bool:
        """The disk is full: stop reading the streams until ``retry`` says True."""
        return False

    def write(self, stream: int, chunk: bytes) -> None:
        """Take what a stream delivered just now."""

    def finish(self, stream: int) -> None:
        """The stream has ended; a later run of the same container may write again."""

    def pending(self, stream: int) -> bytes:
        """Return what was taken and is not in the log yet: the start of an unfinished line."""
        return b""

    def retry(self) -> bool:
        """Write again what a full disk held back; True when nothing is left."""
        return True

    def child_ended(self, pid: int, *, succeeded: bool) -> bool:
        """Tell of an ended child; True when it worked for this log."""
        return False

    @property
    def can_rest(self) -> bool:
        """``rest`` says everything: nothing is under way, no connection is open."""
        return True

    def rest(self) -> dict[str, Any]:
        """Return what ``wake`` needs."""
        return {}

    def wake(self, state: dict[str, Any]) -> None:
        """Go on from the ``rest`` of the same log in another shim."""

    def close(self) -> None:
        """Release files."""


class FileLog(LogDriver):
    """The drivers ``json-file`` and ``local``: a splitter and a format for each stream, one file.

    Raises:
        OSError: the file cannot be opened.
    """

    def __init__(self, settings: LogSettings) -> None:
        self._file = LogFile(
            settings.path,
            max_size_bytes=settings.max_size_bytes,
            max_files=settings.max_files,
            compress=settings.compress,
        )
        self._is_json = settings.driver == "json-file"
        self._formats: dict[int, JsonFileFormat | LocalFormat] = {
            stream: JsonFileFormat(name, settings.attrs) if self._is_json else LocalFormat(stream)
            for stream, name in _STREAM_NAMES.items()
        }
        self._splitters = {stream: LineSplitter() for stream in _STREAM_NAMES}

    @property
    def is_stalled(self) -> bool:
        """The disk is full: stop reading the streams until ``retry`` says True."""
        return self._file.is_stalled

    def write(self, stream: int, chunk: bytes) -> None:
        """Log all lines that ``chunk`` completes, in one write."""
        self._log(stream, self._splitters[stream].feed(chunk, time.time_ns()))

    def finish(self, stream: int) -> None:
        """Log the line that was never ended."""
        self._log(stream, self._splitters[stream].finish(time.time_ns()))

    def _log(self, stream: int, segments: list[Segment]) -> None:
        if not segments:
            return
        encode = self._formats[stream].encode
        if self._is_json:
            entries = [encode(segment) for segment in segments]
            self._file.write(entries[0] if len(entries) == 1 else b"".join(entries))
        else:
            self._file.write_records([encode(segment) for segment in segments])

    def pending(self, stream: int) -> bytes:
        """Return the start of the stream's unfinished line that is in no entry yet."""
        return self._splitters[stream].pending

    def retry(self) -> bool:
        """Write again what a full disk held back."""
        return self._file.retry()

    def child_ended(self, pid: int, *, succeeded: bool) -> bool:
        """Tell of an ended child; True when it compressed a file of this log."""
        return self._file.child_ended(pid, succeeded=succeeded)

    @property
    def can_rest(self) -> bool:
        """Everything is written, no child compresses."""
        return not self._file.is_stalled and not self._file.is_compressing

    def rest(self) -> dict[str, Any]:
        """Return the unfinished lines."""
        return {_STREAM_NAMES[stream]: item.rest() for stream, item in self._splitters.items()}

    def wake(self, state: dict[str, Any]) -> None:
        """Take the unfinished lines."""
        for stream, splitter in self._splitters.items():
            splitter.wake(state[_STREAM_NAMES[stream]])

    def close(self) -> None:
        """Close the file."""
        self._file.close()
