"""Reading what plugins answered: every address, name and route is checked before it is used. Pure.

An answer that can't be true is the plugin's failure, and the error says which and why.
"""

from dataclasses import replace
from ipaddress import IPv4Interface, IPv6Interface, ip_address, ip_interface, ip_network

from cutaway.network.endpoint import Endpoint
from cutaway.network.network import IpamConfig
from cutaway.network.remote.calls import GATEWAY_LABEL
from cutaway.network.remote.messages import (
    DriverCapabilities,
    EndpointInterface,
    Joined,
    RequestedAddress,
    RequestedPool,
    StaticRoute,
)
from cutaway.plugins import PluginFailed

_MAC_BYTES = 6
_NAME_LENGTH = 15
_ROUTES = 256


class AnswerReader:
    """Checks the answers of one method of one plugin.

    Args:
        plugin: its name.
        method: ``IpamDriver.RequestPool``.
    """

    def __init__(self, plugin: str, method: str) -> None:
        self.plugin = plugin
        self.method = method

    def lie(self, reason: str) -> PluginFailed:
        """Return the error for an answer that can't be true."""
        return PluginFailed(self.plugin, self.method, f"it answered {reason}", answered=True)

    def scope(self, answer: DriverCapabilities) -> str:
        """Return ``local`` or ``global``.

        Raises:
            PluginFailed: it is neither.
        """
        for scope in (answer.scope, answer.connectivity_scope or answer.scope):
            if scope not in ("local", "global"):
                raise PluginFailed(
                    self.plugin,
                    self.method,
                    f"invalid capability: expecting 'local' or 'global', got {scope}",
                )
        return answer.scope

    def pool(self, answer: RequestedPool, asked: IpamConfig, version: int) -> IpamConfig:
        """Return a subnet with its pool's id, and the gateway if the plugin named one.

        Raises:
            PluginFailed: it is no subnet of that IP version, or not the one that was asked for.
        """
        try:
            subnet = ip_network(answer.pool, strict=False)
        except ValueError:
            raise self.lie(f"the pool {answer.pool!r}, which is no subnet") from None
        if subnet.version != version or not answer.pool_id:
            raise self.lie(f"the pool {answer.pool!r} with the id {answer.pool_id!r}")
        if asked.subnet and subnet != ip_network(asked.subnet, strict=False):
            raise self.lie(f"the pool {answer.pool} when {asked.subnet} was asked for")
        gateway = answer.data.get(GATEWAY_LABEL, "")
        if gateway:
            gateway = str(self.interface(gateway, version).ip)
        return replace(
            asked, subnet=str(subnet), pool_id=answer.pool_id, gateway=asked.gateway or gateway
        )

    def address(self, answer: RequestedAddress, config: IpamConfig, wanted: str) -> str:
        """Return an address with its prefix length.

        Raises:
            PluginFailed: it is none, not in the pool, or not the one that was asked for.
        """
        found = self.interface(answer.address, config.network.version)
        if found.ip not in config.network:
            raise self.lie(
                f"the address {answer.address}, which is not in its pool {config.subnet}"
            )
        if wanted and found.ip != ip_address(wanted):
            raise self.lie(f"the address {answer.address} when {wanted} was asked for")
        return str(found)

    def interface(self, text: str, version: int) -> IPv4Interface | IPv6Interface:
        """Read an address with a prefix length.

        Raises:
            PluginFailed: it is none of that IP version.
        """
        try:
            found = ip_interface(text)
        except ValueError:
            found = None
        if found is None or "/" not in text or found.version != version:
            raise self.lie(f"{text!r}, which is no IPv{version} address with a prefix length")
        return found

    def created(self, found: EndpointInterface, given: EndpointInterface) -> EndpointInterface:
        """Return an endpoint's addresses: what was given, completed by what the plugin chose.

        Raises:
            PluginFailed: it changed what it was given, or chose what is no address.
        """
        for text, version in ((found.address, 4), (found.address_ipv6, 6)):
            if text:
                self.interface(text, version)
        if found.mac_address and not is_mac(found.mac_address):
            raise self.lie(f"the MAC address {found.mac_address!r}, which is none")
        chosen = {}
        for name in ("address", "address_ipv6", "mac_address"):
            old, new = getattr(given, name), getattr(found, name).lower()
            if old and new and old != new:
                raise self.lie(f"{new} for an endpoint that has {old} already")
            chosen[name] = old or new
        return EndpointInterface(**chosen)

    def joined(self, endpoint: Endpoint, answer: Joined) -> Endpoint:
        """Return an endpoint with the link, gateways and routes that the plugin named.

        Raises:
            PluginFailed: a name, address or route that is none.
        """
        names = answer.interface_name
        for name in (names.src_name, f"{names.dst_prefix}00" if names.dst_prefix else ""):
            if name and not is_link_name(name):
                raise self.lie(f"the interface name {name!r}, which the kernel doesn't take")
        if len(answer.static_routes) > _ROUTES:
            raise self.lie(f"more than {_ROUTES} routes")
        return replace(
            endpoint,
            source_interface=names.src_name,
            gateway=self._next_hop(answer.gateway, 4),
            gateway_v6=self._next_hop(answer.gateway_ipv6, 6),
            static_routes=tuple(self._route(route) for route in answer.static_routes),
            gateway_service=not answer.disable_gateway_service,
        )

    def _next_hop(self, text: str, version: int) -> str:
        try:
            if not text or ip_address(text).version == version:
                return text
        except ValueError:
            pass
        raise self.lie(f"the gateway {text!r}, which is no IPv{version} address")

    def _route(self, route: StaticRoute) -> tuple[str, str]:
        try:
            destination = ip_network(route.destination, strict=False)
            next_hop = str(ip_address(route.next_hop)) if route.next_hop else ""
        except ValueError as error:
            raise self.lie(f"a static route that is none: {error}") from None
        if route.route_type not in (0, 1) or bool(next_hop) == bool(route.route_type):
            raise self.lie(
                f"a static route to {destination} of type {route.route_type} "
                f"by {next_hop or 'no next hop'}"
            )
        if next_hop and ip_address(next_hop).version != destination.version:
            raise self.lie(f"a static route to {destination} by {next_hop}")
        return str(destination), next_hop


def is_mac(text: str) -> bool:
    """The text is an Ethernet address."""
    try:
        return len(bytes.fromhex(text.replace(":", ""))) == _MAC_BYTES and text.count(":") == 5
    except ValueError:
        return False


def is_link_name(text: str) -> bool:
    """The kernel takes the text as a device's name (dev_valid_name)."""
    plain = text.isascii() and text.isprintable() and not any(c in "/: " for c in text)
    return plain and 0 < len(text) <= _NAME_LENGTH and text not in (".", "..")
