"""Holding containers still for a moment, and letting them go on whatever happens.

Who is held is written down first: should the engine die meanwhile, the next one lets them go.
"""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress

from msgspec.structs import replace

from cutaway.engine.container import Container
from cutaway.engine.core import Core
from cutaway.engine.lifecycle import Status
from cutaway.engine.links import ShimFailed, ShimLost
from cutaway.shim.protocol import Pause, Resume

HELD = "held"


@asynccontextmanager
async def held_still(core: Core, containers: Iterable[Container]) -> AsyncIterator[None]:
    """Freeze those that run until the block ends; one that is paused already stays so.

    The events say so, as dockerd's do; the status stays ``running``.

    Raises:
        ShimFailed, ShimLost: one can't be frozen; all go on.
    """
    held = [c for c in containers if c.state.status is Status.RUNNING and c.shim is not None]
    with core.store.change() as transaction:
        for container in held:
            transaction.put_document(HELD, container.id, b"{}")
    try:
        for container in held:
            await _hold(core, container)
        yield
    finally:
        for container in held:
            await _release(core, container)
        with core.store.change() as transaction:
            for container in held:
                transaction.delete_document(HELD, container.id)


async def let_go(core: Core) -> None:
    """Let those go on that an engine held when it died."""
    for identifier, _ in core.store.documents(HELD):
        container = core.containers.get(identifier)
        if container is not None:
            await _release(core, container)
            if container.state.status is Status.PAUSED:  # as the new engine found it
                core.commit(container, state=replace(container.state, status=Status.RUNNING))
        with core.store.change() as transaction:
            transaction.delete_document(HELD, identifier)


async def _hold(core: Core, container: Container) -> None:
    """Freeze a container.

    Raises:
        ShimFailed, ShimLost: it goes on. One that has ended in this moment is still, too.
    """
    try:
        await _ask(core, container, Pause())
    except (ShimFailed, ShimLost):
        if container.is_alive:
            raise


async def _release(core: Core, container: Container) -> None:
    """Let a container go on; harmless when it was never held, or has ended."""
    with suppress(ShimFailed, ShimLost):
        await _ask(core, container, Resume())


async def _ask(core: Core, container: Container, message: Pause | Resume) -> None:
    if container.shim is not None:
        await container.shim.request(message)
        action = "pause" if isinstance(message, Pause) else "unpause"
        core.commit(container, told=[(action, {})])
