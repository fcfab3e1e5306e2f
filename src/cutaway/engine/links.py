"""The engine's asyncio side of the connections to its launcher and its shims.

``shim.client`` speaks the protocol and never waits; a ``Link`` polls it by the event loop, joins
replies to the requests that wait for them, and hands events on in order.
"""

import asyncio
import os
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

from cutaway import errors
from cutaway.shim.client import Client
from cutaway.shim.protocol import Event, Message, Reply

EventHandler = Callable[[Event, tuple[int, ...]], None]


class ShimFailed(errors.CutawayError):
    """A shim or the launcher said that something did not work; raised as one of its categories.

    Attributes:
        stage: which part of the start it was in.
        number: errno, or 0.
        exit_code: what ``docker run`` shall exit with: 125, 126 or 127.
    """

    def __init__(self, facts: dict[str, Any]) -> None:
        super().__init__(str(facts.get("message", "unknown failure")))
        self.stage = str(facts.get("stage", ""))
        self.number = int(facts.get("errno") or 0)
        self.hint = str(facts.get("hint") or "")
        self.exit_code = int(facts.get("exit_code") or 125)


class ShimRefused(ShimFailed, errors.InvalidParameter):
    """The request can't work as it is: the program, the user, a limit."""


class ShimConflict(ShimFailed, errors.Conflict):
    """The container's state forbids the request."""


class ShimForbidden(ShimFailed, errors.Forbidden):
    """This machine does not give the privilege."""


class ShimLacks(ShimFailed, errors.NotImplemented):
    """This machine, or cutaway, has no such thing."""


class ShimNotFound(ShimFailed, errors.NotFound):
    """The named thing does not exist."""


class ShimBroken(ShimFailed, errors.System):
    """The machine or the shim failed."""


_CATEGORIES: dict[str, type[ShimFailed]] = {
    "InvalidParameter": ShimRefused,
    "Conflict": ShimConflict,
    "Forbidden": ShimForbidden,
    "NotImplemented": ShimLacks,
    "NotFound": ShimNotFound,
}


def remote_failure(facts: dict[str, Any]) -> ShimFailed:
    """Return the error that a reply or a ``failed`` event tells, in its category."""
    if int(facts.get("exit_code") or 0) in (126, 127):
        return ShimRefused(facts)
    return _CATEGORIES.get(str(facts.get("category", "")), ShimBroken)(facts)


class ShimLost(errors.System):
    """The connection ended before the answer came: the shim or launcher has died."""


class Link:
    """One connection, polled by the running event loop."""

    def __init__(self, client: Client, on_event: EventHandler, on_end: Callable[[], None]) -> None:
        """Begin to listen.

        Args:
            client: now the link's own.
            on_event: called for every event; owns the descriptors that come with it.
            on_end: called once, when the peer has closed or died.
        """
        self._client = client
        self._on_event = on_event
        self._on_end = on_end
        self._waiting: dict[int, asyncio.Future[tuple[Any, tuple[int, ...]]]] = {}
        self._loop = asyncio.get_running_loop()
        self._fd = client.fileno()
        self._loop.add_reader(self._fd, self._read)
        self._writing = False
        self._ended = False

    @property
    def ended(self) -> bool:
        """The peer is gone."""
        return self._ended

    def post(self, message: Message, fds: tuple[int, ...] = ()) -> None:
        """Send a request whose reply nobody waits for."""
        self._client.request(message, fds)
        self._after_send()

    def acknowledge(self, seq: int) -> None:
        """Tell the shim that events up to ``seq`` are stored."""
        if not self._ended:
            self._client.acknowledge(seq)
            self._after_send()

    async def request(self, message: Message, fds: tuple[int, ...] = ()) -> Any:
        """Send a request and return its result; descriptors of the reply are closed.

        Raises:
            ShimFailed: the peer refused or failed. ShimLost: it died.
        """
        result, received = await self.exchange(message, fds)
        for fd in received:
            os.close(fd)
        return result

    def exchange(
        self, message: Message, fds: tuple[int, ...] = ()
    ) -> Coroutine[Any, Any, tuple[Any, tuple[int, ...]]]:
        """Send a request now; to be awaited before anything else is, for its result.

        Returns:
            The result, and the descriptors that came with it, which are the caller's.
        """
        return self.expect(self._client.request(message, fds))

    async def expect(self, request_id: int) -> tuple[Any, tuple[int, ...]]:
        """Wait for the reply to a request that was sent by the client itself."""
        if self._ended:
            raise ShimLost("the shim has ended")
        future: asyncio.Future[tuple[Any, tuple[int, ...]]] = self._loop.create_future()
        self._waiting[request_id] = future
        self._after_send()
        try:
            return await future
        finally:
            self._waiting.pop(request_id, None)

    def poll(self) -> None:
        """Take in what has arrived already, without waiting for the loop's next turn."""
        if not self._ended:
            self._read()

    def _after_send(self) -> None:
        if self._client.at_end:
            self._loop.call_soon(self._end)
        elif self._client.wants_write and not self._writing:
            self._writing = True
            self._loop.add_writer(self._fd, self._write)

    def _write(self) -> None:
        self._client.flush()
        if not self._client.wants_write:
            self._writing = False
            self._loop.remove_writer(self._fd)
        if self._client.at_end:
            self._end()

    def _read(self) -> None:
        for message, fds in self._client.read():
            if isinstance(message, Reply):
                self._reply(message, fds)
            else:
                self._on_event(message, fds)
        if self._client.at_end:
            self._end()

    def _reply(self, reply: Reply, fds: tuple[int, ...]) -> None:
        future = self._waiting.pop(reply.id, None)
        if future is None or future.done():
            for fd in fds:
                os.close(fd)
            return
        if reply.error is None:
            future.set_result((reply.result, fds))
        else:
            future.set_exception(remote_failure(reply.error))

    def _end(self) -> None:
        if self._ended:
            return
        self._detach()
        self._client.close()
        self._on_end()

    def _detach(self) -> None:
        self._ended = True
        for future in list(self._waiting.values()):
            if not future.done():
                future.set_exception(ShimLost("the shim has ended"))
        with suppress(ValueError, OSError):
            self._loop.remove_reader(self._fd)
            self._loop.remove_writer(self._fd)

    def close(self) -> None:
        """Close the connection without calling ``on_end``; a shim lives on."""
        if not self._ended:
            self._detach()
            self._client.close()
