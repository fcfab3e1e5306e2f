"""Networks and a container's place in them, in libnetwork's words.

A network owns endpoints; an endpoint joins a container's sandbox. ``EndpointSettings`` is both the
request (aliases, fixed addresses) and the answer (the addresses leased).

Source: Engine API ``Network``, ``EndpointSettings``, ``IPAM``.
"""

from typing import Any

from cutaway.model.base import Int64, Model, Uint64, always, named
from cutaway.model.port import PortMap


class EndpointIPAMConfig(Model):
    """Addresses that the caller fixes instead of letting the pool lease them."""

    ipv4_address: str = named("", name="IPv4Address")
    ipv6_address: str = named("", name="IPv6Address")
    link_local_ips: tuple[str, ...] | None = named(None, name="LinkLocalIPs")


class EndpointSettings(Model):
    """A container's endpoint in one network.

    Attributes:
        links: legacy, ``container:alias``.
        aliases: further names by which others of the network find it.
        gw_priority: the endpoint with the highest gives the default gateway.
        dns_names: all names that resolve to it; set by the engine.
        network_id, endpoint_id, gateway, ip_address, …: set by the engine.
    """

    ipam_config: EndpointIPAMConfig | None = always(None, name="IPAMConfig")
    links: tuple[str, ...] | None = always(None)
    aliases: tuple[str, ...] | None = always(None)
    mac_address: str = always("")
    driver_opts: dict[str, str] | None = always(None)
    gw_priority: Int64 = always(0)
    network_id: str = always("", name="NetworkID")
    endpoint_id: str = always("", name="EndpointID")
    gateway: str = always("")
    ip_address: str = always("", name="IPAddress")
    ip_prefix_len: Int64 = always(0, name="IPPrefixLen")
    ipv6_gateway: str = always("", name="IPv6Gateway")
    global_ipv6_address: str = always("", name="GlobalIPv6Address")
    global_ipv6_prefix_len: Int64 = always(0, name="GlobalIPv6PrefixLen")
    dns_names: tuple[str, ...] | None = always(None, name="DNSNames")


class NetworkingConfig(Model):
    """Endpoints to make with a container, by network name or id."""

    endpoints_config: dict[str, EndpointSettings] | None = None


class NetworkSettings(Model):
    """A container's sandbox and endpoints, in inspect.

    Attributes:
        sandbox_key: path of the network namespace.
        ports: exposed ports; published ones have bindings.
        networks: by network name.
    """

    sandbox_id: str = always("", name="SandboxID")
    sandbox_key: str = always("")
    ports: PortMap = always({})
    networks: dict[str, EndpointSettings] = always({})


class IPAMConfig(Model):
    """One address pool.

    Attributes:
        ip_range: the part of the subnet to lease from.
        auxiliary_addresses: name to address; never leased.
    """

    subnet: str = ""
    ip_range: str = named("", name="IPRange")
    gateway: str = ""
    auxiliary_addresses: dict[str, str] | None = None


class IPAM(Model):
    """Who manages a network's addresses, and from which pools."""

    driver: str = always("default")
    options: dict[str, str] | None = always(None)
    config: tuple[IPAMConfig, ...] | None = always(None)


class ConfigReference(Model):
    """The configuration-only network that another one takes its settings from."""

    network: str = always("")


class NetworkCreateRequest(Model):
    """The body of ``POST /networks/create``.

    Attributes:
        check_duplicate: of clients below 1.44; names are always unique here.
        enable_ipv4: None: yes.
        ingress, config_only, config_from: swarm's; the last two work without one.
    """

    name: str = ""
    check_duplicate: bool = False
    driver: str = ""
    scope: str = ""
    enable_ipv4: bool | None = named(None, name="EnableIPv4")
    enable_ipv6: bool | None = named(None, name="EnableIPv6")
    ipam: IPAM | None = named(None, name="IPAM")
    internal: bool = False
    attachable: bool = False
    ingress: bool = False
    config_only: bool = False
    config_from: ConfigReference | None = None
    options: dict[str, str] | None = None
    labels: dict[str, str] | None = None


class NetworkCreateResponse(Model):
    """The id of the made network."""

    id: str = always("")
    warning: str = always("")


class NetworkContainer(Model):
    """A container's endpoint, as the network sees it; addresses with their prefix length."""

    name: str = always("")
    endpoint_id: str = always("", name="EndpointID")
    mac_address: str = always("")
    ipv4_address: str = always("", name="IPv4Address")
    ipv6_address: str = always("", name="IPv6Address")


class SubnetStatus(Model):
    """How full a pool is (since API 1.52)."""

    ips_in_use: Uint64 = always(0, name="IPsInUse")
    dynamic_ips_available: Uint64 = always(0, name="DynamicIPsAvailable")


class IPAMStatus(Model):
    """How full a network's pools are, by subnet."""

    subnets: dict[str, SubnetStatus] = always({})


class NetworkStatus(Model):
    """A network's state beside its configuration (since API 1.52)."""

    ipam: IPAMStatus | None = named(None, name="IPAM")


class Network(Model):
    """A network as the list tells it.

    Attributes:
        scope: ``local``, ``swarm`` or ``global``.
        created: RFC 3339 with nanoseconds.
        peers: nodes of an overlay network.
    """

    name: str = always("")
    id: str = always("")
    created: str = always("")
    scope: str = always("local")
    driver: str = always("")
    enable_ipv4: bool = always(True, name="EnableIPv4")
    enable_ipv6: bool = always(False, name="EnableIPv6")
    ipam: IPAM = always(IPAM(), name="IPAM")
    internal: bool = always(False)
    attachable: bool = always(False)
    ingress: bool = always(False)
    config_from: ConfigReference = always(ConfigReference())
    config_only: bool = always(False)
    options: dict[str, str] = always({})
    labels: dict[str, str] = always({})
    peers: tuple[Any, ...] | None = None


class NetworkInspect(Network):
    """A network with the containers in it, by container id."""

    containers: dict[str, NetworkContainer] = always({})
    services: dict[str, Any] | None = None
    status: NetworkStatus | None = None


class NetworkConnectRequest(Model):
    """Put a container into a network."""

    container: str = ""
    endpoint_config: EndpointSettings | None = None


class NetworkDisconnectRequest(Model):
    """Take a container out of a network; ``force`` also when its sandbox is broken."""

    container: str = ""
    force: bool = False


class NetworkPruneReport(Model):
    """Names of the networks that ``docker network prune`` removed."""

    networks_deleted: tuple[str, ...] | None = always(None)
