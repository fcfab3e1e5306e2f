"""System: ping, version, info, disk usage, events, login. And the description of the API."""

from collections.abc import AsyncIterator
from typing import Any

from msgspec.structs import replace

from cutaway import model
from cutaway.api.answers import document_answer
from cutaway.api.auth import parse_trust
from cutaway.api.backend import Backends
from cutaway.api.filters import parse_filters
from cutaway.api.query import parse_timestamp_ns
from cutaway.api.request import Request
from cutaway.api.response import JSON, Answer, Response, Streamed, encode, json_answer
from cutaway.api.router import Param, Route
from cutaway.api.routes.params import FILTERS
from cutaway.api.version import MINIMUM, NEWEST, Version
from cutaway.api.versions.answers import adapt
from cutaway.api.versions.usage import new_disk_usage
from cutaway.errors import InvalidParameter

PING_HEADERS = (
    ("Builder-Version", "1"),  # the classic builder: there is no BuildKit session
    ("Cache-Control", "no-cache, no-store, must-revalidate"),
    ("Pragma", "no-cache"),
    ("Swarm", "inactive"),
)
EVENT_FILTERS = (
    "builder",
    "config",
    "container",
    "daemon",
    "event",
    "image",
    "label",
    "network",
    "node",
    "plugin",
    "scope",
    "secret",
    "service",
    "type",
    "volume",
)
USAGE_KINDS = {
    "container": "container",
    "image": "image",
    "volume": "volume",
    "build-cache": "build-cache",
}


async def ping(request: Request, backends: Backends) -> Response:
    """Say that the engine is there, and in headers what it can do."""
    return Answer(200, b"OK", "text/plain; charset=utf-8", PING_HEADERS)


async def version(request: Request, backends: Backends) -> Response:
    """Tell versions; the engine knows its own, this package those of the API."""
    found = await backends.system.version()
    components = found.components
    if not components:
        components = (model.ComponentVersion(name="Engine", version=found.version),)
    first = components[0]
    details = {
        "ApiVersion": str(NEWEST),
        "Arch": found.arch,
        "BuildTime": found.build_time,
        "Experimental": "true" if found.experimental else "false",
        "GitCommit": found.git_commit,
        "GoVersion": found.go_version,
        "KernelVersion": found.kernel_version,
        "MinAPIVersion": str(MINIMUM),
        "Os": found.os,
        **(first.details or {}),
    }
    document = replace(
        found,
        api_version=str(NEWEST),
        min_api_version=str(MINIMUM),
        components=(replace(first, details=details), *components[1:]),
    )
    return json_answer(document)


async def info(request: Request, backends: Backends) -> Response:
    """Tell about the machine and the engine."""
    return document_answer(request, await backends.system.info())


async def disk_usage(request: Request, backends: Backends) -> Response:
    """Measure disk usage by kind."""
    asked = request.query.texts("type") if not request.below(1, 42) else ()
    for kind in asked:
        if kind not in USAGE_KINDS:
            raise InvalidParameter(f"unknown object type: {kind}")
    usage = await backends.system.disk_usage(frozenset(asked or USAGE_KINDS))
    if request.below(1, 52):
        return json_answer(_old_usage(usage, request.version))
    return json_answer(new_disk_usage(usage, verbose=request.query.flag("verbose")))


def _old_usage(usage: model.DiskUsage, version: Version) -> Any:
    document = adapt(usage, version)
    if isinstance(document, dict):
        for name, items in (("Images", usage.images), ("Containers", usage.containers)):
            if items is not None:
                document[name] = adapt(list(items), version)
    return document


async def events(request: Request, backends: Backends) -> Response:
    """Stream events: kept ones since a moment, then new ones."""
    query = request.query
    options = model.EventsOptions(
        since_ns=parse_timestamp_ns(query.text("since"), "since"),
        until_ns=parse_timestamp_ns(query.text("until"), "until"),
        filters=parse_filters(query.text("filters"), EVENT_FILTERS),
    )
    if (
        options.since_ns is not None
        and options.until_ns is not None
        and options.since_ns > options.until_ns
    ):
        raise InvalidParameter(
            f"`since` time ({query.text('since')}) cannot be after `until` time "
            f"({query.text('until')})"
        )
    found = await backends.system.events(options)
    return Streamed(_event_lines(found, request.version), JSON)


async def _event_lines(
    found: AsyncIterator[model.EventMessage], version: Version
) -> AsyncIterator[bytes]:
    try:
        async for event in found:
            yield encode(adapt(event, version))
    finally:
        close = getattr(found, "aclose", None)
        if close is not None:
            await close()


async def login(request: Request, backends: Backends) -> Response:
    """Try a registry's credentials."""
    auth, trust = await request.document(model.AuthConfig), parse_trust(request.headers)
    return json_answer(await backends.system.login(auth, trust=trust))


ROUTES = (
    Route(method="GET", path="/_ping", handler=ping, group="System", answers={200: str}),
    Route(method="HEAD", path="/_ping", handler=ping, group="System", answers={200: None}),
    Route(
        method="GET",
        path="/version",
        handler=version,
        group="System",
        answers={200: model.SystemVersion},
    ),
    Route(
        method="GET", path="/info", handler=info, group="System", answers={200: model.SystemInfo}
    ),
    Route(
        method="GET",
        path="/system/df",
        handler=disk_usage,
        group="System",
        query=(
            Param("type", "array", Version(1, 42)),
            Param("verbose", "boolean", Version(1, 52)),
        ),
        answers={200: dict[str, Any]},
    ),
    Route(
        method="GET",
        path="/events",
        handler=events,
        group="System",
        query=(Param("since"), Param("until"), FILTERS),
        answers={200: model.EventMessage},
        streams=True,
    ),
    Route(
        method="POST",
        path="/auth",
        handler=login,
        group="System",
        body=model.AuthConfig,
        answers={200: model.AuthResponse},
    ),
)
