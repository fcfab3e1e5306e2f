"""One client's connection: requests in, answers out, until it ends or is given away.

::

    idle ──first byte──▶ head ──empty line──▶ handler ──▶ answer ──▶ idle (keep-alive)
      │ 120 s              │ 10 s               │            └──────▶ closed
      ▼                    ▼                    └─ hijack ──▶ given away
    closed            408, closed

The handler runs in the connection's own task. While a route that ``streams`` runs, the connection
is watched, and the client's leaving cancels the handler.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Collection
from typing import Any

import h11

from cutaway.api.application import Application, Found
from cutaway.api.head import (
    HTTP2_PREFACE,
    HTTP2_REFUSAL,
    BadHead,
    check_head,
    find_head_end,
)
from cutaway.api.limits import (
    DRAIN_BYTES,
    HEAD_BYTES,
    HEAD_TIMEOUT_S,
    IDLE_TIMEOUT_S,
    JSON_BODY_TIMEOUT_S,
    LINGER_BYTES,
    LINGER_S,
)
from cutaway.api.origin import check_origin
from cutaway.api.response import JSON, Answer, Response, Streamed, Taken, error_answer
from cutaway.api.status import StatusError
from cutaway.api.transport import ClientGone, Transport
from cutaway.api.wire import CONTINUE, LAST_CHUNK, WAIT_TEMPLATE, HeadWriter, chunk
from cutaway.errors import CutawayError, InvalidParameter
from cutaway.model import HijackedConnection, PendingAnswer

logger = logging.getLogger("cutaway.api")


class Connection:
    """Serves one client.

    ``idle`` tells that no request is under way, ``streaming`` that the last one may end any time.

    Args:
        transport: its bytes; closed at the end unless given away.
        application: answers requests.
        heads: writes heads.
        own_names: on TCP, the host names of this engine, for the check against web pages; None on
            a unix socket.
    """

    def __init__(
        self,
        transport: Transport,
        application: Application,
        heads: HeadWriter,
        *,
        own_names: Collection[str] | None,
    ) -> None:
        self.transport = transport
        self.heads = heads
        self.idle = True
        self.streaming = False
        self._application = application
        self._own_names = own_names
        self._buffer = b""
        self._gone = False

    async def run(self) -> None:
        """Serve until the client leaves, errs, idles too long or the connection is given away."""
        try:
            while await self._serve_one():
                pass
        except (ClientGone, TimeoutError):
            pass  # the client has gone, or said nothing for too long: nobody is left to tell
        except asyncio.CancelledError:
            if not self._gone:
                raise
        finally:
            self.transport.close()

    async def _serve_one(self) -> bool:
        try:
            head_end = await self._read_head()
            if head_end is None:
                return False
            if self._buffer.startswith(HTTP2_PREFACE):
                await self.transport.send(HTTP2_REFUSAL)
                return False
            exchange = self._parse(head_end)
        except BadHead as error:
            await self._refuse_head(error.status, str(error))
            return False
        except h11.RemoteProtocolError as error:
            await self._refuse_head(error.error_status_hint, f"malformed request: {error}")
            return False
        return await self._exchange(exchange)

    async def _read_head(self) -> int | None:
        """Read until a whole head is buffered; return its length, None at the client's end."""
        self.idle = not self._buffer
        if not self._buffer:
            async with asyncio.timeout(IDLE_TIMEOUT_S):
                self._buffer = await self.transport.receive()
            if not self._buffer:
                return None
        self.idle = False
        end = find_head_end(self._buffer)
        if end is not None:
            return end
        try:
            async with asyncio.timeout(HEAD_TIMEOUT_S):
                while end is None:
                    more = await self.transport.receive()
                    if not more:
                        return None
                    self._buffer += more
                    end = find_head_end(self._buffer)
        except TimeoutError:
            raise BadHead(
                408, f"the request's head took longer than {HEAD_TIMEOUT_S:g} s"
            ) from None
        return end

    def _parse(self, head_end: int) -> "HttpExchange":
        check_head(self._buffer[:head_end])
        parser = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_BYTES)
        parser.receive_data(self._buffer)
        self._buffer = b""
        head = parser.next_event()
        if not isinstance(head, h11.Request):
            raise BadHead(400, "the request has no head")
        if head.http_version not in (b"1.1", b"1.0"):
            raise BadHead(505, f"HTTP/{head.http_version.decode()} is not spoken here: use 1.1")
        return HttpExchange(self, parser, head)

    async def _refuse_head(self, status: int, message: str) -> None:
        answer = error_answer(status, message)
        head = self.heads.head(status, answer.content_type, (), length=len(answer.body), close=True)
        await self.transport.send(head + answer.body)

    async def _exchange(self, exchange: "HttpExchange") -> bool:
        """Answer one request; return whether another may follow on this connection."""
        started = time.monotonic()
        response = await self._respond(exchange)
        if exchange.taken:
            # An error after the hijack has no HTTP to be told in; whoever has the stream tells it.
            self._log(exchange, 101, started)
            return False
        if isinstance(response, Taken):
            response = error_answer(500, "the connection was not taken over by anybody")
        keep = exchange.wants_keep_alive
        try:
            keep = await exchange.send(response)
        finally:
            self._log(exchange, response.status, started)
        if not await exchange.drain(wait=keep):
            return False
        self._buffer = exchange.rest()
        return keep

    async def _respond(self, exchange: "HttpExchange") -> Response:
        if self._own_names is not None:
            try:
                check_origin(exchange.headers, self._own_names)
            except CutawayError as error:
                return self._application.refuse(exchange.method, exchange.target, error)
        found = self._application.find(exchange.method, exchange.target, exchange.headers, exchange)
        if not isinstance(found, Found):
            return found
        self.streaming = found.route.streams
        if self.streaming:
            exchange.watch_when_read()
        return await self._application.serve(found)

    def cancel_when_gone(self, task: "asyncio.Task[Any] | None") -> None:
        """Watch the client from now on; its leaving cancels the task that serves it."""

        def gone() -> None:
            self._gone = True
            if task is not None:
                task.cancel()

        self.transport.watch(gone)

    def _log(self, exchange: "HttpExchange", status: int, started: float) -> None:
        if logger.isEnabledFor(logging.DEBUG):
            logger.debug(
                "%s %s %d %.1f ms [%s]",
                exchange.method,
                exchange.target.partition("?")[0],
                status,
                (time.monotonic() - started) * 1000,
                self.transport.peer,
            )


class HttpExchange:
    """One request and its answer on a connection; the ``Exchange`` that handlers see."""

    def __init__(self, connection: Connection, parser: h11.Connection, head: h11.Request) -> None:
        self.method = head.method.decode("ascii")
        self.target = _origin_form(head.target.decode("latin-1"))
        self.headers: dict[str, str] = {}
        for name, value in head.headers:
            self.headers.setdefault(name.decode("ascii"), value.decode("latin-1"))
        self.http11 = head.http_version != b"1.0"
        self.has_body = (
            "transfer-encoding" in self.headers or self.headers.get("content-length", "0") != "0"
        )
        words = self.headers.get("connection", "").lower()
        self.wants_keep_alive = self.http11 and "close" not in words
        self._connection = connection
        self._transport = connection.transport
        self._parser = parser
        self.taken = False
        self._ended = False
        self._begun = False
        self._watch_wanted = False
        self._serving: asyncio.Task[Any] | None = None

    # -- reading ---------------------------------------------------------------------------

    async def _next_piece(self) -> bytes:
        """Return the next piece of the body; empty at its end.

        Raises:
            InvalidParameter: the chunked coding is broken.
            ClientGone: the client left before its end.
        """
        while not self._ended:
            try:
                event = self._parser.next_event()
                if event is h11.NEED_DATA:
                    await self._feed()
                elif isinstance(event, h11.Data):
                    if event.data:
                        return bytes(event.data)
                else:
                    self._end_body()
            except h11.RemoteProtocolError as error:
                if self._parser.trailing_data[1]:
                    raise ClientGone("the client left in the middle of its body") from None
                raise InvalidParameter(f"malformed request body: {error}") from None
        return b""

    async def _feed(self) -> None:
        if self._parser.they_are_waiting_for_100_continue:
            self._parser.send(h11.InformationalResponse(status_code=100, headers=[]))
            await self._transport.send(CONTINUE)
        self._parser.receive_data(await self._transport.receive())

    def _end_body(self) -> None:
        self._ended = True
        if self._watch_wanted:
            self._connection.cancel_when_gone(self._serving)

    def watch_when_read(self) -> None:
        """Cancel the handler when the client leaves, from the end of its body on."""
        # Whoever reads the body to its end may be another task than the one that serves.
        self._serving = asyncio.current_task()
        if self.has_body:
            self._watch_wanted = True
        else:
            self._connection.cancel_when_gone(self._serving)

    async def body(self) -> AsyncIterator[bytes]:
        """See ``Exchange``."""
        while piece := await self._next_piece():
            yield piece

    async def read_body(self, limit: int) -> bytes:
        """See ``Exchange``."""
        pieces = []
        size = 0
        try:
            async with asyncio.timeout(JSON_BODY_TIMEOUT_S):
                while piece := await self._next_piece():
                    size += len(piece)
                    if size > limit:
                        raise StatusError(413, f"the request's body is longer than {limit} bytes")
                    pieces.append(piece)
        except TimeoutError:
            raise StatusError(
                408, f"the request's body took longer than {JSON_BODY_TIMEOUT_S:g} s"
            ) from None
        return b"".join(pieces)

    async def drain(self, *, wait: bool) -> bool:
        """Read and forget what is left of the body.

        Closing a socket with unread bytes resets it, and the client might lose the answer while it
        still sends: so even when the connection will end, some of the rest is read.

        Args:
            wait: the connection is to be kept; otherwise the client gets 2 s to finish.

        Returns:
            Whether the body has been read to its end.
        """
        if self._ended:
            return True
        if self._parser.they_are_waiting_for_100_continue:
            return False
        size = 0
        try:
            async with asyncio.timeout(JSON_BODY_TIMEOUT_S if wait else LINGER_S):
                while piece := await self._next_piece():
                    size += len(piece)
                    if size > (DRAIN_BYTES if wait else LINGER_BYTES):
                        return False
        except (InvalidParameter, TimeoutError):
            return False
        return True

    def rest(self) -> bytes:
        """Return bytes that were received behind this request: the next one's beginning."""
        return self._parser.trailing_data[0]

    # -- answering -------------------------------------------------------------------------

    async def send(self, response: Answer | Streamed) -> bool:
        """Send an answer; return whether the connection can serve another request."""
        if isinstance(response, Streamed):
            return await self._send_stream(response)
        if self._begun:
            await self._transport.send(chunk(response.body) + LAST_CHUNK)
            self._transport.shared = False  # answered: whoever has a duplicate has no task left
            return self.wants_keep_alive
        keep = self.wants_keep_alive and self._can_drain()
        head = self._connection.heads.head(
            response.status,
            response.content_type,
            response.headers,
            length=len(response.body),
            close=not keep,
        )
        await self._transport.send(head if self.method == "HEAD" else head + response.body)
        self._transport.unwatch()
        return keep

    def _can_drain(self) -> bool:
        """Tell whether what is left of the body will be worth reading, as far as is known."""
        if self._ended or not self.has_body:
            return True
        length = self.headers.get("content-length", "")
        return not length.isdigit() or int(length) <= DRAIN_BYTES

    async def _send_stream(self, response: Streamed) -> bool:
        keep = self.wants_keep_alive and self._ended_or_empty()
        head = self._connection.heads.head(
            response.status,
            response.content_type,
            response.headers,
            length=None,
            close=not keep,
            chunked=self.http11,
        )
        # Clients tell messages apart by their chunks, also behind a body that was not read.
        chunked = keep or self.http11
        try:
            await self._transport.send(head)
            async for piece in response.chunks:
                if piece:
                    await self._transport.send(chunk(piece) if chunked else piece)
        except ClientGone:
            raise
        except Exception as error:
            return await self._end_broken_stream(response, error, chunked=chunked)
        finally:
            self._transport.unwatch()
            close = getattr(response.chunks, "aclose", None)
            if close is not None:
                await close()
        if chunked:
            await self._transport.send(LAST_CHUNK)
        return keep

    def _ended_or_empty(self) -> bool:
        return self._ended or not self.has_body

    async def _end_broken_stream(
        self, response: Streamed, error: Exception, *, chunked: bool
    ) -> bool:
        if not isinstance(error, CutawayError):
            logger.error("%s %s failed half way", self.method, self.target, exc_info=error)
        if response.last_words is None:
            return False  # no last chunk: the client sees that the answer is not whole
        words = response.last_words(error)
        await self._transport.send(chunk(words) + LAST_CHUNK if chunked else words)
        return chunked and self.wants_keep_alive and self._ended_or_empty()

    async def hijack(self, content_type: str) -> HijackedConnection:
        """See ``Exchange``."""
        upgrade = "upgrade" in self.headers
        return await self.take(self._connection.heads.hijack_head(content_type, upgrade=upgrade))

    async def take(self, head: bytes) -> HijackedConnection:
        """See ``Exchange``."""
        while await self._next_piece():
            pass
        self._transport.unwatch()
        await self._transport.send(head)
        await self._transport.settle()
        fd, unread = await self._transport.detach(self.rest())
        self.taken = True
        return HijackedConnection(fd, unread)

    async def begin_wait(self) -> PendingAnswer | None:
        """See ``Exchange``."""
        if not self.http11:
            return None
        head = self._connection.heads.head(
            200, JSON, (), length=None, chunked=True, close=not self.wants_keep_alive
        )
        await self._transport.send(head)
        self._begun = True
        return PendingAnswer(self._transport.duplicate(), WAIT_TEMPLATE)


def _origin_form(target: str) -> str:
    """Return path and query of a target that may be an absolute URL (RFC 9112, 3.2.2)."""
    if target.startswith("http://") or target.startswith("https://"):
        _, _, rest = target.partition("://")
        _, slash, path = rest.partition("/")
        return slash + path if slash else "/"
    return target
