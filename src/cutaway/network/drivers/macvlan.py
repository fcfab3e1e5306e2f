"""The macvlan and ipvlan drivers: containers on the machine's own wire, without port mappings.

A macvlan interface is a second network card with an address of its own on the parent's wire.
Neighbours reach it like any machine; its own host does not: the kernel sends a parent's frames
out on the wire, never up to its children. An ipvlan interface shares the parent's Ethernet
address and is told apart by its IP address (mode l2), or is routed to (l3).

Docker's counterpart: libnetwork's ``drivers/macvlan`` and ``drivers/ipvlan``.
"""

from collections.abc import Mapping

from cutaway.errors import InvalidParameter
from cutaway.network.drivers.base import DriverContext
from cutaway.network.drivers.bridge import check_mtu, mac_from_id, plan_interface
from cutaway.network.egress import EGRESS_OPTION
from cutaway.network.endpoint import Endpoint
from cutaway.network.facts import NetworkFacts
from cutaway.network.network import Network, NetworkRequest
from cutaway.network.sandbox_steps import CreateSharedLink
from cutaway.network.steps import CreateInnerParent, DeleteLink, NetworkScope, RequireLinkKind
from cutaway.steps import Plan, Step

PARENT_OPTION = "parent"


class MacvlanDriver:
    """See the module."""

    name = "macvlan"
    has_addresses = True
    has_gateway = False
    mode_option = "macvlan_mode"
    modes: tuple[str, ...] = ("bridge", "private", "vepa", "passthru")
    kernel_option = "CONFIG_MACVLAN"

    def check_request(self, request: NetworkRequest, facts: NetworkFacts) -> None:
        """Check the mode and the parent.

        Raises:
            InvalidParameter: an unknown mode, or a parent the host has not.
        """
        check_mtu(request.options)
        if request.options.get(EGRESS_OPTION):
            raise InvalidParameter(
                f"egress policies need a bridge network: what is sent on a {self.name} network "
                "does not pass this host's firewall"
            )
        mode = self.mode_of(request.options)
        if mode not in self.modes:
            raise InvalidParameter(
                f"requested {self.name} mode '{mode}' is not valid, '{self.modes[0]}' mode is "
                f"the {self.name} driver default; the modes are {', '.join(self.modes)}"
            )
        parent = request.options.get(PARENT_OPTION, "")
        if request.internal and parent:
            raise InvalidParameter(
                f"an internal {self.name} network has a parent of its own: leave out -o parent"
            )
        if parent and facts.link(parent) is None:
            names = ", ".join(sorted(link.name for link in facts.links))
            raise InvalidParameter(
                f"invalid {self.name} parent {parent}: this host has no such interface "
                f"(it has {names}); VLAN subinterfaces must be made first"
            )

    def mode_of(self, options: Mapping[str, str]) -> str:
        """Return the mode that the options ask for."""
        return options.get(self.mode_option) or self.modes[0]

    def device_of(self, network_id: str, options: Mapping[str, str]) -> str:
        """Return the parent, or the name of one made for an internal network."""
        return options.get(PARENT_OPTION) or f"dm-{network_id[:12]}"

    def plan_network(
        self, network: Network, facts: NetworkFacts, context: DriverContext
    ) -> Plan[NetworkScope]:
        """Ask the kernel, and make a parent with no way out if none was given."""
        why = f"network {network.name}"
        steps: list[Step[NetworkScope]] = [
            RequireLinkKind(why=why, kind=self.name, option=self.kernel_option)
        ]
        if network.device_is_ours and facts.link(network.device) is None:
            steps.append(
                CreateInnerParent(
                    why=f"{why}: no parent",
                    name=network.device,
                    mtu=network.mtu,
                    alias=context.alias("network", network.id),
                    mac=mac_from_id(network.id),
                )
            )
        return tuple(steps)

    def plan_network_removal(self, network: Network) -> Plan[NetworkScope]:
        """Remove the parent if it is ours."""
        if not network.device_is_ours:
            return ()
        return (DeleteLink(why=f"network rm {network.name}", name=network.device),)

    def plan_endpoint(
        self, network: Network, endpoint: Endpoint, context: DriverContext
    ) -> Plan[NetworkScope]:
        """Make the interface inside the sandbox."""
        why = f"--network {network.name}"
        mode = self.mode_of(network.options)
        has_own_mac = self.name == "macvlan" and mode != "passthru"
        device = CreateSharedLink(
            why=why,
            inner_name=endpoint.interface,
            parent=network.device,
            kind=self.name,
            mode=mode,
            flag=network.options.get("ipvlan_flag", "bridge") if self.name == "ipvlan" else "",
            mac=endpoint.mac if has_own_mac else "",
            mtu=endpoint.mtu,
        )
        return (device, *plan_interface(endpoint, context, why))


class IpvlanDriver(MacvlanDriver):
    """ipvlan: as macvlan, with the parent's Ethernet address."""

    name = "ipvlan"
    mode_option = "ipvlan_mode"
    modes = ("l2", "l3", "l3s")
    kernel_option = "CONFIG_IPVLAN"

    def check_request(self, request: NetworkRequest, facts: NetworkFacts) -> None:
        """Check the flag, too.

        Raises:
            InvalidParameter: an unknown mode or flag, or a parent the host has not.
        """
        super().check_request(request, facts)
        flag = request.options.get("ipvlan_flag", "bridge")
        if flag not in ("bridge", "private", "vepa"):
            raise InvalidParameter(f"invalid ipvlan flag {flag}: bridge, private or vepa")
