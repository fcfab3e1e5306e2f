"""Listeners: unix sockets, TCP on loopback, TLS; and the set of connections.

Source: the project's rules, section 3 (who may listen where, sockets' modes, number of
connections, running out of descriptors).
"""

import asyncio
import contextlib
import errno
import grp
import ipaddress
import logging
import os
import socket
import ssl
import stat
import struct
from collections.abc import Callable, Collection
from dataclasses import dataclass

from cutaway.api.application import Application
from cutaway.api.backend import Backends
from cutaway.api.connection import Connection
from cutaway.api.limits import CONNECTIONS
from cutaway.api.origin import ANY_NAME
from cutaway.api.response import error_answer
from cutaway.api.router import Router
from cutaway.api.routes.table import all_routes
from cutaway.api.tls import TlsTransport
from cutaway.api.transport import SocketTransport, Transport
from cutaway.api.wire import HeadWriter
from cutaway.errors import Conflict, Forbidden, InvalidParameter

logger = logging.getLogger("cutaway.api")


@dataclass(frozen=True, slots=True, eq=False)
class _Listener:
    sock: socket.socket
    tls: ssl.SSLContext | None = None
    own_names: frozenset[str] | None = None
    path: str = ""
    inode: tuple[int, int] = (0, 0)


class Server:
    """Serves one engine's API on any number of sockets, in the running loop.

    Args:
        backends: the engine.
        product: name and version for the ``Server`` header.
        experimental: what ``Docker-Experimental`` says.
        max_connections: hijacked ones do not count.
    """

    def __init__(
        self,
        backends: Backends,
        *,
        product: str,
        experimental: bool = False,
        max_connections: int = CONNECTIONS,
    ) -> None:
        self._application = Application(backends, Router(all_routes()))
        self._heads = HeadWriter(product=product, experimental=experimental)
        self._max_connections = max_connections
        self._listeners: list[_Listener] = []
        self._connections: dict[asyncio.Task[None], Connection | None] = {}
        self._spare_fd = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)

    def listen_unix(self, path: str, *, group: str = "docker", mode: int = 0o660) -> None:
        """Listen on a unix socket that root and ``group`` (if it exists) may use.

        Raises:
            Conflict: another engine answers there. InvalidParameter: something else is there.
            OSError: EACCES, ENOENT, ENAMETOOLONG.

        Leaves behind: the socket's file until ``close``.
        """
        os.makedirs(os.path.dirname(path) or ".", mode=0o755, exist_ok=True)
        _clear_stale_socket(path)
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        # The mode must be right from the first moment: a later chmod leaves a window.
        old_mask = os.umask(0o777 & ~mode)
        try:
            sock.bind(path)
        finally:
            os.umask(old_mask)
        with contextlib.suppress(KeyError, PermissionError):
            os.chown(path, -1, grp.getgrnam(group).gr_gid)
        status = os.stat(path)
        self._start(_Listener(sock, path=path, inode=(status.st_dev, status.st_ino)))

    def listen_tcp(
        self,
        host: str,
        port: int,
        *,
        tls: ssl.SSLContext | None = None,
        own_names: Collection[str] = (),
    ) -> int:
        """Listen on an address.

        Args:
            host: an IP address or a name.
            port: 0 picks one.
            tls: from ``make_server_context``; clients need no certificate on loopback only.
            own_names: host names that clients without TLS may use for this engine.

        Returns:
            The port.

        Raises:
            Forbidden: clients would not be authenticated. OSError: EADDRINUSE, EADDRNOTAVAIL.
        """
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        verified = tls is not None and tls.verify_mode == ssl.CERT_REQUIRED
        if not verified:
            _check_loopback(str(address[0]))
            logger.warning("every user of this machine is root by tcp://%s:%s", *address[:2])
        sock = socket.socket(family, kind, protocol)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
        names = frozenset({ANY_NAME} if tls else (name.lower() for name in own_names))
        self._start(_Listener(sock, tls=tls, own_names=names))
        return int(sock.getsockname()[1])

    def listen_inherited(self, sock: socket.socket) -> None:
        """Listen on a socket that somebody bound already (socket activation); unix only."""
        if sock.family != socket.AF_UNIX:
            raise InvalidParameter("only unix sockets can be inherited")
        self._start(_Listener(sock))

    def _start(self, listener: _Listener) -> None:
        listener.sock.setblocking(False)
        listener.sock.listen(512)
        self._listeners.append(listener)
        asyncio.get_running_loop().add_reader(listener.sock, self._accept, listener)

    async def close(
        self, *, grace_s: float = 5.0, before_cut: Callable[[], None] = lambda: None
    ) -> None:
        """Stop listening, let running requests end for ``grace_s``, then cut the rest.

        ``before_cut`` frees what the rest may be waiting for in other threads.

        Streams (events, logs, waits) would not end by themselves and are cut at once; a ``wait``
        that was handed to a shim is answered by the shim.
        """
        loop = asyncio.get_running_loop()
        for listener in self._listeners:
            loop.remove_reader(listener.sock)
            listener.sock.close()
            _unlink_own(listener)
        self._listeners.clear()
        for task, connection in self._connections.items():
            if connection is None or connection.idle or connection.streaming:
                task.cancel()
        if self._connections:
            await asyncio.wait(list(self._connections), timeout=grace_s)
        before_cut()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        os.close(self._spare_fd)

    # -- accepting -------------------------------------------------------------------------

    def _accept(self, listener: _Listener) -> None:
        for _ in range(64):
            try:
                sock, _ = listener.sock.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno in (errno.EMFILE, errno.ENFILE):
                    self._refuse_without_fd(listener)
                else:
                    logger.exception("accept failed")
                return
            self._admit(sock, listener)

    def _refuse_without_fd(self, listener: _Listener) -> None:
        """Take the waiting client off the queue by a spare descriptor, or accept(2) would spin."""
        logger.error("a client is turned away: no file descriptor left")
        os.close(self._spare_fd)
        with contextlib.suppress(OSError):
            sock, _ = listener.sock.accept()
            self._turn_away(sock, "the engine has no file descriptor left: try again")
        self._spare_fd = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)

    def _turn_away(self, sock: socket.socket, message: str) -> None:
        answer = error_answer(503, message)
        head = self._heads.head(503, answer.content_type, (), length=len(answer.body), close=True)
        with contextlib.suppress(OSError):
            sock.setblocking(False)
            sock.send(head + answer.body)
        sock.close()

    def _admit(self, sock: socket.socket, listener: _Listener) -> None:
        if len(self._connections) >= self._max_connections and not self._drop_idle():
            self._turn_away(sock, f"the engine serves {self._max_connections} connections already")
            return
        sock.setblocking(False)
        if listener.own_names is not None:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        loop = asyncio.get_running_loop()
        task = loop.create_task(self._serve(sock, listener), name="api connection")
        self._connections[task] = None
        task.add_done_callback(self._forget)

    def _drop_idle(self) -> bool:
        """Close the oldest connection on which nothing goes on."""
        for task, connection in self._connections.items():
            if connection is not None and connection.idle:
                task.cancel()
                del self._connections[task]
                return True
        return False

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._connections.pop(task, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("a connection's task failed", exc_info=error)

    async def _serve(self, sock: socket.socket, listener: _Listener) -> None:
        peer = _peer_name(sock)
        transport: Transport
        if listener.tls is None:
            transport = SocketTransport(sock, peer)
        else:
            transport = tls = TlsTransport(sock, peer, listener.tls)
            try:
                await tls.handshake()
            except (ssl.SSLError, OSError, TimeoutError) as error:
                logger.warning("TLS handshake with %s failed: %s", peer, error)
                tls.close()
                return
        connection = Connection(
            transport, self._application, self._heads, own_names=listener.own_names
        )
        task = asyncio.current_task()
        if task is not None and task in self._connections:
            self._connections[task] = connection
        await connection.run()


def _peer_name(sock: socket.socket) -> str:
    if sock.family == socket.AF_UNIX:
        raw = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        pid, uid, _ = struct.unpack("iII", raw)
        return f"uid {uid} pid {pid}"
    try:
        return str(sock.getpeername()[0])
    except OSError:
        return "gone"


def _check_loopback(address: str) -> None:
    if not ipaddress.ip_address(address.partition("%")[0]).is_loopback:
        raise Forbidden(
            f"refusing to listen on {address} without --tlsverify: "
            "anyone who reaches it would be root on this machine"
        )


def _clear_stale_socket(path: str) -> None:
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(status.st_mode):
        raise InvalidParameter(f"can't listen on {path}: it exists and is no socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        try:
            probe.connect(path)
        except (ConnectionRefusedError, FileNotFoundError):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
            return
        except OSError:
            pass
    raise Conflict(f"can't listen on {path}: another engine answers there")


def _unlink_own(listener: _Listener) -> None:
    """Remove the socket's file unless a later engine has put its own there."""
    if not listener.path:
        return
    with contextlib.suppress(FileNotFoundError):
        status = os.lstat(listener.path)
        if (status.st_dev, status.st_ino) == listener.inode:
            os.unlink(listener.path)
