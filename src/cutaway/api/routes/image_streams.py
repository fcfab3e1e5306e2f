"""Images on their way: pull, push, import, save, load; and made of this machine."""

import msgspec

from cutaway import model
from cutaway.api.answers import progress_answer
from cutaway.api.auth import parse_auth, parse_trust
from cutaway.api.backend import Backends
from cutaway.api.request import Request
from cutaway.api.response import Response, Streamed
from cutaway.api.router import Param, Route
from cutaway.api.routes.params import platform_text, wanted_platform
from cutaway.api.version import Version
from cutaway.errors import InvalidParameter


class FromHostRequest(msgspec.Struct, frozen=True, rename="pascal"):
    """The body of ``POST /cutaway/images/from-host``."""

    name: str = ""
    programs: tuple[str, ...] = ()


async def create(request: Request, backends: Backends) -> Response:
    """Pull an image, or import one from a tar."""
    query = request.query
    platform = "" if request.below(1, 32) else wanted_platform(query)
    image = query.text("fromImage")
    if not image:
        return await _import(request, backends, platform)
    name, tag = split_reference(image, query.text("tag"))
    options = model.PullOptions(
        image=name,
        tag=tag,
        platform=platform,
        auth=parse_auth(request.headers.get("x-registry-auth", "")),
        trust=parse_trust(request.headers),
        all_platforms=query.flag("all-platforms"),
        explain=query.flag("explain"),
    )
    return progress_answer(await backends.images.pull(options))


def split_reference(image: str, tag: str) -> tuple[str, str]:
    """Split ``name:tag`` or ``name@digest`` when ``tag`` does not say it already."""
    if tag:
        return image, tag
    name, at, digest = image.partition("@")
    if at:
        return name, digest
    head, colon, last = image.rpartition(":")
    if colon and "/" not in last:
        return head, last
    return image, ""


async def _import(request: Request, backends: Backends, platform: str) -> Response:
    query = request.query
    source = query.text("fromSrc")
    if not source:
        raise InvalidParameter("say fromImage (to pull) or fromSrc (to import)")
    lines = [line for text in query.texts("changes") for line in text.splitlines()]
    options = model.ImportOptions(
        source=source,
        repo=query.text("repo"),
        tag=query.text("tag"),
        message=query.text("message"),
        changes=tuple(line for line in lines if line.strip()),
        platform=platform,
    )
    messages = await backends.images.import_tar(options, request.exchange.body())
    return progress_answer(messages)


async def push(request: Request, backends: Backends) -> Response:
    """Send an image to its registry."""
    query = request.query
    options = model.PushOptions(
        image=request.reference,
        tag=query.text("tag"),
        platform="" if request.below(1, 46) else wanted_platform(query),
        auth=parse_auth(request.headers.get("x-registry-auth", "")),
        trust=parse_trust(request.headers),
        explain=query.flag("explain"),
    )
    return progress_answer(await backends.images.push(options))


async def save_one(request: Request, backends: Backends) -> Response:
    """Stream one image as a tar."""
    return await _save(request, backends, (request.reference,))


async def save(request: Request, backends: Backends) -> Response:
    """Stream images as one tar."""
    names = tuple(name for text in request.query.texts("names") for name in text.split(",") if name)
    if not names:
        raise InvalidParameter("the parameter names is missing: say which images to save")
    return await _save(request, backends, names)


def _platforms(request: Request) -> tuple[str, ...]:
    if request.below(1, 48):
        return ()
    return tuple(platform_text(text) for text in request.query.texts("platform"))


async def _save(request: Request, backends: Backends, names: tuple[str, ...]) -> Response:
    chunks = await backends.images.save(names, platforms=_platforms(request))
    return Streamed(chunks, "application/x-tar")


async def load(request: Request, backends: Backends) -> Response:
    """Take images from a tar."""
    messages = await backends.images.load(
        request.exchange.body(),
        quiet=request.query.flag("quiet", default=True),
        platforms=_platforms(request),
    )
    return progress_answer(messages)


async def from_host(request: Request, backends: Backends) -> Response:
    """Make an image of this machine's programs: ours, not Docker's."""
    body = await request.document(FromHostRequest)
    if not body.name:
        raise InvalidParameter("Name is missing: say what the image is to be called")
    return progress_answer(await backends.images.from_host(body.name, body.programs))


_G = "Images"
_EXPLAIN = Param("explain", "boolean")
_PLATFORMS = Param("platform", "array", Version(1, 48))
ROUTES = (
    Route(
        method="POST",
        path="/images/create",
        handler=create,
        group=_G,
        query=(
            Param("fromImage"),
            Param("fromSrc"),
            Param("repo"),
            Param("tag"),
            Param("message", since=Version(1, 39)),
            Param("changes", "array", Version(1, 40)),
            Param("platform", since=Version(1, 32)),
            Param("all-platforms", "boolean"),
            _EXPLAIN,
        ),
        body=bytes,
        answers={200: model.ProgressMessage},
        streams=True,
    ),
    Route(
        method="POST",
        path="/images/{name:path}/push",
        handler=push,
        group=_G,
        query=(Param("tag"), Param("platform", since=Version(1, 46)), _EXPLAIN),
        answers={200: model.ProgressMessage},
        streams=True,
    ),
    Route(
        method="GET",
        path="/images/get",
        handler=save,
        group=_G,
        query=(Param("names", "array"), _PLATFORMS),
        answers={200: bytes},
        streams=True,
    ),
    Route(
        method="GET",
        path="/images/{name:path}/get",
        handler=save_one,
        group=_G,
        query=(_PLATFORMS,),
        answers={200: bytes},
        streams=True,
    ),
    Route(
        method="POST",
        path="/images/load",
        handler=load,
        group=_G,
        query=(Param("quiet", "boolean"), _PLATFORMS),
        body=bytes,
        answers={200: model.ProgressMessage},
        streams=True,
    ),
    Route(
        method="POST",
        path="/cutaway/images/from-host",
        handler=from_host,
        group="Cutaway",
        body=FromHostRequest,
        answers={200: model.ProgressMessage},
        streams=True,
    ),
)
