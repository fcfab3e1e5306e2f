"""A container's streams: attach, logs, stats, export, and archives (``docker cp``)."""

import base64
from collections.abc import AsyncIterator

import msgspec

from cutaway import model
from cutaway.api.backend import Backends
from cutaway.api.query import Query, parse_timestamp_ns
from cutaway.api.request import Request
from cutaway.api.response import (
    JSON,
    Answer,
    Response,
    Streamed,
    Taken,
    encode,
    json_lines,
)
from cutaway.api.router import Param, Route
from cutaway.api.routes.params import DETACH_KEYS
from cutaway.api.version import Version
from cutaway.api.websocket import serve_websocket
from cutaway.errors import InvalidParameter

RAW = "application/vnd.docker.raw-stream"
MULTIPLEXED = "application/vnd.docker.multiplexed-stream"
TAR = "application/x-tar"


def stream_type(request: Request, *, tty: bool) -> str:
    """Return the media type of a container's output: stdcopy frames have their own since 1.42."""
    return RAW if tty or request.below(1, 42) else MULTIPLEXED


def upgrade_of(request: Request) -> model.Upgrade:
    """Return what ends the HTTP part of this request's connection."""

    async def upgrade(*, tty: bool) -> model.HijackedConnection:
        # Without an Upgrade header the client is of the time when the type was always raw.
        upgrading = "upgrade" in request.headers
        content_type = stream_type(request, tty=tty) if upgrading else RAW
        return await request.exchange.hijack(content_type)

    return upgrade


def _attach_options(query: Query) -> model.AttachOptions:
    return model.AttachOptions(
        stdin=query.flag("stdin"),
        stdout=query.flag("stdout"),
        stderr=query.flag("stderr"),
        logs=query.flag("logs"),
        stream=query.flag("stream"),
        detach_keys=query.text("detachKeys") if query.has("detachKeys") else None,
    )


async def attach(request: Request, backends: Backends) -> Response:
    """Hand the client's connection to a container's streams."""
    options = _attach_options(request.query)
    await backends.containers.attach(request.reference, options, upgrade_of(request))
    return Taken()


async def attach_websocket(request: Request, backends: Backends) -> Response:
    """Join a web socket to a container's streams."""
    query = request.query
    options = _attach_options(query)
    if request.below(1, 42):  # older ones attached everything
        options = model.AttachOptions(
            stdin=True,
            stdout=True,
            stderr=True,
            logs=options.logs,
            stream=options.stream,
            detach_keys=options.detach_keys,
        )

    async def start(upgrade: model.Upgrade) -> None:
        await backends.containers.attach(request.reference, options, upgrade)

    await serve_websocket(request, start)
    return Taken()


async def logs(request: Request, backends: Backends) -> Response:
    """Stream what a container has written, and with ``follow`` what it will write."""
    query = request.query
    stdout, stderr = query.flag("stdout"), query.flag("stderr")
    if not (stdout or stderr):
        raise InvalidParameter("Bad parameters: you must choose at least one stream")
    until = "" if request.below(1, 35) else query.text("until")
    options = model.LogsOptions(
        follow=query.flag("follow"),
        stdout=stdout,
        stderr=stderr,
        since_ns=parse_timestamp_ns(query.text("since"), "since") or 0,
        until_ns=parse_timestamp_ns(until, "until") or 0,
        timestamps=query.flag("timestamps"),
        tail=_tail(query.text("tail")),
        details=query.flag("details"),
    )
    found = await backends.containers.logs(request.reference, options)
    return Streamed(found.chunks, stream_type(request, tty=found.tty))


def _tail(text: str) -> int | None:
    """Read ``tail``: a number of lines; anything else, negative numbers too, is all of them."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 12 else None


async def stats(request: Request, backends: Backends) -> Response:
    """Stream samples of resource use, or answer with one."""
    query = request.query
    stream = query.flag("stream", default=True)
    one_shot = not request.below(1, 41) and query.flag("one-shot")
    if stream and one_shot:
        raise InvalidParameter("cannot have stream=true and one-shot=true")
    samples = await backends.containers.stats(request.reference, stream=stream, one_shot=one_shot)
    if stream:
        return Streamed(json_lines(samples), JSON)
    body = [encode(sample) async for sample in samples]
    return Answer(200, b"".join(body), JSON)


async def export(request: Request, backends: Backends) -> Response:
    """Stream a container's file system as a tar."""
    return Streamed(await backends.containers.export(request.reference), "application/octet-stream")


def _archive_path(query: Query) -> str:
    path = query.text("path")
    if not path:
        raise InvalidParameter("bad parameter: path cannot be empty")
    if "\0" in path:
        raise InvalidParameter("bad parameter: path cannot hold a zero byte")
    return path


def _stat_header(stat: model.PathStat) -> tuple[tuple[str, str], ...]:
    value = base64.b64encode(msgspec.json.encode(stat)).decode()
    return (("X-Docker-Container-Path-Stat", value),)


async def archive(request: Request, backends: Backends) -> Response:
    """Stream a path of a container as a tar."""
    found = await backends.containers.archive(request.reference, path=_archive_path(request.query))
    return Streamed(found.chunks, TAR, headers=_stat_header(found.stat))


async def archive_stat(request: Request, backends: Backends) -> Response:
    """Tell, in a header, what a path of a container is."""
    stat = await backends.containers.archive_stat(
        request.reference, path=_archive_path(request.query)
    )
    return Answer(200, headers=_stat_header(stat))


async def archive_put(request: Request, backends: Backends) -> Response:
    """Unpack a tar in a container."""
    query = request.query
    body: AsyncIterator[bytes] = request.exchange.body()
    await backends.containers.archive_put(
        request.reference,
        path=_archive_path(query),
        body=body,
        no_overwrite_dir_non_dir=query.flag("noOverwriteDirNonDir"),
        copy_uid_gid=query.flag("copyUIDGID"),
    )
    return Answer(200)


_NAME = "/containers/{name}"
_G = "Containers"
_STREAMS = tuple(Param(name, "boolean") for name in ("logs", "stream", "stdin", "stdout", "stderr"))
ROUTES = (
    Route(
        method="POST",
        path=_NAME + "/attach",
        handler=attach,
        group=_G,
        query=(DETACH_KEYS, *_STREAMS),
        answers={101: None, 200: None},
        hijacks=True,
    ),
    Route(
        method="GET",
        path=_NAME + "/attach/ws",
        handler=attach_websocket,
        group=_G,
        query=(DETACH_KEYS, *_STREAMS),
        answers={101: None},
        hijacks=True,
    ),
    Route(
        method="GET",
        path=_NAME + "/logs",
        handler=logs,
        group=_G,
        query=(
            Param("follow", "boolean"),
            Param("stdout", "boolean"),
            Param("stderr", "boolean"),
            Param("since"),
            Param("until", since=Version(1, 35)),
            Param("timestamps", "boolean"),
            Param("tail"),
            Param("details", "boolean"),
        ),
        answers={200: bytes},
        streams=True,
    ),
    Route(
        method="GET",
        path=_NAME + "/stats",
        handler=stats,
        group=_G,
        query=(Param("stream", "boolean"), Param("one-shot", "boolean", Version(1, 41))),
        answers={200: model.ContainerStats},
        streams=True,
    ),
    Route(
        method="GET",
        path=_NAME + "/export",
        handler=export,
        group=_G,
        answers={200: bytes},
        streams=True,
    ),
    Route(
        method="GET",
        path=_NAME + "/archive",
        handler=archive,
        group=_G,
        query=(Param("path"),),
        answers={200: bytes},
        streams=True,
    ),
    Route(
        method="HEAD",
        path=_NAME + "/archive",
        handler=archive_stat,
        group=_G,
        query=(Param("path"),),
    ),
    Route(
        method="PUT",
        path=_NAME + "/archive",
        handler=archive_put,
        group=_G,
        query=(
            Param("path"),
            Param("noOverwriteDirNonDir", "boolean"),
            Param("copyUIDGID", "boolean", Version(1, 39)),
        ),
        body=bytes,
    ),
)
