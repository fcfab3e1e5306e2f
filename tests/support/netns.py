"""Network namespaces for tests in this very process: no program is started, no packet gets out.

A ``Namespace`` is a namespace held by a descriptor. Sockets made inside belong to it for good, so
one test can talk from one namespace to another.
"""

import os
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from cutaway import linux
from cutaway.linux.abi import CLONE
from cutaway.linux.netlink import NETLINK_ROUTE, NetlinkSocket, Request
from cutaway.linux.rtnetlink import (
    address_add,
    get_link,
    link_add,
    link_peer,
    link_set,
    route_add,
    veth_data,
)
from cutaway.network.namespace import inside

T = TypeVar("T")


class Namespace:
    """One network namespace, ``lo`` up."""

    def __init__(self, name: str = "") -> None:
        self.name = name
        self.fd = -1
        self._next_index = 1000
        thread = threading.Thread(target=self._make)
        thread.start()
        thread.join()
        assert self.fd >= 0
        self.configure([link_set("lo", up=True)])

    @classmethod
    def of(cls, pid: int) -> "Namespace":
        """Return the namespace of a process."""
        found = cls.__new__(cls)
        found.name = str(pid)
        found.fd = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        found._next_index = 1000
        return found

    def _make(self) -> None:
        linux.unshare(CLONE.NEWNET)
        self.fd = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Run the body inside."""
        with inside(self.fd):
            yield

    def run(self, function: Callable[[], T]) -> T:
        """Call a function inside."""
        with inside(self.fd):
            return function()

    def processes(self) -> list[str]:
        """Return the titles of the other processes that live here."""
        here, own = os.fstat(self.fd).st_ino, str(os.getpid())
        found = []
        for pid in os.listdir("/proc"):
            if pid.isdigit() and pid != own:
                with suppress(OSError):  # it has ended meanwhile
                    if os.stat(f"/proc/{pid}/ns/net").st_ino == here:
                        found.append(Path(f"/proc/{pid}/comm").read_text().strip())
        return found

    def netlink(self) -> NetlinkSocket:
        """Return an rtnetlink socket of this namespace."""
        return self.run(lambda: NetlinkSocket(NETLINK_ROUTE))

    def configure(self, requests: list[Request]) -> None:
        """Send rtnetlink requests here."""
        with self.netlink() as netlink:
            netlink.request(requests)

    def index(self, name: str) -> int:
        """Return a link's index."""
        with self.netlink() as netlink:
            return get_link(netlink, name).index

    def add_address(self, link: str, *prefixes: str) -> None:
        """Give a link addresses and set it up."""
        index = self.index(link)
        adds = [address_add(index, p, broadcast=":" not in p, no_dad=True) for p in prefixes]
        self.configure([*adds, link_set(index, up=True)])

    def add_route(self, destination: str, gateway: str) -> None:
        """Add a route by a gateway."""
        self.configure([route_add(destination, gateway=gateway)])

    def wire(self, name: str, other: "Namespace", other_name: str) -> None:
        """Join two namespaces by a veth pair."""
        # Were both indexes the same, the kernel would take up to a second to see the carrier
        # (linkwatch_urgent_event).
        self._next_index += 2
        peer = link_peer(other_name, index=self._next_index + 1, netns_fd=other.fd)
        self.configure(
            [
                link_add(name, "veth", index=self._next_index, data=veth_data(peer)),
                link_set(name, up=True),
            ]
        )
        other.configure([link_set(other_name, up=True)])
        self.index(name)  # asking makes the kernel see the carrier now
        other.index(other_name)

    def links(self) -> list[str]:
        """Return the names of the links here."""
        return self.run(lambda: [name for _, name in socket.if_nameindex()])

    def sysctl(self, name: str, value: str | None = None) -> str:
        """Read a kernel setting here, or write it."""
        path = "/proc/sys/" + name.replace(".", "/")
        with inside(self.fd), open(path, "r+" if value is not None else "r") as file:
            if value is not None:
                file.write(value)
                return value
            return file.read().strip()

    def nft(self, script: str) -> str:
        """Run nft(8) here: the firewall of somebody else."""
        words = ["nft", "-f", "-"] if "list" not in script.split()[:1] else ["nft", *script.split()]
        done = self.run(
            lambda: subprocess.run(words, input=script, capture_output=True, text=True, check=False)
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def open(self, kind: int = socket.SOCK_STREAM, family: int = socket.AF_INET) -> socket.socket:
        """Return a socket of this namespace with a short patience."""
        made = self.run(lambda: socket.socket(family, kind))
        made.settimeout(2)
        return made

    def listen(self, address: str, port: int) -> socket.socket:
        """Return a listening TCP socket."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        made = self.open(family=family)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            made.bind((address, port))
            made.listen(8)
        except OSError:
            made.close()
            raise
        return made

    def has_free(self, port: int) -> bool:
        """Tell whether somebody could listen on a TCP port of all addresses."""
        try:
            self.listen("0.0.0.0", port).close()
        except OSError:
            return False
        return True

    def reaches(self, address: str, port: int, timeout: float = 0.6) -> bool:
        """Try a TCP connection from here."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with self.open(family=family) as client:
            client.settimeout(timeout)
            try:
                client.connect((address, port))
            except OSError:
                return False
            return True

    def close(self) -> None:
        """Let go of the namespace; it dies with its last socket."""
        os.close(self.fd)


def serve_once(server: socket.socket, reply: bytes) -> threading.Thread:
    """Answer one TCP connection with the peer's address and ``reply``, in a thread."""

    def answer() -> None:
        try:
            connection, peer = server.accept()
        except OSError:
            return
        with connection:
            connection.sendall(peer[0].encode() + b" " + reply)

    thread = threading.Thread(target=answer, daemon=True)
    thread.start()
    return thread


def fetch(client: socket.socket, address: str, port: int) -> str:
    """Connect, read all that is sent, return it."""
    with client:
        client.connect((address, port))
        received = b""
        while chunk := client.recv(4096):
            received += chunk
        return received.decode()
