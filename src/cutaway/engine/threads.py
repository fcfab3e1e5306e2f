"""Between blocking code in worker threads and the event loop: progress, bytes in, bytes out.

The image store and the tree workers read and write by plain calls; the API streams. Each bridge
holds little: a slow client holds the worker back, a client that leaves ends it.
"""

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Executor
from typing import Any, Generic, TypeVar

from cutaway.errors import System
from cutaway.images.worker_process import wide_pipe
from cutaway.model import ByteStream

T = TypeVar("T")
# Pieces between a worker and a client: 16 of them are at most a few MiB.
DEPTH = 16
# What is read ahead of a worker that takes a request's body.
READ_AHEAD_BYTES = 4 << 20


class ClientGone(System):
    """The client left while it was being served."""

    def __init__(self) -> None:
        super().__init__("the client has gone")


class Outflow(Generic[T]):
    """What a worker puts and a client takes, at most ``DEPTH`` pieces apart.

    ``put`` and ``is_cancelled`` are for the worker's thread, the rest for the loop's.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._queue: asyncio.Queue[tuple[T] | BaseException | None] = asyncio.Queue()
        self._room = threading.Semaphore(DEPTH)
        self._cancelled = threading.Event()

    def put(self, piece: T) -> None:
        """Hand over a piece, waiting while the client is behind.

        Raises:
            ClientGone: nobody will take it.
        """
        while not self._room.acquire(timeout=0.5):
            if self._cancelled.is_set():
                break
        if self._cancelled.is_set():
            raise ClientGone
        self._loop.call_soon_threadsafe(self._queue.put_nowait, (piece,))

    def is_cancelled(self) -> bool:
        """Say whether the client has left."""
        return self._cancelled.is_set()

    def cancel(self) -> None:
        """Let the worker stop at its next piece."""
        self._cancelled.set()
        self._room.release()

    def finish(self, outcome: BaseException | None) -> None:
        """End the flow; called by the worker's thread."""
        self._loop.call_soon_threadsafe(self._queue.put_nowait, outcome)

    async def first(self) -> tuple[T] | None:
        """Wait for the first piece, or the end; an error at the very beginning is raised here."""
        return await self._take()

    async def _take(self) -> tuple[T] | None:
        item = await self._queue.get()
        if isinstance(item, BaseException):
            raise item
        if item is not None:
            self._room.release()
        return item

    async def all(self) -> AsyncIterator[T]:
        """Yield every piece from the first on."""
        try:
            while (piece := await self._take()) is not None:
                yield piece[0]
        finally:
            self.cancel()

    async def rest(self, first: tuple[T] | None) -> AsyncIterator[T]:
        """Yield every piece; closing the iterator cancels the worker."""
        piece = first
        try:
            while piece is not None:
                yield piece[0]
                piece = await self._take()
        finally:
            self.cancel()


async def flow_out(
    executor: Executor, work: Callable[["Outflow[T]"], Any], *, waits: bool = True
) -> AsyncIterator[T]:
    """Run ``work`` in a thread and return what it puts.

    Args:
        executor: whose thread.
        work: puts pieces.
        waits: for the first piece, so that an early error is raised here.

    Raises:
        Whatever ``work`` raises before its first piece; later errors end the iterator.
    """
    flow: Outflow[T] = Outflow()

    def run() -> None:
        try:
            work(flow)
        except BaseException as error:  # noqa: BLE001, RUF100 - carried to the waiting coroutine
            flow.finish(error)
        else:
            flow.finish(None)

    asyncio.get_running_loop().run_in_executor(executor, run)
    if not waits:
        return flow.all()
    try:
        first = await flow.first()
    except BaseException:
        flow.cancel()
        raise
    return flow.rest(first)


class Inflow:
    """A request's body as a blocking reader, for a worker's thread; close it in the end.

    A task reads ahead, so that the worker seldom waits and takes much at once: one turn of the
    loop for each small piece would cost more than the piece.
    """

    def __init__(self, body: ByteStream) -> None:
        self._loop = asyncio.get_running_loop()
        self._arrived = threading.Condition()  # guards everything below but `_room`
        self._gathered = bytearray()
        self._is_ended = False
        self._is_waiting_for_room = False
        self._error: BaseException | None = None
        self._room = asyncio.Event()
        self._pump = self._loop.create_task(self._read_ahead(body))
        # Not told by the task itself: one that is cancelled before its first step tells nothing.
        self._pump.add_done_callback(self._body_ended)

    def __enter__(self) -> "Inflow":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def _read_ahead(self, body: ByteStream) -> None:
        async for piece in body:
            with self._arrived:
                self._gathered += piece
                self._is_waiting_for_room = len(self._gathered) >= READ_AHEAD_BYTES
                self._room.clear()
                self._arrived.notify()
            if self._is_waiting_for_room:
                await self._room.wait()

    def _body_ended(self, pump: asyncio.Task[None]) -> None:
        error = asyncio.CancelledError() if pump.cancelled() else pump.exception()
        with self._arrived:
            self._is_ended, self._error = True, error
            self._arrived.notify()

    def read(self, size: int) -> bytes:
        """Return up to ``size`` bytes, at least one; nothing at the end.

        Raises:
            ClientGone: the connection broke in the middle.
        """
        with self._arrived:
            while not (self._gathered or self._is_ended):
                self._arrived.wait()
            piece = bytes(self._gathered[:size])
            del self._gathered[:size]
            has_room = len(self._gathered) < READ_AHEAD_BYTES // 2
            if self._is_waiting_for_room and has_room:
                self._is_waiting_for_room = False
                self._loop.call_soon_threadsafe(self._room.set)
            if not piece and self._error is not None:
                raise ClientGone from self._error
        return piece

    def close(self) -> None:
        """Stop reading ahead; any thread, harmless when the body has ended."""
        self._loop.call_soon_threadsafe(self._pump.cancel)


async def read_by_pipe(executor: Executor, body: ByteStream, read: Callable[[int], T]) -> T:
    """Let blocking code, or a process that it starts, read a request's body from a pipe.

    The loop writes what it receives: a thread between the two would cost more than the bytes.

    Args:
        executor: whose thread calls ``read``.
        body: what is left of it when ``read`` returns is not wanted.
        read: gets the pipe's descriptor. Where the body breaks, the pipe ends.

    Raises:
        What broke the body; else whatever ``read`` raises. A cancellation only when ``read`` has
        met the pipe's end and returned: who cleans up behind it must not do so while it writes.
    """
    read_fd, write_fd = wide_pipe()

    def work() -> T:
        try:
            return read(read_fd)
        finally:
            os.close(read_fd)

    loop = asyncio.get_running_loop()
    pouring = loop.create_task(_pour(body, write_fd))
    # Not closed by the task itself: one that is cancelled before its first step does nothing.
    pouring.add_done_callback(lambda _: os.close(write_fd))
    reading = loop.run_in_executor(executor, work)
    try:
        return await asyncio.shield(reading)
    finally:
        pouring.cancel()
        await asyncio.wait({pouring})  # closes the pipe, whose end the reader meets
        await asyncio.wait({reading})
        failure = None if pouring.cancelled() else pouring.exception()
        if failure is not None:
            raise failure  # what the reader met is only the consequence


async def _pour(body: ByteStream, write_fd: int) -> None:
    os.set_blocking(write_fd, False)
    async for piece in body:
        view = memoryview(piece)
        while view:
            try:
                view = view[os.write(write_fd, view) :]
            except BlockingIOError:
                await _writable(write_fd)
            except BrokenPipeError:
                return  # the reader has met an error of its own, which is the one that is told


async def _writable(fd: int) -> None:
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_writer(fd, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_writer(fd)
