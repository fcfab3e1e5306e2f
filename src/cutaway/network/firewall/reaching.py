"""Who can reach a published port, and which rule decides. Pure.

Our own tables are answered for from the records that they are made of; the tables of others are
followed with the packet that would come (``tracing``).
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_address, ip_interface

from cutaway.linux.nftables import HOOK
from cutaway.network.facts import NetworkFacts
from cutaway.network.firewall.tracing.packet import Packet
from cutaway.network.firewall.tracing.rulebook import Rulebook
from cutaway.network.firewall.tracing.walk import find_block
from cutaway.network.network import Network
from cutaway.network.publishing.ports import ANY_IPV4, ANY_IPV6, HOST, PortBinding, bracket
from cutaway.network.sandbox import Sandbox

LOOPBACK = {4: "127.0.0.1", 6: "::1"}
_LISTENER = "the listener of `cutaway: network`"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """One kind of client and one published port.

    Attributes:
        client: who: ``other hosts by eth0 (192.0.2.1:8080)``.
        verdict: ``yes``, ``no`` or ``maybe``.
        decided_by: the rule or element that decides.
        leads_to: ``web 172.17.0.2:80``.
    """

    client: str
    verdict: str
    decided_by: str
    leads_to: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """A binding with all that a packet to it meets.

    Attributes:
        address: the container's, that the port leads to.
    """

    binding: PortBinding
    sandbox: Sandbox
    network: Network
    address: str

    @property
    def version(self) -> int:
        """4 or 6: of the host's address."""
        return ip_address(self.binding.host_ip).version

    @property
    def bridge(self) -> str:
        """The device of the container's network."""
        return self.network.device

    @property
    def leads_to(self) -> str:
        """The container and its port."""
        name = self.sandbox.request.container_name
        return f"{name} {bracket(self.address)}:{self.binding.container_port}"

    @property
    def is_relayed(self) -> bool:
        """A listener carries it, not the firewall."""
        return self.binding.mode == HOST or ip_address(self.address).version != self.version

    def is_on(self, address: str) -> bool:
        """The port is published on this address of the host."""
        return self.binding.host_ip in (ANY_IPV4, ANY_IPV6, address)

    def element(self) -> str:
        """Return the element that translates, as nft writes it."""
        binding = self.binding
        is_any = binding.host_ip in (ANY_IPV4, ANY_IPV6)
        name = f"{'anyports' if is_any else 'ports'}{self.version}"
        address = "" if is_any else f"{binding.host_ip} . "
        return f"{name} {{ {address}{binding.protocol} . {binding.host_port} }}"


def find_published(
    port: int, protocol: str, sandboxes: Iterable[Sandbox], networks: Mapping[str, Network]
) -> Iterator[Published]:
    """Yield the bindings of a port of the host."""
    for sandbox in sandboxes:
        v4, v6 = sandbox.gateway_endpoint, sandbox.gateway_endpoint_v6
        for binding in sandbox.ports:
            is_v6 = ip_address(binding.host_ip).version == 6
            endpoint = (v6 if is_v6 else v4) or v4 or v6
            if (binding.host_port, binding.protocol) == (port, protocol) and endpoint is not None:
                address = (endpoint.address_v6 if is_v6 else "") or endpoint.address
                network = networks[endpoint.network_id]
                yield Published(binding=binding, sandbox=sandbox, network=network, address=address)


def reach_of(
    published: Published, facts: NetworkFacts, networks: Iterable[Network], book: Rulebook
) -> Iterator[Reach]:
    """Yield the answer for each kind of client."""
    yield _from_loopback(published, book)
    bridges = {n.device for n in networks if n.driver == "bridge"}
    for link in facts.links:
        for text in link.addresses:
            interface = ip_interface(text)
            is_candidate = interface.version == published.version and not interface.is_link_local
            if is_candidate and link.name != "lo":
                who = "containers on" if link.name in bridges else "other hosts by"
                yield _from_link(published, link.name, text, who=who, book=book)


def _from_loopback(published: Published, book: Rulebook) -> Reach:
    loopback, binding = LOOPBACK[published.version], published.binding
    client = f"this host by {bracket(loopback)}:{binding.host_port}"
    if not (published.is_on(loopback) or ip_address(binding.host_ip).is_loopback):
        return _no(published, client, f"published on {binding.host_ip} only")
    if binding.protocol == "sctp":
        return _no(published, client, "SCTP is not relayed from loopback")
    packet = Packet(
        hook=HOOK.OUTPUT,
        out_link="lo",
        protocol=binding.protocol,
        source=loopback,
        destination=loopback,
        port=binding.host_port,
        to_host=True,
    )
    path = [packet, packet.at(HOOK.INPUT, in_link="lo", out_link="")]
    return _judge(published, client, path, book=book, otherwise=_LISTENER)


def _from_link(
    published: Published, device: str, interface: str, *, who: str, book: Rulebook
) -> Reach:
    """Answer for who comes by a device to the host's address on it."""
    address = interface.partition("/")[0]
    client = f"{who} {device} ({bracket(address)}:{published.binding.host_port})"
    if not published.is_on(address):
        return _no(published, client, f"published on {published.binding.host_ip} only")
    path = arriving_path(published, device, interface)
    otherwise = _LISTENER if published.is_relayed else published.element()
    return _judge(published, client, path, book=book, otherwise=otherwise)


def arriving_path(published: Published, device: str, interface: str) -> list[Packet]:
    """Return the hooks that a packet from a device to a published port passes."""
    own = ip_interface(interface)
    first = own.network.network_address + 1
    neighbour = first if first != own.ip else first + 1
    arriving = Packet(
        hook=HOOK.PREROUTING,
        in_link=device,
        protocol=published.binding.protocol,
        source=str(neighbour),
        destination=str(own.ip),
        port=published.binding.host_port,
        to_host=True,
    )
    if published.is_relayed:
        return [arriving, arriving.at(HOOK.INPUT)]
    forwarded = arriving.at(
        HOOK.FORWARD,
        out_link=published.bridge,
        destination=published.address,
        port=published.binding.container_port,
        is_translated=True,
        to_host=False,
    )
    return [arriving, forwarded, forwarded.at(HOOK.POSTROUTING)]


def _judge(
    published: Published, client: str, path: list[Packet], *, book: Rulebook, otherwise: str
) -> Reach:
    block = find_block(book, path)
    verdict = "yes" if block is None else "no" if block.is_certain else "maybe"
    decided = otherwise if block is None else str(block)
    return Reach(client=client, verdict=verdict, decided_by=decided, leads_to=published.leads_to)


def _no(published: Published, client: str, reason: str) -> Reach:
    return Reach(client=client, verdict="no", decided_by=reason, leads_to=published.leads_to)
