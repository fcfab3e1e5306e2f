"""Where the engine listens: ``unix:///run/cutaway/cutaway.sock``, ``tcp://127.0.0.1:2375``."""

import socket

from cutaway.errors import InvalidParameter

DEFAULT_SOCKET = "/run/cutaway/cutaway.sock"
DEFAULT_HOST = f"unix://{DEFAULT_SOCKET}"


class Host:
    """An address of an engine.

    Attributes:
        url: as the user wrote it.
        path: the unix socket, or None.
        address: (host, port) for TCP, or None.
        tls: an ``ssl.SSLContext``, or None; set by the command line for ``--tls``.
    """

    __slots__ = ("address", "path", "tls", "url")

    def __init__(self, url: str, *, path: str | None, address: tuple[str, int] | None) -> None:
        self.url = url
        self.path = path
        self.address = address
        self.tls: object | None = None

    @property
    def header(self) -> str:
        """What a request's ``Host`` header says: an engine on TCP refuses names not its own."""
        if self.address is None:
            return "docker"
        name, port = self.address
        return f"[{name}]:{port}" if ":" in name else f"{name}:{port}"

    def connect(self) -> socket.socket:
        """Open a connection, with TLS when the host has a context.

        Raises:
            OSError: ENOENT (no socket file), ECONNREFUSED (nobody listens), EACCES (not root).
        """
        if self.path is not None:
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
            try:
                connection.connect(self.path)
            except OSError:
                connection.close()
                raise
            return connection
        assert_address = self.address or ("127.0.0.1", 2375)
        connection = socket.create_connection(assert_address)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.tls is not None:
            wrap = self.tls.wrap_socket  # type: ignore[attr-defined]
            wrapped: socket.socket = wrap(connection, server_hostname=assert_address[0])
            return wrapped
        return connection


def parse_host(url: str) -> Host:
    """Read the value of ``-H`` or ``DOCKER_HOST``.

    Raises:
        InvalidParameter: not ``unix://PATH`` or ``tcp://HOST:PORT``.
    """
    scheme, separator, rest = url.partition("://")
    if not separator:
        scheme, rest = "tcp", url
    if scheme == "unix":
        return Host(url, path=rest or DEFAULT_SOCKET, address=None)
    if scheme in {"tcp", "http", "https"}:
        name, _, port = rest.rstrip("/").rpartition(":")
        if port.isdecimal() and name:
            return Host(url, path=None, address=(name.strip("[]"), int(port)))
        return Host(url, path=None, address=(rest.rstrip("/").strip("[]"), 2375))
    raise InvalidParameter(
        f"invalid bind address format: {url} (write unix:///path/to.sock or tcp://host:port)"
    )
