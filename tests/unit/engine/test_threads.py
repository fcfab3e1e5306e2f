"""Bytes between the loop and a worker's thread."""

import asyncio
import gc
import os
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from cutaway.engine.threads import ClientGone, Inflow, read_by_pipe


async def body(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


def read_all(reader: Inflow) -> list[bytes]:
    found = []
    while piece := reader.read(100):
        found.append(piece)
    return found


def test_a_body_comes_whole() -> None:
    async def run() -> bytes:
        with Inflow(body(b"one", b"two")) as reader:
            return b"".join(await asyncio.to_thread(read_all, reader))

    assert asyncio.run(run()) == b"onetwo"


def test_what_breaks_the_body_ends_the_reader() -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"one"
        raise OSError("reset")

    async def run() -> None:
        with Inflow(broken()) as reader:
            await asyncio.to_thread(read_all, reader)

    with pytest.raises(ClientGone) as raised:
        asyncio.run(run())
    assert isinstance(raised.value.__cause__, OSError)


def test_a_loop_that_ends_before_anything_came_ends_the_reader() -> None:
    async def run() -> None:
        reader = Inflow(body(b"one"))
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()  # before its first step
        await asyncio.wait_for(asyncio.to_thread(read_all, reader), 10)

    with pytest.raises(ClientGone):
        asyncio.run(run())


def read_pipe(body: AsyncIterator[bytes], size: int = 1 << 30) -> bytes:
    """Read up to ``size`` bytes of a body from a pipe; count descriptors before and after."""

    def read(fd: int) -> bytes:
        found = b""
        while len(found) < size and (piece := os.read(fd, 1 << 16)):
            found += piece
        return found

    async def run() -> bytes:
        with ThreadPoolExecutor(1) as executor:
            gc.collect()  # what earlier tests have left is closed before, not meanwhile
            before = len(os.listdir("/proc/self/fd"))
            try:
                return await read_by_pipe(executor, body, read)
            finally:
                assert len(os.listdir("/proc/self/fd")) <= before

    return asyncio.run(run())


def test_a_body_comes_whole_by_a_pipe_that_is_smaller() -> None:
    large = b"0123456789abcdef" * 100_000
    assert read_pipe(body(b"one", large, b"two")) == b"one" + large + b"two"


def test_what_a_reader_of_a_pipe_does_not_want_is_no_error() -> None:
    assert read_pipe(body(b"one", b"x" * 5_000_000), size=3).startswith(b"one")


def test_what_breaks_a_body_is_told_not_what_the_reader_met() -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"one"
        raise OSError("reset")

    with pytest.raises(OSError, match="reset"):
        read_pipe(broken())


def test_a_cancellation_waits_for_the_reader_and_leaves_no_descriptor() -> None:
    async def endless() -> AsyncIterator[bytes]:
        yield b"one"
        await asyncio.Event().wait()

    done: list[bytes] = []

    def read(fd: int) -> None:
        done.append(b"".join(iter(lambda: os.read(fd, 1 << 16), b"")))

    async def run() -> None:
        occupied = threading.Event()
        with ThreadPoolExecutor(1) as executor:
            gc.collect()
            before = len(os.listdir("/proc/self/fd"))
            executor.submit(occupied.wait, 10)  # the reader has no thread yet
            task = asyncio.create_task(read_by_pipe(executor, endless(), read))
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.sleep(0)
            occupied.set()
            await asyncio.wait({task})
            assert task.cancelled()
            assert len(done) == 1
            assert len(os.listdir("/proc/self/fd")) == before

    asyncio.run(run())
