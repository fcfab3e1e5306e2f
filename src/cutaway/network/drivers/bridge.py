"""The bridge driver: a software switch on the host, a veth pair to each container.

Docker's counterpart: libnetwork's ``drivers/bridge``.
"""

from collections.abc import Mapping

from cutaway.errors import InvalidParameter
from cutaway.network import network as options_of
from cutaway.network.drivers.base import DriverContext
from cutaway.network.egress import EGRESS_OPTION, parse_egress
from cutaway.network.endpoint import Endpoint
from cutaway.network.facts import NetworkFacts
from cutaway.network.ipams.subnets import parse_address
from cutaway.network.network import Network, NetworkRequest, parse_bool
from cutaway.network.publishing.ports import PUBLISH_MODES
from cutaway.network.sandbox_steps import ConfigureInterface, CreateVeth, SetInterface
from cutaway.network.steps import CreateBridge, DeleteLink, NetworkScope, SetBridge, SetSysctl
from cutaway.steps import Plan, Step

SYSCTLS_OPTION = "com.docker.network.endpoint.sysctls"
_BOOLEAN_OPTIONS = (
    options_of.ICC_OPTION,
    options_of.MASQUERADE_OPTION,
    options_of.DEFAULT_BRIDGE_OPTION,
    options_of.INHIBIT_IPV4_OPTION,
    options_of.ANTI_SPOOFING_OPTION,
)
_GATEWAY_MODES = ("nat", "nat-unprotected", "routed", "isolated")


class BridgeDriver:
    """See the module."""

    name = "bridge"
    has_addresses = True
    has_gateway = True

    def check_request(self, request: NetworkRequest, facts: NetworkFacts) -> None:
        """Check every option the driver knows; others are kept for those who read them.

        Raises:
            InvalidParameter: a value that is none.
        """
        options = request.options
        for name in _BOOLEAN_OPTIONS:
            if name in options:
                parse_bool(name, options[name])
        device = options.get(options_of.BRIDGE_NAME_OPTION, "")
        if device and (len(device) > 15 or "/" in device or device in (".", "..")):
            raise InvalidParameter(f"invalid bridge name {device!r}: at most 15 characters, no /")
        check_mtu(options)
        parse_egress(options.get(EGRESS_OPTION, ""))
        for name in (options_of.GATEWAY_MODE_IPV4_OPTION, options_of.GATEWAY_MODE_IPV6_OPTION):
            mode = options.get(name, "nat")
            if mode not in _GATEWAY_MODES:
                raise InvalidParameter(
                    f"failed to parse {name} value: {mode} (unknown gateway mode {mode}; "
                    f"the modes are {', '.join(_GATEWAY_MODES)})"
                )
            if mode == "isolated" and not request.internal:
                raise InvalidParameter(
                    "gateway mode isolated can only be used on internal networks"
                )
        if options.get(options_of.PUBLISH_MODE_OPTION, "dnat") not in PUBLISH_MODES:
            raise InvalidParameter(
                f"failed to parse {options_of.PUBLISH_MODE_OPTION} value: "
                f"{options[options_of.PUBLISH_MODE_OPTION]} (it must be dnat or host)"
            )
        for name in (
            options_of.HOST_BINDING_OPTION,
            options_of.HOST_IPV4_OPTION,
            options_of.HOST_IPV6_OPTION,
        ):
            if options.get(name):
                parse_address(options[name], name)

    def device_of(self, network_id: str, options: Mapping[str, str]) -> str:
        """Return the name the user gave, or Docker's ``br-`` and the beginning of the id."""
        return options.get(options_of.BRIDGE_NAME_OPTION) or f"br-{network_id[:12]}"

    def plan_network(
        self, network: Network, facts: NetworkFacts, context: DriverContext
    ) -> Plan[NetworkScope]:
        """Make the bridge, or bring the one that is there to the wanted addresses."""
        wanted = bridge_addresses(network)
        why = f"network {network.name}"
        alias = context.alias("network", network.id)
        link = facts.link(network.device)
        if link is None:
            return (
                CreateBridge(
                    why=why,
                    name=network.device,
                    addresses=wanted,
                    mtu=network.mtu,
                    alias=alias,
                    mac=mac_from_id(network.id),
                ),
                *_bridge_sysctls(network, context, why),
            )
        if not network.device_is_ours:
            return ()
        present = tuple(a for a in link.addresses if not a.lower().startswith("fe80:"))
        add = tuple(a for a in wanted if a not in present)
        remove = tuple(a for a in present if a not in wanted)
        if not add and not remove and link.is_up and link.mtu == network.mtu:
            return ()
        step = SetBridge(
            why=why, name=link.name, add=add, remove=remove, mtu=network.mtu, alias=alias
        )
        return (step,)

    def plan_network_removal(self, network: Network) -> Plan[NetworkScope]:
        """Remove the bridge if it is ours."""
        if not network.device_is_ours:
            return ()
        return (DeleteLink(why=f"network rm {network.name}", name=network.device),)

    def plan_endpoint(
        self, network: Network, endpoint: Endpoint, context: DriverContext
    ) -> Plan[NetworkScope]:
        """Make the veth pair, and give the inner end its settings and addresses."""
        why = f"--network {network.name}"
        without_ipv6 = context.is_alone and context.has_ipv6 and not endpoint.ipv6
        veth = CreateVeth(
            why=why,
            host_name=endpoint.host_interface,
            inner_name=endpoint.interface,
            bridge=network.device,
            mac=endpoint.mac,
            host_mac="fe" + mac_from_id(endpoint.id)[2:],
            mtu=endpoint.mtu,
            group=context.group,
            alias=context.alias("endpoint", endpoint.id),
            isolated=not network.option(options_of.ICC_OPTION, default=True),
            without_ipv6=without_ipv6,
        )
        links = (endpoint.host_interface, network.device)
        return (
            veth,
            *plan_interface(
                endpoint, context, why, host_links=links, born_without_ipv6=without_ipv6
            ),
        )


def check_mtu(options: Mapping[str, str]) -> None:
    """Check the driver's MTU option.

    Raises:
        InvalidParameter: no number, or no MTU that IPv4 allows.
    """
    text = options.get(options_of.MTU_OPTION)
    if text is not None and not (text.isascii() and text.isdigit() and 68 <= int(text) <= 65535):
        raise InvalidParameter(
            f"failed to parse {options_of.MTU_OPTION} value: {text} (an MTU is a number from 68 "
            "to 65535)"
        )


def bridge_addresses(network: Network) -> tuple[str, ...]:
    """Return the addresses the bridge itself has: the gateways, unless it is to have none."""
    addresses = []
    for config in network.ipam:
        if not config.subnet or not config.gateway:
            continue
        version = config.network.version
        mode_option = (
            options_of.GATEWAY_MODE_IPV4_OPTION
            if version == 4
            else options_of.GATEWAY_MODE_IPV6_OPTION
        )
        inhibited = version == 4 and network.option(options_of.INHIBIT_IPV4_OPTION, default=False)
        if not inhibited and network.options.get(mode_option) != "isolated":
            addresses.append(f"{config.gateway}/{config.network.prefixlen}")
    return tuple(addresses)


def _bridge_sysctls(
    network: Network, context: DriverContext, why: str
) -> tuple[Step[NetworkScope], ...]:
    if not context.has_ipv6:
        return ()
    conf = f"net.ipv6.conf.{network.device}"
    # A container must not reconfigure the host by router advertisements (CVE-2020-13401).
    steps = [SetSysctl(why=why, name=f"{conf}.accept_ra", value="0")]
    if not network.enable_ipv6:
        steps.append(SetSysctl(why=why, name=f"{conf}.disable_ipv6", value="1"))
    return tuple(steps)


def plan_interface(
    endpoint: Endpoint,
    context: DriverContext,
    why: str,
    *,
    host_links: tuple[str, ...] = (),
    born_without_ipv6: bool = False,
) -> tuple[Step[NetworkScope], ...]:
    """Return the steps that every driver's interface takes: settings, addresses, up."""
    addresses = tuple(a for a in (endpoint.ipv4, endpoint.ipv6, *endpoint.link_local) if a)
    steps: list[Step[NetworkScope]] = []
    if context.has_ipv6:
        conf = f"net.ipv6.conf.{endpoint.interface}"
        if endpoint.ipv6:
            steps.append(SetInterface(why=why, name=f"{conf}.disable_ipv6", value="0"))
            steps.append(SetInterface(why=why, name=f"{conf}.accept_ra", value="0"))
        elif not born_without_ipv6:
            # CVE-2024-32473: a network without IPv6 must leave no link-local address behind.
            steps.append(SetInterface(why=why, name=f"{conf}.disable_ipv6", value="1"))
    for name, value in parse_endpoint_sysctls(endpoint):
        steps.append(SetInterface(why=SYSCTLS_OPTION, name=name, value=value))
    steps.append(
        ConfigureInterface(
            why=why,
            name=endpoint.interface,
            addresses=addresses,
            host_links=host_links,
        )
    )
    return tuple(steps)


def parse_endpoint_sysctls(endpoint: Endpoint) -> tuple[tuple[str, str], ...]:
    """Read the endpoint's sysctls: ``net.ipv4.conf.IFNAME.log_martians=1,…``.

    Raises:
        InvalidParameter: not of the interface's own, or no ``name=value``.
    """
    found = []
    for text in filter(None, endpoint.driver_options.get(SYSCTLS_OPTION, "").split(",")):
        name, equals, value = text.partition("=")
        words = name.split(".")
        own = (
            len(words) == 5
            and words[0] == "net"
            and words[1] in ("ipv4", "ipv6", "mpls")
            and words[2] in ("conf", "neigh")
            and words[3].upper() == "IFNAME"  # docker run writes all of an option in small letters
            and all(w.replace("_", "").isalnum() for w in words)
        )
        if not equals or not own:
            raise InvalidParameter(
                f"invalid endpoint sysctl setting {text!r}: it must be of the form "
                "net.X.Y.IFNAME.Z=value"
            )
        words[3] = endpoint.interface
        found.append((".".join(words), value))
    return tuple(found)


def mac_from_id(identifier: str) -> str:
    """Return a locally administered address that follows from an id."""
    return "02:42:" + ":".join(identifier[i : i + 2] for i in range(0, 8, 2))


def mac_from_ipv4(address: str) -> str:
    """Return Docker's address: 02:42 and the IPv4 address.

    The same address always has the same MAC, so that neighbours' ARP tables stay true when an
    address is given to the next container.
    """
    return "02:42:" + ":".join(f"{int(part):02x}" for part in address.split("."))
