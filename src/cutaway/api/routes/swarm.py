"""Swarm, plugins, BuildKit sessions: operations of dockerd that this engine answers by a refusal.

The answers are those of a dockerd outside a swarm and without plugins, because clients look for
exactly these (``docker info``, ``docker node ls``, Portainer).

Source: moby ``daemon/cluster/errors.go``.
"""

from cutaway import model
from cutaway.api.backend import Backends
from cutaway.api.filters import parse_filters
from cutaway.api.request import Request
from cutaway.api.response import Response, json_answer
from cutaway.api.router import Param, Route
from cutaway.api.routes.params import FILTERS
from cutaway.api.version import Version
from cutaway.errors import InvalidParameter, NotFound, Unavailable
from cutaway.errors import NotImplemented as Unsupported

PLUGIN_FILTERS = ("capability", "enabled")


async def not_a_manager(request: Request, backends: Backends) -> Response:
    """Refuse what only a swarm manager can do."""
    raise Unavailable(
        'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to '
        "connect this node to swarm and try again."
    )


async def not_in_a_swarm(request: Request, backends: Backends) -> Response:
    """Refuse to leave a swarm that this engine is not in."""
    raise Unavailable("This node is not part of a swarm")


async def no_swarm_here(request: Request, backends: Backends) -> Response:
    """Refuse to make or join a swarm."""
    raise Unsupported("cutaway has no swarm mode: it is one engine on one machine")


async def list_plugins(request: Request, backends: Backends) -> Response:
    """List plugins: there are none."""
    parse_filters(request.query.text("filters"), PLUGIN_FILTERS)
    return json_answer([])


async def no_such_plugin(request: Request, backends: Backends) -> Response:
    """Refuse what needs a plugin that is not there."""
    raise NotFound(f'plugin "{request.reference}" not found')


async def no_plugins(request: Request, backends: Backends) -> Response:
    """Refuse to install plugins."""
    raise Unsupported("cutaway has no managed plugins: run the plugin's program beside it")


async def no_buildkit(request: Request, backends: Backends) -> Response:
    """Refuse a BuildKit connection."""
    if not request.headers.get("upgrade"):
        raise InvalidParameter("no upgrade")
    raise Unsupported(
        "cutaway has no BuildKit session yet: build with DOCKER_BUILDKIT=0 or with cutaway build"
    )


_ERROR = {503: model.ErrorResponse}


def _manager(group: str, *operations: tuple[str, str]) -> tuple[Route, ...]:
    return tuple(
        Route(method=method, path=path, handler=not_a_manager, group=group, answers=_ERROR)
        for method, path in operations
    )


def _collection(name: str, group: str) -> tuple[Route, ...]:
    """Return the five operations that services, secrets and configs have."""
    return _manager(
        group,
        ("GET", f"/{name}"),
        ("POST", f"/{name}/create"),
        ("GET", f"/{name}/{{name}}"),
        ("DELETE", f"/{name}/{{name}}"),
        ("POST", f"/{name}/{{name}}/update"),
    )


def _plugin(method: str, path: str) -> Route:
    return Route(
        method=method,
        path=path,
        handler=no_such_plugin,
        group="Plugins",
        answers={404: model.ErrorResponse},
    )


def _no_plugins(method: str, path: str, *query: Param) -> Route:
    return Route(
        method=method,
        path=path,
        handler=no_plugins,
        group="Plugins",
        query=query,
        answers={501: model.ErrorResponse},
    )


_PLUGIN = "/plugins/{name:path}"
_NONE = {501: model.ErrorResponse}
ROUTES = (
    *_manager(
        "Swarm",
        ("GET", "/swarm"),
        ("POST", "/swarm/update"),
        ("POST", "/swarm/unlock"),
        ("GET", "/swarm/unlockkey"),
    ),
    Route(
        method="POST", path="/swarm/leave", handler=not_in_a_swarm, group="Swarm", answers=_ERROR
    ),
    Route(method="POST", path="/swarm/init", handler=no_swarm_here, group="Swarm", answers=_NONE),
    Route(method="POST", path="/swarm/join", handler=no_swarm_here, group="Swarm", answers=_NONE),
    *_manager(
        "Nodes",
        ("GET", "/nodes"),
        ("GET", "/nodes/{name}"),
        ("DELETE", "/nodes/{name}"),
        ("POST", "/nodes/{name}/update"),
    ),
    *_collection("services", "Services"),
    *_manager("Services", ("GET", "/services/{name}/logs")),
    *_manager("Tasks", ("GET", "/tasks"), ("GET", "/tasks/{name}"), ("GET", "/tasks/{name}/logs")),
    *_collection("secrets", "Secrets"),
    *_collection("configs", "Configs"),
    Route(
        method="GET",
        path="/plugins",
        handler=list_plugins,
        group="Plugins",
        query=(FILTERS,),
        answers={200: list[model.Model]},
    ),
    _no_plugins("GET", "/plugins/privileges", Param("remote")),
    _no_plugins("POST", "/plugins/pull", Param("remote"), Param("name")),
    _no_plugins("POST", "/plugins/create", Param("name")),
    _plugin("GET", _PLUGIN + "/json"),
    _plugin("DELETE", _PLUGIN),
    _plugin("POST", _PLUGIN + "/enable"),
    _plugin("POST", _PLUGIN + "/disable"),
    _plugin("POST", _PLUGIN + "/push"),
    _plugin("POST", _PLUGIN + "/set"),
    _plugin("POST", _PLUGIN + "/upgrade"),
    Route(
        method="POST",
        path="/session",
        handler=no_buildkit,
        group="Session",
        answers=_NONE,
        since=Version(1, 31),
    ),
    Route(
        method="POST",
        path="/grpc",
        handler=no_buildkit,
        group="Session",
        answers=_NONE,
        since=Version(1, 31),
    ),
)
