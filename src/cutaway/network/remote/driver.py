"""Networks of a network plugin: what it can, and making one.

Docker's counterpart: libnetwork's ``drivers/remote``.
"""

from cutaway.network.drivers.base import DriverTerms
from cutaway.network.network import BUILT_IN_DRIVERS, BUILT_IN_IPAM, Network, NetworkRequest
from cutaway.network.remote import calls
from cutaway.network.remote.answers import AnswerReader
from cutaway.network.remote.asking import Asker
from cutaway.network.remote.messages import DriverCapabilities, GatewayCheck


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


def is_plugged_driver(request: NetworkRequest) -> bool:
    """The network's driver is a plugin."""
    return not request.config_only and (request.driver or "bridge") not in BUILT_IN_DRIVERS


def is_plugged(request: NetworkRequest) -> bool:
    """The network's driver or its IPAM is a plugin."""
    has_ipam = not request.config_only and (request.ipam_driver or "default") not in BUILT_IN_IPAM
    return has_ipam or is_plugged_driver(request)
