"""A socket in a build's container that leads to an SSH agent of the client.

The agent's own socket belongs to the user who lent it; the command may run as anybody. So it gets
a socket with the owner and mode that its mount asks for, and the engine joins the two.
"""

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Iterator

from cutaway.build.solve.executor import ExecMount
from cutaway.errors import InvalidParameter

_CHUNK_BYTES = 1 << 16


@contextlib.asynccontextmanager
async def agent_socket(path: str, mount: ExecMount) -> AsyncIterator[None]:
    """Listen at ``path`` for an agent's clients until the block ends.

    Raises:
        InvalidParameter: nobody listens at the agent's socket.
    """
    try:
        _, probe = await _connect(mount.directory)
        probe.close()
    except OSError as error:
        raise InvalidParameter(
            f"the SSH agent at {mount.directory} does not answer: {error.strerror}"
        ) from None
    joined: set[asyncio.Task[None]] = set()

    def join(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(_join(mount.directory, reader, writer))
        joined.add(task)
        task.add_done_callback(joined.discard)

    server = await asyncio.start_unix_server(join, sock=_bound(path))
    try:
        os.chown(path, mount.uid, mount.gid)
        os.chmod(path, mount.mode)
        yield
    finally:
        server.close()
        for task in tuple(joined):
            task.cancel()
        await asyncio.gather(*joined, return_exceptions=True)


def _bound(path: str) -> socket.socket:
    bound = socket.socket(socket.AF_UNIX)
    with _short(os.path.dirname(path)) as directory:
        bound.bind(f"{directory}/{os.path.basename(path)}")
    return bound


async def _connect(path: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    with _short(path) as short:
        return await asyncio.open_unix_connection(short)


@contextlib.contextmanager
def _short(path: str) -> Iterator[str]:
    """Have another name of a path until the block ends: a socket's has at most 107 bytes."""
    fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{fd}"
    finally:
        os.close(fd)


async def _join(agent: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        agent_reader, agent_writer = await _connect(agent)
        try:
            await asyncio.gather(_pump(reader, agent_writer), _pump(agent_reader, writer))
        finally:
            agent_writer.close()
            writer.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(_CHUNK_BYTES):
        writer.write(data)
        await writer.drain()
    writer.write_eof()
