"""Manifest lists: docker's command makes them itself; here the engine does."""

from cutaway import model
from cutaway.api.auth import parse_auth, parse_trust
from cutaway.api.backend import Backends
from cutaway.api.own_backend import ManifestBackend
from cutaway.api.request import Request
from cutaway.api.response import Response, json_answer, no_content
from cutaway.api.router import Param, Route
from cutaway.errors import InvalidParameter
from cutaway.errors import NotImplemented as Unsupported


def _manifests(backends: Backends) -> ManifestBackend:
    if backends.manifests is None:
        raise Unsupported("this engine keeps no manifest lists")
    return backends.manifests


async def create(request: Request, backends: Backends) -> Response:
    """Begin a list of images, or add to one."""
    draft = await request.document(model.ManifestDraft)
    if not (draft.name and draft.members):
        raise InvalidParameter("say the Name of the list and its Members")
    view = await _manifests(backends).create(
        draft,
        auth=parse_auth(request.headers.get("x-registry-auth", "")),
        trust=parse_trust(request.headers),
    )
    return json_answer(view)


async def annotate(request: Request, backends: Backends) -> Response:
    """Say for which platform a member of a list is."""
    annotation = await request.document(model.ManifestAnnotation)
    if not (annotation.name and annotation.member):
        raise InvalidParameter("say the Name of the list and its Member")
    return json_answer(await _manifests(backends).annotate(annotation))


async def inspect(request: Request, backends: Backends) -> Response:
    """Look at a list that was drafted here, else at what the registry has of that name."""
    view = await _manifests(backends).inspect(
        request.reference,
        verbose=request.query.flag("verbose"),
        auth=parse_auth(request.headers.get("x-registry-auth", "")),
        trust=parse_trust(request.headers),
    )
    return json_answer(view)


async def push(request: Request, backends: Backends) -> Response:
    """Send a list, and the members that its repository lacks."""
    pushed = await _manifests(backends).push(
        request.reference,
        purge=request.query.flag("purge"),
        auth=parse_auth(request.headers.get("x-registry-auth", "")),
        trust=parse_trust(request.headers),
    )
    return json_answer(pushed)


async def remove(request: Request, backends: Backends) -> Response:
    """Forget a list that was drafted here."""
    await _manifests(backends).remove(request.reference)
    return no_content()


_G = "Cutaway"
ROUTES = (
    Route(
        method="POST",
        path="/cutaway/manifests/create",
        handler=create,
        group=_G,
        body=model.ManifestDraft,
        answers={200: model.ManifestView},
    ),
    Route(
        method="POST",
        path="/cutaway/manifests/annotate",
        handler=annotate,
        group=_G,
        body=model.ManifestAnnotation,
        answers={200: model.ManifestView},
    ),
    Route(
        method="GET",
        path="/cutaway/manifests/{name:path}/json",
        handler=inspect,
        group=_G,
        query=(Param("verbose", "boolean"),),
        answers={200: model.ManifestView},
    ),
    Route(
        method="POST",
        path="/cutaway/manifests/{name:path}/push",
        handler=push,
        group=_G,
        query=(Param("purge", "boolean"),),
        answers={200: model.ManifestPushed},
    ),
    Route(
        method="DELETE",
        path="/cutaway/manifests/{name:path}",
        handler=remove,
        group=_G,
        answers={204: None},
    ),
)
