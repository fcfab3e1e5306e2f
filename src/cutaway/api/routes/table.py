"""All operations of the API in one table, and the operation that describes it."""

from functools import cache
from typing import Any

from cutaway.api.backend import Backends
from cutaway.api.openapi import describe
from cutaway.api.request import Request
from cutaway.api.response import JSON, Answer, Response, encode
from cutaway.api.router import Route
from cutaway.api.routes import (
    build_cache,
    builds,
    checkpoints,
    container_streams,
    containers,
    execs,
    image_streams,
    images,
    manifests,
    networks,
    own,
    own_images,
    own_volumes,
    swarm,
    system,
    volumes,
)


@cache
def all_routes() -> tuple[Route, ...]:
    """Return every route. Order decides where two match: the fixed part of a path comes first."""
    return (
        *system.ROUTES,
        *containers.ROUTES,
        *container_streams.ROUTES,
        *checkpoints.ROUTES,
        *execs.ROUTES,
        *image_streams.ROUTES,
        *images.ROUTES,
        *networks.ROUTES,
        *volumes.ROUTES,
        *builds.ROUTES,
        *build_cache.ROUTES,
        *swarm.ROUTES,
        *own.ROUTES,
        *own_images.ROUTES,
        *own_volumes.ROUTES,
        *manifests.ROUTES,
        Route(
            method="GET",
            path="/openapi.json",
            handler=description,
            group="Cutaway",
            answers={200: Any},
        ),
    )


async def description(request: Request, backends: Backends) -> Response:
    """Describe this API in OpenAPI's words."""
    return Answer(200, _description(), JSON)


@cache
def _description() -> bytes:
    return encode(describe(all_routes()))
