"""What the engine holds of a launcher and of a shim: requests out, replies and events in.

Neither class blocks or owns a loop. Poll ``fileno()`` for reading and call ``read()``; while
``wants_write`` is true poll for writing too and call ``flush()``. With asyncio::

    client = ShimClient.connect(path)
    loop.add_reader(client.fileno(), lambda: handle(client.read()))
    request_id = client.request(protocol.Start())

A method sends one request and returns its id; the reply with that id comes from ``read()``.
"""

import os
import select
import socket
import sys
import time
from typing import NamedTuple

from cutaway.shim import protocol, wire
from cutaway.shim.protocol import Event, Message, Reply

# Where an external runtime is looked for: Debian's runc is in /usr/sbin.
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Received(NamedTuple):
    """A reply or an event, and the descriptors that came with it (now the reader's own)."""

    message: Reply | Event
    fds: tuple[int, ...]


class Client:
    """One connection to a launcher or shim."""

    def __init__(self, connection: socket.socket) -> None:
        self._channel = wire.Channel(connection)
        self._last_id = 0

    def fileno(self) -> int:
        """Return the descriptor to poll."""
        return self._channel.fileno()

    @property
    def at_end(self) -> bool:
        """The peer has closed its end or died."""
        return self._channel.at_end

    @property
    def wants_write(self) -> bool:
        """Requests wait in a queue: poll for writing and ``flush``."""
        return self._channel.wants_write

    def flush(self) -> None:
        """Send queued requests as far as the peer takes them."""
        self._channel.flush()

    def request(self, message: Message, fds: tuple[int, ...] = ()) -> int:
        """Send a request and return its id. Descriptors are duplicated, the caller keeps its own.

        To a dead peer nothing is sent and no reply will come: look at ``at_end``.
        """
        self._last_id += 1
        self._channel.send(protocol.encode(message, self._last_id), fds)
        return self._last_id

    def acknowledge(self, seq: int) -> None:
        """Tell the shim that events up to ``seq`` are safe with the engine."""
        self._channel.send(protocol.encode(protocol.Acknowledge(seq)))

    def read(self) -> list[Received]:
        """Return every reply and event that has arrived; afterwards look at ``at_end``.

        Raises:
            ProtocolError, ValueError: the peer speaks something else; close the connection.
        """
        received: list[Received] = []
        while (packet := self._channel.receive()) is not None:
            message, _ = protocol.decode(packet.document)
            if not isinstance(message, (Reply, Event)):
                raise protocol.ProtocolError(f"{message.type!r} is no reply and no event")
            received.append(Received(message, packet.fds))
        return received

    def read_within(self, timeout_s: float) -> list[Received]:
        """Wait until something arrives, the peer ends or the time is over, then ``read``.

        For programs without a loop (tests, the sweep at start).
        """
        poller = select.poll()
        poller.register(self.fileno(), select.POLLIN)
        poller.poll(timeout_s * 1000)
        return self.read()

    def call(self, message: Message, fds: tuple[int, ...] = (), *, timeout_s: float = 10) -> Reply:
        """Send a request and wait for its reply; events that come in between are dropped.

        Raises:
            TimeoutError: no reply in time. ConnectionError: the peer ended first.
        """
        request_id = self.request(message, fds)
        deadline = time.monotonic() + timeout_s
        while not self.at_end:
            if time.monotonic() > deadline:
                raise TimeoutError(f"no reply to {message.type!r} within {timeout_s} s")
            for received in self.read_within(max(0.0, deadline - time.monotonic())):
                if isinstance(received.message, Reply) and received.message.id == request_id:
                    return received.message
        raise ConnectionError(f"the peer ended before it answered {message.type!r}")

    def close(self) -> None:
        """Close the connection; a launcher then ends, a shim lives on."""
        self._channel.close()


class LauncherClient(Client):
    """The engine's connection to its launcher. Events: ``shim_exited``."""

    def __init__(self, connection: socket.socket, pid: int) -> None:
        super().__init__(connection)
        self.pid = pid

    @classmethod
    def spawn(cls, seccomp_directory: str = "") -> "LauncherClient":
        """Start a launcher by posix_spawn (the engine never forks) and connect to it.

        Args:
            seccomp_directory: where compiled seccomp programs are kept, ``RUN/seccomp``.

        Leaves behind: a process that ends when this connection is closed; reap it by waitpid
        on ``pid`` after ``at_end``.
        """
        ours, theirs = wire.pair()
        os.set_inheritable(theirs.fileno(), True)
        arguments = [sys.executable, "-I", "-m", "cutaway.shim.launcher", str(theirs.fileno())]
        if seccomp_directory:
            arguments.append(seccomp_directory)
        pid = os.posix_spawn(sys.executable, arguments, {"PATH": _PATH, "LANG": "C.UTF-8"})
        theirs.close()
        return cls(ours, pid)

    def launch(self, request: protocol.Launch) -> tuple[int, "ShimClient"]:
        """Ask for a shim; return the request's id and the (usable at once) client of that shim.

        The shim reads what is sent to it once it lives; when the launch fails the client is
        ``at_end``.
        """
        ours, theirs = wire.pair()
        request_id = self.request(request, (theirs.fileno(),))
        theirs.close()
        return request_id, ShimClient(ours)


class ShimClient(Client):
    """The engine's connection to one shim."""

    @classmethod
    def connect(cls, path: str) -> "ShimClient":
        """Connect to a living shim at ``RUN/containers/ID/shim.sock``.

        Raises:
            FileNotFoundError, ConnectionRefusedError: no shim lives there.
        """
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            with wire.short_path(path) as name:
                connection.connect(name)
        except OSError:
            connection.close()
            raise
        return cls(connection)
