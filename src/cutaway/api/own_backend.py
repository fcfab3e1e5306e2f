"""What the API needs for the network operations that Docker has not. Rules: see ``backend``."""

from collections.abc import Sequence
from typing import Protocol

from cutaway import model


class OwnNetworkBackend(Protocol):
    """Published ports of running containers, and answers to "why can't it be reached"."""

    async def add_ports(self, reference: str, ports: model.PortMap) -> model.PortMap:
        """Publish more ports of a container, also while it runs; return all it has.

        Raises:
            System: a port is taken; the sentence names the owner and the next free port.
        """
        ...

    async def remove_ports(self, reference: str, ports: model.PortMap) -> model.PortMap:
        """Publish ports no more, also while it runs; return those that are left.

        Raises:
            NotFound: none of them is published.
        """
        ...

    async def denied(self, reference: str) -> Sequence[model.Refusal]:
        """Tell what a container's egress policy refused in the last hour, newest first.

        Raises:
            NotFound: there is no such container, or it does not run.
        """
        ...
