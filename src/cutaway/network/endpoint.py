"""An endpoint: one container's attachment to one network, with its addresses.

Docker's counterpart: libnetwork's ``endpoint.go``.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointRequest:
    """How a container is to be attached: ``EndpointSettings`` of the API.

    Attributes:
        network: name, id or short id.
        aliases: more names for the container on this network.
        links: ``other:alias`` or ``other``: names that only this container sees.
        ipv4: the address to have; empty means any.
        ipv6: the same.
        link_local: more addresses for the interface (``LinkLocalIPs``).
        mac: ``02:42:ac:11:00:02``; empty means one that follows from the address.
        driver_options: ``DriverOpts``: sysctls (``com.docker.network.endpoint.sysctls``),
            ``com.docker.network.endpoint.ifname``.
        gateway_priority: the endpoint with the highest gives the default route.
    """

    network: str
    aliases: tuple[str, ...] = ()
    links: tuple[str, ...] = ()
    ipv4: str = ""
    ipv6: str = ""
    link_local: tuple[str, ...] = ()
    mac: str = ""
    driver_options: Mapping[str, str] = field(default_factory=dict)
    gateway_priority: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What plugins gave for an endpoint to be; its addresses are leased in the book.

    Attributes:
        endpoint_id: the plugins know it by this.
        network_id: the network's.
        ipv4: with a prefix length; empty for none.
        ipv6: the same.
        mac: empty for the link's own.
    """

    endpoint_id: str
    network_id: str
    ipv4: str = ""
    ipv6: str = ""
    mac: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """An attachment as it is; the record of it is the lease of its addresses.

    Attributes:
        id: 64 hex digits.
        network_id: the network's.
        network_name: for errors and for people.
        container_id: the sandbox's id, too.
        container_name: without the slash.
        interface: inside the container: ``eth0``.
        host_interface: on the host: ``ve3f2a9b1c2d04e``; empty for macvlan and the like.
        mac: of ``interface``.
        ipv4: with the subnet's prefix, ``172.17.0.2/16``; empty when the network has no IPv4.
        ipv6: the same.
        gateway: IPv4 address of the way out; empty on an internal network.
        gateway_v6: the same.
        dns_names: every name it has on this network, the container's first.
        egress: the policy, see ``egress``; empty: it may reach everything.
        source_interface: what a plugin's link is called on the host, before and after.
        static_routes: (destination, next hop) that a plugin wants; no next hop: on the interface.
        gateway_service: its plugin lets the engine add a way out if no network has one.
        is_gateway: it is that way out, on ``docker_gwbridge``: the container did not ask for it.
    """

    id: str
    network_id: str
    network_name: str
    container_id: str
    container_name: str
    interface: str = ""
    host_interface: str = ""
    mac: str = ""
    mtu: int = 1500
    ipv4: str = ""
    ipv6: str = ""
    gateway: str = ""
    gateway_v6: str = ""
    gateway_priority: int = 0
    link_local: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    links: tuple[str, ...] = ()
    dns_names: tuple[str, ...] = ()
    egress: str = ""
    source_interface: str = ""
    static_routes: tuple[tuple[str, str], ...] = ()
    gateway_service: bool = False
    is_gateway: bool = False
    driver_options: Mapping[str, str] = field(default_factory=dict)

    @property
    def address(self) -> str:
        """The IPv4 address without its prefix; empty when there is none."""
        return self.ipv4.partition("/")[0]

    @property
    def address_v6(self) -> str:
        """The IPv6 address without its prefix; empty when there is none."""
        return self.ipv6.partition("/")[0]

    @property
    def prefix(self) -> int:
        """The IPv4 prefix length; 0 when there is no address."""
        return int(self.ipv4.partition("/")[2] or 0)

    @property
    def prefix_v6(self) -> int:
        """The IPv6 prefix length; 0 when there is no address."""
        return int(self.ipv6.partition("/")[2] or 0)

    def renamed(self, old: str, new: str) -> "Endpoint":
        """Return it for a container that has a new name."""
        if self.is_gateway:
            return self
        names = (new if n == old else n for n in self.dns_names)
        return replace(self, container_name=new, dns_names=tuple(dict.fromkeys(names)))

    def to_json(self) -> dict[str, Any]:
        """Return the record that ``from_json`` reads."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Endpoint":
        """Read what ``to_json`` wrote."""
        values = dict(document)
        for name in ("link_local", "aliases", "links", "dns_names"):
            values[name] = tuple(values.get(name, ()))
        routes = values.get("static_routes", ())
        values["static_routes"] = tuple((to, via) for to, via in routes)
        return cls(**values)
