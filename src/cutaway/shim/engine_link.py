"""The shim's side of its engine: requests in, replies and events out, over one engine's death.

Events are numbered and kept until the engine acknowledges them. Any process of root may connect to
``shim.sock``; the one that says ``hello`` becomes the engine: events go to it, and those it has
not seen are sent again.
"""

import contextlib
import os
import socket
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from cutaway.errors import CutawayError
from cutaway.shim import protocol, wire
from cutaway.shim.loop import READABLE, WRITABLE, Loop
from cutaway.shim.luggage import Luggage
from cutaway.shim.protocol import Acknowledge, Event, Hello, Message, ProtocolError, Reply

# What waits for an engine that does not come; the oldest are dropped then, the state is not.
_KEPT_EVENTS = 1000


class Pending:
    """A handler returns this when the reply comes later, by ``reply`` or ``fail``."""

    def __init__(self) -> None:
        self._channel: wire.Channel | None = None
        self._request_id = 0
        self._flush: Callable[[wire.Channel], None] = lambda channel: None

    def bind(
        self, channel: wire.Channel, request_id: int, flush: Callable[[wire.Channel], None]
    ) -> None:
        """Say whom the reply goes to."""
        self._channel, self._request_id, self._flush = channel, request_id, flush

    def reply(self, result: Any) -> None:
        """Answer with a result."""
        self._send(Reply(self._request_id, result))

    def fail(self, error: Exception) -> None:
        """Answer with an error."""
        self._send(Reply(self._request_id, error=describe_error(error)))

    def _send(self, reply: Reply) -> None:
        if self._channel is not None:
            self._channel.send(protocol.encode(reply))
            self._flush(self._channel)


# (message, descriptors) -> result, or a Pending. It removes the descriptors that it keeps.
Handler = Callable[[Message, list[int]], Any]


class EngineLink:
    """All connections of one shim to engines.

    Args:
        control_fd: the launch's own connection; its peer is the engine from the start. -1: none.
        socket_path: where later engines connect; its directory is root's alone.
        handler: answers requests; what it raises becomes the error reply.
        on_change: called when an engine has come, gone, or acknowledged.
        listener_fd: of the socket at the path, when another shim has made it; else -1.
    """

    def __init__(
        self,
        loop: Loop,
        control_fd: int,
        socket_path: str,
        *,
        handler: Handler,
        on_change: Callable[[], None],
        listener_fd: int = -1,
    ) -> None:
        self._loop = loop
        self._handler = handler
        self._on_change = on_change
        self._channels: list[wire.Channel] = []
        self._events: deque[dict[str, Any]] = deque(maxlen=_KEPT_EVENTS)
        self._last_seq = 0
        self.acknowledged_seq = 0
        self.engine = wire.Channel.from_fd(control_fd) if control_fd >= 0 else None
        if self.engine is not None:
            self._serve(self.engine)
        self._socket_path = socket_path
        self._listener = (
            socket.socket(fileno=listener_fd) if listener_fd >= 0 else _listen(socket_path)
        )
        self._inode = _inode_of(socket_path)
        self._loop.watch(self._listener.fileno(), READABLE, self._accept)

    @property
    def can_rest(self) -> bool:
        """Nobody but the engine is connected, and it has been sent everything."""
        others = [channel for channel in self._channels if channel is not self.engine]
        return not others and not (self.engine is not None and self.engine.wants_write)

    def rest(self, luggage: Luggage) -> dict[str, Any]:
        """Return what ``wake`` and a new link's arguments need."""
        return {
            "control": luggage.put(self.engine.fileno() if self.engine is not None else -1),
            "listener": luggage.put(self._listener.fileno()),
            "events": list(self._events),
            "last_seq": self._last_seq,
            "acknowledged_seq": self.acknowledged_seq,
        }

    def wake(self, state: dict[str, Any]) -> None:
        """Go on from the ``rest`` of another shim's link."""
        self._events.extend(state["events"])
        self._last_seq = state["last_seq"]
        self.acknowledged_seq = state["acknowledged_seq"]

    def close_listener(self) -> None:
        """Take the name away: from now on only a connected engine can speak to the shim."""
        if self._listener.fileno() >= 0:
            self._loop.unwatch(self._listener.fileno())
            self._listener.close()
            with contextlib.suppress(FileNotFoundError):
                # By now it may be another's: that of the shim of the container's next life.
                if _inode_of(self._socket_path) == self._inode:
                    os.unlink(self._socket_path)

    def close(self) -> None:
        """End every connection; no engine is told of it."""
        self.close_listener()
        for channel in self._channels:
            channel.close()
        self._channels.clear()
        self.engine = None

    @property
    def has_engine(self) -> bool:
        """An engine is connected."""
        return self.engine is not None

    @property
    def last_seq(self) -> int:
        """The newest event's number."""
        return self._last_seq

    def unacknowledged(self) -> list[dict[str, Any]]:
        """Return the events that no engine has confirmed, oldest first."""
        return list(self._events)

    def emit(self, name: str, facts: dict[str, Any], fds: tuple[int, ...] = ()) -> int:
        """Send an event and keep it until it is acknowledged; return its number."""
        self._last_seq += 1
        event = protocol.encode(Event(name, self._last_seq, time.time_ns(), facts))
        self._events.append(event)
        if self.engine is not None:
            self.engine.send(event, fds)
            self._after_send(self.engine)
        return self._last_seq

    def repeat_after(self, seq: int) -> None:
        """Send the engine again what it has not seen."""
        for event in self._events:
            if event["seq"] > seq and self.engine is not None:
                self.engine.send(event)
        if self.engine is not None:
            self._after_send(self.engine)

    # -- connections ----------------------------------------------------------------------------

    def _accept(self, _: int) -> None:
        try:
            connection, _address = self._listener.accept()
        except BlockingIOError:
            return
        channel = wire.Channel(connection)
        if channel.peer_uid() != 0:
            channel.close()
            return
        self._serve(channel)

    def _serve(self, channel: wire.Channel) -> None:
        self._channels.append(channel)
        self._watch(channel)

    def _watch(self, channel: wire.Channel) -> None:
        events = READABLE | (WRITABLE if channel.wants_write else 0)
        self._loop.watch(channel.fileno(), events, lambda ready: self._ready(channel, ready))

    def _after_send(self, channel: wire.Channel) -> None:
        """Wait for room when the engine is slow. A dead one is noticed when it is read from."""
        if channel.wants_write:
            self._watch(channel)

    def _ready(self, channel: wire.Channel, events: int) -> None:
        if events & WRITABLE:
            channel.flush()
            self._watch(channel)
        try:
            while (packet := channel.receive()) is not None:
                self._take(channel, packet)
        except (ValueError, ProtocolError):
            channel.give_up()
        if channel.at_end:
            self._drop(channel)

    def _drop(self, channel: wire.Channel) -> None:
        if channel not in self._channels:
            return
        self._channels.remove(channel)
        self._loop.unwatch(channel.fileno())
        channel.close()
        if channel is self.engine:
            self.engine = None
            self._on_change()

    def _take(self, channel: wire.Channel, packet: wire.Packet) -> None:
        fds = list(packet.fds)
        request_id = packet.document.get("id", 0) if isinstance(packet.document, dict) else 0
        try:
            message, request_id = protocol.decode(packet.document)
            if isinstance(message, Acknowledge):
                self._acknowledge(message.seq)
                return
            if isinstance(message, Hello):
                self._become_engine(channel, message)
            result = self._handler(message, fds)
            if isinstance(result, Pending):
                result.bind(channel, request_id, self._after_send)
                return
            reply, reply_fds = result if isinstance(result, tuple) else (result, ())
            channel.send(protocol.encode(Reply(request_id, reply)), reply_fds)
            if isinstance(message, Hello):
                self.repeat_after(message.after_seq)
                self._on_change()
        except (CutawayError, OSError, ProtocolError, ValueError) as error:
            channel.send(protocol.encode(Reply(request_id, error=describe_error(error))))
        finally:
            for fd in fds:
                os.close(fd)
        self._after_send(channel)

    def _become_engine(self, channel: wire.Channel, message: Hello) -> None:
        if self.engine is not channel and self.engine is not None:
            self._drop(self.engine)
        self.engine = channel
        self._acknowledge(message.after_seq)

    def _acknowledge(self, seq: int) -> None:
        self.acknowledged_seq = max(self.acknowledged_seq, seq)
        while self._events and self._events[0]["seq"] <= seq:
            self._events.popleft()
        self._on_change()


def _listen(path: str) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    listener.setblocking(False)
    with wire.short_path(path) as name:
        listener.bind(name)
    listener.listen(16)
    return listener


def _inode_of(path: str) -> int:
    """Return a file's inode number, 0 when somebody has taken the file away."""
    try:
        return os.stat(path).st_ino
    except FileNotFoundError:
        return 0


def describe_error(error: Exception) -> dict[str, Any]:
    """Return an error as the reply's ``error`` object."""
    facts: dict[str, Any] = {"category": _category(error), "message": str(error)}
    for name in ("stage", "hint", "exit_code", "call"):
        value = getattr(error, name, None)
        if value:
            facts[name] = value
    number = getattr(error, "errno", None)
    if number:
        facts["errno"] = number
    return facts


def _category(error: Exception) -> str:
    named = getattr(error, "category", None)
    if isinstance(named, str):
        return named
    if isinstance(error, ProtocolError):
        return "InvalidParameter"
    for kind in type(error).__mro__:
        if CutawayError in kind.__bases__:
            return kind.__name__
    return "System"
