"""The drivers that make no wire: the host's own network, and none at all."""

from collections.abc import Mapping

from cutaway.errors import Forbidden
from cutaway.network.drivers.base import DriverContext
from cutaway.network.endpoint import Endpoint
from cutaway.network.facts import NetworkFacts
from cutaway.network.network import Network, NetworkRequest
from cutaway.network.steps import NetworkScope
from cutaway.steps import Plan


class _BareDriver:
    """What ``host`` and ``null`` have in common: there is one network of each, from the start."""

    name = ""
    has_addresses = False
    has_gateway = False

    def check_request(self, request: NetworkRequest, facts: NetworkFacts) -> None:
        """Refuse a second one."""
        raise Forbidden(f'only one instance of "{self.name}" network is allowed')

    def device_of(self, network_id: str, options: Mapping[str, str]) -> str:
        """There is none."""
        return ""

    def plan_network(
        self, network: Network, facts: NetworkFacts, context: DriverContext
    ) -> Plan[NetworkScope]:
        """Nothing to do."""
        return ()

    def plan_network_removal(self, network: Network) -> Plan[NetworkScope]:
        """Nothing to do."""
        return ()

    def plan_endpoint(
        self, network: Network, endpoint: Endpoint, context: DriverContext
    ) -> Plan[NetworkScope]:
        """Nothing to do."""
        return ()


class HostDriver(_BareDriver):
    """The container has no network namespace of its own."""

    name = "host"


class NullDriver(_BareDriver):
    """The container's namespace has nothing but ``lo``."""

    name = "null"
