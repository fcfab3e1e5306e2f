"""Confined workers: starting one, and the few words that it and its parent exchange.

A worker is ``python -I -m MODULE CONTROL_FD``, started by ``subprocess`` without ``preexec_fn``
(so by vfork: a threaded engine may do it), with the directory it shall live in as its working
directory and the data on stdin or stdout. The control socket carries JSON packets:

| packet | direction | meaning |
|---|---|---|
| ``{"request": …}`` | to the worker | what to do; the first packet |
| ``{"ready": …}`` | from it | confined; optional facts before the data flows |
| ``{"note": …}`` + fds | from it | something met on the way |
| ``{"done": …}`` | from it | success, its result |
| ``{"error": name, "message": …}`` | from it | failure, a class of ``_ERRORS`` |

A worker that ends without ``done`` or ``error`` has failed, whatever its exit status.
"""

import json
import os
import select
import socket
import subprocess
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from cutaway import errors
from cutaway.images.layers.errors import (
    BadLayer,
    Cancelled,
    DiffIdMismatch,
    DiskFloor,
    WorkerFailed,
)

_PACKET_SIZE = 64 * 1024
_POLL_S = 0.1
_MAX_FDS = 4
_STDERR_LIMIT = 4096
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


class Worker:
    """A running confined worker, seen from its parent.

    Args:
        module: what ``python -m`` runs.
        request: any JSON value, at most 60 KiB encoded.
        directory: the worker's working directory, which it will make its root.
        stdin: descriptor of the data to read, or None.
        stdout: descriptor to write data to, or None.
        fds: further descriptors that it inherits under the same numbers.

    Leaves behind: a process until ``close``.
    """

    def __init__(
        self,
        module: str,
        request: Any,
        *,
        directory: str,
        stdin: int | None = None,
        stdout: int | None = None,
        fds: tuple[int, ...] = (),
    ) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._control = ours
        self._name = module.rpartition(".")[2]
        try:
            ours.send(json.dumps({"request": request}).encode())
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-m", module, str(theirs.fileno())],
                stdin=subprocess.DEVNULL if stdin is None else stdin,
                stdout=subprocess.DEVNULL if stdout is None else stdout,
                stderr=subprocess.PIPE,
                cwd=directory,
                env={"LANG": "C.UTF-8", "PATH": ""},
                pass_fds=(theirs.fileno(), *fds),
            )
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()

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
            self._wait_readable(on_tick)
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
        """Kill the worker if it runs, and reap it."""
        self._control.close()
        self._process.kill()
        if self._process.stderr is not None:
            self._process.stderr.close()
        self._process.wait()

    def _wait_readable(self, on_tick: Callable[[], None] | None) -> None:
        if on_tick is None:
            return
        while True:
            on_tick()
            if select.select([self._control], [], [], _POLL_S)[0]:
                return

    def _next_packet(self) -> tuple[dict[str, Any], list[int]]:
        data, fds, _, _ = _receive(self._control)
        if not data:
            raise WorkerFailed(self._last_words())
        return json.loads(data), fds

    def _last_words(self) -> str:
        """Describe a worker that ended without a result."""
        stderr = self._process.stderr
        words = b""
        if stderr is not None:
            words = os.read(stderr.fileno(), _STDERR_LIMIT)
        status = self._process.wait()
        how = f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"
        text = words.decode(errors="replace").strip().rpartition("\n")[2]
        return f"the confined {self._name} {how}" + (f": {text}" if text else "")


def _receive(control: socket.socket) -> tuple[bytes, list[int], int, Any]:
    space = socket.CMSG_SPACE(_MAX_FDS * 4)
    data, ancillary, flags, address = control.recvmsg(_PACKET_SIZE, space, socket.MSG_CMSG_CLOEXEC)
    fds: list[int] = []
    for level, kind, payload in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            whole = len(payload) - len(payload) % 4
            fds += [
                int.from_bytes(payload[at : at + 4], sys.byteorder) for at in range(0, whole, 4)
            ]
    return data, fds, flags, address


def raise_reported(document: dict[str, Any]) -> NoReturn:
    """Raise what a worker's ``error`` packet says, as the class it was there."""
    if document["error"] == DiffIdMismatch.__name__:
        raise DiffIdMismatch(document["expected"], document["actual"])
    if document["error"] == Cancelled.__name__:
        raise Cancelled(document["message"])
    raise _ERRORS.get(document["error"], errors.System)(document["message"])
