"""Starting again what a restart policy wants and no shim is there to start.

A shim restarts its own container, engine or not. Two ends it does not live to see: its own death,
and the machine's. The first is heard of as an event, the second found at the engine's start; then
``always`` starts even what a user stopped, as with dockerd.
"""

import asyncio
import logging
from functools import partial

from cutaway.engine.container import Container
from cutaway.engine.core import Core
from cutaway.engine.events import Event
from cutaway.engine.lifecycle import Status
from cutaway.engine.running.endings import SHIM
from cutaway.engine.running.restarts import plan_restart
from cutaway.engine.spec.namespaces import shares
from cutaway.engine.starts import starting
from cutaway.errors import CutawayError, NotModified

log = logging.getLogger(__name__)
_AT_ONCE = 8


def wants_start(container: Container, *, at_engine_start: bool) -> bool:
    """Say whether the policy starts a container that has ended without its shim's knowledge."""
    state = container.state
    if state.status is not Status.EXITED or not state.started_ns:
        return False
    policy = plan_restart(container.host_config.restart_policy, container.config.labels or {})
    match policy.name:
        case "always":
            return at_engine_start or not state.stopped_by_user
        case "unless-stopped":
            return not state.stopped_by_user
        case "on-failure" | "on-unhealthy":
            limit = policy.maximum_retries
            return (
                state.exit_code != 0
                and not state.stopped_by_user
                and (not limit or state.restart_count < limit)
            )
    return False


def resume_after_losses(core: Core) -> None:
    """From now on, start again whatever loses its shim."""
    core.bus.listen(partial(_on_event, core))


def _on_event(core: Core, event: Event) -> None:
    if event.action != "die" or event.attributes.get("endedBy") != SHIM:
        return
    container = core.containers.get(event.id)
    if container is not None and wants_start(container, at_engine_start=False):
        core.spawn(_start(core, container), f"restarting {container.short_id}")


async def resume_all(core: Core) -> None:
    """Start what the policies want at an engine's start; those first that others lean on."""
    wanted = [c for c in core.containers if wants_start(c, at_engine_start=True)]
    leaning = [c for c in wanted if shares(c.host_config.network_mode) or c.host_config.links]
    places = asyncio.Semaphore(_AT_ONCE)

    async def start(container: Container) -> None:
        async with places:
            await _start(core, container)

    for group in ([c for c in wanted if c not in leaning], leaning):
        await asyncio.gather(*map(start, group))


async def _start(core: Core, container: Container) -> None:
    await container.cleaned.wait()
    try:
        await starting.start(core, container, restart_count=container.state.restart_count + 1)
    except NotModified:
        log.debug("%s runs already", container.short_id)
    except CutawayError as error:
        log.warning("the restart policy could not start %s: %s", container.short_id, error)
