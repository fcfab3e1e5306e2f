"""A process's three streams at the shim's end, with the log and the clients behind them."""

import contextlib
import fcntl
import os
from collections.abc import Callable
from typing import Any

from cutaway import linux
from cutaway.runtime import Stdio
from cutaway.shim.io.client import Client, Wishes
from cutaway.shim.logs import stdcopy
from cutaway.shim.logs.driver import LogDriver
from cutaway.shim.loop import READABLE, WRITABLE, Loop, Timer
from cutaway.shim.luggage import Luggage

_READ_BYTES = 65536
_BUSY_READ_BYTES = 262144
_BUSY_PIPE_BYTES = 1024 * 1024
_RECHECK_S = 0.5
# What is read of a dead process's pipe when somebody else still writes into it.
_DRAIN_LIMIT_BYTES = 64 * 1024 * 1024


class _Output:
    """One output pipe, or the pty's master."""

    __slots__ = ("fd", "read_bytes", "stream")

    def __init__(self, stream: int, fd: int) -> None:
        self.stream = stream
        self.fd = fd
        self.read_bytes = _READ_BYTES


class ProcessStreams:
    """Moves bytes between one process (PID 1 of a run, or an exec), its log and its clients.

    Clients may come before the process exists; they leave with its end.

    Args:
        log: gets every output byte before the clients do.
        stdin_open: the process's stdin is a pipe (or the terminal), not /dev/null.
        stdin_once: the end of the first client's input is the end of the process's.
        keep_output: False gives the process /dev/null for its outputs.
        on_client_gone: told of each client that left, with the reason.
        on_outputs_closed: told when nobody can write to the outputs any more.
    """

    def __init__(
        self,
        loop: Loop,
        log: LogDriver,
        *,
        spill_directory: str,
        terminal: bool,
        stdin_open: bool,
        stdin_once: bool,
        keep_output: bool = True,
        on_client_gone: Callable[[Client, str], None] = lambda client, reason: None,
        on_outputs_closed: Callable[[], None] = lambda: None,
    ) -> None:
        self.terminal = terminal
        self.clients: list[Client] = []
        self._loop = loop
        self._log = log
        self._spill_directory = spill_directory
        self._stdin_open = stdin_open
        self._stdin_once = stdin_once
        self._keep_output = keep_output
        self._on_client_gone = on_client_gone
        self._on_outputs_closed = on_outputs_closed
        self._outputs: list[_Output] = []
        self._child_fds: list[int] = []
        self._stdin_fd = -1
        self._stdin_pending = b""
        self._stdin_ending = False
        self._stdin_gone = not stdin_open
        self._recheck: Timer | None = None

    # -- the process's side -------------------------------------------------------------------

    def open(self, rows: int = 0, columns: int = 0) -> Stdio:
        """Make the pipes; return what the runtime gives to the process.

        Leaves behind: the process's ends, until ``process_made``.
        """
        if self.terminal:
            return Stdio.terminal(rows, columns)
        if self._stdin_open:
            child_in, self._stdin_fd = os.pipe2(os.O_CLOEXEC)
            os.set_blocking(self._stdin_fd, False)
        else:
            child_in = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        self._child_fds.append(child_in)
        child_out = self._open_output(stdcopy.STDOUT)
        return Stdio(child_in, child_out, self._open_output(stdcopy.STDERR))

    def _open_output(self, stream: int) -> int:
        if self._keep_output:
            ours, theirs = os.pipe2(os.O_CLOEXEC)
            os.set_blocking(ours, False)
            self._outputs.append(_Output(stream, ours))
        else:
            theirs = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
        self._child_fds.append(theirs)
        return theirs

    def process_made(self, console_fd: int = -1) -> None:
        """The process has its ends: close ours of them and begin to move bytes."""
        for fd in self._child_fds:
            os.close(fd)
        self._child_fds.clear()
        if self.terminal and console_fd >= 0:
            os.set_blocking(console_fd, False)
            self._stdin_fd = console_fd
            self._outputs.append(_Output(stdcopy.STDOUT, console_fd))
        self._write_stdin()
        self._watch_outputs()

    def resize(self, rows: int, columns: int) -> None:
        """Set the terminal's size."""
        if self.terminal and self._stdin_fd >= 0:
            linux.set_window_size(self._stdin_fd, rows, columns)

    @property
    def at_end(self) -> bool:
        """Nobody holds the process's outputs any more, all is read."""
        return not self._outputs

    def read_rest(self) -> None:
        """The process is dead: read what is still in its pipes, and close them."""
        self.close_stdin()
        for output in tuple(self._outputs):
            taken = 0
            while output in self._outputs and taken < _DRAIN_LIMIT_BYTES:
                size = self._read(output)
                if not size:
                    break
                taken += size
            self._close_output(output)

    def process_ended(self) -> None:
        """Read the rest and let the clients go once they have got all."""
        self.read_rest()
        for client in tuple(self.clients):
            client.end()

    def abandon(self) -> None:
        """The process could not be made: close everything, tell the clients nothing."""
        for fd in self._child_fds:
            os.close(fd)
        self._child_fds.clear()
        self.close_stdin()
        for output in tuple(self._outputs):
            self._close_output(output)

    @property
    def can_rest(self) -> bool:
        """Nobody is attached, and nothing waits to be written."""
        has_input = bool(self._stdin_pending) or self._stdin_ending
        return not self.clients and not has_input and self._recheck is None

    def rest(self, luggage: Luggage) -> dict[str, Any]:
        """Return what ``wake`` needs."""
        return {
            "stdin": luggage.put(self._stdin_fd),
            "stdin_gone": self._stdin_gone,
            "outputs": [[output.stream, luggage.put(output.fd)] for output in self._outputs],
        }

    def wake(self, state: dict[str, Any], luggage: Luggage) -> None:
        """Go on, in another shim, from its ``rest``."""
        self._stdin_fd = luggage.take(state["stdin"])
        self._stdin_gone = state["stdin_gone"]
        self._outputs = [_Output(stream, luggage.take(place)) for stream, place in state["outputs"]]
        self._watch_outputs()

    # -- output -------------------------------------------------------------------------------

    def _watch_outputs(self) -> None:
        blocked = self._is_blocked()
        for output in self._outputs:
            if blocked:
                self._loop.unwatch(output.fd)
            else:
                self._watch_fd(output.fd)
        if blocked and not self._recheck:
            self._recheck = self._loop.call_after(_RECHECK_S, self._check_again)

    def _watch_fd(self, fd: int) -> None:
        """The pty's master is both output and input; a pipe is one of them."""
        output = next((item for item in self._outputs if item.fd == fd), None)
        events = READABLE if output and not self._recheck else 0
        if fd == self._stdin_fd and self._stdin_pending:
            events |= WRITABLE

        def ready(events: int) -> None:
            if events & WRITABLE and fd == self._stdin_fd:
                self._write_stdin()
            if events & ~WRITABLE and output in self._outputs:
                self._read(output)

        self._loop.watch(fd, events, ready)

    def _read(self, output: _Output) -> int:
        """Read once; return how much, 0 at the end or when nothing is there."""
        try:
            chunk = os.read(output.fd, output.read_bytes)
        except BlockingIOError:
            return 0
        except OSError:  # EIO: the last process has closed the terminal
            chunk = b""
        if not chunk:
            self._close_output(output)
            return 0
        if len(chunk) == _READ_BYTES:
            self._make_room(output)
        self._log.write(output.stream, chunk)
        for client in tuple(self.clients):
            client.send(output.stream, chunk)
        if not self._recheck and self._is_blocked():
            self._watch_outputs()
        return len(chunk)

    def _make_room(self, output: _Output) -> None:
        """A process that fills its pipe gets a bigger one: fewer, larger reads."""
        if output.read_bytes == _READ_BYTES and not self.terminal:
            output.read_bytes = _BUSY_READ_BYTES
            with contextlib.suppress(OSError):  # EPERM above the user's pipe limit
                fcntl.fcntl(output.fd, fcntl.F_SETPIPE_SZ, _BUSY_PIPE_BYTES)

    def _close_output(self, output: _Output) -> None:
        if output not in self._outputs:
            return
        self._outputs.remove(output)
        self._log.finish(output.stream)
        self._loop.unwatch(output.fd)
        if self._stdin_fd == output.fd:
            self._stdin_fd = -1
        os.close(output.fd)
        if not self._outputs:
            self._on_outputs_closed()

    def _is_blocked(self) -> bool:
        return self._log.is_stalled or any(client.is_full for client in self.clients)

    def _check_again(self) -> None:
        self._recheck = None
        if self._log.is_stalled:
            self._log.retry()
        for client in tuple(self.clients):
            if client.is_stalled:
                client.drop("stalled")
        self._watch_outputs()

    # -- clients ------------------------------------------------------------------------------

    def attach(self, fd: int, wishes: Wishes) -> None:
        """Take over a client's socket."""
        client = Client(
            self._loop,
            fd,
            wishes,
            spill_directory=self._spill_directory,
            on_input=self._take_input,
            on_gone=self._client_gone,
            on_room=self._room_made,
        )
        self.clients.append(client)
        client.begin()

    def _client_gone(self, client: Client, reason: str) -> None:
        if client in self.clients:
            self.clients.remove(client)
        if self._stdin_once and client.wishes.stdin and not self.terminal and reason != "ended":
            self._end_stdin()
        self._room_made()
        self._on_client_gone(client, reason)

    def _room_made(self) -> None:
        if self._recheck and not self._is_blocked():
            self._recheck.cancel()
            self._recheck = None
            self._watch_outputs()

    # -- input --------------------------------------------------------------------------------

    def _take_input(self, client: Client, data: bytes | None) -> bool:
        if data is None:
            if self._stdin_once and not self.terminal:
                self._end_stdin()
            else:
                client.end("closed")  # as dockerd: without StdinOnce, end of input ends the attach
            return True
        if self._stdin_gone or self._stdin_ending:
            return True  # the process reads no more: thrown away
        self._stdin_pending += data
        self._write_stdin()
        return not self._stdin_pending

    def _write_stdin(self) -> None:
        if self._stdin_fd < 0:
            return
        try:
            while self._stdin_pending:
                written = os.write(self._stdin_fd, self._stdin_pending)
                self._stdin_pending = self._stdin_pending[written:]
        except BlockingIOError:
            self._watch_fd(self._stdin_fd)
            return
        except OSError:  # EPIPE: the process has closed its stdin
            self._stdin_pending = b""
            self.close_stdin()
        if self._stdin_ending:
            self.close_stdin()
        elif self.terminal and self._stdin_fd >= 0:
            self._watch_fd(self._stdin_fd)
        elif self._stdin_fd >= 0:
            self._loop.unwatch(self._stdin_fd)
        for client in tuple(self.clients):
            client.resume_input()

    def _end_stdin(self) -> None:
        self._stdin_ending = True
        self._write_stdin()

    def close_stdin(self) -> None:
        """Close the process's stdin now; a terminal stays open for its output."""
        if self._stdin_fd >= 0 and not self.terminal:
            self._loop.unwatch(self._stdin_fd)
            os.close(self._stdin_fd)
            self._stdin_fd = -1
            self._stdin_gone = True
