"""The engine's connection to a shim: whoever waits for an answer gets one, or hears why not."""

import asyncio
import socket

import pytest

from cutaway.engine.links import Link, ShimLost
from cutaway.shim.client import ShimClient
from cutaway.shim.protocol import Pause


@pytest.mark.parametrize("end", ["closed by the engine", "ended by the shim"])
def test_a_request_under_way_fails_when_the_connection_ends(end: str) -> None:
    async def play() -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ended: list[bool] = []
        link = Link(ShimClient(ours), lambda event, fds: None, lambda: ended.append(True))
        waiting = asyncio.ensure_future(link.request(Pause()))
        await asyncio.sleep(0)
        with theirs:
            if end == "closed by the engine":
                link.close()
            else:
                theirs.close()
            with pytest.raises(ShimLost):
                await asyncio.wait_for(waiting, 5)
        # Who closes knows; the end of the shim is told.
        assert ended == ([] if end == "closed by the engine" else [True])

    asyncio.run(play())
