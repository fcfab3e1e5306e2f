"""Decisions of the controller: a request and what is known, to a network or an endpoint.

Pure. ``Controller`` calls these with its lock held and does what they return.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import ip_network

from cutaway.errors import InvalidParameter
from cutaway.network.drivers import Driver
from cutaway.network.errors import PoolOverlaps
from cutaway.network.facts import NetworkFacts
from cutaway.network.ipam import (
    Occupied,
    check_subnet,
    choose_subnet,
    complete_config,
    parse_subnet,
)
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
from cutaway.network.settings import DEFAULT_BRIDGE, AddressPool, NetworkSettings

_FORBIDDEN_IN_NAMES = frozenset("/\\\t\n\r\0")


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
        raise InvalidParameter(f"invalid name: {name!r} holds a slash or a control character")


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a new network must fit in beside.

    Attributes:
        facts: the host.
        networks: the subnets of the other networks.
        our_devices: their bridges: what the host says of these is said by ``networks`` already.
    """

    facts: NetworkFacts
    networks: tuple[Occupied, ...] = ()
    our_devices: tuple[str, ...] = ()

    @classmethod
    def of(cls, facts: NetworkFacts, networks: Iterable[Network]) -> "Surroundings":
        """Collect them."""
        existing = tuple(networks)
        return cls(
            facts=facts,
            networks=tuple(
                Occupied(c.network, f"network {n.name} ({c.subnet})")
                for n in existing
                for c in n.ipam
                if c.subnet
            ),
            our_devices=tuple(n.device for n in existing if n.device_is_ours),
        )

    def occupied(self, *, but_device: str) -> tuple[Occupied, ...]:
        """Return all that an automatically chosen subnet must not overlap."""
        return (
            *self.networks,
            *self.facts.occupied(but_devices=(*self.our_devices, but_device)),
        )


def plan_ipam(
    request: NetworkRequest,
    driver: Driver,
    settings: NetworkSettings,
    around: Surroundings,
    *,
    device: str = "",
) -> tuple[IpamConfig, ...]:
    """Decide the subnets of a network.

    Args:
        request: its ``ipam`` may leave subnets open.
        driver: whether the engine is the gateway.
        settings: the pools to choose from.
        around: what is in the way.
        device: the network's own device, which is not in its own way.

    Raises:
        CutawayError: a subnet that is taken, malformed, or not to be had.
    """
    gateway_needed = driver.has_gateway or not request.internal
    wanted = wanted_versions(request)
    if request.ipam_driver not in ("", "default"):
        return _check_plugged(request, driver, around, device)
    own: list[Occupied] = []
    configs = []
    for config in request.ipam:
        if config == IpamConfig():
            continue
        if not config.subnet:
            raise InvalidParameter("invalid network config:\nno subnet for the gateway or range")
        subnet = parse_subnet(config.subnet)
        if subnet.version not in wanted:
            continue
        check_subnet(subnet, (*around.networks, *own))
        if driver.has_gateway:
            blocker = around.facts.in_the_way(subnet, but_devices=(*around.our_devices, device))
            if blocker is not None:
                raise PoolOverlaps(str(subnet), blocker.owner)
        own.append(Occupied(subnet, "another subnet of this network"))
        configs.append(complete_config(config, subnet, gateway_needed=gateway_needed))
    for version in wanted:
        if any(o.network.version == version for o in own):
            continue
        pools = pools_for(version, settings, around.facts)
        subnet = choose_subnet(version, pools, around.occupied(but_device=device))
        configs.append(complete_config(IpamConfig(), subnet, gateway_needed=gateway_needed))
    return tuple(configs)


def wanted_versions(request: NetworkRequest) -> list[int]:
    """Return the IP versions that a network is to have.

    Raises:
        InvalidParameter: none.
    """
    wanted = [v for v, on in ((4, request.enable_ipv4), (6, request.enable_ipv6)) if on]
    if not wanted:
        raise InvalidParameter("IPv4 or IPv6 must be enabled")
    return wanted


def _check_plugged(
    request: NetworkRequest, driver: Driver, around: Surroundings, device: str
) -> tuple[IpamConfig, ...]:
    """Return what an IPAM plugin gave; nothing for ``--ipam-driver null``.

    Only our own devices route to it: where a plugin makes the wire, addresses may repeat.
    """
    if request.ipam_driver == "null":
        return ()
    if driver.name in BUILT_IN_DRIVERS:
        for config in request.ipam:
            check_subnet(config.network, around.occupied(but_device=device))
    return request.ipam


def pools_for(
    version: int, settings: NetworkSettings, facts: NetworkFacts
) -> tuple[AddressPool, ...]:
    """Return the pools for one IP version.

    IPv6 has no default that could be the same everywhere: RFC 4193 wants 40 random bits after
    ``fd``; they follow from the machine's id, so that they stay.
    """
    pools = tuple(p for p in settings.default_address_pools if p.base.version == version)
    if pools or version == 4:
        return pools
    seed = f"cutaway {settings.instance} {facts.machine_id}".encode()
    bits = int.from_bytes(hashlib.sha256(seed).digest()[:5], "big")
    return (AddressPool(ip_network((0xFD << 120 | bits << 80, 48)), 64),)


def plan_network(
    request: NetworkRequest,
    driver: Driver,
    settings: NetworkSettings,
    around: Surroundings,
    *,
    network_id: str,
) -> Network:
    """Decide everything about a new network.

    Raises:
        CutawayError: the request can't be fulfilled.
    """
    check_name(request.name)
    driver.check_request(request, around.facts)
    device = driver.device_of(network_id, request.options)
    exists = around.facts.link(device) is not None
    for blocker in around.our_devices:
        if blocker == device:
            raise InvalidParameter(f"bridge device {device} is used by another network")
    ipam = (
        plan_ipam(request, driver, settings, around, device=device) if driver.has_addresses else ()
    )
    mtu = request.options.get(MTU_OPTION)
    parent = around.facts.link(device)
    if mtu:
        mtu_bytes = int(mtu)
    elif driver.name == "macvlan" and parent is not None:
        mtu_bytes = parent.mtu
    else:
        mtu_bytes = settings.mtu or around.facts.mtu_of_the_way_out()
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
        ipam=ipam,
        options=dict(request.options),
        labels=dict(request.labels),
        device=device,
        device_is_ours=bool(device) and not exists,
        mtu=mtu_bytes,
        subnets_given=tuple(parse_subnet(c.subnet).version for c in request.ipam if c.subnet),
        config_from=request.config_from,
    )


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
