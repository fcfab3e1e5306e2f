"""The network operations that Docker has not. Fits ``api``'s ``OwnNetworkBackend``."""

import asyncio
from collections.abc import Sequence
from dataclasses import asdict

from cutaway.engine import publishing
from cutaway.engine.core import Core
from cutaway.errors import Conflict
from cutaway.model import PortMap, Refusal


class OwnNetworkService:
    """Published ports of running containers, and answers to "why can't it be reached"."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def add_ports(self, reference: str, ports: PortMap) -> PortMap:
        """Publish more ports of a container."""
        container = self._core.containers.find(reference)
        change = publishing.add_ports(self._core, container, ports)
        return await asyncio.shield(asyncio.ensure_future(change))

    async def remove_ports(self, reference: str, ports: PortMap) -> PortMap:
        """Publish ports of a container no more."""
        container = self._core.containers.find(reference)
        change = publishing.remove_ports(self._core, container, ports)
        return await asyncio.shield(asyncio.ensure_future(change))

    async def denied(self, reference: str) -> Sequence[Refusal]:
        """Tell what a container's egress policy refused."""
        container = self._core.containers.find(reference)
        if not container.is_alive:
            raise Conflict(f"container {container.id} is not running: it has sent nothing")
        refusals = await self._core.in_thread(self._core.network.denied, container.id)
        return [Refusal(**asdict(refusal)) for refusal in refusals]
