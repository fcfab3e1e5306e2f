"""A build's way to the package registries: an HTTP proxy between a test host and this machine.

Test hosts have no way out. ``RUN apt-get install`` and ``RUN pip install`` need one, as their
clients on this machine have: the proxy listens inside the test host and connects from outside of
it, to the hosts that apt and pip use here and to no others.
"""

import contextlib
import socket
import subprocess
import sys
import threading
from urllib.parse import urlsplit

from support.host import TestHost, join_network_of

_PIECE_BYTES = 1 << 16
_PIP_HOSTS = (
    "from pip._internal.models.index import PyPI; print(PyPI.netloc, PyPI.file_storage_domain)"
)


def registry_hosts() -> frozenset[str]:
    """Return the hosts from which apt and pip of this machine take packages."""
    apt = ["apt-get", "indextargets", "--format", "$(REPO_URI)"]
    addresses = subprocess.run(apt, capture_output=True, text=True, check=True).stdout.split()
    pip = subprocess.run(
        [sys.executable, "-c", _PIP_HOSTS], capture_output=True, text=True, check=True
    )
    return frozenset({urlsplit(a).hostname or "" for a in addresses} | set(pip.stdout.split()))


class WayOut:
    """The proxy; ``close`` ends it.

    Attributes:
        port: where it listens, on every address of the test host.
    """

    def __init__(self, host: TestHost) -> None:
        self._allowed = registry_hosts()
        self._listener = _listen_in(host)
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Take no more connections; those that are open end with their clients."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            head = b""
            while b"\r\n\r\n" not in head:
                piece = client.recv(_PIECE_BYTES)
                if not piece:
                    return
                head += piece
            method, target, _ = head.split(b" ", 2)
            is_tunnel = method == b"CONNECT"
            address = urlsplit(f"//{target.decode()}" if is_tunnel else target.decode())
            if address.hostname not in self._allowed:
                client.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
                return
            with socket.create_connection((address.hostname, address.port or 80)) as server:
                if is_tunnel:
                    client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
                else:
                    server.sendall(_asking_once(head, target, address.path))
                _join(client, server)


def _asking_once(head: bytes, target: bytes, path: str) -> bytes:
    """Return a request as its server wants it, one for each connection."""
    first, _, rest = head.replace(target, path.encode() or b"/", 1).partition(b"\r\n")
    lines = [line for line in rest.split(b"\r\n") if not line.lower().startswith(b"connection:")]
    return b"\r\n".join((first, b"Connection: close", *lines))


def _listen_in(host: TestHost) -> socket.socket:
    made: list[socket.socket] = []

    def listen() -> None:
        join_network_of(host.pid)  # of this thread alone, which ends here; the socket stays
        made.append(socket.create_server(("0.0.0.0", 0)))

    thread = threading.Thread(target=listen)
    thread.start()
    thread.join()
    return made[0]


def _join(one: socket.socket, other: socket.socket) -> None:
    back = threading.Thread(target=_pump, args=(other, one), daemon=True)
    back.start()
    _pump(one, other)
    back.join()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while piece := source.recv(_PIECE_BYTES):
            target.sendall(piece)
    for end, how in ((target, socket.SHUT_WR), (source, socket.SHUT_RD)):
        with contextlib.suppress(OSError):
            end.shutdown(how)
