"""The driver of networks that a plugin makes: it is asked, and its link is taken in.

The plugin makes the wire and names the host's end of it; the link is moved into the sandbox, gets
its name and addresses there, and is handed back when the endpoint leaves. ``RemoteDriver`` decides
these steps, as every driver does; ``PluggedDriver`` asks what only a plugin can say.

Docker's counterpart: libnetwork's ``drivers/remote``, and ``osl`` for the sandbox's side.
"""

from collections.abc import Mapping

from cutaway.errors import InvalidParameter
from cutaway.network.drivers.base import DriverContext, DriverTerms
from cutaway.network.drivers.bridge import plan_interface
from cutaway.network.egress import EGRESS_OPTION
from cutaway.network.endpoint import Endpoint
from cutaway.network.facts import NetworkFacts
from cutaway.network.network import Network, NetworkRequest
from cutaway.network.remote import calls
from cutaway.network.remote.answers import AnswerReader
from cutaway.network.remote.asking import Asker
from cutaway.network.remote.messages import DriverCapabilities, GatewayCheck
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


class PluggedDriver:
    """Asks one network plugin.

    Args:
        plugin: its name.
        asker: how to ask.
    """

    def __init__(self, plugin: str, asker: Asker) -> None:
        self.plugin = plugin
        self._asker = asker

    def terms(self, request: NetworkRequest) -> DriverTerms:
        """Return what it says of a network to be.

        Raises:
            CutawayError: it does not say, or can't be asked.
        """
        call = calls.network_call(self.plugin, "GetCapabilities")
        answer = self._asker.ask(call, DriverCapabilities)
        scope = AnswerReader(call.plugin, call.method).scope(answer)
        skipped = self._versions_without_gateway(request) if answer.gw_alloc_checker else ()
        return DriverTerms(scope=scope, without_gateway=skipped)

    def _versions_without_gateway(self, request: NetworkRequest) -> tuple[int, ...]:
        options = calls.network_options(
            request.options,
            ipv4=request.enable_ipv4,
            ipv6=request.enable_ipv6,
            internal=request.internal,
        )
        call = calls.network_call(self.plugin, "GwAllocCheck", Options=options)
        answer = self._asker.ask(call, GatewayCheck)
        skipped = ((4, answer.skip_ipv4), (6, answer.skip_ipv6))
        return tuple(version for version, skip in skipped if skip)

    def create(self, network: Network) -> None:
        """Have the plugin make a network.

        Raises:
            CutawayError: it can't, or won't.
        """
        self._asker.tell(calls.create_network(network))
