"""Images, what this engine has and Docker does not: how they differ, squashing, care."""

import msgspec

from cutaway import model
from cutaway.api.answers import progress_answer
from cutaway.api.auth import parse_auth, parse_trust
from cutaway.api.backend import Backends
from cutaway.api.own_backend import OwnImageBackend
from cutaway.api.request import Request
from cutaway.api.response import Response, json_answer
from cutaway.api.router import Param, Route
from cutaway.errors import InvalidParameter
from cutaway.errors import NotImplemented as Unsupported


class SquashRequest(msgspec.Struct, frozen=True, rename="pascal"):
    """The body of ``POST /cutaway/images/squash``."""

    image: str = ""
    keep: str = ""
    name: str = ""


def _images(backends: Backends) -> OwnImageBackend:
    if backends.own_images is None:
        raise Unsupported("this engine can not compare images")
    return backends.own_images


async def diff(request: Request, backends: Backends) -> Response:
    """Compare two images: layers, and files by layer."""
    old, new = request.query.text("old"), request.query.text("new")
    if not (old and new):
        raise InvalidParameter("say two images: old and new")
    return json_answer(await _images(backends).diff(old, new))


async def squash(request: Request, backends: Backends) -> Response:
    """Make the layers of an image above a base one."""
    body = await request.document(SquashRequest)
    if not body.image:
        raise InvalidParameter("Image is missing: say what to squash")
    messages = await _images(backends).squash(body.image, keep=body.keep, name=body.name)
    return progress_answer(messages)


async def referrers(request: Request, backends: Backends) -> Response:
    """Ask a registry what refers to an image there."""
    found = await _images(backends).referrers(
        request.reference,
        artifact_type=request.query.text("artifact-type"),
        auth=parse_auth(request.headers.get("x-registry-auth", "")),
        trust=parse_trust(request.headers),
    )
    return json_answer(found)


async def tag_history(request: Request, backends: Backends) -> Response:
    """Tell when a tag moved, from what to what, and by what."""
    return json_answer(list(await _images(backends).tag_history(request.reference)))


async def check(request: Request, backends: Backends) -> Response:
    """Read every blob again, and say which are damaged or missing."""
    return progress_answer(await _images(backends).check())


async def disk(request: Request, backends: Backends) -> Response:
    """Say where the bytes below the data root are."""
    return json_answer(await _images(backends).disk_parts())


_G = "Cutaway"
ROUTES = (
    Route(
        method="GET",
        path="/cutaway/tags/{name:path}/history",
        handler=tag_history,
        group=_G,
        answers={200: list[model.TagMove]},
    ),
    Route(
        method="POST",
        path="/cutaway/check",
        handler=check,
        group=_G,
        answers={200: model.ProgressMessage},
        streams=True,
    ),
    Route(
        method="GET",
        path="/cutaway/disk",
        handler=disk,
        group=_G,
        answers={200: list[model.DiskPart]},
    ),
    Route(
        method="GET",
        path="/cutaway/images/diff",
        handler=diff,
        group=_G,
        query=(Param("old"), Param("new")),
        answers={200: model.ImageComparison},
    ),
    Route(
        method="POST",
        path="/cutaway/images/squash",
        handler=squash,
        group=_G,
        body=SquashRequest,
        answers={200: model.ProgressMessage},
        streams=True,
    ),
    Route(
        method="GET",
        path="/cutaway/referrers/{name:path}",
        handler=referrers,
        group=_G,
        query=(Param("artifact-type"),),
        answers={200: model.Referrers},
    ),
)
