"""One attached client: its socket, what it still has to get, what it types."""

import contextlib
import socket
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from cutaway.shim.io.detach import DetachFilter
from cutaway.shim.io.spill import SpillFile
from cutaway.shim.logs import stdcopy
from cutaway.shim.loop import HUNG_UP, READABLE, WRITABLE, Loop

MEMORY_LIMIT_BYTES = 1024 * 1024
STALLED_S = 10.0
_INPUT_BYTES = 65536
_REFILL_BYTES = 262144


@dataclass(slots=True)
class Wishes:
    """Which streams a client asked for, and how it detaches.

    Attributes:
        streams: output stream numbers it wants.
        stdin: its input is the process's.
        framed: output goes as stdcopy frames.
        detach_keys: the byte sequence; empty for none.
        replay: chunks to send before live output (``logs=1``).
        early_input: what was read of its input before the shim got the socket.
        follow: live output comes after the replay; without it the connection ends there.
        name: the engine's attach id.
    """

    streams: frozenset[int]
    stdin: bool
    framed: bool
    detach_keys: bytes = b""
    replay: Iterator[bytes] | None = None
    early_input: bytes = b""
    follow: bool = True
    name: str = ""


class Client:
    """Writes output to a client's socket as fast as it takes it, and hands on its input.

    Args:
        on_input: gets bytes; ``None`` is the end of input. Returns False while the process takes
            no more: ``resume_input`` is called later.
        on_gone: told once with the reason: ``keys``, ``closed``, ``stalled``, ``ended``.
    """

    def __init__(
        self,
        loop: Loop,
        fd: int,
        wishes: Wishes,
        *,
        spill_directory: str,
        on_input: Callable[["Client", bytes | None], bool],
        on_gone: Callable[["Client", str], None],
        on_room: Callable[[], None],
    ) -> None:
        self.wishes = wishes
        self._loop = loop
        self._socket = socket.socket(fileno=fd)
        self._socket.setblocking(False)
        self._queue: deque[bytes] = deque()
        self._queued = 0
        self._spill = SpillFile(spill_directory)
        self._tail: deque[bytes] = deque()  # what a full disk kept out of the spill file
        self._replay = wishes.replay
        self._keys = DetachFilter(wishes.detach_keys)
        self._on_input = on_input
        self._on_gone = on_gone
        self._on_room = on_room
        self._reads = True
        self._paused = False
        self._ending = ""
        self._progress_s = time.monotonic()
        self._closed = False

    def begin(self) -> None:
        """Start: early input first, then what the socket says."""
        if self.wishes.early_input:
            self._take_input(self.wishes.early_input)
        if not self._closed:
            self._flush()

    # -- output -------------------------------------------------------------------------------

    @property
    def is_full(self) -> bool:
        """Neither memory nor spill file takes more: the process has to wait for this client."""
        if self._tail:
            return True
        return self._queued >= MEMORY_LIMIT_BYTES and not self._spill.has_room(_REFILL_BYTES)

    @property
    def is_stalled(self) -> bool:
        """It is full and has taken nothing for ``STALLED_S``."""
        return self.is_full and time.monotonic() - self._progress_s > STALLED_S

    def send(self, stream: int, chunk: bytes) -> None:
        """Send or queue output of the process."""
        if self._closed or self._ending or stream not in self.wishes.streams:
            return
        if not self._has_more:
            parts = [chunk]
            if self.wishes.framed:
                parts = [stdcopy.head(stream, len(chunk)), chunk]
            sent = self._send_now(parts)
            if sent is None or sent == sum(map(len, parts)):
                return
            self._enqueue(b"".join(parts)[sent:])
            self._watch()
            return
        self._enqueue(stdcopy.frame(stream, chunk) if self.wishes.framed else chunk)

    @property
    def _has_more(self) -> bool:
        return bool(self._queue or self._spill.size or self._tail or self._replay is not None)

    def _enqueue(self, data: bytes) -> None:
        """Keep the order: memory, spill file, tail. During a replay memory is the replay's."""
        in_memory = self._replay is None and not self._spill.size
        if in_memory and self._queued < MEMORY_LIMIT_BYTES:
            self._queue.append(data)
            self._queued += len(data)
            return
        if not self._tail and self._spill.has_room(len(data)):
            try:
                self._spill.put(data)
                return
            except OSError:  # a full disk: `is_full` now stops the process
                pass
        self._tail.append(data)

    def _send_now(self, parts: list[bytes]) -> int | None:
        """Send what the socket takes; None: the client is gone (and was told of)."""
        try:
            sent = self._socket.sendmsg(parts, (), socket.MSG_NOSIGNAL | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return 0
        except OSError:
            self._close("closed")
            return None
        self._progress_s = time.monotonic()
        return sent

    def _flush(self) -> None:
        was_full = self.is_full
        while not self._closed:
            if not self._queue and not self._refill():
                break
            head = self._queue[0]
            sent = self._send_now([head])
            if sent is None:
                return
            self._queued -= sent
            if sent < len(head):
                self._queue[0] = head[sent:]
                break
            self._queue.popleft()
        if self._closed:
            return
        if self._ending and not self._has_more:
            self._close(self._ending)
            return
        self._watch()
        if was_full and not self.is_full:
            self._on_room()

    def _refill(self) -> bool:
        """Bring the next bytes into the empty queue: the replay's, the spill file's, the tail's."""
        if self._replay is not None:
            data = next(self._replay, b"")
            if not data:
                self._replay = None
                if not self.wishes.follow:
                    self._ending = self._ending or "ended"
        else:
            data = b""
        data = data or self._spill.take(_REFILL_BYTES)
        if not data and self._tail:
            data = self._tail.popleft()
        if data:
            self._queue.append(data)
            self._queued += len(data)
        return bool(data)

    def end(self, reason: str = "ended") -> None:
        """Close the connection once everything queued is sent."""
        if not self._ending and not self._closed:
            self._ending = reason
            self._flush()

    # -- input --------------------------------------------------------------------------------

    def _watch(self) -> None:
        events = 0
        if self._reads and not self._paused:
            events |= READABLE
        if self._has_more:
            events |= WRITABLE
        self._loop.watch(self._socket.fileno(), events, self._ready)

    def _ready(self, events: int) -> None:
        if events & READABLE:
            self._read()
        if not self._closed and events & WRITABLE:
            self._flush()
        if not self._closed and events & HUNG_UP and not events & READABLE:
            self._close("closed")

    def _read(self) -> None:
        try:
            data = self._socket.recv(_INPUT_BYTES, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except OSError:
            self._close("closed")
            return
        if data:
            self._take_input(data)
            return
        # The client's half of the connection ended; it may still want output.
        self._reads = False
        if self.wishes.stdin:
            self._on_input(self, None)
        if not self._closed:
            self._watch()

    def _take_input(self, data: bytes) -> None:
        if not self.wishes.stdin:
            return
        data, is_detached = self._keys.feed(data)
        if data and not self._on_input(self, data):
            self._paused = True
            self._watch()
        if is_detached:
            self._close("keys")

    def resume_input(self) -> None:
        """The process takes input again."""
        if self._paused and not self._closed:
            self._paused = False
            self._watch()

    # -- end ----------------------------------------------------------------------------------

    def _close(self, reason: str) -> None:
        if self._closed:
            return
        self._closed = True
        self._queue.clear()
        self._tail.clear()
        self._replay = None
        self._queued = 0
        self._spill.close()
        self._loop.unwatch(self._socket.fileno())
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
            # Input that is left unread would turn the end of the stream into ECONNRESET.
            while self._socket.recv(_INPUT_BYTES, socket.MSG_DONTWAIT):
                pass
        self._socket.close()
        self._on_gone(self, reason)

    def drop(self, reason: str) -> None:
        """Close at once, with what is queued unsent."""
        self._close(reason)
