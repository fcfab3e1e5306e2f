"""Networks: listed, made, removed."""

from cutaway.network.controller.parts import ControllerParts
from cutaway.network.endpoint import Endpoint
from cutaway.network.facts import (
    probe_network_facts,
)
from cutaway.network.network import Network, NetworkRequest
from cutaway.network.steps import NetworkScope
from cutaway.steps import Ledger, Plan


class Networks(ControllerParts):
    """What the controller does with networks."""

    def networks(self) -> list[Network]:
        """Return all networks, oldest first."""
        with self._lock:
            return sorted(self._book.networks.values(), key=lambda n: n.created)

    def network(self, reference: str) -> Network:
        """Return a network by id, name or the beginning of its id.

        Raises:
            NetworkNotFound: nothing fits.
            AmbiguousNetwork: the beginning fits several.
        """
        with self._lock:
            return self._book.find_network(reference)

    def endpoints(self, network_id: str) -> list[Endpoint]:
        """Return the endpoints of a network, by container name."""
        with self._lock:
            return self._book.endpoints_of(network_id)

    def plan_network(self, request: NetworkRequest) -> tuple[Network, Plan[NetworkScope]]:
        """Decide a network and what it takes, without doing it.

        Raises:
            CutawayError: the request can't be fulfilled.
        """
        with self._lock:
            with self._kernel:
                facts = probe_network_facts(self._host_scope().host)
            network = self._decisions.new_network(request, facts)
            return network, self._decisions.plan_new_network(network, facts)

    def create_network(self, request: NetworkRequest, ledger: Ledger | None = None) -> Network:
        """Make a network. Writes the store.

        Raises:
            CutawayError: the request can't be fulfilled, in Docker's words.
            OSError: the kernel refused; nothing is left.
        """
        ledger = ledger or Ledger("engine")
        with self._lock:
            network, plan = self.plan_network(request)
            self._book.add_network(network)
            try:
                self._apply(plan, ledger)
            except BaseException:
                ledger.undo_all()
                self._book.remove_network(network)
                raise
        return network

    def remove_network(self, reference: str, ledger: Ledger | None = None) -> Network:
        """Remove a network that has no endpoints. Writes the store.

        Raises:
            NetworkNotFound: there is none.
            PredefinedNetwork: it is always there.
            NetworkInUse: it has endpoints.
        """
        with self._lock:
            network = self._book.find_network(reference)
            self._decisions.check_removal(network)
            self._apply(self._decisions.plan_removal(network), ledger or Ledger("engine"))
            self._book.remove_network(network)
        return network
