"""What outlives one run of PID 1: the network namespace, configured once by the engine.

A restart by policy must work while the engine is dead, so addresses, routes and firewall rules
stay as they are and the next PID 1 joins the same namespace.
"""

import os
from enum import StrEnum

from cutaway.shim.steps import CreateNetworkNamespace, SandboxScope
from cutaway.steps import Ledger


class NetworkChoice(StrEnum):
    """Whose network namespace a container is in."""

    OWN = "own"  # a new one, which the shim makes
    INIT = "init"  # a new one that belongs to the container's own user namespace
    JOINED = "joined"  # the host's, or another container's


class Sandbox:
    """The container's network namespace, when it has one of its own."""

    def __init__(self) -> None:
        self.ledger = Ledger("shim")
        self._scope = SandboxScope()

    @property
    def network_fd(self) -> int:
        """The namespace's descriptor, -1 when the container uses the host's or another's."""
        return self._scope.network_fd

    def create(self) -> None:
        """Make the namespace, if there is none yet."""
        if self.network_fd < 0:
            why = "config.json linux.namespaces; made ahead, by a shim that waited"
            step = CreateNetworkNamespace(why=why)
            self.ledger.apply(step, self._scope)

    def adopt(self, network_fd: int) -> None:
        """Keep the namespace that the runtime made; the descriptor is now the sandbox's own."""
        self._scope.network_fd = network_fd

    def withdraw(self) -> None:
        """The namespace that was made ahead is not wanted: it never was."""
        self.ledger.undo_all()
        self.ledger = Ledger("shim")

    def close(self) -> None:
        """Let the namespace go; with the last process in it it ends."""
        if self._scope.network_fd >= 0:
            os.close(self._scope.network_fd)
            self._scope.network_fd = -1
