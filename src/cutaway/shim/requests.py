"""What an engine may ask of a shim: one small method a request."""

import base64
import signal
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from cutaway.errors import Conflict
from cutaway.shim import protocol
from cutaway.shim.engine_link import Pending
from cutaway.shim.io.client import Wishes
from cutaway.shim.io.detach import parse_detach_keys
from cutaway.shim.logs import stdcopy
from cutaway.shim.logs.reader import LogReader, ReadOptions
from cutaway.shim.protocol import Message, ProtocolError, Status
from cutaway.shim.run import Run
from cutaway.shim.snapshot import take_snapshot

if TYPE_CHECKING:
    from cutaway.shim.shim import Shim

_LIVE = (Status.RUNNING, Status.PAUSED)


class RequestHandler:
    """Answers the requests of the protocol's table for one shim."""

    def __init__(self, shim: "Shim") -> None:
        self._shim = shim
        self._methods: dict[type[Message], Callable[[Any, list[int]], Any]] = {
            protocol.Hello: self._hello,
            protocol.Ping: lambda message, fds: {},
            protocol.Make: self._make,
            protocol.Start: self._start,
            protocol.Attach: self._attach,
            protocol.Exec: self._exec,
            protocol.ExecInspect: lambda message, fds: shim.execs.inspect(message.exec_id),
            protocol.Resize: self._resize,
            protocol.Kill: self._kill,
            protocol.Stop: self._stop,
            protocol.Pause: self._pause,
            protocol.Resume: self._resume,
            protocol.Update: self._update,
            protocol.Wait: self._wait,
            protocol.Stats: lambda message, fds: self._live_run().runtime.statistics(),
            protocol.Processes: lambda message, fds: {"pids": self._live_run().runtime.pids()},
            protocol.Health: self._health,
            protocol.Ledger: lambda message, fds: {"records": shim.write_ledger(message.more)},
            protocol.Delete: self._delete,
        }

    def handle(self, message: Message, fds: list[int]) -> Any:
        """Answer one request; descriptors that are taken over are removed from ``fds``.

        Raises:
            CutawayError, OSError, ProtocolError: the error reply.
        """
        method = self._methods.get(type(message))
        if method is None:
            raise ProtocolError(f"a shim does not know {message.type!r}")
        return method(message, fds)

    def _live_run(self) -> Run:
        shim = self._shim
        if shim.run is None or shim.status not in _LIVE:
            raise Conflict(f"container {shim.launch.container_id} is not running")
        return shim.run

    def _hello(self, message: protocol.Hello, fds: list[int]) -> Any:
        return take_snapshot(self._shim), self._network_fds()

    def _network_fds(self) -> tuple[int, ...]:
        network_fd = self._shim.sandbox.network_fd
        return (network_fd,) if network_fd >= 0 else ()

    def _make(self, message: protocol.Make, fds: list[int]) -> Any:
        self._shim.make()
        return {}, self._network_fds()

    def _start(self, message: protocol.Start, fds: list[int]) -> Any:
        shim = self._shim
        if shim.failure is not None:
            raise shim.failure
        if shim.run is None or shim.status not in (Status.CREATING, Status.CREATED):
            raise Conflict(f"container {shim.launch.container_id} is {shim.status}")
        shim.ledger.engine_records = list(message.ledger)
        pending = Pending()
        shim.run.want_start(pending)
        return pending

    def _attach(self, message: protocol.Attach, fds: list[int]) -> Any:
        shim = self._shim
        if not fds:
            raise ProtocolError("attach needs the client's descriptor")
        wishes = self._wishes(message, terminal=shim.streams.terminal)
        wishes.name = message.attach_id
        # After the last run there is nothing to wait for.
        wishes.follow = message.stream and shim.status is not Status.STOPPED
        if message.logs and shim.launch.log is not None and shim.launch.log.driver != "none":
            wishes.replay = self._replay(message)
        elif not wishes.follow:
            wishes.replay = iter(())
        shim.streams.attach(fds.pop(0), wishes)
        return {}

    def _replay(self, message: protocol.Attach) -> Any:
        """Yield what the log holds now, and what of an unfinished line it does not hold yet."""
        shim = self._shim
        framed = not shim.streams.terminal
        options = ReadOptions(stdout=message.stdout, stderr=message.stderr)
        settings = shim.launch.log or protocol.LogSettings()
        reader = LogReader(settings, options, framed=framed)
        rest = b""
        for stream, wanted in (
            (stdcopy.STDOUT, message.stdout),
            (stdcopy.STDERR, message.stderr),
        ):
            pending = shim.log.pending(stream) if wanted else b""
            if pending:
                rest += stdcopy.frame(stream, pending) if framed else pending
        return reader.snapshot(rest)

    def _exec(self, message: protocol.Exec, fds: list[int]) -> Any:
        run = self._live_run()
        shim = self._shim
        if shim.status is Status.PAUSED:
            raise Conflict(
                f"Container {shim.launch.container_id} is paused, unpause the container before exec"
            )
        terminal = bool(message.process.get("terminal"))
        wishes = self._wishes(message, terminal=terminal)
        wishes.name = message.exec_id
        wishes.framed = not terminal if message.framed is None else message.framed
        pid = shim.execs.start(run.runtime, message, fds[0] if fds else -1, wishes)
        del fds[:1]
        return {"pid": pid}

    def _wishes(self, message: Any, *, terminal: bool) -> Wishes:
        """Read which streams a client wants; a terminal has one output, shown as stdout."""
        if terminal:
            wanted = {stdcopy.STDOUT} if message.stdout or message.stderr else set()
        else:
            wanted = {stdcopy.STDOUT} if message.stdout else set()
            wanted |= {stdcopy.STDERR} if message.stderr else set()
        return Wishes(
            streams=frozenset(wanted),
            stdin=message.stdin,
            framed=not terminal,
            # Without a terminal nobody types: every byte is data.
            detach_keys=parse_detach_keys(message.detach_keys) if terminal else b"",
            early_input=base64.b64decode(message.early_input),
        )

    def _resize(self, message: protocol.Resize, fds: list[int]) -> Any:
        if message.exec_id:
            self._shim.execs.resize(message.exec_id, message.height, message.width)
        else:
            self._shim.streams.resize(message.height, message.width)
        return {}

    def _kill(self, message: protocol.Kill, fds: list[int]) -> Any:
        shim = self._shim
        if message.exec_id:
            shim.execs.kill(message.exec_id, message.signal)
            return {}
        if shim.status is Status.RESTARTING:
            shim.cancel_restart()
            return {}
        if shim.is_made_again:
            shim.when_started = lambda: self._kill(message, [])
            return {}
        run = self._live_run()
        run.stopped_by_user = run.stopped_by_user or message.by_user
        run.note_signal(message.signal, message.origin, ends=message.by_user)
        run.runtime.kill(message.signal)
        if message.by_user or message.signal == signal.SIGKILL:
            shim.thaw_for_signal()
        return {}

    def _stop(self, message: protocol.Stop, fds: list[int]) -> Any:
        shim = self._shim
        if shim.status is Status.RESTARTING:
            shim.cancel_restart()
            return {}
        if shim.is_made_again:
            shim.when_started = lambda: self._stop(message, [])
            return {}
        run = self._live_run()
        run.stopped_by_user = True
        signal_number = message.signal or shim.launch.stop_signal
        timeout_s = shim.launch.stop_timeout_s if message.timeout_s is None else message.timeout_s
        shim.stop(signal_number, timeout_s, message.origin)
        return {}

    def _pause(self, message: protocol.Pause, fds: list[int]) -> Any:
        shim = self._shim
        run = self._live_run()
        if shim.status is Status.PAUSED:
            raise Conflict(f"Container {shim.launch.container_id} is already paused")
        run.runtime.freeze()
        shim.status = Status.PAUSED
        shim.link.emit("paused", {})
        return {}

    def _resume(self, message: protocol.Resume, fds: list[int]) -> Any:
        shim = self._shim
        if shim.status is not Status.PAUSED:
            raise Conflict(f"Container {shim.launch.container_id} is not paused")
        shim.thaw_for_signal()
        return {}

    def _update(self, message: protocol.Update, fds: list[int]) -> Any:
        shim = self._shim
        if message.resources is not None:
            self._live_run().runtime.update(message.resources)
        if message.restart is not None:
            shim.policy = message.restart
        shim.link.emit("updated", {})
        return {}

    def _wait(self, message: protocol.Wait, fds: list[int]) -> Any:
        if not fds:
            raise ProtocolError("wait needs the client's descriptor")
        template = base64.b64decode(message.template)
        self._shim.waiters.add(fds.pop(0), message.condition, template)
        return {}

    def _health(self, message: protocol.Health, fds: list[int]) -> Any:
        health = self._shim.health
        return health.tally.to_json() if health else {"status": "none"}

    def _delete(self, message: protocol.Delete, fds: list[int]) -> Any:
        self._shim.delete()
        return {}
