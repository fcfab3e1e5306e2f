"""``cutaway doctor``: what keeps networks from working, and what to do. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_network

from cutaway.linux.nftables import HOOK
from cutaway.network.facts import NetworkFacts
from cutaway.network.firewall.reaching import Published, arriving_path, find_published
from cutaway.network.firewall.tracing.packet import Packet
from cutaway.network.firewall.tracing.rulebook import Rulebook
from cutaway.network.firewall.tracing.walk import Block, find_block
from cutaway.network.network import Network
from cutaway.network.sandbox import Sandbox

# RFC 5737 and 3849: addresses that stand for any other on the internet.
SOMEWHERE = {4: "203.0.113.1", 6: "2001:db8::1"}
_FORWARDING = {4: "net.ipv4.ip_forward", 6: "net.ipv6.conf.all.forwarding"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something that was looked at.

    Attributes:
        subject: what: ``published port 8080/tcp of web``.
        problem: what is wrong with it; empty when it is well.
        advice: what to do.
    """

    subject: str
    problem: str = ""
    advice: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """All that the doctor looks at."""

    facts: NetworkFacts
    networks: Mapping[str, Network]
    sandboxes: tuple[Sandbox, ...]
    book: Rulebook
    rules_are_whole: bool
    process_is_alive: bool
    process_is_needed: bool

    @property
    def bridges(self) -> list[Network]:
        """The networks with a bridge."""
        return [n for n in self.networks.values() if n.driver == "bridge" and not n.config_only]


def diagnose(scene: Scene) -> list[Finding]:
    """Return every finding, the healthy ones too."""
    return [
        *_own_rules(scene),
        *_process(scene),
        *_forwarding(scene),
        *_devices(scene),
        *_ways_out(scene),
        *_published(scene),
    ]


def _own_rules(scene: Scene) -> Iterator[Finding]:
    yield Finding(
        subject="firewall tables",
        problem="" if scene.rules_are_whole else "somebody removed rules or elements",
        advice="" if scene.rules_are_whole else "they are put back within two seconds",
    )


def _process(scene: Scene) -> Iterator[Finding]:
    is_missing = scene.process_is_needed and not scene.process_is_alive
    yield Finding(
        subject="name server and port listeners",
        problem="the process `cutaway: network` does not run" if is_missing else "",
        advice="it is started again within two seconds; see userland.log" if is_missing else "",
    )


def _forwarding(scene: Scene) -> Iterator[Finding]:
    outward = [n for n in scene.bridges if not n.internal]
    for version, is_needed, is_on in (
        (4, any(n.enable_ipv4 for n in outward), scene.facts.forwarding),
        (6, any(n.enable_ipv6 for n in outward), scene.facts.forwarding_v6),
    ):
        name = _FORWARDING[version]
        if is_needed:
            yield Finding(
                subject=f"IPv{version} forwarding",
                problem="" if is_on else f"{name} is 0: containers reach their own network only",
                advice="" if is_on else f"sysctl -w {name}=1, or restart the engine",
            )


def _devices(scene: Scene) -> Iterator[Finding]:
    for network in scene.networks.values():
        if not network.device or network.config_only:
            continue
        link = scene.facts.link(network.device)
        problem = ""
        if link is None:
            problem = f"its device {network.device} is gone"
        elif not link.is_up:
            problem = f"its device {network.device} is down"
        advice = "restart the engine: it makes what is missing" if problem else ""
        yield Finding(subject=f"network {network.name}", problem=problem, advice=advice)


def _ways_out(scene: Scene) -> Iterator[Finding]:
    """Follow a container's packet to the internet."""
    routes = [(r.device, 6 if ":" in r.destination else 4) for r in scene.facts.routes
              if r.is_default and r.device]  # fmt: skip
    for network in (n for n in scene.bridges if not n.internal):
        for subnet in (ip_network(c.subnet) for c in network.ipam if c.subnet):
            for device in dict.fromkeys(d for d, version in routes if version == subnet.version):
                packet = Packet(
                    hook=HOOK.PREROUTING,
                    in_link=network.device,
                    source=str(subnet.network_address + 2),
                    destination=SOMEWHERE[subnet.version],
                    port=443,
                )
                forwarded = packet.at(HOOK.FORWARD, out_link=device)
                path = [packet, forwarded, forwarded.at(HOOK.POSTROUTING)]
                subject = f"way out of network {network.name} by {device} (IPv{subnet.version})"
                yield _finding(subject, find_block(scene.book, path), network.device)


def _published(scene: Scene) -> Iterator[Finding]:
    ports = {(b.host_port, b.protocol) for s in scene.sandboxes for b in s.ports}
    for port, protocol in sorted(ports):
        for published in find_published(port, protocol, scene.sandboxes, scene.networks):
            yield from _ways_in(scene, published)


def _ways_in(scene: Scene, published: Published) -> Iterator[Finding]:
    """Follow a packet from each wire to a published port."""
    binding, name = published.binding, published.sandbox.request.container_name
    ours = {n.device for n in scene.bridges} | {"lo"}
    for link in (one for one in scene.facts.links if one.name not in ours):
        for interface in link.addresses:
            address = interface.partition("/")[0]
            if (":" in address) == (published.version == 6) and published.is_on(address):
                block = find_block(scene.book, arriving_path(published, link.name, interface))
                subject = f"port {binding.host_port}/{binding.protocol} of {name} by {address}"
                yield _finding(subject, block, published.bridge)


def _finding(subject: str, block: Block | None, bridge: str) -> Finding:
    if block is None:
        return Finding(subject=subject)
    verb = "drops it" if block.is_certain else "may drop it"
    advice = (
        f"let it through there (`nft -a list chain {block.table} {block.chain}` shows the rules): "
        f"accept what comes in or goes out by {bridge}"
    )
    return Finding(subject=subject, problem=f"{block} {verb}", advice=advice)
