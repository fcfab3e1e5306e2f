"""What this engine has and Docker does not: plans and stories."""

from typing import Any

from cutaway import model
from cutaway.api.backend import Backends
from cutaway.api.own_backend import OwnNetworkBackend
from cutaway.api.request import Request
from cutaway.api.response import Response, json_answer
from cutaway.api.router import Route
from cutaway.api.routes.containers import create_request
from cutaway.errors import InvalidParameter
from cutaway.errors import NotImplemented as Unsupported


async def plan(request: Request, backends: Backends) -> Response:
    """Tell what creating and starting a container would do, and do nothing."""
    return json_answer(await backends.containers.plan(await create_request(request)))


async def story(request: Request, backends: Backends) -> Response:
    """Tell what was done to start a container: each step, why, and how long it took."""
    return json_answer(await backends.containers.story(request.reference))


def _networks(backends: Backends) -> OwnNetworkBackend:
    if backends.own_networks is None:
        raise Unsupported("this engine has no networks of its own")
    return backends.own_networks


async def add_ports(request: Request, backends: Backends) -> Response:
    """Publish more ports of a container, also while it runs."""
    change = await request.document(model.PortsChange)
    return json_answer(await _networks(backends).add_ports(request.reference, change.ports))


async def remove_ports(request: Request, backends: Backends) -> Response:
    """Publish ports of a container no more, also while it runs."""
    change = await request.document(model.PortsChange)
    return json_answer(await _networks(backends).remove_ports(request.reference, change.ports))


async def denied(request: Request, backends: Backends) -> Response:
    """Tell what a container's egress policy refused."""
    return json_answer(list(await _networks(backends).denied(request.reference)))


async def reach(request: Request, backends: Backends) -> Response:
    """Tell who can reach a port of the host, and which rule decides."""
    text, _, protocol = request.reference.partition("/")
    if not (text.isascii() and text.isdecimal() and 0 < int(text) < 65536):
        raise InvalidParameter(f'invalid port specification: "{request.reference}"')
    if protocol not in ("", "tcp", "udp", "sctp"):
        raise InvalidParameter(f"invalid proto: {protocol}")
    found = await _networks(backends).reach(int(text), protocol or "tcp")
    return json_answer(list(found))


async def doctor(request: Request, backends: Backends) -> Response:
    """Look at all that networks need, and name what is in the way."""
    return json_answer(list(await _networks(backends).diagnose()))


_G = "Cutaway"
ROUTES = (
    Route(
        method="POST",
        path="/cutaway/plan",
        handler=plan,
        group=_G,
        body=model.ContainerCreateRequest,
        answers={200: Any},
    ),
    Route(
        method="POST",
        path="/cutaway/containers/{name}/ports/add",
        handler=add_ports,
        group=_G,
        body=model.PortsChange,
        answers={200: model.PortMap},
    ),
    Route(
        method="POST",
        path="/cutaway/containers/{name}/ports/rm",
        handler=remove_ports,
        group=_G,
        body=model.PortsChange,
        answers={200: model.PortMap},
    ),
    Route(
        method="GET",
        path="/cutaway/containers/{name}/denied",
        handler=denied,
        group=_G,
        answers={200: list[model.Refusal]},
    ),
    Route(
        method="GET",
        path="/cutaway/ports/{name:path}/reach",
        handler=reach,
        group=_G,
        answers={200: list[model.Reach]},
    ),
    Route(
        method="GET",
        path="/cutaway/doctor",
        handler=doctor,
        group=_G,
        answers={200: list[model.Finding]},
    ),
    Route(
        method="GET",
        path="/cutaway/containers/{name}/story",
        handler=story,
        group=_G,
        answers={200: Any},
    ),
)
