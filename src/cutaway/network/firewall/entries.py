"""What networks, endpoints and ports mean as elements of the firewall's sets. Pure.

Read ``ruleset.py`` first: it says what each set does.
"""

from collections.abc import Iterable
from ipaddress import ip_address

from cutaway.linux.addressing import link_local_of
from cutaway.network.endpoint import Endpoint
from cutaway.network.firewall.egress import policy_entries
from cutaway.network.firewall.sets import Entry
from cutaway.network.network import (
    ANTI_SPOOFING_OPTION,
    GATEWAY_MODE_IPV4_OPTION,
    GATEWAY_MODE_IPV6_OPTION,
    HOST_IPV4_OPTION,
    HOST_IPV6_OPTION,
    ICC_OPTION,
    MASQUERADE_OPTION,
    TRUSTED_INTERFACES_OPTION,
    Network,
)
from cutaway.network.publishing.ports import ANY_IPV4, ANY_IPV6, HOST, PortBinding


def gateway_mode(network: Network, version: int) -> str:
    """Return how a network's addresses relate to the world outside.

    ``nat`` (hidden, only published ports get in), ``nat-unprotected`` (hidden, everything gets
    in by its own address), ``routed`` (not hidden, published ports get in by the container's own
    address), ``isolated`` (the host itself has no address on it).
    """
    option = GATEWAY_MODE_IPV4_OPTION if version == 4 else GATEWAY_MODE_IPV6_OPTION
    return network.options.get(option) or "nat"


def network_entries(network: Network) -> list[Entry]:
    """Return the elements that a network adds."""
    if network.driver != "bridge":
        return []
    bridge = network.device
    icc = network.option(ICC_OPTION, default=True)
    entries = [Entry("bridges", (bridge,))]
    entries.append(Entry("neighbours" if icc else "isolated", (bridge, bridge)))
    if network.internal:
        entries.append(Entry("internal", (bridge,)))
    if network.internal or not icc:
        entries.append(Entry("walled", (bridge,)))
    trusted = [t for t in network.options.get(TRUSTED_INTERFACES_OPTION, "").split(":") if t]
    entries += [Entry("neighbours", (link, bridge)) for link in trusted]
    modes = set()
    for config in network.ipam:
        if config.subnet:
            version = config.network.version
            modes.add(gateway_mode(network, version))
            entries += _subnet_entries(network, config.subnet, version, trusted)
    if "routed" in modes:
        entries.append(Entry("routed", (bridge,)))
    if "nat-unprotected" in modes:
        entries.append(Entry("exposed", (bridge,)))
    return entries


def _subnet_entries(
    network: Network, subnet: str, version: int, trusted: Iterable[str]
) -> list[Entry]:
    mode = gateway_mode(network, version)
    entries = [
        Entry(f"subnets{version}", (subnet,)),
        Entry(f"homes{version}", (subnet, network.device)),
        *(Entry(f"homes{version}", (subnet, link)) for link in trusted),
    ]
    host_address = network.options.get(HOST_IPV4_OPTION if version == 4 else HOST_IPV6_OPTION)
    hides = bool(host_address) or network.option(MASQUERADE_OPTION, default=True)
    # Answers to containers that show their own addresses come from outside: these networks have
    # only the forwarding rules, which know what is an answer.
    if mode == "isolated" or (mode == "nat" and (hides or network.internal)):
        entries.append(Entry(f"guarded{version}", (subnet,)))
    if mode.startswith("nat") and not network.internal:
        if host_address:
            entries.append(Entry(f"source{version}", (subnet,), (host_address,)))
        elif hides:
            entries.append(Entry(f"hidden{version}", (subnet,)))
    return entries


def endpoint_entries(network: Network, endpoint: Endpoint) -> list[Entry]:
    """Return the elements that an endpoint adds: what its link may send with."""
    link = endpoint.host_interface
    if not link or not (endpoint.egress or network.option(ANTI_SPOOFING_OPTION, default=True)):
        return []
    entries = [Entry("allotted", (link,)), Entry("macs", (link, endpoint.mac))]
    addresses = [endpoint.address, endpoint.address_v6, *endpoint.link_local]
    if endpoint.address_v6:
        addresses.append(link_local_of(endpoint.mac))
        entries += _discovery_options(link, endpoint.mac)
    for address in {a.partition("/")[0]: True for a in addresses if a}:
        parsed = ip_address(address)
        entries.append(Entry(f"addresses{parsed.version}", (link, address)))
        if parsed.version == 6:
            entries.append(Entry("targets6", (link, f"{int(parsed):#x}")))
    return [*entries, *policy_entries(endpoint)]


def _discovery_options(link: str, mac: str) -> list[Entry]:
    """Return how a neighbour solicitation and an advertisement tell the Ethernet address."""
    pairs = (("0x87", "0x101"), ("0x88", "0x201"))
    return [
        Entry("options6", (link, message, head + mac.replace(":", ""))) for message, head in pairs
    ]


def port_entries(
    binding: PortBinding, *, network: Network, address: str, address_v6: str
) -> list[Entry]:
    """Return the elements that publish a port.

    Args:
        binding: the port.
        network: the container's gateway network; ports need a bridge.
        address: the container's IPv4 address; may be empty.
        address_v6: its IPv6 address; may be empty.

    Returns:
        Nothing for a port on loopback only or in mode host: the userland process alone serves it.
    """
    host_ip = ip_address(binding.host_ip)
    version = host_ip.version
    target = address if version == 4 else address_v6
    port = (binding.protocol, str(binding.host_port))
    if not target:
        return []
    mode = gateway_mode(network, version)
    if mode == "routed":
        return [Entry(f"open{version}", (target, binding.protocol, str(binding.container_port)))]
    if host_ip.is_loopback or binding.mode == HOST:
        return []
    value = (target, str(binding.container_port))
    if binding.host_ip in (ANY_IPV4, ANY_IPV6):
        return [Entry(f"anyports{version}", port, value)]
    return [Entry(f"ports{version}", (binding.host_ip, *port), value)]
