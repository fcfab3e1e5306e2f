"""Containers: made, listed, changed, ended. Their streams are in ``container_streams``."""

import asyncio

from msgspec.structs import replace

from cutaway import model
from cutaway.api.answers import document_answer
from cutaway.api.backend import Backends
from cutaway.api.filters import parse_filters
from cutaway.api.normalise import convert
from cutaway.api.query import Query
from cutaway.api.request import Request
from cutaway.api.response import Answer, Response, json_answer, no_content
from cutaway.api.router import Param, Route
from cutaway.api.routes.checkpoints import NoCheckpoints
from cutaway.api.routes.params import (
    DETACH_KEYS,
    FILTERS,
    SIGNAL,
    terminal_size,
    wanted_platform,
)
from cutaway.api.version import Version
from cutaway.api.versions.requests import adapt_create
from cutaway.errors import InvalidParameter, NotFound
from cutaway.model import Filters

LIST_FILTERS = (
    "ancestor",
    "before",
    "exited",
    "expose",
    "health",
    "id",
    "is-task",
    "isolation",
    "label",
    "name",
    "network",
    "publish",
    "since",
    "status",
    "volume",
)
PRUNE_FILTERS = ("label", "label!", "until")
WAIT_CONDITIONS = ("not-running", "next-exit", "removed")


def prune_filters(query: Query, accepted: tuple[str, ...] = PRUNE_FILTERS) -> Filters:
    """Read the filters of a prune."""
    return parse_filters(query.text("filters"), accepted)


async def create(request: Request, backends: Backends) -> Response:
    """Make a container of a ContainerConfig with HostConfig and NetworkingConfig inside."""
    return json_answer(await backends.containers.create(await create_request(request)), status=201)


def _with_runtime(body: model.ContainerCreateRequest) -> model.HostConfig:
    """Take the runtime from beside the HostConfig, where docker-py puts it."""
    host = body.host_config or model.HostConfig()
    return replace(host, runtime=host.runtime or body.runtime) if body.runtime else host


async def create_request(request: Request) -> model.ContainerCreate:
    """Read a create request: query and body, in the newest version's meaning.

    Raises:
        InvalidParameter: there is no configuration, or it is malformed.
    """
    raw = await request.raw_document()
    if raw is None:
        raise InvalidParameter("invalid JSON: got EOF while reading request body")
    body = convert(raw, model.ContainerCreateRequest)
    config = convert(raw, model.ContainerConfig)
    if not isinstance(raw, dict) or not raw:
        raise InvalidParameter("config cannot be empty in order to create a container")
    config, host, networking = adapt_create(
        config,
        _with_runtime(body),
        body.networking_config or model.NetworkingConfig(),
        request.version,
    )
    return model.ContainerCreate(
        name=request.query.text("name").removeprefix("/"),
        platform="" if request.below(1, 41) else wanted_platform(request.query),
        config=config,
        host_config=host,
        networking_config=networking,
    )


async def list_(request: Request, backends: Backends) -> Response:
    """List containers."""
    query = request.query
    options = model.ContainerListOptions(
        all=query.flag("all"),
        limit=max(query.number("limit"), 0),
        size=query.flag("size"),
        filters=_list_filters(query),
    )
    return document_answer(request, list(await backends.containers.list(options)))


def _list_filters(query: Query) -> Filters:
    """Read the filters; ``since`` and ``before`` were parameters of their own once."""
    filters = dict(parse_filters(query.text("filters"), LIST_FILTERS))
    for name in ("since", "before"):
        if query.text(name):
            filters.setdefault(name, (query.text(name),))
    return filters


async def inspect(request: Request, backends: Backends) -> Response:
    """Tell all about one container."""
    size = request.query.flag("size")
    return document_answer(request, await backends.containers.inspect(request.reference, size=size))


async def start(request: Request, backends: Backends) -> Response:
    """Run a container."""
    if request.query.text("checkpoint"):
        raise NoCheckpoints
    if request.exchange.has_body and (await request.exchange.read_body(4096)).strip() not in (
        b"",
        b"{}",
        b"null",
    ):
        raise InvalidParameter(
            "starting container with non-empty request body was deprecated since API v1.22 and "
            "removed in v1.24"
        )
    await backends.containers.start(request.reference)
    return no_content()


def _stop_options(request: Request) -> tuple[str, int | None]:
    signal = "" if request.below(1, 42) else request.query.text("signal")
    return signal, request.query.optional_number("t")


async def stop(request: Request, backends: Backends) -> Response:
    """Stop a container."""
    signal, timeout_s = _stop_options(request)
    await backends.containers.stop(request.reference, signal=signal, timeout_s=timeout_s)
    return no_content()


async def restart(request: Request, backends: Backends) -> Response:
    """Stop a container and start it again."""
    signal, timeout_s = _stop_options(request)
    await backends.containers.restart(request.reference, signal=signal, timeout_s=timeout_s)
    return no_content()


async def kill(request: Request, backends: Backends) -> Response:
    """Signal a container."""
    await backends.containers.kill(request.reference, signal=request.query.text("signal"))
    return no_content()


async def pause(request: Request, backends: Backends) -> Response:
    """Freeze a container."""
    await backends.containers.pause(request.reference)
    return no_content()


async def unpause(request: Request, backends: Backends) -> Response:
    """Let a frozen container go on."""
    await backends.containers.unpause(request.reference)
    return no_content()


async def rename(request: Request, backends: Backends) -> Response:
    """Give a container another name."""
    name = request.query.text("name")
    if not name.strip("/"):
        raise InvalidParameter("Neither old nor new names may be empty")
    await backends.containers.rename(request.reference, name=name.removeprefix("/"))
    return no_content()


async def update(request: Request, backends: Backends) -> Response:
    """Change limits and restart policy."""
    changes = await request.document(model.UpdateConfig)
    return json_answer(await backends.containers.update(request.reference, changes))


async def resize(request: Request, backends: Backends) -> Response:
    """Set the size of a container's terminal."""
    height, width = terminal_size(request.query)
    await backends.containers.resize(request.reference, height=height, width=width)
    return Answer(200)


async def remove(request: Request, backends: Backends) -> Response:
    """Remove a container."""
    query = request.query
    await backends.containers.remove(
        request.reference,
        force=query.flag("force"),
        volumes=query.flag("v"),
        link=query.flag("link"),
    )
    return no_content()


async def remove_link(request: Request, backends: Backends) -> Response:
    """Remove a legacy link, ``container/alias``."""
    reference = f"{request.reference}/{request.params['alias']}"
    if not request.query.flag("link"):
        raise NotFound(f"No such container: {reference}")
    await backends.containers.remove(reference, link=True)
    return no_content()


async def wait(request: Request, backends: Backends) -> Response:
    """Wait for a container's end; since 1.30 the headers are sent as soon as waiting has begun."""
    condition = "not-running"
    early = not request.below(1, 30)
    if early:
        condition = request.query.text("condition").lower() or "not-running"
        if condition not in WAIT_CONDITIONS:
            raise InvalidParameter(f'invalid condition: "{condition}"')
    begun = False

    async def begin() -> model.PendingAnswer | None:
        nonlocal begun
        begun = early
        return await request.exchange.begin_wait() if early else None

    try:
        return json_answer(
            await backends.containers.wait(request.reference, condition=condition, begin=begin)
        )
    except (asyncio.CancelledError, ConnectionError):
        raise
    except Exception as error:
        if not begun:
            raise
        failure = model.WaitExitError(message=str(error))
        return json_answer(model.ContainerWaitResponse(status_code=-1, error=failure))


async def top(request: Request, backends: Backends) -> Response:
    """List a container's processes."""
    ps_args = request.query.text("ps_args") or "-ef"
    return json_answer(await backends.containers.top(request.reference, ps_args=ps_args))


async def changes(request: Request, backends: Backends) -> Response:
    """List what a container changed."""
    found = list(await backends.containers.changes(request.reference))
    return json_answer(found or None)


async def prune(request: Request, backends: Backends) -> Response:
    """Remove all stopped containers that match."""
    return json_answer(await backends.containers.prune(prune_filters(request.query)))


async def commit(request: Request, backends: Backends) -> Response:
    """Make an image of a container."""
    query = request.query
    raw = await request.raw_document()
    if not query.text("container"):
        raise InvalidParameter("the parameter container is missing: say which one to commit")
    change_lines = [line for text in query.texts("changes") for line in text.splitlines()]
    image_id = await backends.containers.commit(
        model.CommitRequest(
            container=query.text("container"),
            repo=query.text("repo"),
            tag=query.text("tag"),
            comment=query.text("comment"),
            author=query.text("author"),
            pause=query.flag("pause", default=True),
            changes=tuple(line for line in change_lines if line.strip()),
            config=None if raw in (None, {}) else convert(raw, model.ContainerConfig),
        )
    )
    return json_answer(model.IDResponse(id=image_id), status=201)


_NAME = "/containers/{name}"
_G = "Containers"
_STOP_QUERY = (Param("signal", since=Version(1, 42)), Param("t", "integer"))
ROUTES = (
    Route(
        method="POST",
        path="/containers/create",
        handler=create,
        group=_G,
        query=(Param("name"), Param("platform", since=Version(1, 41))),
        body=model.ContainerCreateRequest,
        answers={201: model.ContainerCreateResponse},
    ),
    Route(
        method="GET",
        path="/containers/json",
        handler=list_,
        group=_G,
        query=(
            Param("all", "boolean"),
            Param("limit", "integer"),
            Param("size", "boolean"),
            FILTERS,
        ),
        answers={200: list[model.ContainerSummary]},
    ),
    Route(
        method="POST",
        path="/containers/prune",
        handler=prune,
        group=_G,
        query=(FILTERS,),
        answers={200: model.ContainerPruneReport},
    ),
    Route(
        method="DELETE",
        path=_NAME,
        handler=remove,
        group=_G,
        query=(Param("v", "boolean"), Param("force", "boolean"), Param("link", "boolean")),
        answers={204: None},
    ),
    Route(
        method="DELETE",
        path=_NAME + "/{alias}",
        handler=remove_link,
        group=_G,
        query=(Param("link", "boolean"),),
        answers={204: None},
    ),
    Route(
        method="GET",
        path=_NAME + "/json",
        handler=inspect,
        group=_G,
        query=(Param("size", "boolean"),),
        answers={200: model.ContainerInspect},
    ),
    Route(
        method="POST",
        path=_NAME + "/start",
        handler=start,
        group=_G,
        query=(DETACH_KEYS, Param("checkpoint")),
        answers={204: None, 304: None},
    ),
    Route(
        method="POST",
        path=_NAME + "/stop",
        handler=stop,
        group=_G,
        query=_STOP_QUERY,
        answers={204: None, 304: None},
    ),
    Route(
        method="POST",
        path=_NAME + "/restart",
        handler=restart,
        group=_G,
        query=_STOP_QUERY,
        answers={204: None},
    ),
    Route(
        method="POST",
        path=_NAME + "/kill",
        handler=kill,
        group=_G,
        query=(SIGNAL,),
        answers={204: None},
    ),
    Route(method="POST", path=_NAME + "/pause", handler=pause, group=_G, answers={204: None}),
    Route(method="POST", path=_NAME + "/unpause", handler=unpause, group=_G, answers={204: None}),
    Route(
        method="POST",
        path=_NAME + "/rename",
        handler=rename,
        group=_G,
        query=(Param("name"),),
        answers={204: None},
    ),
    Route(
        method="POST",
        path=_NAME + "/update",
        handler=update,
        group=_G,
        body=model.UpdateConfig,
        answers={200: model.ContainerUpdateResponse},
    ),
    Route(
        method="POST",
        path=_NAME + "/resize",
        handler=resize,
        group=_G,
        query=(Param("h", "integer"), Param("w", "integer")),
    ),
    Route(
        method="POST",
        path=_NAME + "/wait",
        handler=wait,
        group=_G,
        query=(Param("condition", since=Version(1, 30)),),
        answers={200: model.ContainerWaitResponse},
        streams=True,
    ),
    Route(
        method="GET",
        path=_NAME + "/top",
        handler=top,
        group=_G,
        query=(Param("ps_args"),),
        answers={200: model.ContainerTop},
    ),
    Route(
        method="GET",
        path=_NAME + "/changes",
        handler=changes,
        group=_G,
        answers={200: list[model.FilesystemChange] | None},
    ),
    Route(
        method="POST",
        path="/commit",
        handler=commit,
        group="Images",
        query=(
            Param("container"),
            Param("repo"),
            Param("tag"),
            Param("comment"),
            Param("author"),
            Param("pause", "boolean"),
            Param("changes"),
        ),
        body=model.ContainerConfig,
        answers={201: model.IDResponse},
    ),
)
