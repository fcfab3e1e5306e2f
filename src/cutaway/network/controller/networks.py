"""Networks: listed, made, removed."""

import os
from collections.abc import Sequence

from cutaway.network.controller.replays import Replays
from cutaway.network.drivers import NO_TERMS, DriverTerms
from cutaway.network.drivers.remote import PluggedDriver
from cutaway.network.endpoint import Endpoint
from cutaway.network.errors import UnknownDriver
from cutaway.network.facts import NetworkFacts, probe_network_facts
from cutaway.network.ipams.remote import PoolsInHand
from cutaway.network.network import IpamConfig, Network, NetworkRequest
from cutaway.network.remote import calls
from cutaway.network.remote.asking import Asker
from cutaway.network.remote.releases import Release
from cutaway.network.steps import NetworkScope
from cutaway.plugins import PluginNotFound
from cutaway.steps import Ledger, Plan


class Networks(Replays):
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
            self._decisions.check_new_name(request.name)
            facts = self._facts()
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
            self._decisions.check_new_name(request.name)
            request = self._decisions.expand(request)
        if request.asks_plugins:
            return self._create_plugged(request, ledger)
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
            self._release_due()
        self._settle([network.id])
        return network

    def _create_plugged(self, request: NetworkRequest, ledger: Ledger) -> Network:
        network_id = os.urandom(32).hex()
        asker = Asker(self._plugins, ledger, f"network {request.name}")
        try:
            network = self._ask_for_network(request, network_id, asker)
            with self._lock:
                self._apply(self._decisions.plan_new_network(network, self._facts()), ledger)
                self._book.add_network(network)
        except BaseException as error:
            with self._lock:
                ledger.undo_all()
                self._book.give_up(network_id)
                self._release_due()
            if isinstance(error, PluginNotFound):
                raise UnknownDriver(error.name) from error
            raise
        finally:
            self._book.pending.pop(network_id, None)
        return network

    def _facts(self) -> NetworkFacts:
        return probe_network_facts(self._host_scope().host)

    def _ask_for_network(self, request: NetworkRequest, network_id: str, asker: Asker) -> Network:
        """Decide a network by what plugins give for it, and have its driver make it."""
        driver = PluggedDriver(request.driver, asker) if request.is_plugged else None
        said = driver.terms(request) if driver else NO_TERMS
        ipam = None
        if request.has_plugged_ipam:
            ipam = PoolsInHand(self._ask_for_pools(request, network_id, said, asker))
        with self._lock:
            network = self._decisions.new_network(
                request, self._facts(), network_id, said=said, ipam=ipam
            )
            self._book.pending[network_id] = network
        if driver is not None:
            back = calls.give_back_network(network)
            pools_back = calls.give_back_pools(network.ipam_driver, network.ipam)
            self._intend_network(network_id, (*back, *pools_back))
            driver.create(network)
        return network

    def _ask_for_pools(
        self, request: NetworkRequest, network_id: str, said: DriverTerms, asker: Asker
    ) -> tuple[IpamConfig, ...]:
        """Get a network's pools from its IPAM plugin; what gives them back is written down."""

        def hold(configs: Sequence[IpamConfig]) -> None:
            self._intend_network(network_id, calls.give_back_pools(request.ipam_driver, configs))

        with self._lock:
            terms = self._decisions.terms_for_plugin(request, self._facts(), said)
        return self._ipam(request.ipam_driver, asker, hold).request_pools(request, terms)

    def _intend_network(self, network_id: str, given_back: tuple[calls.Call, ...]) -> None:
        release = Release(id=network_id, network_id=network_id, calls=given_back)
        with self._lock:
            self._book.intend(release)
