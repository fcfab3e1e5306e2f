"""The process itself: told by the engine what to serve, it serves until told to end.

It is started with a listening socket as descriptor 0. The end of an engine's connection ends
nothing while there is something to serve: the next engine will connect.
"""

import os
import select
import socket
import sys
from collections.abc import Callable
from contextlib import suppress

from cutaway.linux import close_range, set_process_title
from cutaway.linux.sockets import peer_credentials
from cutaway.network.userland import protocol
from cutaway.network.userland.fences import Fences
from cutaway.network.userland.loop import Loop
from cutaway.network.userland.nameserver import NameServer
from cutaway.network.userland.protocol import (
    AskDenied,
    Denied,
    EndpointGone,
    EndpointNames,
    Hello,
    Message,
    Port,
    PortGone,
    PortsGone,
    Quit,
    Refill,
    SandboxGone,
    SandboxNames,
    State,
)
from cutaway.network.userland.records import Records
from cutaway.network.userland.tcp import TcpListener
from cutaway.network.userland.udp import UdpPort
from cutaway.network.userland.upstream import HostServers, Upstream


class Userland:
    """All that the process serves, and how messages change it."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._records = Records()
        self._upstream = Upstream(loop)
        self._host_servers = HostServers()
        self._fences = Fences()
        self._servers: dict[str, NameServer] = {}
        self._ports: dict[str, dict[str, TcpListener | UdpPort]] = {}
        self.catch_up: Callable[[], None] = lambda: None

    @property
    def is_idle(self) -> bool:
        """There is nothing to serve."""
        return not self._servers and not self._ports

    def stop_if_idle(self) -> None:
        """End the process if it has nothing to serve: no engine is there to give it anything."""
        if self.is_idle:
            self._loop.stop()

    def state(self) -> State:
        """Say what there is."""
        return State(
            version=protocol.VERSION,
            pid=os.getpid(),
            sandboxes=tuple(self._servers),
            endpoints=tuple(self._records.endpoints),
            ports={sandbox: list(ports) for sandbox, ports in self._ports.items()},
        )

    def handle(self, message: Message, fds: list[int]) -> State | Denied | None:
        """Do what a message says; the descriptors are taken or closed.

        Returns:
            The answer, if the message wants one.
        """
        kept = False
        try:
            if isinstance(message, Hello):
                return self.state()
            if isinstance(message, AskDenied):
                return self._fences.denied(message.id)
            if isinstance(message, Port):
                kept = self._add_port(message, fds)
            elif isinstance(message, SandboxNames):
                kept = self._set_sandbox(message, fds)
            else:
                self._handle_small(message)
        finally:
            if not kept:
                for fd in fds:
                    os.close(fd)
        return None

    def _handle_small(self, message: Message) -> None:
        if isinstance(message, EndpointNames):
            self._records.add(message)
        elif isinstance(message, EndpointGone):
            self._records.remove(message.id)
        elif isinstance(message, SandboxGone):
            server = self._servers.pop(message.id, None)
            if server is not None:
                server.close()
                self._fences.forget(message.id)
        elif isinstance(message, Refill):
            self._fences.refill()
        elif isinstance(message, PortGone):
            self._remove_port(message)
        elif isinstance(message, PortsGone):
            for port in self._ports.pop(message.sandbox, {}).values():
                port.close()
        elif isinstance(message, Quit):
            self._loop.stop()
        for server in self._servers.values():
            server.forget_answers()

    def _add_port(self, message: Port, fds: list[int]) -> bool:
        target = (message.target, message.target_port)
        own = self._ports.setdefault(message.sandbox, {})
        old = own.get(message.key)
        if not fds:
            if old is not None:
                old.target = target
            return False
        if len(fds) != 1:
            return False
        if old is not None:
            old.close()
        bound = socket.socket(fileno=fds[0])
        kind = TcpListener if message.protocol == "tcp" else UdpPort
        own[message.key] = kind(self._loop, bound, target)
        return True

    def _remove_port(self, message: PortGone) -> None:
        own = self._ports.get(message.sandbox, {})
        port = own.pop(message.key, None)
        if port is not None:
            port.close()
        if not own:
            self._ports.pop(message.sandbox, None)

    def _set_sandbox(self, message: SandboxNames, fds: list[int]) -> bool:
        server = self._servers.get(message.id)
        if not fds:
            if server is not None:
                server.names = message
                server.forget_answers()
                self._fences.narrow(message)
            return False
        if len(fds) != 3:
            return False
        if server is not None:
            server.close()
        netns_fd, udp, tcp = fds
        self._servers[message.id] = NameServer(
            self._loop,
            self._records,
            self._upstream,
            self._host_servers,
            fences=self._fences,
            names=message,
            catch_up=lambda: self.catch_up(),
            netns_fd=netns_fd,
            udp=socket.socket(fileno=udp),
            tcp=socket.socket(fileno=tcp),
        )
        return True


class Engines:
    """The connections of engines, one after the other or, for a moment, two at once."""

    def __init__(self, loop: Loop, userland: Userland, listener: socket.socket) -> None:
        self._loop = loop
        self._userland = userland
        self._listener = listener
        self._connections: dict[int, socket.socket] = {}
        self._poll = select.poll()
        listener.setblocking(False)
        loop.watch(listener.fileno(), read=self._accept)

    def add(self, connection: socket.socket) -> None:
        """Serve one connection."""
        self._connections[connection.fileno()] = connection
        self._poll.register(connection.fileno(), select.POLLIN)
        connection.setblocking(False)
        self._loop.watch(connection.fileno(), read=lambda: self._read(connection))

    def catch_up(self) -> None:
        """Read what engines have said so far.

        Called before a question is answered: who was told that a container runs may ask for it
        at once, and gets the answer that is true now.
        """
        for fd, _ in self._poll.poll(0):
            self._read(self._connections[fd])

    def _accept(self) -> None:
        with suppress(OSError):
            connection, _ = self._listener.accept()
            if peer_credentials(connection)[1] != os.geteuid():
                connection.close()
            else:
                self.add(connection)

    def _read(self, connection: socket.socket) -> None:
        while True:
            try:
                received = protocol.receive(connection)
            except BlockingIOError:
                return
            except ValueError as error:
                print(f"cutaway network: {error}", file=sys.stderr, flush=True)
                continue
            except OSError:
                received = None
            if received is None:
                self._drop(connection)
                return
            answer = self._userland.handle(*received)
            if answer is not None:
                with suppress(OSError):
                    protocol.send(connection, answer)

    def _drop(self, connection: socket.socket) -> None:
        self._poll.unregister(connection.fileno())
        del self._connections[connection.fileno()]
        self._loop.forget(connection.fileno())
        connection.close()
        if not self._connections:
            self._userland.stop_if_idle()


def main(arguments: list[str]) -> int:
    """Serve: ``python -m cutaway.network.userland``, the listening socket on descriptor 0."""
    if arguments:
        print("the userland process takes no arguments", file=sys.stderr)
        return 2
    close_range(3, 0xFFFFFFFF)
    os.chdir("/")
    set_process_title("cutaway: network")
    loop = Loop()
    userland = Userland(loop)
    engines = Engines(loop, userland, socket.socket(fileno=os.dup(0)))
    userland.catch_up = engines.catch_up
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    os.dup2(null, 0)
    os.close(null)
    loop.run()
    return 0
