"""The driver of networks that a plugin makes: what is left to do is to take its link in.

The plugin makes the wire and names the host's end of it; the link is moved into the sandbox, gets
its name and addresses there, and is handed back when the endpoint leaves.

Docker's counterpart: libnetwork's ``drivers/remote``, and ``osl`` for the sandbox's side.
"""

from collections.abc import Mapping

from cutaway.errors import InvalidParameter
from cutaway.network.drivers.base import DriverContext
from cutaway.network.drivers.bridge import plan_interface
from cutaway.network.egress import EGRESS_OPTION
from cutaway.network.endpoint import Endpoint
from cutaway.network.facts import NetworkFacts
from cutaway.network.network import Network, NetworkRequest
from cutaway.network.remote.steps import AddRoute, TakeLinkIn
from cutaway.network.steps import NetworkScope
from cutaway.steps import Plan, Step


class RemoteDriver:
    """See the module."""

    has_addresses = True
    has_gateway = True

    def __init__(self, name: str) -> None:
        self.name = name

    def check_request(self, request: NetworkRequest, facts: NetworkFacts) -> None:
        """The plugin knows its options; egress policies it can't keep.

        Raises:
            InvalidParameter: an egress policy.
        """
        if request.options.get(EGRESS_OPTION):
            raise InvalidParameter(
                f"egress policies need a bridge network: what is sent on a {self.name} network "
                "does not pass this host's firewall"
            )

    def device_of(self, network_id: str, options: Mapping[str, str]) -> str:
        """The plugin's devices are its own."""
        return ""

    def plan_network(
        self, network: Network, facts: NetworkFacts, context: DriverContext
    ) -> Plan[NetworkScope]:
        """Nothing to do on the host: the plugin is asked."""
        return ()

    def plan_network_removal(self, network: Network) -> Plan[NetworkScope]:
        """Nothing to do on the host."""
        return ()

    def plan_endpoint(
        self, network: Network, endpoint: Endpoint, context: DriverContext
    ) -> Plan[NetworkScope]:
        """Take the plugin's link in; nothing when it named none."""
        if not endpoint.source_interface:
            return ()
        why = f"--network {network.name}"
        link = TakeLinkIn(
            why=why,
            plugin=self.name,
            source=endpoint.source_interface,
            inner_name=endpoint.interface,
            mac=endpoint.mac,
        )
        routes: tuple[Step[NetworkScope], ...] = tuple(
            AddRoute(
                why=f"plugin {self.name}", destination=to, gateway=via, interface=link.inner_name
            )
            for to, via in endpoint.static_routes
        )
        return (link, *plan_interface(endpoint, context, why), *routes)
