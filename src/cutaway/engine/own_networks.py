"""The network operations that Docker has not. Fits ``api``'s ``OwnNetworkBackend``."""

import asyncio

from cutaway.engine import publishing
from cutaway.engine.core import Core
from cutaway.model import PortMap


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
