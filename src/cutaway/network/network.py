"""A network: a name, subnets, a driver and its options; what endpoints belong to.

Docker's counterpart: libnetwork's ``network.go``.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any

from cutaway.errors import InvalidParameter

MTU_OPTION = "com.docker.network.driver.mtu"
BRIDGE_NAME_OPTION = "com.docker.network.bridge.name"
ICC_OPTION = "com.docker.network.bridge.enable_icc"
MASQUERADE_OPTION = "com.docker.network.bridge.enable_ip_masquerade"
DEFAULT_BRIDGE_OPTION = "com.docker.network.bridge.default_bridge"
HOST_BINDING_OPTION = "com.docker.network.bridge.host_binding_ipv4"
INTERFACE_PREFIX_OPTION = "com.docker.network.container_iface_prefix"
GATEWAY_MODE_IPV4_OPTION = "com.docker.network.bridge.gateway_mode_ipv4"
GATEWAY_MODE_IPV6_OPTION = "com.docker.network.bridge.gateway_mode_ipv6"
INHIBIT_IPV4_OPTION = "com.docker.network.bridge.inhibit_ipv4"
HOST_IPV4_OPTION = "com.docker.network.host_ipv4"
HOST_IPV6_OPTION = "com.docker.network.host_ipv6"
TRUSTED_INTERFACES_OPTION = "com.docker.network.bridge.trusted_host_interfaces"
PUBLISH_MODE_OPTION = "com.cutaway.network.bridge.publish_mode"
ANTI_SPOOFING_OPTION = "com.cutaway.network.bridge.anti_spoofing"

BUILT_IN_DRIVERS = ("bridge", "host", "ipvlan", "macvlan", "null")
BUILT_IN_IPAM = ("default", "null")
"""``default`` cuts subnets from the engine's pools; ``null`` gives no addresses at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IpamConfig:
    """One subnet of a network, in the API's terms.

    Attributes:
        subnet: ``172.18.0.0/16``; empty in a request means "choose one".
        ip_range: the part that containers' addresses come from; empty means all of it.
        gateway: the way out; empty in a request means the subnet's first address.
        aux_addresses: name to address: taken by something else on the wire, never leased.
        pool_id: what the IPAM plugin calls it; empty for built-in IPAM.
        address_space: the plugin's, in which addresses are unique.
    """

    subnet: str = ""
    ip_range: str = ""
    gateway: str = ""
    aux_addresses: Mapping[str, str] = field(default_factory=dict)
    pool_id: str = ""
    address_space: str = ""

    @property
    def network(self) -> IPv4Network | IPv6Network:
        """The subnet as a value."""
        return ip_network(self.subnet)


class MadeOf:
    """What a network, or the request for one, is made of: our parts or plugins."""

    __slots__ = ()

    driver: str
    ipam_driver: str
    config_only: bool

    @property
    def is_plugged(self) -> bool:
        """Its driver is a plugin."""
        return not self.config_only and self.driver not in BUILT_IN_DRIVERS

    @property
    def has_plugged_ipam(self) -> bool:
        """Its addresses are a plugin's."""
        return not self.config_only and self.ipam_driver not in BUILT_IN_IPAM

    @property
    def asks_plugins(self) -> bool:
        """A plugin must be asked before it, or an endpoint on it, can be made."""
        return self.is_plugged or self.has_plugged_ipam


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkRequest(MadeOf):
    """What ``POST /networks/create`` asks for."""

    name: str
    driver: str = "bridge"
    internal: bool = False
    attachable: bool = False
    enable_ipv4: bool = True
    enable_ipv6: bool = False
    ipam_driver: str = "default"
    ipam_options: Mapping[str, str] = field(default_factory=dict)
    ipam: tuple[IpamConfig, ...] = ()
    options: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    config_only: bool = False
    config_from: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Network(MadeOf):
    """A network as it is.

    Attributes:
        id: 64 hex digits.
        created: RFC 3339 with nanoseconds.
        device: the host's device: the bridge, or macvlan's parent; empty for host and none.
        device_is_ours: the engine made the device and will remove it.
        mtu: of the device and every interface on it.
        predefined: bridge, host or none: can't be removed.
        subnets_given: the IP versions of which the user chose a subnet: containers may ask for an
            address in it. A subnet of a version that is not enabled counts, and is not used.
    """

    id: str
    name: str
    driver: str
    created: str
    scope: str = "local"
    internal: bool = False
    attachable: bool = False
    enable_ipv4: bool = True
    enable_ipv6: bool = False
    ipam_driver: str = "default"
    ipam_options: Mapping[str, str] = field(default_factory=dict)
    ipam: tuple[IpamConfig, ...] = ()
    options: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    device: str = ""
    device_is_ours: bool = False
    mtu: int = 1500
    predefined: bool = False
    subnets_given: tuple[int, ...] = ()
    config_only: bool = False
    config_from: str = ""

    @property
    def versions(self) -> tuple[int, ...]:
        """The IP versions that endpoints have addresses of."""
        enabled = ((4, self.enable_ipv4), (6, self.enable_ipv6))
        return tuple(version for version, on in enabled if on and self.subnets(version))

    def option(self, name: str, *, default: bool) -> bool:
        """Read a driver option that is true or false, as Go's ``strconv.ParseBool`` does."""
        return parse_bool(name, self.options[name]) if name in self.options else default

    def subnets(self, version: int) -> tuple[IpamConfig, ...]:
        """Return the subnets of one IP version, in the order they were given."""
        return tuple(c for c in self.ipam if c.subnet and c.network.version == version)

    def to_json(self) -> dict[str, Any]:
        """Return the record that ``from_json`` reads."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Network":
        """Read what ``to_json`` wrote."""
        values = dict(document)
        values["ipam"] = tuple(IpamConfig(**c) for c in values.get("ipam", ()))
        # An older record has one flag for all versions.
        old = [c.network.version for c in values["ipam"]] if values.pop("subnet_given", 0) else ()
        values["subnets_given"] = tuple(values.get("subnets_given", old))
        return cls(**values)


def parse_bool(name: str, value: str) -> bool:
    """Read an option's value as Go's ``strconv.ParseBool``.

    Raises:
        InvalidParameter: the text is neither.
    """
    if value in ("1", "t", "T", "TRUE", "true", "True"):
        return True
    if value in ("0", "f", "F", "FALSE", "false", "False"):
        return False
    raise InvalidParameter(
        f'failed to parse {name} value: {value} (strconv.ParseBool: parsing "{value}": '
        "invalid syntax)"
    )
