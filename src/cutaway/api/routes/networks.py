"""Networks."""

from msgspec.structs import replace

from cutaway import model
from cutaway.api.answers import document_answer
from cutaway.api.backend import Backends, NetworkBackend
from cutaway.api.filters import parse_filters
from cutaway.api.request import Request
from cutaway.api.response import Answer, Response, json_answer, no_content
from cutaway.api.router import Param, Route
from cutaway.api.routes.params import FILTERS
from cutaway.api.version import Version
from cutaway.errors import InvalidParameter
from cutaway.errors import NotImplemented as Unsupported

LIST_FILTERS = ("dangling", "driver", "id", "label", "name", "scope", "type")
PRUNE_FILTERS = ("label", "label!", "until")


def _backend(backends: Backends) -> NetworkBackend:
    if backends.networks is None:
        raise Unsupported("this engine has no user-defined networks yet")
    return backends.networks


async def list_(request: Request, backends: Backends) -> Response:
    """List networks; clients below 1.28 got the containers in them too."""
    networks = _backend(backends)
    found = list(await networks.list(parse_filters(request.query.text("filters"), LIST_FILTERS)))
    if request.below(1, 28):
        return document_answer(request, [await networks.inspect(each.id) for each in found])
    return document_answer(request, found)


async def inspect(request: Request, backends: Backends) -> Response:
    """Tell all about one network."""
    query = request.query
    found = await _backend(backends).inspect(
        request.reference, verbose=query.flag("verbose"), scope=query.text("scope")
    )
    return document_answer(request, found)


async def create(request: Request, backends: Backends) -> Response:
    """Make a network."""
    body = await request.document(model.NetworkCreateRequest)
    if not body.name:
        raise InvalidParameter("invalid name: name is empty")
    if request.below(1, 48):
        body = replace(body, enable_ipv4=None)
    return json_answer(await _backend(backends).create(body), status=201)


async def remove(request: Request, backends: Backends) -> Response:
    """Remove a network."""
    await _backend(backends).remove(request.reference)
    return no_content()


async def connect(request: Request, backends: Backends) -> Response:
    """Put a container into a network."""
    body = await request.document(model.NetworkConnectRequest)
    if not body.container:
        raise InvalidParameter("Container is missing: say which one to connect")
    await _backend(backends).connect(request.reference, body)
    return Answer(200)


async def disconnect(request: Request, backends: Backends) -> Response:
    """Take a container out of a network."""
    body = await request.document(model.NetworkDisconnectRequest)
    if not body.container:
        raise InvalidParameter("Container is missing: say which one to disconnect")
    await _backend(backends).disconnect(request.reference, body)
    return Answer(200)


async def prune(request: Request, backends: Backends) -> Response:
    """Remove networks that no container uses."""
    filters = parse_filters(request.query.text("filters"), PRUNE_FILTERS)
    return json_answer(await _backend(backends).prune(filters))


_NAME = "/networks/{name:path}"
_G = "Networks"
_LIST = Route(
    method="GET",
    path="/networks",
    handler=list_,
    group=_G,
    query=(FILTERS,),
    answers={200: list[model.Network]},
)
ROUTES = (
    _LIST,
    Route(
        method="GET",
        path="/networks/",  # an alias that dockerd has too
        handler=list_,
        group=_G,
        query=(FILTERS,),
        answers={200: list[model.Network]},
    ),
    Route(
        method="POST",
        path="/networks/create",
        handler=create,
        group=_G,
        body=model.NetworkCreateRequest,
        answers={201: model.NetworkCreateResponse},
    ),
    Route(
        method="POST",
        path="/networks/prune",
        handler=prune,
        group=_G,
        query=(FILTERS,),
        answers={200: model.NetworkPruneReport},
    ),
    Route(
        method="GET",
        path=_NAME,
        handler=inspect,
        group=_G,
        query=(Param("verbose", "boolean", Version(1, 28)), Param("scope", since=Version(1, 31))),
        answers={200: model.NetworkInspect},
    ),
    Route(method="DELETE", path=_NAME, handler=remove, group=_G, answers={204: None}),
    Route(
        method="POST",
        path=_NAME + "/connect",
        handler=connect,
        group=_G,
        body=model.NetworkConnectRequest,
    ),
    Route(
        method="POST",
        path=_NAME + "/disconnect",
        handler=disconnect,
        group=_G,
        body=model.NetworkDisconnectRequest,
    ),
)
