"""The network operations that Docker has not. Fits ``api``'s ``OwnNetworkBackend``."""

import asyncio
from collections.abc import Sequence
from dataclasses import asdict

from cutaway.engine.core import Core
from cutaway.engine.networking import publishing
from cutaway.errors import Conflict
from cutaway.model import Finding, PortMap, Reach, Refusal


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

    async def reach(self, port: int, protocol: str) -> Sequence[Reach]:
        """Tell who can reach a port of the host, and which rule decides."""
        found = await self._core.in_thread(self._core.network.reach, port, protocol)
        return [Reach(**asdict(reach)) for reach in found]

    async def diagnose(self) -> Sequence[Finding]:
        """Look at all that networks need, and name what is in the way."""
        found = await self._core.in_thread(self._core.network.diagnose)
        return [Finding(**asdict(finding)) for finding in found]
