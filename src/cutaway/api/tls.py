"""TLS with both directions ended separately.

asyncio's own TLS closes its writing side as soon as the client sends close_notify, so ``echo x |
docker --tls exec -i C cat`` would print nothing. Here ``ssl.MemoryBIO`` is pumped by hand: the
client's close_notify ends only what it sends.

A hijacked TLS connection is handed on as one end of a socketpair; ``_Pump`` carries the bytes.

Source: RFC 8446, 6.1 ("Each party MUST send a close_notify … this does not have any effect on its
read side"); the project's rules 3.2 on who may listen.
"""

import asyncio
import contextlib
import os
import socket
import ssl
import stat
from collections.abc import Callable

from cutaway.api.limits import HANDSHAKE_TIMEOUT_S, RECEIVE_BYTES
from cutaway.api.transport import ClientGone, Readiness, receive_some, send_all, settle_socket
from cutaway.errors import InvalidParameter


def make_server_context(certificate: str, key: str, client_ca: str | None) -> ssl.SSLContext:
    """Return the TLS settings of a listener.

    Args:
        certificate: PEM file with the chain.
        key: PEM file; nobody but its owner may read it.
        client_ca: PEM file; clients must show a certificate for client authentication that it
            signed (``--tlsverify``). None: any client is let in (``--tls``).

    Raises:
        InvalidParameter: the key is readable by others, or a file is no PEM.
        OSError: a file can't be read.
    """
    mode = os.stat(key).st_mode
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise InvalidParameter(
            f"the TLS key {key} can be read by others (mode {mode & 0o777:04o}): chmod 0600 {key}"
        )
    # PROTOCOL_TLS_SERVER with a CA checks the purpose too: a certificate whose extended key usage
    # is only serverAuth is refused.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(certificate, key)
        if client_ca is not None:
            context.load_verify_locations(client_ca)
            context.verify_mode = ssl.CERT_REQUIRED
    except ssl.SSLError as error:
        raise InvalidParameter(f"can't use the TLS files {certificate}, {key}: {error}") from error
    return context


class TlsTransport:
    """A TCP connection inside TLS."""

    def __init__(self, sock: socket.socket, peer: str, context: ssl.SSLContext) -> None:
        self.peer = peer
        self.shared = False
        self._sock = sock
        self._readiness = Readiness(sock)
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._early = b""
        self._sending = asyncio.Lock()  # records must reach the socket whole and in order
        self._watching = False
        self._detached = False

    async def handshake(self) -> None:
        """Agree on keys and check the client's certificate.

        Raises:
            ssl.SSLError: no common version, or the certificate is missing or refused; the alert
                that says so has been sent.
            TimeoutError: the client took longer than 10 s.
            OSError: the client has gone.
        """
        async with asyncio.timeout(HANDSHAKE_TIMEOUT_S):
            while True:
                try:
                    self._tls.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    await self._flush()
                    await self._fill()
                except ssl.SSLError:
                    await self._flush()
                    raise
            await self._flush()

    async def _flush(self) -> None:
        if self._outgoing.pending:
            async with self._sending:
                await send_all(self._sock, self._readiness, self._outgoing.read())

    async def _fill(self) -> None:
        data = await receive_some(self._sock, self._readiness)
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()

    def _decrypt(self) -> bytes | None:
        """Return plain bytes, empty at the client's end, None when more must come first."""
        try:
            return self._tls.read(RECEIVE_BYTES)
        except ssl.SSLWantReadError:
            return None
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            return b""

    async def receive(self) -> bytes:
        """See ``Transport``."""
        self.unwatch()
        if self._early:
            data, self._early = self._early, b""
            return data
        try:
            while (plain := self._decrypt()) is None:
                await self._flush()  # a key update may want an answer
                await self._fill()
        except ssl.SSLError as error:
            raise ClientGone(f"broken TLS: {error}") from error
        return plain

    async def send(self, data: bytes) -> None:
        """See ``Transport``."""
        view = memoryview(data)
        while view:
            view = view[self._tls.write(view[: 1 << 20]) :]
            await self._flush()

    async def end_sending(self) -> None:
        """Send close_notify: nothing more comes from us; what the client sends is still read."""
        with contextlib.suppress(ssl.SSLWantReadError, ssl.SSLError):
            self._tls.unwrap()
        await self._flush()
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_WR)

    def watch(self, gone: Callable[[], None]) -> None:
        """See ``Transport``."""
        self._watching = True
        self._readiness.on_readable(lambda: self._peek(gone))

    def _peek(self, gone: Callable[[], None]) -> None:
        try:
            data = self._sock.recv(RECEIVE_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self._incoming.write(data)
            plain = self._decrypt()
            if plain is None:
                return
            if plain:
                self._early += plain
                self.unwatch()
                return
        self.unwatch()
        gone()

    def unwatch(self) -> None:
        """See ``Transport``."""
        if self._watching:
            self._watching = False
            self._readiness.forget()

    async def settle(self) -> None:
        """See ``Transport``."""
        await settle_socket(self._sock)

    def duplicate(self) -> int | None:
        """See ``Transport``: nobody else has the keys."""
        return None

    async def detach(self, unread: bytes) -> tuple[int, bytes]:
        """See ``Transport``: one end of a socketpair.

        Leaves behind: a task that carries bytes until both directions have ended.
        """
        self.unwatch()
        self._detached = True
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.setblocking(False)
        pump = _Pump(self, ours)
        pump.start()
        return theirs.detach(), unread

    def close(self) -> None:
        """See ``Transport``."""
        if not self._detached:
            self.close_socket()

    def close_socket(self) -> None:
        """Close the TCP connection, whoever has it."""
        self.unwatch()
        with contextlib.suppress(ssl.SSLError, OSError):
            self._tls.unwrap()
        with contextlib.suppress(OSError):
            if self._outgoing.pending:
                self._sock.send(self._outgoing.read())
            self._sock.shutdown(socket.SHUT_WR)
        self._sock.close()


class _Pump:
    """Carries a hijacked TLS connection to and from a socketpair, each direction on its own."""

    running: set[asyncio.Task[None]] = set()  # noqa: RUF012 - the loop keeps only weak references

    def __init__(self, tls: TlsTransport, pair: socket.socket) -> None:
        self._tls = tls
        self._pair = pair
        self._in_readiness = Readiness(pair)

    def start(self) -> None:
        """Begin in a task of its own."""
        task = asyncio.get_running_loop().create_task(self._run(), name="tls pump")
        _Pump.running.add(task)
        task.add_done_callback(_Pump.running.discard)

    async def _run(self) -> None:
        inward = asyncio.create_task(self._carry_in())
        try:
            # The output decides: when the container's side is closed, nobody reads input either.
            await self._carry_out()
        except OSError:
            pass
        finally:
            inward.cancel()
            await asyncio.gather(inward, return_exceptions=True)
            self._pair.close()
            self._tls.close_socket()

    async def _carry_in(self) -> None:
        with contextlib.suppress(OSError):
            while data := await self._tls.receive():
                await send_all(self._pair, self._in_readiness, data)
        with contextlib.suppress(OSError):
            self._pair.shutdown(socket.SHUT_WR)

    async def _carry_out(self) -> None:
        while data := await receive_some(self._pair, self._in_readiness):
            await self._tls.send(data)
        await self._tls.end_sending()
