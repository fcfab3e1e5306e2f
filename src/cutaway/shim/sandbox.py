"""What outlives one run of PID 1: the network namespace, configured once by the engine.

A restart by policy must work while the engine is dead, so addresses, routes and firewall rules
stay as they are and the next PID 1 joins the same namespace.
"""

import os
from typing import Any

from cutaway.shim.steps import CreateNetworkNamespace, SandboxScope
from cutaway.steps import Ledger


class Sandbox:
    """The container's network namespace, when it has one of its own."""

    def __init__(self) -> None:
        self.ledger = Ledger("shim")
        self._scope = SandboxScope()

    @property
    def network_fd(self) -> int:
        """The namespace's descriptor, -1 when the container uses the host's or another's."""
        return self._scope.network_fd

    def create(self, config: dict[str, Any]) -> bool:
        """Make the namespace, once, if config.json asks for one of the container's own.

        Returns:
            False when the runtime has to make it: inside a user namespace it must belong to
            that, and ``adopt`` takes it over then.
        """
        kinds = {
            item.get("type"): item for item in (config.get("linux") or {}).get("namespaces") or ()
        }
        network = kinds.get("network")
        if network is None or network.get("path") or self.network_fd >= 0:
            return True
        if "user" in kinds and not kinds["user"].get("path"):
            return False
        self.ledger.apply(CreateNetworkNamespace(why="config.json linux.namespaces"), self._scope)
        return True

    def adopt(self, network_fd: int) -> None:
        """Keep the namespace that the runtime made; the descriptor is now the sandbox's own."""
        self._scope.network_fd = network_fd

    def close(self) -> None:
        """Let the namespace go; with the last process in it it ends."""
        if self._scope.network_fd >= 0:
            os.close(self._scope.network_fd)
            self._scope.network_fd = -1
