"""Reading a container's log: ``docker logs`` with all its options, as a generator of bytes.

The reader is plain and synchronous: run it in a thread, or step by step in a loop. In follow mode
it yields ``b""`` when it has caught up: wait until ``fileno()`` (an inotify descriptor) is
readable or half a second is over, and go on; ``finish()`` says that the container has ended::

    with LogReader(settings, ReadOptions(follow=True), framed=True) as reader:
        for chunk in reader.chunks():
            if chunk:
                connection.sendall(chunk)
            else:
                reader.wait(timeout_s=0.5)

Order of the options, as in dockerd: ``tail`` counts entries of both streams first, ``since`` and
``until`` filter by time then, the choice of streams comes last.

Source: moby daemon/logs.go, daemon/logger/loggerutils/logfile.go.
"""

import select
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from cutaway.shim.logs import stdcopy
from cutaway.shim.logs.batch import Batch, skip_lines
from cutaway.shim.logs.clock import format_fixed
from cutaway.shim.logs.files import LogFiles
from cutaway.shim.protocol import LogSettings

_FRAME_BYTES = 1 << 18


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """What to read.

    Attributes:
        since_ns, until_ns: times since 1970; 0 is without limit. Both are included.
        tail: the last that many entries; negative is all.
        timestamps: put the entry's time before each line.
        details: put the entry's attributes before each line.
        follow: go on with what is being written, until ``finish``.
    """

    stdout: bool = True
    stderr: bool = True
    since_ns: int = 0
    until_ns: int = 0
    tail: int = -1
    timestamps: bool = False
    details: bool = False
    follow: bool = False


class LogReader:
    """Reads the log of one container.

    Args:
        settings: the container's; driver ``json-file`` or ``local``.
        options: what to read.
        framed: stdcopy frames; False gives the text alone (containers with a terminal).
    """

    def __init__(self, settings: LogSettings, options: ReadOptions, *, framed: bool) -> None:
        self._options = options
        self._framed = framed
        self._past_until = False
        self._files = LogFiles(
            settings.path, settings.driver, tail=options.tail, follow=options.follow
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all descriptors."""
        self._files.close()

    def fileno(self) -> int:
        """Return the descriptor that becomes readable when the log grew (follow mode only)."""
        return self._files.inotify_fd

    def wait(self, timeout_s: float) -> None:
        """Block until the log grew or the time is over."""
        poller = select.poll()
        poller.register(self.fileno(), select.POLLIN)
        poller.poll(timeout_s * 1000)

    def finish(self) -> None:
        """Stop following once everything that is written has been read."""
        self._files.finish()

    def chunks(self) -> Iterator[bytes]:
        """Yield what to send to the client; ``b""`` when following has caught up."""
        for data, skip in self._files.blocks():
            if data is None:
                yield b""
                continue
            out = self._render(data, skip)
            if out:
                yield out
            if self._past_until:
                return

    def snapshot(self, rest: bytes) -> Iterator[bytes]:
        """Return an iterator of what the log holds at this moment, and then ``rest``.

        Whatever is written after this call is not in it. The reader is closed at its end.
        """
        self._files.open()
        return self._snapshot(rest)

    def _snapshot(self, rest: bytes) -> Iterator[bytes]:
        with self:
            yield from self.chunks()
        if rest:
            yield rest

    def _render(self, data: bytes, skip: int) -> bytes:
        out: list[bytes] = []
        options = self._options
        for batch in self._files.format.read_batches(data):
            if skip:
                batch = batch._replace(data=skip_lines(batch.data, skip))
                skip = 0
            if options.until_ns and batch.time_ns > options.until_ns:
                self._past_until = True
                break
            is_wanted = options.stdout if batch.stream == stdcopy.STDOUT else options.stderr
            if is_wanted and batch.time_ns >= options.since_ns:
                self._render_batch(batch, out)
        return b"".join(out)

    def _render_batch(self, batch: Batch, out: list[bytes]) -> None:
        prefix = b""
        if self._options.timestamps:
            prefix = format_fixed(batch.time_ns) + b" "
        if self._options.details:
            prefix += batch.attrs + b" "
        if self._framed and self._options.follow:
            # Clients that follow take a frame for a line.
            for line in split_lines(batch.data):
                out += (stdcopy.head(batch.stream, len(prefix) + len(line)), prefix, line)
            return
        text = batch.data
        if prefix:
            text = prefix + text.replace(b"\n", b"\n" + prefix)
            if batch.data.endswith(b"\n"):
                text = text[: -len(prefix)]
        if not self._framed:
            out.append(text)
            return
        for start in range(0, len(text), _FRAME_BYTES):
            piece = text[start : start + _FRAME_BYTES]
            out += (stdcopy.head(batch.stream, len(piece)), piece)


def split_lines(data: bytes) -> list[bytes]:
    """Return the lines with their newlines; bytes.splitlines would also cut at other characters."""
    lines = [line + b"\n" for line in data.split(b"\n")]
    last = lines.pop()[:-1]
    return [*lines, last] if last else lines
