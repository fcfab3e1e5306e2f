"""Volumes and mounts, what this engine has and Docker does not: mounts of running containers."""

import msgspec

from cutaway import model
from cutaway.api.backend import Backends
from cutaway.api.own_backend import OwnVolumeBackend
from cutaway.api.request import Request
from cutaway.api.response import Response, json_answer, no_content
from cutaway.api.router import Route
from cutaway.errors import NotImplemented as Unsupported


class MountsAdded(msgspec.Struct, frozen=True, rename="pascal"):
    """The body of ``POST /cutaway/containers/{name}/mounts/add``: as ``HostConfig.Binds``."""

    binds: tuple[str, ...] = ()


class MountsRemoved(msgspec.Struct, frozen=True, rename="pascal"):
    """The body of ``POST /cutaway/containers/{name}/mounts/rm``: paths in the container."""

    targets: tuple[str, ...] = ()
    force: bool = False


def _volumes(backends: Backends) -> OwnVolumeBackend:
    if backends.own_volumes is None:
        raise Unsupported("this engine has no volumes of its own")
    return backends.own_volumes


async def add_mounts(request: Request, backends: Backends) -> Response:
    """Mount volumes and host directories in a container, also while it runs."""
    body = await request.document(MountsAdded)
    return json_answer(list(await _volumes(backends).add_mounts(request.reference, body.binds)))


async def remove_mounts(request: Request, backends: Backends) -> Response:
    """Take mounts away from a container, also while it runs."""
    body = await request.document(MountsRemoved)
    await _volumes(backends).remove_mounts(request.reference, body.targets, force=body.force)
    return no_content()


_G = "Cutaway"
ROUTES = (
    Route(
        method="POST",
        path="/cutaway/containers/{name}/mounts/add",
        handler=add_mounts,
        group=_G,
        body=MountsAdded,
        answers={200: list[model.MountPoint]},
    ),
    Route(
        method="POST",
        path="/cutaway/containers/{name}/mounts/rm",
        handler=remove_mounts,
        group=_G,
        body=MountsRemoved,
        answers={204: None},
    ),
)
