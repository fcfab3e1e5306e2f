"""Checkpoints, containers frozen into files by CRIU: refused, with the reason."""

from typing import Any

from cutaway import model
from cutaway.api.backend import Backends
from cutaway.api.request import Request
from cutaway.api.response import Response
from cutaway.api.router import Route
from cutaway.api.version import Version
from cutaway.errors import NotImplemented as Unsupported


class NoCheckpoints(Unsupported):
    """What was asked for needs a checkpoint."""

    def __init__(self) -> None:
        super().__init__("freezing a container into files needs CRIU, which cutaway does not use")


async def refuse(request: Request, backends: Backends) -> Response:
    """Refuse to make, list or delete checkpoints."""
    raise NoCheckpoints


_PATH = "/containers/{name}/checkpoints"
_REFUSED: dict[str, Any] = {
    "handler": refuse,
    "group": "Checkpoints",
    "answers": {501: model.ErrorResponse},
    "since": Version(1, 25),
}
ROUTES = (
    Route(method="GET", path=_PATH, **_REFUSED),
    Route(method="POST", path=_PATH, **_REFUSED),
    Route(method="DELETE", path=_PATH + "/{checkpoint}", **_REFUSED),
)
