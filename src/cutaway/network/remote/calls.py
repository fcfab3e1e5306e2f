"""What plugins are asked, as values: each call of the protocol, and what takes it back. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_interface
from typing import Any

import msgspec

from cutaway.network.endpoint import Endpoint, EndpointRequest
from cutaway.network.network import IpamConfig, Network
from cutaway.network.publishing.ports import PortRequest
from cutaway.network.remote.messages import IPAM, NETWORK, EndpointInterface
from cutaway.network.sandbox import SandboxRequest

GATEWAY_LABEL = "com.docker.network.gateway"
MAC_LABEL = "com.docker.network.endpoint.macaddress"
_PROTOCOL_NUMBERS = {"tcp": 6, "udp": 17, "sctp": 132}


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One question to a plugin.

    Attributes:
        plugin: its name.
        method: ``NetworkDriver.Join``.
        arguments: the JSON object.
    """

    plugin: str
    method: str
    arguments: Mapping[str, Any]

    @property
    def implements(self) -> str:
        """What the plugin must be to understand it."""
        return self.method.partition(".")[0]


def network_call(plugin: str, method: str, **arguments: Any) -> Call:
    """Return a call to a network driver."""
    return Call(plugin=plugin, method=f"{NETWORK}.{method}", arguments=arguments)


def ipam_call(plugin: str, method: str, **arguments: Any) -> Call:
    """Return a call to an IPAM driver."""
    return Call(plugin=plugin, method=f"{IPAM}.{method}", arguments=arguments)


# Networks.


def describe_ipam(network: Network, version: int) -> list[dict[str, Any]]:
    """Return a network's subnets of one IP version as ``IPv4Data`` or ``IPv6Data``."""
    return [_describe_pool(config) for config in network.subnets(version)]


def _describe_pool(config: IpamConfig) -> dict[str, Any]:
    length = config.network.prefixlen
    pool: dict[str, Any] = {"AddressSpace": config.address_space, "Pool": config.subnet}
    if config.gateway:
        pool["Gateway"] = f"{config.gateway}/{length}"
    if config.aux_addresses:
        pool["AuxAddresses"] = {k: f"{v}/{length}" for k, v in config.aux_addresses.items()}
    return pool


def network_options(
    options: Mapping[str, str], *, ipv4: bool, ipv6: bool, internal: bool
) -> dict[str, Any]:
    """Return ``Options`` of ``CreateNetwork``."""
    found: dict[str, Any] = {
        "com.docker.network.enable_ipv4": ipv4,
        "com.docker.network.enable_ipv6": ipv6,
        "com.docker.network.generic": dict(options),
    }
    if internal:
        found["com.docker.network.internal"] = True
    return found


def create_network(network: Network) -> Call:
    """Return the call that makes a network."""
    return network_call(
        network.driver,
        "CreateNetwork",
        NetworkID=network.id,
        Options=network_options(
            network.options,
            ipv4=network.enable_ipv4,
            ipv6=network.enable_ipv6,
            internal=network.internal,
        ),
        IPv4Data=describe_ipam(network, 4),
        IPv6Data=describe_ipam(network, 6),
    )


def give_back_network(network: Network) -> tuple[Call, ...]:
    """Return what takes ``CreateNetwork`` back."""
    return (network_call(network.driver, "DeleteNetwork", NetworkID=network.id),)


def give_back_pools(ipam_driver: str, configs: Sequence[IpamConfig]) -> tuple[Call, ...]:
    """Return what gives an IPAM plugin its pools back, with their reserved addresses."""
    calls: list[Call] = []
    for config in configs:
        if not config.pool_id:
            continue
        reserved = [*config.aux_addresses.values(), *([config.gateway] if config.gateway else [])]
        calls += [release_address(ipam_driver, config.pool_id, a) for a in reserved]
        calls.append(ipam_call(ipam_driver, "ReleasePool", PoolID=config.pool_id))
    return tuple(calls)


# Addresses.


def request_pool(
    plugin: str, space: str, config: IpamConfig, *, options: Mapping[str, str], version: int
) -> Call:
    """Return the call for a pool; ``config`` may leave the subnet open."""
    return ipam_call(
        plugin,
        "RequestPool",
        AddressSpace=space,
        Pool=config.subnet,
        SubPool=config.ip_range,
        Options=dict(options),
        V6=version == 6,
    )


def request_address(plugin: str, pool_id: str, address: str, **options: str) -> Call:
    """Return the call for an address; an empty one means any."""
    return ipam_call(plugin, "RequestAddress", PoolID=pool_id, Address=address, Options=options)


def request_gateway(plugin: str, pool_id: str, address: str) -> Call:
    """Return the call for a pool's gateway."""
    return ipam_call(
        plugin,
        "RequestAddress",
        PoolID=pool_id,
        Address=address,
        Options={"RequestAddressType": GATEWAY_LABEL},
    )


def release_address(plugin: str, pool_id: str, address: str) -> Call:
    """Return the call that gives an address back."""
    return ipam_call(plugin, "ReleaseAddress", PoolID=pool_id, Address=address)


def pool_of(network: Network, interface: str) -> str:
    """Return the id of the pool that an address (with its prefix length) came from."""
    address = ip_interface(interface).ip
    found = (c.pool_id for c in network.subnets(address.version) if address in c.network)
    return next(found, "")


def give_back_addresses(network: Network, *interfaces: str) -> tuple[Call, ...]:
    """Return what gives an endpoint's addresses back; nothing for built-in IPAM."""
    return tuple(
        release_address(network.ipam_driver, pool_id, interface.partition("/")[0])
        for interface in interfaces
        if interface and (pool_id := pool_of(network, interface))
    )


# Endpoints.


def endpoint_options(request: EndpointRequest, sandbox: SandboxRequest) -> dict[str, Any]:
    """Return ``Options`` of ``CreateEndpoint``: the driver's, and the ports."""
    return {**request.driver_options, **port_options(sandbox)}


def port_options(sandbox: SandboxRequest) -> dict[str, Any]:
    """Return ``Options`` of ``Join``: what the container exposes and publishes."""
    exposed = [text.partition("/") for text in sandbox.exposed]
    return {
        "com.docker.network.endpoint.exposedports": [
            {"Proto": _PROTOCOL_NUMBERS.get(protocol or "tcp", 6), "Port": int(port)}
            for port, _, protocol in exposed
            if port.isdecimal()
        ],
        "com.docker.network.portmap": [_describe_port(port) for port in sandbox.ports],
    }


def _describe_port(port: PortRequest) -> dict[str, Any]:
    first, _, last = port.host_port.partition("-")
    return {
        "Proto": _PROTOCOL_NUMBERS[port.protocol],
        "IP": "",
        "Port": port.container_port,
        "HostIP": port.host_ip,
        "HostPort": int(first or 0),
        "HostPortEnd": int(last or first or 0),
    }


def create_endpoint(
    network: Network, endpoint_id: str, interface: EndpointInterface, options: Mapping[str, Any]
) -> Call:
    """Return the call that makes an endpoint.

    Args:
        network: the plugin's.
        endpoint_id: new.
        interface: the addresses it has already.
        options: see ``endpoint_options``.
    """
    return network_call(
        network.driver,
        "CreateEndpoint",
        NetworkID=network.id,
        EndpointID=endpoint_id,
        Interface=msgspec.to_builtins(interface),
        Options=dict(options),
    )


def endpoint_call(network: Network, method: str, endpoint_id: str, **arguments: Any) -> Call:
    """Return a call about an endpoint that is there."""
    return network_call(
        network.driver, method, NetworkID=network.id, EndpointID=endpoint_id, **arguments
    )


def give_back_endpoint(network: Network, endpoint_id: str) -> tuple[Call, ...]:
    """Return what takes an endpoint back, however far it came."""
    methods = ("RevokeExternalConnectivity", "Leave", "DeleteEndpoint")
    return tuple(endpoint_call(network, method, endpoint_id) for method in methods)


def give_back(network: Network, endpoint: Endpoint) -> tuple[Call, ...]:
    """Return all that plugins must be told when an endpoint is no more."""
    calls = give_back_endpoint(network, endpoint.id) if network.is_plugged else ()
    return (*calls, *give_back_addresses(network, endpoint.ipv4, endpoint.ipv6))
