"""Images: listed, named, removed, described. Their transport is in ``image_streams``."""

from cutaway import model
from cutaway.api.answers import document_answer
from cutaway.api.auth import parse_auth
from cutaway.api.backend import Backends
from cutaway.api.filters import one_boolean, parse_filters
from cutaway.api.query import Query
from cutaway.api.request import Request
from cutaway.api.response import Answer, Response, json_answer
from cutaway.api.router import Param, Route
from cutaway.api.routes.params import FILTERS, platform_text, wanted_platform
from cutaway.api.version import Version
from cutaway.errors import InvalidParameter
from cutaway.model import Filters

LIST_FILTERS = ("before", "dangling", "label", "reference", "since", "until")
PRUNE_FILTERS = ("dangling", "label", "label!", "until")
SEARCH_FILTERS = ("is-automated", "is-official", "stars")


async def list_(request: Request, backends: Backends) -> Response:
    """List images."""
    query = request.query
    options = model.ImageListOptions(
        all=query.flag("all"),
        shared_size=not request.below(1, 42) and query.flag("shared-size"),
        digests=query.flag("digests"),
        manifests=not request.below(1, 47) and query.flag("manifests"),
        filters=_list_filters(query),
    )
    return document_answer(request, list(await backends.images.list(options)))


def _list_filters(query: Query) -> Filters:
    """Read the filters; ``filter`` was a parameter of its own: a reference."""
    filters = dict(parse_filters(query.text("filters"), LIST_FILTERS))
    one_boolean(filters, "dangling", default=False)
    if query.text("filter"):
        filters.setdefault("reference", (query.text("filter"),))
    return filters


async def inspect(request: Request, backends: Backends) -> Response:
    """Tell all about one image."""
    query = request.query
    manifests = not request.below(1, 48) and query.flag("manifests")
    platform = "" if request.below(1, 49) else wanted_platform(query)
    if manifests and platform:
        raise InvalidParameter(
            "conflicting options: manifests and platform options cannot both be set"
        )
    found = await backends.images.inspect(request.reference, platform=platform, manifests=manifests)
    return document_answer(request, found)


async def history(request: Request, backends: Backends) -> Response:
    """List the steps that made an image."""
    platform = "" if request.below(1, 48) else wanted_platform(request.query)
    return json_answer(list(await backends.images.history(request.reference, platform=platform)))


async def tag(request: Request, backends: Backends) -> Response:
    """Give an image one more name."""
    query = request.query
    if not query.text("repo"):
        raise InvalidParameter(
            "invalid reference format: repository name must have at least one component"
        )
    await backends.images.tag(request.reference, repo=query.text("repo"), tag=query.text("tag"))
    return Answer(201)


async def remove(request: Request, backends: Backends) -> Response:
    """Take a name of an image away, and its content with the last."""
    query = request.query
    platforms: tuple[str, ...] = ()
    if not request.below(1, 50):
        platforms = tuple(platform_text(text) for text in query.texts("platforms"))
    if not request.reference.strip():
        raise InvalidParameter("image name cannot be blank")
    done = await backends.images.remove(
        request.reference,
        force=query.flag("force"),
        prune_children=not query.flag("noprune"),
        platforms=platforms,
    )
    return json_answer(list(done))


async def prune(request: Request, backends: Backends) -> Response:
    """Remove images that nothing uses."""
    filters = parse_filters(request.query.text("filters"), PRUNE_FILTERS)
    one_boolean(filters, "dangling", default=True)
    return json_answer(await backends.images.prune(filters))


async def search(request: Request, backends: Backends) -> Response:
    """Ask a registry for repositories by a word."""
    query = request.query
    if not query.text("term"):
        raise InvalidParameter("the parameter term is missing: say what to search for")
    limit = query.number("limit", default=0)
    if query.text("limit") and not 1 <= limit <= 100:
        raise InvalidParameter(f"limit {limit} is outside the range of [1, 100]")
    found = await backends.images.search(
        query.text("term"),
        limit=limit or 25,
        filters=parse_filters(query.text("filters"), SEARCH_FILTERS),
        auth=parse_auth(request.headers.get("x-registry-auth", "")),
    )
    return json_answer(list(found))


async def distribution(request: Request, backends: Backends) -> Response:
    """Ask a registry what a reference is."""
    auth = parse_auth(request.headers.get("x-registry-auth", ""))
    return json_answer(await backends.images.distribution(request.reference, auth=auth))


async def attestations(request: Request, backends: Backends) -> Response:
    """List in-toto statements attached to an image."""
    query = request.query
    found = await backends.images.attestations(
        request.reference,
        platform=wanted_platform(query),
        types=query.texts("type"),
        statement=query.flag("statement"),
    )
    return json_answer(list(found))


_NAME = "/images/{name:path}"
_G = "Images"
_PLATFORM = Param("platform", since=Version(1, 48))
ROUTES = (
    Route(
        method="GET",
        path="/images/json",
        handler=list_,
        group=_G,
        query=(
            Param("all", "boolean"),
            FILTERS,
            Param("shared-size", "boolean", Version(1, 42)),
            Param("digests", "boolean"),
            Param("manifests", "boolean", Version(1, 47)),
        ),
        answers={200: list[model.ImageSummary]},
    ),
    Route(
        method="GET",
        path="/images/search",
        handler=search,
        group=_G,
        query=(Param("term"), Param("limit", "integer"), FILTERS),
        answers={200: list[model.ImageSearchResult]},
    ),
    Route(
        method="POST",
        path="/images/prune",
        handler=prune,
        group=_G,
        query=(FILTERS,),
        answers={200: model.ImagePruneReport},
    ),
    Route(
        method="GET",
        path=_NAME + "/json",
        handler=inspect,
        group=_G,
        query=(
            Param("manifests", "boolean", Version(1, 48)),
            Param("platform", since=Version(1, 49)),
        ),
        answers={200: model.ImageInspect},
    ),
    Route(
        method="GET",
        path=_NAME + "/history",
        handler=history,
        group=_G,
        query=(_PLATFORM,),
        answers={200: list[model.ImageHistoryItem]},
    ),
    Route(
        method="GET",
        path=_NAME + "/attestations",
        handler=attestations,
        group=_G,
        query=(Param("platform"), Param("type", "array"), Param("statement", "boolean")),
        answers={200: list[model.AttestationStatement]},
        since=Version(1, 55),
    ),
    Route(
        method="POST",
        path=_NAME + "/tag",
        handler=tag,
        group=_G,
        query=(Param("repo"), Param("tag")),
        answers={201: None},
    ),
    Route(
        method="DELETE",
        path=_NAME,
        handler=remove,
        group=_G,
        query=(
            Param("force", "boolean"),
            Param("noprune", "boolean"),
            Param("platforms", "array", Version(1, 50)),
        ),
        answers={200: list[model.ImageDeleteItem]},
    ),
    Route(
        method="GET",
        path="/distribution/{name:path}/json",
        handler=distribution,
        group="Distribution",
        answers={200: model.DistributionInspect},
        since=Version(1, 30),
    ),
)
