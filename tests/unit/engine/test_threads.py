"""Bytes between the loop and a worker's thread."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from cutaway.engine.threads import ClientGone, Inflow


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
