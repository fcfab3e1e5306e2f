"""Processes beside PID 1: exec, each with its own streams, client and exit code."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cutaway.errors import NotFound
from cutaway.runtime import Extensions
from cutaway.shim.io.client import Wishes
from cutaway.shim.io.streams import ProcessStreams
from cutaway.shim.logs.driver import LogDriver
from cutaway.shim.loop import Loop, Timer
from cutaway.shim.protocol import Exec
from cutaway.shim.runtimes.driver import RuntimeDriver

# As dockerd: a process that lives on with the exec's output open holds the client so long.
_OUTPUT_GRACE_S = 2.0
_REMEMBERED = 100
_PAUSE_S = 0.01  # an exec after a longer one finds a process prepared

Emit = Callable[[str, dict[str, Any]], int]


@dataclass(slots=True)
class _Running:
    exec_id: str
    pid: int
    streams: ProcessStreams
    exit_code: int | None = None


class Execs:
    """All exec processes of one container.

    Args:
        emit: sends an event.
        spill_directory: where the slow clients' files are made.
    """

    def __init__(self, loop: Loop, emit: Emit, spill_directory: str) -> None:
        self._loop = loop
        self._emit = emit
        self._spill_directory = spill_directory
        self._by_id: dict[str, _Running] = {}
        self._by_pid: dict[int, _Running] = {}
        self._runtime: RuntimeDriver | None = None
        self._preparing: Timer | None = None

    def start(self, runtime: RuntimeDriver, request: Exec, client_fd: int, wishes: Wishes) -> int:
        """Run the process and join the client's socket to it; return its pid.

        Args:
            runtime: of the run that the process joins.
            request: what to run.
            client_fd: -1 for a detached exec; taken over only when the process runs.
            wishes: what the client wants of its streams.

        Raises:
            RuntimeFailure: it could not be run.
        """
        self._runtime = runtime
        if self._preparing is not None:
            self._preparing.cancel()
        has_client = client_fd >= 0
        streams = ProcessStreams(
            self._loop,
            LogDriver(),
            spill_directory=self._spill_directory,
            terminal=bool(request.process.get("terminal")),
            stdin_open=request.stdin and has_client,
            stdin_once=True,
            keep_output=has_client,
            on_outputs_closed=lambda: self._outputs_closed(running),
        )
        running = _Running(request.exec_id, 0, streams)
        stdio = streams.open(request.console_height, request.console_width)
        extensions = Extensions(user=request.user, groups=tuple(request.groups))
        try:
            started = runtime.exec_process(request.process, stdio, extensions)
        except BaseException:
            streams.abandon()
            raise
        running.pid = started.pid
        self._remember(running)
        streams.process_made(started.console_fd)
        if has_client:
            streams.attach(client_fd, wishes)
        self._emit("exec_started", {"exec_id": running.exec_id, "pid": running.pid})
        return running.pid

    def _remember(self, running: _Running) -> None:
        self._by_id[running.exec_id] = running
        self._by_pid[running.pid] = running
        ended = [key for key, item in self._by_id.items() if item.exit_code is not None]
        for exec_id in ended[: max(0, len(ended) - _REMEMBERED)]:
            del self._by_id[exec_id]

    def find(self, exec_id: str) -> _Running:
        """Return a known exec.

        Raises:
            NotFound: none of that id.
        """
        running = self._by_id.get(exec_id)
        if running is None:
            raise NotFound(f"No such exec instance: {exec_id}")
        return running

    def inspect(self, exec_id: str) -> dict[str, Any]:
        """Return an exec's state as the reply of ``exec_inspect``."""
        running = self.find(exec_id)
        return {
            "running": running.exit_code is None,
            "exit_code": running.exit_code,
            "pid": running.pid,
        }

    def kill(self, exec_id: str, signal: int) -> None:
        """Signal an exec's process; it is not reaped yet, so the pid is its own."""
        running = self.find(exec_id)
        if running.exit_code is not None:
            raise NotFound(f"exec {exec_id} has ended")
        os.kill(running.pid, signal)

    def resize(self, exec_id: str, rows: int, columns: int) -> None:
        """Set the size of an exec's terminal."""
        self.find(exec_id).streams.resize(rows, columns)

    def snapshot(self) -> list[dict[str, Any]]:
        """Return every known exec's state."""
        return [{"exec_id": key, **self.inspect(key)} for key in self._by_id]

    @property
    def can_rest(self) -> bool:
        """No exec runs, or has output that is still to be read."""
        return not self._by_pid and all(item.streams.at_end for item in self._by_id.values())

    def rest(self) -> list[dict[str, Any]]:
        """Return what ``wake`` needs."""
        return self.snapshot()

    def wake(self, state: list[dict[str, Any]]) -> None:
        """Remember the execs that another shim has seen end."""
        for facts in state:
            streams = ProcessStreams(
                self._loop,
                LogDriver(),
                spill_directory=self._spill_directory,
                terminal=False,
                stdin_open=False,
                stdin_once=True,
            )
            self._by_id[facts["exec_id"]] = _Running(
                facts["exec_id"], facts["pid"], streams, facts["exit_code"]
            )

    @property
    def has_clients(self) -> bool:
        """A client still has output to get."""
        return any(running.streams.clients for running in self._by_id.values())

    def child_ended(self, pid: int, exit_code: int) -> bool:
        """Take note of an ended child; True when it was an exec's."""
        running = self._by_pid.pop(pid, None)
        if running is None:
            return False
        running.exit_code = exit_code
        # Before the client sees the end of its stream: it asks for the exit code then.
        facts = {"exec_id": running.exec_id, "pid": pid, "exit_code": exit_code}
        self._emit("exec_exited", facts)
        if running.streams.at_end:
            running.streams.process_ended()
        else:
            self._loop.call_after(_OUTPUT_GRACE_S, running.streams.process_ended)
        self._prepare_next()
        return True

    def _prepare_next(self) -> None:
        """Who has run one will often run another; but who is in a hurry gets all processors."""
        runtime = self._runtime
        if runtime is not None:
            self._preparing = self._loop.call_after(_PAUSE_S, runtime.prepare_exec)

    def _outputs_closed(self, running: _Running) -> None:
        if running.exit_code is not None:
            running.streams.process_ended()

    def end_all(self) -> None:
        """PID 1 has ended, and every process of its pid namespace with it: let the clients go."""
        for running in self._by_id.values():
            running.streams.process_ended()
