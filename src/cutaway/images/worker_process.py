"""Confined workers: starting one, and the few words that it and its parent exchange.

A worker is forked by the ``worker_template``, which is started by ``subprocess`` without
``preexec_fn`` (so by vfork: a threaded engine may do it). It gets the directory it shall live in
as its working directory and the data on stdin or stdout. The control socket carries JSON packets:

| packet | direction | meaning |
|---|---|---|
| ``{"request": …}`` | to the worker | what to do; the first packet |
| ``{"ready": …}`` | from it | confined; optional facts before the data flows |
| ``{"note": …}`` + fds | from it | something met on the way |
| ``{"done": …}`` | from it | success, its result |
| ``{"error": name, "message": …}`` | from it | failure, a class of ``_ERRORS`` |

A worker that ends without ``done`` or ``error`` has failed, whatever its exit status.
"""

import contextlib
import fcntl
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any, NoReturn

from cutaway import errors, linux
from cutaway.images.layers.errors import (
    BadLayer,
    DiffIdMismatch,
    DiskFloor,
    WorkerFailed,
)
from cutaway.linux.sockets import recv_fds, send_fds

# Places of descriptors that are not numbers; ``worker_template`` has the same two.
CONTROL, DIRECTORY = -2, -1
_PACKET_SIZE = 64 * 1024
_POLL_S = 0.1
_MAX_FDS = 4
_DEATH_S = 5
_LAST_WORDS = 4096
_PIPE_BYTES = 1 << 20
_TEMPLATE_MODULE = "cutaway.images.worker_template"
_ERRORS: dict[str, type[errors.CutawayError]] = {
    error.__name__: error
    for error in (
        BadLayer,
        DiskFloor,
        WorkerFailed,
        errors.NotFound,
        errors.InvalidParameter,
        errors.Conflict,
        errors.Forbidden,
        errors.System,
    )
}


class _Template:
    """The process that forks workers, started when first needed and again when it has gone.

    ``_lock`` guards ``_socket`` and keeps a request and its answer together; ``end`` kills
    before it takes the lock, since a request may be waiting for an answer that never comes.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._is_ended = False
        self._reaper: threading.Thread | None = None
        self._last_words = b""  # written by the reaper, read after it has ended

    def fork(self, worker: str, places: list[int], fds: list[int]) -> int:
        """Fork a worker and return its pidfd.

        Raises:
            WorkerFailed: the template can't be started, or shall not be any more.
        """
        packet = json.dumps({"worker": worker, "places": places}).encode()
        with self._lock:
            for _ in range(3):
                if self._is_ended:
                    raise WorkerFailed("the engine is stopping")
                if self._socket is None:
                    self._start()
                answer = self._ask(packet, fds)
                if answer is not None:
                    return answer
                self._drop()  # it had been idle for long, and has ended: start another
            if self._reaper is not None:
                self._reaper.join(_DEATH_S)
        words = self._last_words.decode(errors="replace").strip().rpartition("\n")[2]
        raise WorkerFailed(
            "the process that confined workers are forked from does not start"
            + (f": {words}" if words else "")
        )

    def end(self) -> None:
        """Kill the template, and by its death its workers; start no other."""
        self._is_ended = True
        if self._process is not None:
            self._process.kill()
        with self._lock:  # whoever waited for an answer has seen the end of it by now
            self._drop()

    def _ask(self, packet: bytes, fds: list[int]) -> int | None:
        if self._socket is None:
            return None
        try:
            send_fds(self._socket, packet, fds)
            data, received = recv_fds(self._socket, _PACKET_SIZE)
        except OSError:
            return None
        return received[0] if data else None

    def _start(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            process = subprocess.Popen(
                [sys.executable, "-I", "-m", _TEMPLATE_MODULE, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                cwd="/",
                env={"LANG": "C.UTF-8", "PATH": ""},
                pass_fds=(theirs.fileno(),),
            )
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        self._socket, self._process = ours, process
        # It ends by itself when idle; a thread that waits leaves no zombie until the next use.
        self._reaper = threading.Thread(
            target=self._reap, args=(process,), name="worker template", daemon=True
        )
        self._reaper.start()

    def _reap(self, process: subprocess.Popen[bytes]) -> None:
        if process.stderr is not None:
            with process.stderr as stderr:
                while words := os.read(stderr.fileno(), _LAST_WORDS):
                    self._last_words = (self._last_words + words)[-_LAST_WORDS:]
        process.wait()

    def _drop(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


_TEMPLATE = _Template()


def end_workers() -> None:
    """Kill what works at images, at the engine's end: whoever waits for it gets WorkerFailed."""
    _TEMPLATE.end()


class Worker:
    """A running confined worker, seen from its parent.

    Args:
        kind: ``unpack`` or ``tree``.
        request: any JSON value, at most 60 KiB encoded.
        directory: the worker's working directory, which it will make its root.
        stdin: descriptor of the data to read, or None.
        stdout: descriptor to write data to, or None.
        fds: further descriptors that it gets under the same numbers.

    Leaves behind: a process until ``close``.
    """

    def __init__(
        self,
        kind: str,
        request: Any,
        *,
        directory: str,
        stdin: int | None = None,
        stdout: int | None = None,
        fds: tuple[int, ...] = (),
    ) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        directory_fd = -1
        self._kind = kind
        self._control = ours
        self._pidfd = -1
        try:
            directory_fd = os.open(directory, os.O_PATH | os.O_DIRECTORY)
            ours.send(json.dumps({"request": request}).encode())
            given = {CONTROL: theirs.fileno(), DIRECTORY: directory_fd}
            given |= {} if stdin is None else {0: stdin}
            given |= {} if stdout is None else {1: stdout}
            given |= {fd: fd for fd in fds}
            self._pidfd = _TEMPLATE.fork(kind, list(given), list(given.values()))
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
            if directory_fd >= 0:
                os.close(directory_fd)

    def run(
        self,
        *,
        on_note: Callable[[Any, list[int]], None] | None = None,
        on_tick: Callable[[], None] | None = None,
    ) -> Any:
        """Wait for the result, then end the worker.

        Args:
            on_note: gets each note with its descriptors, which are closed when it returns.
            on_tick: called at least ten times a second; may raise to stop the worker.

        Raises:
            CutawayError: what the worker reported, or WorkerFailed when it died.
        """
        try:
            while True:
                kind, value = self.receive(on_note=on_note, on_tick=on_tick)
                if kind == "done":
                    return value
        finally:
            self.close()

    def receive(
        self,
        *,
        on_note: Callable[[Any, list[int]], None] | None = None,
        on_tick: Callable[[], None] | None = None,
    ) -> tuple[str, Any]:
        """Wait for ``ready`` or ``done`` and return it with its value; raise an ``error``."""
        while True:
            self._wait(on_tick)
            document, fds = self._next_packet()
            try:
                if "note" in document:
                    if on_note is not None:
                        on_note(document["note"], fds)
                    continue
            finally:
                for fd in fds:
                    os.close(fd)
            if "error" in document:
                raise_reported(document)
            (kind,) = document
            return kind, document[kind]

    def close(self) -> None:
        """Kill the worker if it runs, and wait for its end; harmless when done."""
        self._control.close()
        if self._pidfd < 0:
            return
        with contextlib.suppress(ProcessLookupError, linux.KernelError):
            linux.pidfd_send_signal(self._pidfd, signal.SIGKILL)
        _wait_readable(self._pidfd, _DEATH_S)
        os.close(self._pidfd)
        self._pidfd = -1

    def _wait(self, on_tick: Callable[[], None] | None) -> None:
        if on_tick is None:
            return
        while True:
            on_tick()
            if _wait_readable(self._control.fileno(), _POLL_S):
                return

    def _next_packet(self) -> tuple[dict[str, Any], list[int]]:
        data, fds = recv_fds(self._control, _PACKET_SIZE, _MAX_FDS)
        if not data:
            raise WorkerFailed(
                f"the confined {self._kind} worker died without a word: out of memory, or killed"
            )
        return json.loads(data), fds


def _wait_readable(fd: int, timeout_s: float) -> bool:
    """Wait for data, or for a pidfd's process to end; poll(2), since numbers may pass 1024."""
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(timeout_s * 1000))


def raise_reported(document: dict[str, Any]) -> NoReturn:
    """Raise what a worker's ``error`` packet says, as the class it was there."""
    if document["error"] == DiffIdMismatch.__name__:
        raise DiffIdMismatch(document["expected"], document["actual"])
    raise _ERRORS.get(document["error"], errors.System)(document["message"])


def wide_pipe() -> tuple[int, int]:
    """Return the ends of a pipe that holds much: its two users wait less for each other."""
    ends = os.pipe()
    with contextlib.suppress(OSError):  # EPERM: pipes hold as much as this user may have
        fcntl.fcntl(ends[1], fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    return ends
