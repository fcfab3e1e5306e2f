"""Ways out that nobody asked for: endpoints on ``docker_gwbridge`` come and go.

Docker's counterpart: libnetwork's ``default_gateway.go``.
"""

from dataclasses import replace

from cutaway.network.controller.networks import Networks
from cutaway.network.decisions.gateways import (
    GATEWAY_NETWORK,
    as_gateway,
    gateway_network_request,
    needs_gateway,
    without_idle_gateway,
)
from cutaway.network.endpoint import EndpointRequest
from cutaway.network.errors import NetworkNotFound
from cutaway.network.network import Network
from cutaway.network.sandbox import Sandbox


class Gateways(Networks):
    """What the controller does with ``docker_gwbridge``; the lock is held."""

    def _add_gateway(self, sandbox: Sandbox, recorded: Sandbox | None = None) -> Sandbox:
        """Return a sandbox with an endpoint on ``docker_gwbridge``, if it needs one and has none.

        The endpoint is written down before it is made: the store is written.

        Args:
            sandbox: as it is to be.
            recorded: as its record is; ``sandbox`` itself if left out.
        """
        if not needs_gateway(sandbox) or any(e.is_gateway for e in sandbox.endpoints):
            return sandbox
        recorded = recorded or sandbox
        wanted = EndpointRequest(network=self._gateway_network().id)
        leased = self._decisions.lease(
            wanted, sandbox.request, present=list(recorded.endpoints), mode=sandbox.mode
        )
        endpoint = as_gateway(leased)
        try:
            self._book.write_sandbox(replace(recorded, endpoints=(*recorded.endpoints, endpoint)))
        except BaseException:
            self._book.leases.release(endpoint.network_id, endpoint.ipv4, endpoint.ipv6)
            raise
        return replace(sandbox, endpoints=(*sandbox.endpoints, endpoint))

    def _gateway_network(self) -> Network:
        """Return the network, made if nobody has needed it before; a user may have made it."""
        try:
            return self._book.find_network(GATEWAY_NETWORK)
        except NetworkNotFound:
            return self.create_network(gateway_network_request(self._facts()))

    def _forget_idle_gateways(self) -> None:
        """Take endpoints out of the records that a connect was about to take back when it died."""
        for sandbox in list(self._book.sandboxes.values()):
            after = without_idle_gateway(sandbox)
            if after is not sandbox:
                self._book.write_sandbox(after)
