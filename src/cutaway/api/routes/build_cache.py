"""The build cache on its way to and from other machines: cutaway's own."""

from cutaway import model
from cutaway.api.auth import parse_auth, parse_trust
from cutaway.api.backend import Backends
from cutaway.api.build_backend import BuildBackend
from cutaway.api.request import Request
from cutaway.api.response import Response, Streamed, json_answer
from cutaway.api.router import Param, Route
from cutaway.errors import InvalidParameter
from cutaway.errors import NotImplemented as Unsupported


def _backend(backends: Backends) -> BuildBackend:
    if backends.builds is None:
        raise Unsupported("this engine can't build images yet")
    return backends.builds


async def export_cache(request: Request, backends: Backends) -> Response:
    """Stream a part of the build cache as a tar, or send it to the registry of ``ref``."""
    selection = await request.document(model.CacheSelection)
    name = request.query.text("ref")
    if not name:
        chunks = await _backend(backends).export_cache(selection)
        return Streamed(chunks, "application/x-tar")
    report = await _backend(backends).push_cache(
        name,
        selection,
        auth=parse_auth(request.headers.get("x-registry-auth", "")),
        trust=parse_trust(request.headers),
    )
    return json_answer(report)


async def import_cache(request: Request, backends: Backends) -> Response:
    """Take a build cache in: the body's tar under the name ``origin``."""
    origin = request.query.text("origin")
    if not origin:
        raise InvalidParameter("origin is missing: say where the cache comes from")
    report = await _backend(backends).import_cache(
        origin, request.exchange.body(), mounts=request.query.flag("mounts")
    )
    return json_answer(report)


async def pull_cache(request: Request, backends: Backends) -> Response:
    """Take a build cache in from the registry of ``ref``."""
    name = request.query.text("ref")
    if not name:
        raise InvalidParameter("ref is missing: say which cache to take")
    report = await _backend(backends).pull_cache(
        name,
        mounts=request.query.flag("mounts"),
        auth=parse_auth(request.headers.get("x-registry-auth", "")),
        trust=parse_trust(request.headers),
    )
    return json_answer(report)


_MOUNTS = Param("mounts", "boolean")
ROUTES = (
    Route(
        method="POST",
        path="/cutaway/build/cache/export",
        handler=export_cache,
        group="Cutaway",
        query=(Param("ref"),),
        body=model.CacheSelection,
        answers={200: model.CacheReport},
        streams=True,
    ),
    Route(
        method="POST",
        path="/cutaway/build/cache/import",
        handler=import_cache,
        group="Cutaway",
        query=(Param("origin"), _MOUNTS),
        body=bytes,
        answers={200: model.CacheReport},
    ),
    Route(
        method="POST",
        path="/cutaway/build/cache/pull",
        handler=pull_cache,
        group="Cutaway",
        query=(Param("ref"), _MOUNTS),
        answers={200: model.CacheReport},
    ),
)
