"""Decisions of the controller: a request and what is known, to a network or an endpoint.

Pure. ``Controller`` calls these with its lock held and does what they return.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from ipaddress import ip_network

from cutaway.errors import InvalidParameter
from cutaway.network.drivers import NO_TERMS, Driver, DriverTerms
from cutaway.network.facts import NetworkFacts
from cutaway.network.ipams.base import Ipam, PoolTerms
from cutaway.network.ipams.subnets import parse_subnet
from cutaway.network.ipams.surroundings import Surroundings
from cutaway.network.network import (
    BRIDGE_NAME_OPTION,
    BUILT_IN_DRIVERS,
    DEFAULT_BRIDGE_OPTION,
    HOST_BINDING_OPTION,
    ICC_OPTION,
    MASQUERADE_OPTION,
    MTU_OPTION,
    IpamConfig,
    Network,
    NetworkRequest,
)
from cutaway.network.settings import DEFAULT_BRIDGE, NetworkSettings

_FORBIDDEN_IN_NAMES = frozenset("\t\n\r\0")


def timestamp() -> str:
    """Return now as the API writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f000Z")


def check_name(name: str) -> None:
    """Refuse a network's name that can't be one.

    Raises:
        InvalidParameter: in Docker's words.
    """
    if not name.strip():
        raise InvalidParameter("invalid name: name is empty")
    if any(c in _FORBIDDEN_IN_NAMES for c in name) or len(name) > 255:
        raise InvalidParameter(f"invalid name: {name!r} is too long or holds a control character")


def wanted_versions(request: NetworkRequest) -> list[int]:
    """Return the IP versions that a network is to have.

    Raises:
        InvalidParameter: none.
    """
    wanted = [v for v, on in ((4, request.enable_ipv4), (6, request.enable_ipv6)) if on]
    if not wanted:
        raise InvalidParameter("IPv4 or IPv6 must be enabled")
    return wanted


def pool_terms(
    request: NetworkRequest,
    driver: Driver,
    around: Surroundings,
    *,
    device: str = "",
    said: DriverTerms = NO_TERMS,
) -> PoolTerms:
    """Say what a network needs of its pools.

    Raises:
        InvalidParameter: it has no IP version.
    """
    versions = tuple(wanted_versions(request))
    has_gateway = driver.has_gateway or not request.internal
    return PoolTerms(
        versions=versions,
        without_gateway=said.without_gateway if has_gateway else versions,
        scope=said.scope,
        around=around,
        device=device,
        is_routed=driver.name in BUILT_IN_DRIVERS and driver.has_gateway,
    )


def check_network(request: NetworkRequest, driver: Driver, around: Surroundings) -> None:
    """Refuse a request that its driver can't fulfil.

    Raises:
        CutawayError: in Docker's words.
    """
    check_name(request.name)
    driver.check_request(request, around.facts)


def plan_network(
    request: NetworkRequest,
    driver: Driver,
    settings: NetworkSettings,
    around: Surroundings,
    *,
    network_id: str,
    ipam: Ipam,
    said: DriverTerms = NO_TERMS,
) -> Network:
    """Decide everything about a new network.

    Args:
        request: what is wanted.
        driver: the network's.
        settings: the engine's.
        around: what is in the way.
        network_id: new.
        ipam: one that never waits, for the pools.
        said: by the driver, of this network.

    Raises:
        CutawayError: the request can't be fulfilled.
    """
    check_network(request, driver, around)
    device = driver.device_of(network_id, request.options)
    if device in around.our_devices:
        raise InvalidParameter(f"bridge device {device} is used by another network")
    pools: tuple[IpamConfig, ...] = ()
    if driver.has_addresses:
        terms = pool_terms(request, driver, around, device=device, said=said)
        pools = ipam.request_pools(request, terms)
    # A plugin that chose a pool may be asked for an address of it all the same.
    given = pools if request.has_plugged_ipam else request.ipam
    return Network(
        id=network_id,
        name=request.name,
        driver=driver.name,
        created=timestamp(),
        internal=request.internal,
        attachable=request.attachable,
        enable_ipv4=request.enable_ipv4,
        enable_ipv6=request.enable_ipv6,
        ipam_driver=request.ipam_driver,
        ipam_options=dict(request.ipam_options),
        scope=said.scope,
        ipam=pools,
        options=dict(request.options),
        labels=dict(request.labels),
        device=device,
        device_is_ours=bool(device) and around.facts.link(device) is None,
        mtu=_mtu(request, driver, settings, around.facts, device=device),
        subnets_given=tuple(parse_subnet(c.subnet).version for c in given if c.subnet),
        config_from=request.config_from,
    )


def _mtu(
    request: NetworkRequest,
    driver: Driver,
    settings: NetworkSettings,
    facts: NetworkFacts,
    *,
    device: str,
) -> int:
    """Decide the MTU, in bytes: what was asked for, a macvlan parent's, or that of the way out."""
    asked = request.options.get(MTU_OPTION)
    parent = facts.link(device)
    if asked:
        return int(asked)
    if driver.name == "macvlan" and parent is not None:
        return parent.mtu
    return settings.mtu or facts.mtu_of_the_way_out()


def default_bridge_request(settings: NetworkSettings, facts: NetworkFacts) -> NetworkRequest:
    """Write the default network as the request that a user would have to make.

    The subnet is ``--bip``'s, else that of the device if it exists, else left open.

    Raises:
        InvalidParameter: ``--bip`` is no address with a prefix, or ``--bridge`` names a device
            that is not there.
    """
    device = settings.bridge
    link = facts.link(device)
    if device != DEFAULT_BRIDGE and link is None:
        raise InvalidParameter(
            f"bridge device with non default name {device} must be created manually"
        )
    ipam = []
    for version, bip, cidr, gateway in (
        (4, settings.bip, settings.fixed_cidr, settings.default_gateway),
        (6, settings.bip6, settings.fixed_cidr_v6, settings.default_gateway_v6),
    ):
        address = bip or _address_of(link.addresses if link else (), version)
        if version == 6 and not settings.ipv6:
            continue
        if address:
            ipam.append(_config_from_address(address, cidr or "", gateway or ""))
        elif cidr:
            ipam.append(IpamConfig(subnet=str(ip_network(cidr)), ip_range=cidr))
    options = {
        DEFAULT_BRIDGE_OPTION: "true",
        ICC_OPTION: _text(settings.icc),
        MASQUERADE_OPTION: _text(settings.ip_masq),
        HOST_BINDING_OPTION: settings.host_address,
        BRIDGE_NAME_OPTION: device,
        MTU_OPTION: str(settings.mtu or facts.mtu_of_the_way_out()),
    }
    return NetworkRequest(
        name="bridge", enable_ipv6=settings.ipv6, ipam=tuple(ipam), options=options
    )


def _text(flag: bool) -> str:
    return "true" if flag else "false"


def _address_of(addresses: Sequence[str], version: int) -> str:
    for address in addresses:
        if (":" in address) == (version == 6) and not address.lower().startswith("fe80:"):
            return address
    return ""


def _config_from_address(address: str, ip_range: str, gateway: str) -> IpamConfig:
    """``--bip`` says both the subnet and the bridge's own address."""
    own, slash, _ = address.partition("/")
    try:
        subnet = ip_network(address, strict=False)
    except ValueError:
        raise InvalidParameter(f"invalid CIDR address: {address}") from None
    if not slash or str(subnet.network_address) == own:
        raise InvalidParameter(f"--bip {address}: give the bridge's address with a prefix length")
    aux = {"DefaultGatewayIPv4" if subnet.version == 4 else "DefaultGatewayIPv6": gateway}
    return IpamConfig(
        subnet=str(subnet),
        ip_range=ip_range,
        gateway=own,
        aux_addresses=aux if gateway else {},
    )


def gateway_of(config: IpamConfig) -> str:
    """Return the containers' way out of a subnet.

    ``--default-gateway`` is kept as Docker keeps it, an auxiliary address of that name.
    """
    for name in ("DefaultGatewayIPv4", "DefaultGatewayIPv6"):
        if name in config.aux_addresses:
            return config.aux_addresses[name]
    return config.gateway


def interface_names(taken: Iterable[str], prefix: str) -> str:
    """Return the first free name of a prefix: ``eth0``."""
    used = set(taken)
    number = 0
    while f"{prefix}{number}" in used:
        number += 1
    return f"{prefix}{number}"


def expand_config_only(request: NetworkRequest, template: Network) -> NetworkRequest:
    """Fill a ``--config-from`` request from its template.

    Raises:
        InvalidParameter: the request says again what the template says.
    """
    if not template.config_only:
        raise InvalidParameter(f"network {template.name} is not a configuration network")
    if request.ipam or request.options or request.internal or request.enable_ipv6:
        raise InvalidParameter(
            "user specified configurations are not supported if the network depends on a "
            "configuration network"
        )
    values: Mapping[str, object] = {
        "internal": template.internal,
        "enable_ipv4": template.enable_ipv4,
        "enable_ipv6": template.enable_ipv6,
        "ipam_driver": template.ipam_driver,
        "ipam_options": template.ipam_options,
        "ipam": template.ipam,
        "options": template.options,
    }
    return NetworkRequest(
        name=request.name,
        driver=request.driver,
        labels=request.labels,
        attachable=request.attachable,
        config_from=template.name,
        **values,  # type: ignore[arg-type]
    )
