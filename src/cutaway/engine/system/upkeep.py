"""What an engine looks after while nobody asks: firewall, leases, its database, its reserve."""

import asyncio
import logging

from cutaway.engine.core import Core
from cutaway.errors import CutawayError

log = logging.getLogger(__name__)
PERIOD_S = 1.0
CHECKPOINT_BYTES = 4 << 20


async def keep_up(core: Core) -> None:
    """Look every second; what can't be done now is tried again next time."""
    while True:
        await asyncio.sleep(PERIOD_S)
        try:
            if core.network.needs_upkeep and await core.in_thread(core.network.check_firewall):
                log.warning("somebody flushed the firewall tables; they are restored")
            if core.volumes.holds_leases:
                await core.in_thread(core.volumes.watch_leases)
            core.reserve.fill()
            if core.store.log_bytes() > CHECKPOINT_BYTES:
                await core.store.checkpoint()
        except (CutawayError, OSError) as error:
            log.warning("upkeep: %s", error)
