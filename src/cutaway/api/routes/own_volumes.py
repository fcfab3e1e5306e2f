"""Volumes, mounts and files: what this engine has and Docker does not."""

import msgspec

from cutaway import model
from cutaway.api.backend import Backends
from cutaway.api.own_backend import OwnVolumeBackend
from cutaway.api.request import Request
from cutaway.api.response import Response, Streamed, json_answer, no_content
from cutaway.api.router import Param, Route
from cutaway.errors import NotImplemented as Unsupported


class MountsAdded(msgspec.Struct, frozen=True, rename="pascal"):
    """The body of ``POST /cutaway/containers/{name}/mounts/add``: as ``HostConfig.Binds``."""

    binds: tuple[str, ...] = ()


class MountsRemoved(msgspec.Struct, frozen=True, rename="pascal"):
    """The body of ``POST /cutaway/containers/{name}/mounts/rm``: paths in the container."""

    targets: tuple[str, ...] = ()
    force: bool = False


class CopyRequest(msgspec.Struct, frozen=True, rename="pascal"):
    """The body of ``POST /cutaway/volumes/{name}/clone`` and ``…/snapshot``.

    Attributes:
        name: of the new volume or snapshot.
        pause: hold the containers still that write to the volume.
    """

    name: str = ""
    pause: bool = False


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


async def file(request: Request, backends: Backends) -> Response:
    """Say where a file of a container comes from."""
    path = request.query.text("path")
    return json_answer(await _volumes(backends).find_origin(request.reference, path))


async def export(request: Request, backends: Backends) -> Response:
    """Stream a volume, or a snapshot of one, as a tar."""
    return Streamed(await _volumes(backends).export(request.reference), "application/x-tar")


async def import_tar(request: Request, backends: Backends) -> Response:
    """Make a new volume of a tar."""
    options = dict(text.partition("=")[::2] for text in request.query.texts("opt"))
    body = request.exchange.body()
    made = await _volumes(backends).import_tar(request.reference, body, options)
    return json_answer(made, status=201)


async def clone(request: Request, backends: Backends) -> Response:
    """Make a new volume with what another one, or a snapshot, has."""
    asked = await request.document(CopyRequest)
    copied = await _volumes(backends).clone(request.reference, asked.name, pause=asked.pause)
    return json_answer(copied, status=201)


async def snapshot(request: Request, backends: Backends) -> Response:
    """Keep what a volume has now."""
    asked = await request.document(CopyRequest)
    taken = await _volumes(backends).snapshot(request.reference, asked.name, pause=asked.pause)
    return json_answer(taken, status=201)


_VOLUME = "/cutaway/volumes/{name}"
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
    Route(
        method="GET",
        path="/cutaway/containers/{name}/file",
        handler=file,
        group=_G,
        query=(Param("path"),),
        answers={200: model.FileOrigin},
    ),
    Route(
        method="GET",
        path=_VOLUME + "/export",
        handler=export,
        group=_G,
        answers={200: bytes},
        streams=True,
    ),
    Route(
        method="POST",
        path=_VOLUME + "/import",
        handler=import_tar,
        group=_G,
        query=(Param("opt", "array"),),
        body=bytes,
        answers={201: model.Volume},
    ),
    Route(
        method="POST",
        path=_VOLUME + "/clone",
        handler=clone,
        group=_G,
        body=CopyRequest,
        answers={201: model.VolumeCopy},
    ),
    Route(
        method="POST",
        path=_VOLUME + "/snapshot",
        handler=snapshot,
        group=_G,
        body=CopyRequest,
        answers={201: model.VolumeCopy},
    ),
)
