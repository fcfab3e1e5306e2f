"""Networks of a network plugin: what it can, and making one.

Docker's counterpart: libnetwork's ``drivers/remote``.
"""

from collections.abc import Sequence
from dataclasses import replace

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
        self._checks_gateways = False

    def scope(self) -> str:
        """Return the scope of its networks, ``local`` or ``global``.

        Raises:
            CutawayError: it does not say, or can't be asked.
        """
        call = calls.network_call(self.plugin, "GetCapabilities")
        answer = self._asker.ask(call, DriverCapabilities)
        self._checks_gateways = answer.gw_alloc_checker
        return AnswerReader(call.plugin, call.method).scope(answer)

    def versions_without_gateway(self, request: NetworkRequest) -> tuple[int, ...]:
        """Return the IP versions for which no gateway is to be reserved; after ``scope``."""
        if not self._checks_gateways:
            return ()
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


def without_gateways(network: Network, versions: Sequence[int]) -> Network:
    """Return a network whose subnets of some IP versions have no gateway."""
    ipam = (replace(c, gateway="") if c.network.version in versions else c for c in network.ipam)
    return replace(network, ipam=tuple(ipam)) if versions else network
