"""The worker's side of the control socket: receive the request, send notes, report the end."""

import array
import json
import os
import signal
import socket
from collections.abc import Callable
from typing import Any, NoReturn, TypeAlias

from cutaway import linux
from cutaway.errors import CutawayError
from cutaway.images.layers.errors import DiffIdMismatch

_PACKET_SIZE = 64 * 1024


class Control:
    """A worker's end of its control socket."""

    def __init__(self, fd: int) -> None:
        self._socket = socket.socket(fileno=fd)
        self._socket.set_inheritable(False)

    def receive_request(self) -> Any:
        """Return the request; ends the process when the parent is gone."""
        data = self._socket.recv(_PACKET_SIZE)
        if not data:
            os._exit(1)
        return json.loads(data)["request"]

    def send(self, kind: str, value: Any, fds: tuple[int, ...] = ()) -> None:
        """Send one packet: ``ready``, ``note`` or ``done``."""
        self._send({kind: value}, fds)

    def send_error(self, error: BaseException) -> None:
        """Report a failure by its category and sentence."""
        document: dict[str, Any] = {"error": type(error).__name__, "message": str(error)}
        if isinstance(error, DiffIdMismatch):
            document |= {"expected": error.expected, "actual": error.actual}
        elif not isinstance(error, CutawayError):
            document["message"] = f"{type(error).__name__}: {error}"
        self._send(document)

    def _send(self, document: dict[str, Any], fds: tuple[int, ...] = ()) -> None:
        data = json.dumps(document).encode()
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        self._socket.sendmsg([data], ancillary)


Serve: TypeAlias = Callable[[Control, Any], Any]


def run_worker(serve: Serve, control_fd: int) -> NoReturn:
    """Run a worker's one request and end the process.

    Args:
        serve: does the work; what it returns is sent as ``done``.
        control_fd: its end of the control socket.

    Preconditions: one thread. The parent is the worker template, whose end ends this process.
    """
    status = 1
    control = Control(control_fd)
    try:
        linux.prctl(linux.PR.SET_PDEATHSIG, signal.SIGKILL)
        os.umask(0)
        control.send("done", serve(control, control.receive_request()))
        status = 0
    except Exception as error:  # the child's top: everything becomes a report
        control.send_error(error)
    except MemoryError:
        control.send_error(CutawayError("out of memory"))
    finally:
        os._exit(status)
