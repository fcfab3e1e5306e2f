"""From method and path to a handler.

A route is a value: it also describes its parameters, body and answer, from which ``openapi.py``
makes ``/openapi.json``. Names in paths are ``{name}`` (no slash inside) or ``{name:path}`` (image
references: slashes inside).
"""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cutaway.api.backend import Backends
from cutaway.api.query import unescape
from cutaway.api.request import Request
from cutaway.api.response import Response
from cutaway.api.status import StatusError
from cutaway.api.version import MINIMUM, Version

Handler = Callable[[Request, Backends], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Param:
    """A query parameter: for the description; handlers read it by ``Request.query``.

    Attributes:
        kind: ``string``, ``boolean``, ``integer`` or ``array`` (repeatable string).
        since: the first API version that has it; older requests' values are ignored by handlers.
    """

    name: str
    kind: str = "string"
    since: Version = MINIMUM


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One operation of the API.

    Attributes:
        group: the tag it is listed under.
        body: type of the JSON body; ``bytes`` for a raw one; None for none.
        answers: status to type of the JSON answer; ``bytes`` for raw, None for no body.
        since: the first API version that has the operation; below it the page is not found.
        streams: the answer may take long and is of no use to a client that has gone: the handler is
            cancelled then. All other handlers run to their end.
        hijacks: the connection may be given away.
    """

    method: str
    path: str
    handler: Handler
    group: str
    query: tuple[Param, ...] = ()
    body: Any = None
    answers: Mapping[int, Any] = field(default_factory=lambda: {200: None})
    since: Version = MINIMUM
    streams: bool = False
    hijacks: bool = False


class Router:
    """Finds the route of a request."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self.routes = tuple(routes)
        self._fixed: dict[tuple[str, str], Route] = {}
        self._variable: dict[tuple[str, str], list[tuple[re.Pattern[str], Route]]] = {}
        for route in routes:
            if "{" in route.path:
                first = route.path.split("/", 2)[1]
                pattern = re.compile(_pattern(route.path))
                self._variable.setdefault((route.method, first), []).append((pattern, route))
            else:
                self._fixed[route.method, route.path] = route

    def find(self, method: str, path: str, version: Version) -> tuple[Route, dict[str, str]]:
        """Return the route for a path without version, and the decoded names in the path.

        Raises:
            StatusError: 404 ``page not found``, also for a known path with another method.
            InvalidParameter: a bad percent escape.
        """
        route = self._fixed.get((method, path))
        if route is not None and version >= route.since:
            return route, {}
        first = path.split("/", 2)[1] if path.startswith("/") else ""
        for pattern, candidate in self._variable.get((method, first), ()):
            match = pattern.fullmatch(path)
            if match is not None and version >= candidate.since:
                names = match.groupdict()
                return candidate, {key: unescape(names[key], plus=False) for key in names}
        raise StatusError(404, "page not found")


def _pattern(path: str) -> str:
    pieces = re.split(r"(\{\w+(?::path)?\})", path)
    return "".join(_piece(piece) for piece in pieces)


def _piece(piece: str) -> str:
    if not piece.startswith("{"):
        return re.escape(piece)
    name, _, kind = piece[1:-1].partition(":")
    return f"(?P<{name}>.+)" if kind == "path" else f"(?P<{name}>[^/]+)"
