"""Volumes."""

from cutaway import model
from cutaway.api.backend import Backends, VolumeBackend
from cutaway.api.filters import one_boolean, parse_filters
from cutaway.api.request import Request
from cutaway.api.response import Response, json_answer, no_content
from cutaway.api.router import Param, Route
from cutaway.api.routes.params import FILTERS
from cutaway.api.routes.swarm import not_a_manager
from cutaway.api.version import Version
from cutaway.errors import InvalidParameter
from cutaway.errors import NotImplemented as Unsupported

LIST_FILTERS = ("dangling", "driver", "label", "name")
PRUNE_FILTERS = ("all", "label", "label!")


def _backend(backends: Backends) -> VolumeBackend:
    if backends.volumes is None:
        raise Unsupported("this engine has no named volumes yet")
    return backends.volumes


async def list_(request: Request, backends: Backends) -> Response:
    """List volumes."""
    filters = parse_filters(request.query.text("filters"), LIST_FILTERS)
    one_boolean(filters, "dangling", default=False)
    return json_answer(await _backend(backends).list(filters))


async def inspect(request: Request, backends: Backends) -> Response:
    """Tell all about one volume."""
    return json_answer(await _backend(backends).inspect(request.reference))


async def create(request: Request, backends: Backends) -> Response:
    """Make a volume, or return the one that is there."""
    body = await request.document(model.VolumeCreateRequest)
    if body.cluster_volume_spec is not None:
        raise InvalidParameter("cluster volumes need a swarm: this engine is in none")
    return json_answer(await _backend(backends).create(body), status=201)


async def remove(request: Request, backends: Backends) -> Response:
    """Remove a volume."""
    force = request.query.flag("force")
    await _backend(backends).remove(request.reference, force=force)
    return no_content()


async def prune(request: Request, backends: Backends) -> Response:
    """Remove volumes that no container uses; named ones too for clients below 1.42."""
    filters = dict(parse_filters(request.query.text("filters"), PRUNE_FILTERS))
    one_boolean(filters, "all", default=False)
    if request.below(1, 42):
        filters["all"] = ("true",)
    return json_answer(await _backend(backends).prune(filters))


_NAME = "/volumes/{name}"
_G = "Volumes"
ROUTES = (
    Route(
        method="GET",
        path="/volumes",
        handler=list_,
        group=_G,
        query=(FILTERS,),
        answers={200: model.VolumeList},
    ),
    Route(
        method="POST",
        path="/volumes/create",
        handler=create,
        group=_G,
        body=model.VolumeCreateRequest,
        answers={201: model.Volume},
    ),
    Route(
        method="POST",
        path="/volumes/prune",
        handler=prune,
        group=_G,
        query=(FILTERS,),
        answers={200: model.VolumePruneReport},
    ),
    Route(method="GET", path=_NAME, handler=inspect, group=_G, answers={200: model.Volume}),
    Route(
        method="PUT",
        path=_NAME,
        handler=not_a_manager,
        group=_G,
        answers={503: model.ErrorResponse},
        since=Version(1, 42),
    ),
    Route(
        method="DELETE",
        path=_NAME,
        handler=remove,
        group=_G,
        query=(Param("force", "boolean"),),
        answers={204: None},
    ),
)
