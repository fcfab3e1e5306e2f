"""What the userland process serves for a sandbox: its names, its neighbours', its ports. Pure."""

from collections.abc import Mapping
from dataclasses import fields
from ipaddress import ip_address

from cutaway.network.egress import parse_egress
from cutaway.network.endpoint import Endpoint
from cutaway.network.firewall.entries import gateway_mode
from cutaway.network.naming.files import has_name_server, split_link
from cutaway.network.network import HOST_BINDING_OPTION, PUBLISH_MODE_OPTION, Network
from cutaway.network.publishing.ports import PortBinding, PortRequest, parse_exposed
from cutaway.network.sandbox import Sandbox, SandboxMode, SandboxRequest
from cutaway.network.services.steps import (
    AnnounceEndpoint,
    ChangeNames,
    RelayPort,
    ReleasePort,
    ServeNames,
    StopNames,
    WithdrawEndpoint,
)
from cutaway.network.settings import NetworkSettings
from cutaway.network.steps import NetworkScope
from cutaway.network.userland.protocol import Fence
from cutaway.steps import Step

RELAYED = ("tcp", "udp")


def port_requests(request: SandboxRequest) -> tuple[PortRequest, ...]:
    """Return what is to be published: what was asked for, and with ``-P`` what is exposed.

    Raises:
        InvalidParameter: an exposed port is none.
    """
    if not request.publish_all:
        return request.ports
    asked = {(p.container_port, p.protocol) for p in request.ports}
    exposed = [parse_exposed(text) for text in request.exposed]
    return (
        *request.ports,
        *(PortRequest(container_port=p, protocol=k) for p, k in exposed if (p, k) not in asked),
    )


def publishing_network(sandbox: Sandbox, networks: Mapping[str, Network]) -> Network | None:
    """Return the network that published ports lead to; None when ports can't be published.

    Docker publishes on the network that is the way out, if it is a bridge.
    """
    if sandbox.mode is not SandboxMode.OWN:
        return None
    endpoint = sandbox.gateway_endpoint or sandbox.gateway_endpoint_v6
    if endpoint is None:
        return None
    network = networks[endpoint.network_id]
    return network if network.driver == "bridge" else None


def routed_versions(network: Network) -> list[int]:
    """Return the IP versions in which containers are reached by their own addresses alone."""
    return [v for v in (4, 6) if network.subnets(v) and gateway_mode(network, v) == "routed"]


def published_versions(network: Network) -> list[int]:
    """Return the IP versions of the host's ports that lead to a network's containers.

    A version that the network has not is relayed to the other one, unless that is routed.
    """
    routed = routed_versions(network)
    translated = [v for v in (4, 6) if network.subnets(v) and v not in routed]
    return [v for v in (4, 6) if v in translated or (translated and not network.subnets(v))]


def default_host_address(network: Network, settings: NetworkSettings) -> str:
    """Return where ports without an address are published."""
    return network.options.get(HOST_BINDING_OPTION) or settings.host_address


def default_publish_mode(network: Network, settings: NetworkSettings) -> str:
    """Return how ports without a mode are published."""
    return network.options.get(PUBLISH_MODE_OPTION) or settings.publish_mode


def port_key(binding: PortBinding) -> str:
    """Return what the userland process calls a port."""
    return f"{binding.protocol} {binding.host_ip} {binding.host_port}"


def relay_steps(sandbox: Sandbox, networks: Mapping[str, Network], why: str) -> list[RelayPort]:
    """Return the steps for a sandbox's ports; an IPv6 port may lead to an IPv4 container."""
    network = publishing_network(sandbox, networks)
    if network is None:
        return []
    v4, v6 = sandbox.gateway_endpoint, sandbox.gateway_endpoint_v6
    steps = []
    for binding in sandbox.ports:
        target = v4.address if v4 is not None else ""
        if v6 is not None and (ip_address(binding.host_ip).version == 6 or not target):
            target = v6.address_v6
        if target and binding.host_port and binding.protocol in RELAYED:
            steps.append(
                RelayPort(
                    why=why,
                    sandbox=sandbox.id,
                    protocol=binding.protocol,
                    host_ip=binding.host_ip,
                    host_port=binding.host_port,
                    target=target,
                    target_port=binding.container_port,
                )
            )
    return steps


def name_step(
    sandbox: Sandbox, networks: Mapping[str, Network], settings: NetworkSettings, why: str
) -> ServeNames | None:
    """Return the step that gives a sandbox its name server; None when it has none."""
    if not has_name_server(sandbox, networks):
        return None
    named = [e for e in sandbox.endpoints if not networks[e.network_id].predefined]
    links = [
        (e.network_id, alias, other) for e in named for other, alias in map(split_link, e.links)
    ]
    outside = [e for e in sandbox.endpoints if not networks[e.network_id].internal]
    return ServeNames(
        why=why,
        sandbox=sandbox.id,
        networks=tuple(e.network_id for e in named),
        links=tuple(links),
        servers=sandbox.request.dns or settings.dns or None,
        forwards=bool(outside),
        fences=tuple(fence_of(e) for e in sandbox.endpoints if e.egress),
        is_open=any(e.egress in ("", "lan") for e in outside),
        asks_from_host=all(e.egress for e in outside),
        instance=settings.instance,
    )


def fence_of(endpoint: Endpoint) -> Fence:
    """Return what the name server must know of an endpoint's policy."""
    addresses = tuple(a for a in (endpoint.address, endpoint.address_v6) if a)
    names = parse_egress(endpoint.egress).names
    return addresses, tuple((n.target, p, n.ports) for n in names for p in n.protocols)


def announce_step(endpoint: Endpoint, why: str) -> AnnounceEndpoint | None:
    """Return the step that lets the neighbours find an endpoint; None where there are no names."""
    if not endpoint.dns_names:
        return None
    return AnnounceEndpoint(
        why=why,
        endpoint=endpoint.id,
        network=endpoint.network_id,
        network_name=endpoint.network_name,
        names=endpoint.dns_names,
        address=endpoint.address,
        address_v6=endpoint.address_v6,
    )


def plan_serving(
    sandbox: Sandbox, networks: Mapping[str, Network], settings: NetworkSettings, why: str
) -> tuple[Step[NetworkScope], ...]:
    """Return all that the process must serve for a sandbox; the name server's step is the last.

    That one is applied inside the sandbox.
    """
    announced = [announce_step(e, why) for e in sandbox.endpoints]
    names = name_step(sandbox, networks, settings, why)
    return (
        *relay_steps(sandbox, networks, why),
        *(step for step in announced if step is not None),
        *((names,) if names is not None else ()),
    )


def plan_serving_change(
    before: Sandbox,
    after: Sandbox,
    networks: Mapping[str, Network],
    settings: NetworkSettings,
    *,
    why: str,
) -> tuple[Step[NetworkScope], ...]:
    """Return what the process must be told when a running sandbox's networks changed."""
    steps: list[Step[NetworkScope]] = []
    kept = {e.id: e for e in after.endpoints}
    had = {e.id: e for e in before.endpoints}
    steps += [WithdrawEndpoint(why=why, endpoint=i) for i in had if i not in kept]
    for endpoint in after.endpoints:
        announced = announce_step(endpoint, why)
        if announced is not None and had.get(endpoint.id) != endpoint:
            steps.append(announced)
    old_relays = {r.message().key: r for r in relay_steps(before, networks, why)}
    relays = {r.message().key: r for r in relay_steps(after, networks, why)}
    # A port without a way to lead to is kept all the same: the next connect needs it again.
    gone = [b for b in before.ports if b not in after.ports and b.protocol in RELAYED]
    steps += [ReleasePort(why=why, sandbox=after.id, key=port_key(b)) for b in gone]
    steps += [relay for key, relay in relays.items() if old_relays.get(key) != relay]
    old_names = name_step(before, networks, settings, why)
    names = name_step(after, networks, settings, why)
    if names is None:
        if old_names is not None:
            steps.append(StopNames(why=why, sandbox=after.id))
    elif old_names is None:
        steps.append(names)
    elif names != old_names:
        steps.append(change_names(names))
    return tuple(steps)


def change_names(names: ServeNames) -> ChangeNames:
    """Return the step that changes a name server in place."""
    return ChangeNames(**{f.name: getattr(names, f.name) for f in fields(names)})
