"""Builds by the classic protocol, and their cache."""

from typing import Any, TypeVar

import msgspec

from cutaway import model
from cutaway.api.answers import begun_progress_answer
from cutaway.api.auth import parse_auth_configs
from cutaway.api.backend import Backends
from cutaway.api.build_backend import BuildBackend
from cutaway.api.filters import parse_filters
from cutaway.api.normalise import parse_json
from cutaway.api.query import Query
from cutaway.api.request import Request
from cutaway.api.response import Response, json_answer, no_content
from cutaway.api.router import Param, Route
from cutaway.api.routes.params import FILTERS, wanted_platform
from cutaway.api.version import Version
from cutaway.errors import InvalidParameter
from cutaway.errors import NotImplemented as Unsupported

T = TypeVar("T")
PRUNE_FILTERS = (
    "description",
    "id",
    "inuse",
    "label",
    "label!",
    "parents",
    "private",
    "shared",
    "type",
    "until",
)


def _backend(backends: Backends) -> BuildBackend:
    if backends.builds is None:
        raise Unsupported("this engine can't build images yet")
    return backends.builds


def _json_parameter(query: Query, name: str, type_: type[T], default: T) -> T:
    """Read a parameter that is JSON.

    Raises:
        InvalidParameter: names the parameter.
    """
    text = query.text(name)
    if not text:
        return default
    document: Any = parse_json(text.encode("utf-8", "surrogatepass"), name)
    if document is None:
        return default
    try:
        return msgspec.convert(document, type_)
    except msgspec.ValidationError as error:
        raise InvalidParameter(f"invalid {name}: {error}") from None


async def build(request: Request, backends: Backends) -> Response:
    """Build an image from a tar context."""
    messages = await _backend(backends).build(build_request(request), request.exchange.body())
    return await begun_progress_answer(messages)


def build_request(request: Request) -> model.BuildRequest:
    """Read everything that query and headers say about a build.

    Raises:
        InvalidParameter: a number, or a JSON parameter, is malformed.
    """
    query = request.query
    remove = query.flag("rm", default=True)
    return model.BuildRequest(
        tags=query.texts("t"),
        dockerfile=query.text("dockerfile"),
        remote=query.text("remote"),
        target=query.text("target"),
        platform=wanted_platform(query),
        quiet=query.flag("q"),
        no_cache=query.flag("nocache"),
        cache_from=_json_parameter(query, "cachefrom", tuple[str, ...], ()),
        pull_parent=query.flag("pull"),
        remove=remove,
        force_remove=query.flag("forcerm"),
        squash=query.flag("squash"),
        explain=query.flag("explain"),
        story=query.flag("story"),
        on_error=query.text("onerror"),
        allow=_json_parameter(query, "allow", tuple[str, ...], ()),
        tell_records=query.flag("tellrecords"),
        build_args=_build_args(query),
        labels=_json_parameter(query, "labels", dict[str, str], {}),
        network_mode=query.text("networkmode"),
        extra_hosts=tuple(
            host for text in query.texts("extrahosts") for host in text.split(",") if host
        ),
        ulimits=_ulimits(query),
        outputs=query.text("outputs"),
        session_id=query.text("session"),
        build_id=query.text("buildid"),
        version=query.text("version") or "1",
        security_opt=_json_parameter(query, "securityopt", tuple[str, ...], ()),
        isolation=query.text("isolation"),
        auth_configs=parse_auth_configs(request.headers.get("x-registry-config", "")),
        **_limits(query),
    )


def _limits(query: Query) -> dict[str, Any]:
    return {
        "memory": query.number("memory"),
        "memory_swap": query.number("memswap"),
        "cpu_shares": query.number("cpushares"),
        "cpu_period": query.number("cpuperiod"),
        "cpu_quota": query.number("cpuquota"),
        "cpuset_cpus": query.text("cpusetcpus"),
        "cpuset_mems": query.text("cpusetmems"),
        "cgroup_parent": query.text("cgroupparent"),
        "shm_size": query.number("shmsize"),
    }


def _build_args(query: Query) -> dict[str, str | None]:
    nothing: dict[str, str | None] = {}
    return _json_parameter(query, "buildargs", dict[str, str | None], nothing)


def _ulimits(query: Query) -> tuple[model.Ulimit, ...]:
    return _json_parameter(query, "ulimits", tuple[model.Ulimit, ...], ())


async def prune(request: Request, backends: Backends) -> Response:
    """Make the build cache smaller."""
    query = request.query
    if request.below(1, 48):
        reserved = query.number("keep-storage")
    else:
        reserved = query.number("reserved-space")
    options = model.BuildPruneOptions(
        all=query.flag("all"),
        reserved_space=reserved,
        max_used_space=query.number("max-used-space"),
        min_free_space=query.number("min-free-space"),
    )
    filters = parse_filters(query.text("filters"), PRUNE_FILTERS)
    return json_answer(await _backend(backends).prune(options, filters))


async def cancel(request: Request, backends: Backends) -> Response:
    """End a build."""
    build_id = request.query.text("id")
    if not build_id:
        raise InvalidParameter("build ID not provided")
    await _backend(backends).cancel(build_id)
    return no_content()


async def open_session(request: Request, backends: Backends) -> Response:
    """Keep secrets and SSH agents for the next build that names the session."""
    session = await request.document(model.BuildSession)
    identifier = await _backend(backends).open_session(session)
    return json_answer({"Id": identifier}, status=201)


_TEXTS = (
    "dockerfile",
    "extrahosts",
    "remote",
    "cachefrom",
    "buildargs",
    "labels",
    "networkmode",
    "cpusetcpus",
    "cpusetmems",
    "cgroupparent",
    "ulimits",
    "securityopt",
    "isolation",
    "session",
    "onerror",
    "allow",
)
_FLAGS = (
    "q",
    "nocache",
    "rm",
    "forcerm",
    "squash",
    "explain",
    "story",
    "tellrecords",
    "pull",
)
_NUMBERS = (
    "memory",
    "memswap",
    "cpushares",
    "cpuperiod",
    "cpuquota",
    "shmsize",
)
ROUTES = (
    Route(
        method="POST",
        path="/build",
        handler=build,
        group="Build",
        query=(
            Param("t", "array"),
            *(Param(name) for name in _TEXTS),
            *(Param(name, "boolean") for name in _FLAGS),
            *(Param(name, "integer") for name in _NUMBERS),
            Param("platform", since=Version(1, 34)),
            Param("target", since=Version(1, 37)),
            Param("version", since=Version(1, 38)),
            Param("outputs", since=Version(1, 40)),
        ),
        body=bytes,
        answers={200: model.ProgressMessage},
        streams=True,
    ),
    Route(
        method="POST",
        path="/build/prune",
        handler=prune,
        group="Build",
        query=(
            Param("all", "boolean", Version(1, 39)),
            Param("reserved-space", "integer", Version(1, 48)),
            Param("max-used-space", "integer", Version(1, 48)),
            Param("min-free-space", "integer", Version(1, 48)),
            FILTERS,
        ),
        answers={200: model.BuildPruneReport},
        since=Version(1, 31),
    ),
    Route(
        method="POST",
        path="/cutaway/build/sessions",
        handler=open_session,
        group="Cutaway",
        body=model.BuildSession,
        answers={201: Any},
    ),
    Route(
        method="POST",
        path="/build/cancel",
        handler=cancel,
        group="Build",
        query=(Param("id"),),
        answers={204: None},
    ),
)
