"""What plugins answer, field by field, under the protocol's own names.

Source: libnetwork ``docs/remote.md``, ``docs/ipam.md``.
"""

from typing import Any

import msgspec

from cutaway.plugins import Answer

NETWORK = "NetworkDriver"
IPAM = "IpamDriver"


class Done(Answer):
    """There is nothing to say."""


class DriverCapabilities(Answer):
    """``NetworkDriver.GetCapabilities``."""

    scope: str
    connectivity_scope: str = ""
    gw_alloc_checker: bool = False


class GatewayCheck(Answer):
    """``NetworkDriver.GwAllocCheck``: no gateway shall be asked of IPAM."""

    skip_ipv4: bool = msgspec.field(default=False, name="SkipIPv4")
    skip_ipv6: bool = msgspec.field(default=False, name="SkipIPv6")


class EndpointInterface(msgspec.Struct, rename="pascal", kw_only=True, frozen=True):
    """Addresses, with prefix lengths; empty when there is none."""

    address: str = ""
    address_ipv6: str = msgspec.field(default="", name="AddressIPv6")
    mac_address: str = ""


class CreatedEndpoint(Answer):
    """``NetworkDriver.CreateEndpoint``: what the plugin chose where it was given nothing."""

    interface: EndpointInterface = EndpointInterface()


class InterfaceName(msgspec.Struct, rename="pascal", kw_only=True, frozen=True):
    """The host's link that is to be the sandbox's, and the beginning of its name there."""

    src_name: str = ""
    dst_prefix: str = ""


class StaticRoute(msgspec.Struct, rename="pascal", kw_only=True, frozen=True):
    """A route: by a next hop (type 0) or on the interface itself (type 1)."""

    destination: str = ""
    route_type: int = 0
    next_hop: str = ""


class Joined(Answer):
    """``NetworkDriver.Join``.

    Attributes:
        disable_gateway_service: the container needs no way out by ``docker_gwbridge``, though no
            gateway is named.
    """

    interface_name: InterfaceName = InterfaceName()
    gateway: str = ""
    gateway_ipv6: str = msgspec.field(default="", name="GatewayIPv6")
    static_routes: tuple[StaticRoute, ...] = ()
    disable_gateway_service: bool = False


class OperationalInfo(Answer):
    """``NetworkDriver.EndpointOperInfo``: whatever the plugin likes to tell."""

    value: dict[str, Any] = {}


class IpamCapabilities(Answer):
    """``IpamDriver.GetCapabilities``."""

    requires_mac_address: bool = msgspec.field(default=False, name="RequiresMACAddress")
    requires_request_replay: bool = False


class AddressSpaces(Answer):
    """``IpamDriver.GetDefaultAddressSpaces``."""

    local_default_address_space: str = ""
    global_default_address_space: str = ""


class RequestedPool(Answer):
    """``IpamDriver.RequestPool``."""

    pool_id: str = msgspec.field(name="PoolID")
    pool: str
    data: dict[str, str] = {}


class RequestedAddress(Answer):
    """``IpamDriver.RequestAddress``."""

    address: str
    data: dict[str, str] = {}
