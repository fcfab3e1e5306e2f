"""All operations of the API in one table."""

from functools import cache

from cutaway.api.router import Route
from cutaway.api.routes import (
    builds,
    container_streams,
    containers,
    execs,
    image_streams,
    images,
    networks,
    own,
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
        *execs.ROUTES,
        *image_streams.ROUTES,
        *images.ROUTES,
        *networks.ROUTES,
        *volumes.ROUTES,
        *builds.ROUTES,
        *swarm.ROUTES,
        *own.ROUTES,
    )
