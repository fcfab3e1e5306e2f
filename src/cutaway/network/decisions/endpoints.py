"""Decisions about endpoints: which addresses, names and routes a container gets.

``Controller`` calls these with its lock held; leases are taken in the book and last when the
sandbox's record is written.
"""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from ipaddress import ip_address

from cutaway.errors import Forbidden, InvalidParameter
from cutaway.network.book import Book
from cutaway.network.decisions.networks import gateway_of, interface_names
from cutaway.network.drivers import Driver, DriverContext
from cutaway.network.drivers.bridge import mac_from_id, mac_from_ipv4, parse_endpoint_sysctls
from cutaway.network.egress import EGRESS_OPTION, parse_egress
from cutaway.network.endpoint import Endpoint, EndpointRequest, Offer
from cutaway.network.errors import EndpointExists
from cutaway.network.firewall.entries import endpoint_entries, port_entries
from cutaway.network.firewall.sets import Entry
from cutaway.network.firewall.steps import AddFirewallElements, ForgetFlows
from cutaway.network.ipams.base import AddressWish, Ipam
from cutaway.network.ipams.subnets import IPAddress, parse_address
from cutaway.network.network import INTERFACE_PREFIX_OPTION, Network
from cutaway.network.publishing.ports import PortBinding
from cutaway.network.sandbox import Sandbox, SandboxMode, SandboxRequest
from cutaway.network.sandbox_steps import RaiseLoopback, SetDefaultRoute
from cutaway.network.services.plans import plan_serving
from cutaway.network.settings import NetworkSettings
from cutaway.network.steps import NetworkScope
from cutaway.steps import Plan, Step

IFNAME_OPTION = "com.docker.network.endpoint.ifname"
SHORT_ID = 12


def check_endpoint_request(request: EndpointRequest, network: Network) -> None:
    """Refuse what a network can't give.

    Raises:
        InvalidParameter: in Docker's words.
    """
    problems = [
        *_address_problems(request.ipv4, network, version=4),
        *_address_problems(request.ipv6, network, version=6),
    ]
    if request.aliases and network.predefined:
        problems.append("network-scoped aliases are only supported for user-defined networks")
    if request.mac and not _is_mac(request.mac):
        problems.append(f"invalid MAC address: {request.mac}")
    for text in request.link_local:
        if not parse_address(text, "link-local IP address").is_link_local:
            problems.append(f"invalid link local IP address: {text}")
    if len(problems) > 1:
        problems = [f"* {problem}" for problem in problems]
    if problems:
        raise InvalidParameter("invalid endpoint settings:\n" + "\n".join(problems))


def _address_problems(text: str, network: Network, *, version: int) -> Iterator[str]:
    """Say what is wrong with a fixed address."""
    if not text:
        return
    address: IPAddress | None = None
    with suppress(InvalidParameter):
        address = parse_address(text)
    if address is None or address.version != version:
        yield f"invalid IPv{version} address: {text}"
    subnets = [subnet.network for subnet in network.subnets(version)]
    if network.predefined:
        yield "user specified IP address is supported on user defined networks only"
    elif version not in network.subnets_given:
        yield (
            "user specified IP address is supported only when connecting to networks with user "
            "configured subnets"
        )
    elif address is None or (subnets and not any(address in subnet for subnet in subnets)):
        yield f"no configured subnet or ip-range contain the IP address {text}"


def _is_mac(text: str) -> bool:
    parts = text.replace("-", ":").split(":")
    return len(parts) == 6 and all(
        len(p) == 2 and all(c in "0123456789abcdefABCDEF" for c in p) for p in parts
    )


def dns_names(
    request: EndpointRequest, sandbox: SandboxRequest, network: Network
) -> tuple[str, ...]:
    """Return every name a container has on a network; the default bridge knows none."""
    if network.predefined:
        return ()
    names = (
        sandbox.container_name,
        *request.aliases,
        sandbox.container_id[:SHORT_ID],
        *((sandbox.hostname,) if sandbox.hostname else ()),
    )
    return tuple(dict.fromkeys(n for n in names if n))


def lease_endpoint(
    book: Book,
    request: EndpointRequest,
    sandbox: SandboxRequest,
    *,
    driver: Driver,
    ipam: Ipam,
    network: Network,
    present: Sequence[Endpoint],
    offer: Offer | None = None,
) -> Endpoint:
    """Make an endpoint, its addresses leased.

    Args:
        book: where the leases are taken.
        request: how to attach.
        sandbox: the container.
        driver: the network's.
        ipam: the network's, if it never waits; without an offer it is asked for the addresses.
        network: to attach to.
        present: its endpoints so far.
        offer: what plugins gave for it.

    Raises:
        CutawayError: the network can't give what is asked; nothing is leased then.
    """
    if any(e.network_id == network.id for e in present):
        raise EndpointExists(sandbox.container_name, network.name)
    check_endpoint_request(request, network)
    base = _new_endpoint(request, sandbox, network, offer)
    if not driver.has_addresses:
        return base
    prefix = network.options.get(INTERFACE_PREFIX_OPTION, "eth")
    interface = choose_interface(request.driver_options, prefix, [e.interface for e in present])
    base = replace(base, interface=interface)
    parse_endpoint_sysctls(base)
    if offer is None:
        ipv4, ipv6 = lease_addresses(book, ipam, network, request=request, sandbox=sandbox)
    else:
        ipv4, ipv6 = offer.ipv4, offer.ipv6
    mac = offer.mac if offer else request.mac
    if network.is_plugged:
        return replace(base, ipv4=ipv4, ipv6=ipv6, mac=mac)
    return replace(
        base,
        host_interface=_host_interface(base) if driver.name == "bridge" else "",
        mac=mac.replace("-", ":").lower() or _mac(ipv4, base.id),
        ipv4=ipv4,
        ipv6=ipv6,
        gateway=_gateway(network, 4, ipv4),
        gateway_v6=_gateway(network, 6, ipv6),
    )


def _host_interface(endpoint: Endpoint) -> str:
    """Return the name of the host's end: ``ve``, and digits of the container and the endpoint.

    The endpoint's make it new: a container may be on several bridges, and may restart before the
    kernel has destroyed what it had. Of 15 characters they have six: with three, one connect in
    four thousand met a name that was taken (EEXIST).
    """
    return f"ve{endpoint.container_id[:7]}{endpoint.id[:6]}"


def _new_endpoint(
    request: EndpointRequest, sandbox: SandboxRequest, network: Network, offer: Offer | None
) -> Endpoint:
    """Return an endpoint that has neither interface nor addresses yet."""
    return Endpoint(
        id=offer.endpoint_id if offer else os.urandom(32).hex(),
        network_id=network.id,
        network_name=network.name,
        container_id=sandbox.container_id,
        container_name=sandbox.container_name,
        mtu=network.mtu,
        aliases=request.aliases,
        links=request.links,
        gateway_priority=request.gateway_priority,
        driver_options=dict(request.driver_options),
        dns_names=dns_names(request, sandbox, network),
        link_local=tuple(_with_prefix(a) for a in request.link_local),
        egress=_egress(request, sandbox, network),
    )


def _egress(request: EndpointRequest, sandbox: SandboxRequest, network: Network) -> str:
    """Decide the policy: the container's own, else this endpoint's, else the network's."""
    text = sandbox.egress or request.driver_options.get(EGRESS_OPTION, "")
    text = text or network.options.get(EGRESS_OPTION, "")
    if parse_egress(text).kind == "all":
        return ""
    if network.driver not in ("bridge", "null"):
        raise InvalidParameter(
            f"egress policies need a bridge network: what is sent on {network.name} "
            f"({network.driver}) does not pass this host's firewall"
        )
    return text


def choose_interface(driver_options: Mapping[str, str], prefix: str, taken: Sequence[str]) -> str:
    """Return the name of a new interface in a sandbox: the one asked for, else a numbered one.

    Raises:
        InvalidParameter: the one asked for is taken, or can't be one.
    """
    name = driver_options.get(IFNAME_OPTION) or interface_names(taken, prefix)
    if name in taken or not 0 < len(name) < 16 or "/" in name or name == "lo":
        raise InvalidParameter(f"invalid interface name {name!r}")
    return name


def lease_addresses(
    book: Book,
    ipam: Ipam,
    network: Network,
    *,
    request: EndpointRequest,
    sandbox: SandboxRequest,
) -> tuple[str, str]:
    """Lease an address of each version that the network has, or none at all.

    Raises:
        CutawayError: there is none, or the one asked for is not to be had.
    """
    found = {4: "", 6: ""}
    try:
        for version in network.versions:
            wish = address_wish(request, sandbox, version)
            found[version] = ipam.request_address(network, version, wish)
    except BaseException:
        book.leases.release(network.id, *found.values())
        raise
    return found[4], found[6]


def address_wish(
    request: EndpointRequest, sandbox: SandboxRequest, version: int, mac: str = ""
) -> AddressWish:
    """Return what an endpoint wants of its address of one IP version."""
    address = request.ipv4 if version == 4 else request.ipv6
    return AddressWish(owner=f"container {sandbox.container_name}", address=address, mac=mac)


def _with_prefix(address: str) -> str:
    if "/" in address:
        return address
    return f"{address}/{16 if ip_address(address).version == 4 else 64}"


def _mac(ipv4: str, endpoint_id: str) -> str:
    address = ipv4.partition("/")[0]
    return mac_from_ipv4(address) if address else mac_from_id(endpoint_id)


def _gateway(network: Network, version: int, address: str) -> str:
    """The way out of the subnet that the address is in; none on an internal network."""
    if not address or network.internal:
        return ""
    own = ip_address(address.partition("/")[0])
    return next((gateway_of(c) for c in network.subnets(version) if own in c.network), "")


def plan_routes(sandbox: Sandbox, before: Sandbox | None = None) -> tuple[SetDefaultRoute, ...]:
    """Return the default routes that a sandbox needs, beyond those it had ``before``."""
    steps = []
    for name in ("gateway", "gateway_v6"):
        chosen = sandbox.gateway_endpoint if name == "gateway" else sandbox.gateway_endpoint_v6
        if chosen is None:
            continue
        had = None
        if before is not None:
            had = before.gateway_endpoint if name == "gateway" else before.gateway_endpoint_v6
        if had is not None and had.id == chosen.id:
            continue
        steps.append(
            SetDefaultRoute(
                why=f"--network {chosen.network_name}",
                gateway=getattr(chosen, name),
                interface=chosen.interface,
            )
        )
    return tuple(steps)


def sandbox_port_entries(sandbox: Sandbox, networks: Mapping[str, Network]) -> list[Entry]:
    """Return the firewall's elements of a sandbox's published ports.

    They lead to the endpoint that is the way out, as in Docker.
    """
    v4, v6 = sandbox.gateway_endpoint, sandbox.gateway_endpoint_v6
    entries = []
    for binding in sandbox.ports:
        version = ip_address(binding.host_ip).version
        target = v4 if version == 4 else v6
        if target is not None:
            entries += port_entries(
                binding,
                network=networks[target.network_id],
                address=target.address,
                address_v6=target.address_v6,
            )
    return entries


def sandbox_entries(sandbox: Sandbox, networks: Mapping[str, Network]) -> tuple[Entry, ...]:
    """Return all elements of a sandbox: addresses it may send with, ports that lead to it."""
    entries = [e for n in sandbox.endpoints for e in endpoint_entries(networks[n.network_id], n)]
    return (*entries, *sandbox_port_entries(sandbox, networks))


def plan_sandbox(
    sandbox: Sandbox,
    networks: Mapping[str, Network],
    *,
    drivers: Mapping[str, Driver],
    context: DriverContext,
    settings: NetworkSettings,
) -> Plan[NetworkScope]:
    """Return everything that connects a new, empty namespace."""
    if sandbox.mode is SandboxMode.HOST:
        return ()
    context = replace(context, is_alone=not sandbox.request.sets_ipv6)
    steps: list[Step[NetworkScope]] = [RaiseLoopback(why="default")]
    for endpoint in sandbox.endpoints:
        network = networks[endpoint.network_id]
        steps += drivers[network.driver].plan_endpoint(network, endpoint, context)
    steps += plan_routes(sandbox)
    why = "--network, --publish" if sandbox.ports else "--network"
    steps += plan_serving(sandbox, networks, settings, why)
    entries = sandbox_entries(sandbox, networks)
    if entries:
        # Last: a port must lead nowhere until there is somebody to answer.
        steps.append(AddFirewallElements(why=why, instance=context.instance, entries=entries))
    return (*steps, *plan_forgetting(why, sandbox.ports, sandbox))


def plan_forgetting(
    why: str, ports: Iterable[PortBinding], now: Sandbox | None
) -> tuple[ForgetFlows, ...]:
    """Return what makes clients of UDP ports that never stop sending reach who has them now.

    Args:
        why: as in every step.
        ports: that lead elsewhere than before.
        now: who has them; None for nobody.
    """
    numbers = tuple(sorted({b.host_port for b in ports if b.protocol == "udp"}))
    if not numbers:
        return ()
    endpoints = (now.gateway_endpoint, now.gateway_endpoint_v6) if now else ()
    keep = (a for e in endpoints if e is not None for a in (e.address, e.address_v6) if a)
    return (ForgetFlows(why=why, ports=numbers, keep=tuple(dict.fromkeys(keep))),)


def check_combination(mode: SandboxMode, network: Network) -> None:
    """Refuse a second network for a container that has the host's or none.

    Raises:
        Forbidden, InvalidParameter: in Docker's words.
    """
    if mode is SandboxMode.HOST or network.driver == "host":
        if network.driver == "host":
            raise InvalidParameter(
                "cannot connect container to host network - "
                "container must be created in host network mode"
            )
        raise Forbidden(
            "container sharing network namespace with another container or host cannot be "
            "connected to any other network"
        )
    if mode is SandboxMode.NONE or network.driver == "null":
        raise Forbidden(
            "container cannot be connected to multiple networks with one of the networks in "
            "private (none) mode"
        )
