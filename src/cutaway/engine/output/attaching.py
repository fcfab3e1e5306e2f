"""``docker attach`` and ``docker logs``: the client's socket goes to the shim, the past is read.

The engine is in no data path: it checks, ends the HTTP part, and hands the descriptor over.
"""

import asyncio
import base64
import os
import secrets
import socket
import time
from contextlib import suppress

from cutaway.engine.container import Container, PendingAttach
from cutaway.engine.core import Core
from cutaway.engine.lifecycle import Status
from cutaway.engine.output.log_settings import log_settings
from cutaway.errors import Conflict, InvalidParameter
from cutaway.errors import NotImplemented as Unsupported
from cutaway.model import AttachOptions, ByteStream, LogsOptions, LogStream, Upgrade
from cutaway.shim.logs.reader import LogReader, ReadOptions
from cutaway.shim.protocol import Attach

DEFAULT_DETACH_KEYS = "ctrl-p,ctrl-q"
_FOLLOW_PAUSE_S = 0.5
FIRST_WORDS_NS = 100_000_000


async def attach(
    core: Core, container: Container, options: AttachOptions, upgrade: Upgrade
) -> None:
    """Join a client's connection to a container's streams.

    Raises:
        Conflict: it is paused or about to restart.
    """
    status = container.state.status
    if status is Status.PAUSED:
        raise Conflict(f"container {container.id} is paused, unpause the container before attach")
    if status is Status.RESTARTING:
        raise Conflict(
            f"container {container.id} is restarting, wait until the container is running"
        )
    keys = DEFAULT_DETACH_KEYS if options.detach_keys is None else options.detach_keys
    check_detach_keys(keys)
    with container.promise():
        connection = await upgrade(tty=container.config.tty)
        message = Attach(
            secrets.token_hex(8),
            stdin=options.stdin and container.config.open_stdin,
            stdout=options.stdout,
            stderr=options.stderr,
            logs=options.logs,
            stream=options.stream,
            detach_keys=keys,
            early_input=base64.b64encode(connection.unread).decode(),
        )
        is_past = not _join(core, container, message, connection.fd)
    if is_past:
        try:
            await _replay(core, container, options, connection.fd)
        finally:
            os.close(connection.fd)


def _join(core: Core, container: Container, message: Attach, fd: int) -> bool:
    """Give a connection, or a copy of it, to who writes to it now, or will; say if all is done.

    Meanwhile the container may have started, ended or gone: the client took its time to read.
    """
    if container.id not in core.containers:
        return False
    if message.stream:
        core.commit(container, told=[("attach", {})])
    if container.shim is not None and _is_served(container):
        container.shim.post(message, (fd,))
        os.close(fd)
        return True
    if container.state.status is Status.CREATED:
        container.attaches.append(PendingAttach(message, fd))
        return True
    if message.stream:
        container.attaches.append(PendingAttach(message, os.dup(fd)))
    return False


def _is_served(container: Container) -> bool:
    """Whether the shim has a run, or is making one; else it cleans up behind the last."""
    return _writes(container) or container.early is not None


async def _replay(core: Core, container: Container, options: AttachOptions, fd: int) -> None:
    """Write what the log of a container that does not run holds."""
    if not options.logs or container.id not in core.containers:
        return
    past = LogsOptions(stdout=options.stdout, stderr=options.stderr)
    loop = asyncio.get_running_loop()
    connection = _borrow(fd)
    try:
        async for chunk in _chunks(core, container, past):
            await loop.sock_sendall(connection, chunk)
    except OSError:
        return  # the client has gone
    finally:
        connection.close()


def _borrow(fd: int) -> socket.socket:
    return socket.socket(fileno=os.dup(fd))


def check_detach_keys(text: str) -> None:
    r"""Check ``ctrl-p,ctrl-q``: letters, or ``ctrl-`` and one of ``a-z@[]^_\\``.

    Raises:
        InvalidParameter: anything else.
    """
    for key in text.split(",") if text else ():
        control = key.removeprefix("ctrl-")
        if key.startswith("ctrl-") and len(control) == 1 and control.lower() in _CONTROLS:
            continue
        if len(key) == 1:
            continue
        raise InvalidParameter(f"Invalid escape keys ({text}) provided")


_CONTROLS = frozenset("abcdefghijklmnopqrstuvwxyz@[]\\^_")


async def read_logs(core: Core, container: Container, options: LogsOptions) -> LogStream:
    """Open a container's output for reading.

    Raises:
        InvalidParameter: neither stream was chosen. NotImplemented: the driver keeps nothing.
    """
    if not (options.stdout or options.stderr):
        raise InvalidParameter("Bad parameters: you must choose at least one stream")
    if log_settings(core, container).driver == "none":
        raise Unsupported("configured logging driver does not support reading")
    return LogStream(tty=container.config.tty, chunks=_chunks(core, container, options))


async def _chunks(core: Core, container: Container, options: LogsOptions) -> ByteStream:
    reader = LogReader(
        log_settings(core, container),
        ReadOptions(
            stdout=options.stdout,
            stderr=options.stderr,
            since_ns=options.since_ns,
            until_ns=options.until_ns,
            tail=-1 if options.tail is None else options.tail,
            timestamps=options.timestamps,
            details=options.details,
            follow=options.follow,
        ),
        framed=not container.config.tty,
    )
    if not options.follow:
        await _let_it_speak(container)
    chunks = reader.chunks()
    ended = False
    while (chunk := await core.in_thread(next, chunks, None)) is not None:
        if chunk:
            yield chunk
        elif ended:
            reader.finish()
        else:
            # Look once more after the end was seen: the last lines are then certainly there.
            ended = container.cleaned.is_set() or not _writes(container)
            if not ended:
                await core.in_thread(reader.wait, _FOLLOW_PAUSE_S)


async def _let_it_speak(container: Container) -> None:
    """Give a container that was started just now a moment to write.

    dockerd takes so long to start one that scripts read its output straight after, and find it.
    """
    until_ns = container.state.started_ns + FIRST_WORDS_NS
    while container.is_alive and time.time_ns() < until_ns:
        await asyncio.sleep(0.005)
    if time.time_ns() < until_ns:
        with suppress(TimeoutError):
            await asyncio.wait_for(container.cleaned.wait(), FIRST_WORDS_NS / 1e9)


def _writes(container: Container) -> bool:
    return container.is_alive or container.state.status is Status.RESTARTING
