"""The user's terminal and a container's stream, joined.

``Session.run`` copies between this process's standard streams and a hijacked connection until the
container's side ends or the user types the detach keys. Signals arrive through a pipe
(``signal.set_wakeup_fd``), so one ``select`` sees everything in order.
"""

import os
import select
import signal
import socket
import sys
import termios
import tty
from collections.abc import Callable
from typing import Any

from cutaway.cli.flags import PlainFailure, UsageError
from cutaway.client import Hijacked
from cutaway.client.streams import STDERR, SYSTEM_ERROR, FrameDecoder

DEFAULT_DETACH_KEYS = "ctrl-p,ctrl-q"
_CHUNK_BYTES = 65536
_PATIENT_INTERRUPTS = 3  # docker's client leaves the container alone then
_CONTROL = {"@": 0, "[": 27, "\\": 28, "]": 29, "^": 30, "_": 31}
_NOT_PROXIED = {
    signal.SIGCHLD, signal.SIGPIPE, signal.SIGURG, signal.SIGKILL, signal.SIGSTOP, signal.SIGWINCH,
    signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU, signal.SIGCONT, signal.SIGSEGV, signal.SIGBUS,
    signal.SIGFPE, signal.SIGILL, signal.SIGTRAP, signal.SIGSYS, signal.SIGABRT, signal.SIGPROF,
}  # fmt: skip


def parse_detach_keys(text: str) -> bytes:
    """Read ``ctrl-p,ctrl-q`` or ``a,ctrl-]`` as the bytes a terminal sends.

    Raises:
        UsageError: a key that no terminal has.
    """
    keys = bytearray()
    for key in text.split(","):
        control = key.lower().removeprefix("ctrl-")
        if len(key) == 1 and key.isascii():
            keys.append(ord(key))
        elif key.lower().startswith("ctrl-") and len(control) == 1 and control.isalpha():
            keys.append(ord(control) - ord("a") + 1)
        elif key.lower().startswith("ctrl-") and control in _CONTROL:
            keys.append(_CONTROL[control])
        else:
            raise UsageError(f"invalid detach keys ({text}): Unknown character: '{key}'")
    return bytes(keys)


class DetachKeys:
    """Finds the detach sequence in what the user types, also across reads."""

    def __init__(self, keys: bytes) -> None:
        self._keys = keys
        self._matched = 0

    def feed(self, data: bytes) -> tuple[bytes, bool]:
        """Return (bytes to send on, whether the sequence is complete).

        Bytes that may begin the sequence are held back until the next byte decides.
        """
        out = bytearray()
        for byte in data:
            if byte == self._keys[self._matched]:
                self._matched += 1
                if self._matched == len(self._keys):
                    return bytes(out), True
                continue
            out += self._keys[: self._matched]
            self._matched = 0
            if byte == self._keys[0]:
                self._matched = 1
            else:
                out.append(byte)
        return bytes(out), False


class RawTerminal:
    """Puts the terminal on stdin into raw mode for a ``with`` block; nothing if it is none."""

    def __init__(self, *, wanted: bool) -> None:
        self._wanted = wanted and os.isatty(0)
        self._before: list[Any] = []

    def __enter__(self) -> "RawTerminal":
        """Remember the settings and switch."""
        if self._wanted:
            self._before = termios.tcgetattr(0)
            tty.setraw(0, termios.TCSANOW)
        return self

    def __exit__(self, *_: object) -> None:
        """Put the settings back."""
        if self._wanted:
            termios.tcsetattr(0, termios.TCSADRAIN, self._before)


def terminal_size() -> tuple[int, int] | None:
    """Return this terminal's (rows, columns), or None when stdout is no terminal."""
    try:
        size = os.get_terminal_size(1)
    except OSError:
        return None
    return size.lines, size.columns


def write_all(fd: int, data: bytes) -> None:
    """Write every byte; a reader that went away ends the command quietly, as it does docker's."""
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except BlockingIOError:
            select.select([], [fd], [])


class Session:
    """One attachment of this terminal to a container or an exec.

    Args:
        stream: the hijacked connection.
        tty: the stream is a terminal's: raw bytes, no frames.
        stdin: send what is typed.
        detach_keys: the sequence that leaves the container running; empty bytes for none.
        on_signal: called with each signal that should reach the container; None: signals act here.
        on_resize: called with (rows, columns) whenever the terminal changes; None: never.
    """

    def __init__(
        self,
        stream: Hijacked,
        *,
        tty: bool,
        stdin: bool,
        detach_keys: bytes = b"",
        on_signal: Callable[[int], None] | None = None,
        on_resize: Callable[[int, int], None] | None = None,
    ) -> None:
        self._socket = stream.socket
        self._pending = stream.pending
        self._decoder = None if tty else FrameDecoder()
        self._stdin = stdin
        self._keys = DetachKeys(detach_keys) if detach_keys and tty else None
        self._on_signal = on_signal
        self._on_resize = on_resize
        self._interrupts = 0
        self.detached = False

    def run(self) -> None:
        """Copy until the container's side ends or the user detaches (see ``detached``).

        Raises:
            PlainFailure: the user is tired of signals that the container does not heed.
        """
        wake_read, wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        previous = self._catch_signals(wake_write)
        try:
            if self._pending:
                self._output(self._pending)
            self._loop(wake_read)
        finally:
            signal.set_wakeup_fd(-1)
            for number, handler in previous.items():
                signal.signal(number, handler)
            os.close(wake_read)
            os.close(wake_write)
            self._socket.close()

    def _catch_signals(self, wake_write: int) -> dict[int, Any]:
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        wanted: set[int] = set()
        if self._on_resize is not None:
            wanted.add(signal.SIGWINCH)
        if self._on_signal is not None:
            wanted |= {s for s in signal.valid_signals() if s not in _NOT_PROXIED and s < 32}
        return {number: signal.signal(number, lambda *_: None) for number in wanted}

    def _loop(self, wake_read: int) -> None:
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        poll.register(wake_read, select.POLLIN)
        if self._stdin:
            poll.register(0, select.POLLIN)
        while True:
            for fd, _ in poll.poll():
                if fd == wake_read:
                    self._signals(os.read(wake_read, 64))
                elif fd == 0:
                    if not self._input():
                        poll.unregister(0)
                    if self.detached:
                        return
                elif not self._receive():
                    return

    def _receive(self) -> bool:
        try:
            data = self._socket.recv(_CHUNK_BYTES)
        except ConnectionResetError:
            return False
        if data:
            self._output(data)
        return bool(data)

    def _output(self, data: bytes) -> None:
        if self._decoder is None:
            return write_all(1, data)
        for stream, payload in self._decoder.feed(data):
            write_all(2 if stream in {STDERR, SYSTEM_ERROR} else 1, payload)

    def _input(self) -> bool:
        """Send what was typed; False when stdin has ended."""
        data = os.read(0, _CHUNK_BYTES)
        if data and self._keys is not None:
            data, self.detached = self._keys.feed(data)
            if not data:
                return True
        try:
            if data:
                self._socket.sendall(data)
            else:
                self._socket.shutdown(socket.SHUT_WR)
        except OSError:
            return False  # the container has closed its stdin; its output may still come
        return bool(data)

    def _signals(self, numbers: bytes) -> None:
        for number in numbers:
            if number == signal.SIGWINCH:
                size = terminal_size()
                if size and self._on_resize is not None:
                    self._on_resize(*size)
            elif self._on_signal is not None:
                self._on_signal(number)
            if number in {signal.SIGINT, signal.SIGTERM}:
                self._interrupts += 1
                if self._interrupts == _PATIENT_INTERRUPTS:
                    raise PlainFailure(
                        f"\ngot {_PATIENT_INTERRUPTS} SIGTERM/SIGINTs, forcefully exiting"
                    )


def refuse_without_terminal(*, tty: bool, stdin: bool) -> None:
    """Refuse ``-it`` when stdin is no terminal, in docker's words.

    Raises:
        PlainFailure: always then; the container would wait for keys that can't come.
    """
    if tty and stdin and not os.isatty(0):
        raise PlainFailure("the input device is not a TTY")


def warn(text: str) -> None:
    """Print a line to stderr."""
    print(text, file=sys.stderr, flush=True)
