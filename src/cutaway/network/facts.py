"""What the host's own network looks like: what new networks must fit in beside.

Only this module asks; the decisions in ``ipam`` and ``controller`` take the answer as a value.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address, ip_network

from cutaway.linux.netlink import NetlinkSocket
from cutaway.linux.rtnetlink import (
    IFF,
    dump_addresses,
    dump_links,
    dump_routes,
)
from cutaway.network.ipams.subnets import IPNetwork, Occupied, find_overlap
from cutaway.network.publishing.ports import DEFAULT_EPHEMERAL

_RT_TABLE_LOCAL = 255
_AF_INET = 2


@dataclass(frozen=True, slots=True)
class Route:
    """One line of ``ip route show table all``.

    Attributes:
        destination: ``10.0.0.0/8``; ``0.0.0.0/0`` is the default route.
        device: where it goes out; empty for a blackhole.
        gateway: the next hop; empty when the destination is on the wire.
        metric: lower is preferred.
    """

    destination: str
    device: str
    gateway: str = ""
    metric: int = 0

    @property
    def is_default(self) -> bool:
        """It catches everything that no other route does."""
        return self.destination.endswith("/0")


@dataclass(frozen=True, slots=True)
class Link:
    """A network device of the host.

    Attributes:
        index: the kernel's number.
        name: ``eth0``.
        kind: ``veth``, ``bridge``, …; empty for hardware.
        mtu: bytes.
        is_up: administratively.
        master: index of the bridge or bond it belongs to, 0 for none.
        alias: IFLA_IFALIAS: ours say whose they are.
        addresses: ``172.17.0.1/16``.
    """

    index: int
    name: str
    kind: str
    mtu: int
    is_up: bool
    master: int = 0
    alias: str = ""
    addresses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NetworkFacts:
    """The host's links, routes, name servers and forwarding, at one moment."""

    links: tuple[Link, ...] = ()
    routes: tuple[Route, ...] = ()
    nameservers: tuple[str, ...] = ()
    has_ipv6: bool = True
    machine_id: str = ""
    forwarding: bool = False
    forwarding_v6: bool = False

    def link(self, name: str) -> Link | None:
        """Return the link of this name."""
        return next((link for link in self.links if link.name == name), None)

    def occupied(self, *, but_devices: Iterable[str] = ()) -> tuple[Occupied, ...]:
        """Return what a new subnet must not overlap: routes, addresses, name servers.

        Args:
            but_devices: devices whose routes and addresses don't count (our own bridges: their
                subnets are known as networks).
        """
        skipped = set(but_devices)
        found = [
            Occupied(ip_network(r.destination), f"route {r.destination} dev {r.device}")
            for r in self.routes
            if not r.is_default and r.device not in skipped
        ]
        for link in self.links:
            if link.name not in skipped:
                found += [
                    Occupied(ip_network(a, strict=False), f"address {a} of {link.name}")
                    for a in link.addresses
                ]
        # A pool that swallowed the way to a name server would break every lookup of the host.
        found += [Occupied(ip_network(n), f"name server {n}") for n in self.nameservers]
        return tuple(found)

    def in_the_way(self, subnet: IPNetwork, *, but_devices: Iterable[str] = ()) -> Occupied | None:
        """Return what forbids a subnet that a user chose, if anything.

        A route to a wider range does not: the network's own route is the more specific one, and
        whoever asks for a part of 10.0.0.0/8 behind a VPN means it.
        """
        taken = self.occupied(but_devices=but_devices)
        found = find_overlap(subnet, taken)
        while found is not None and found.network.prefixlen < subnet.prefixlen:
            taken = taken[taken.index(found) + 1 :]
            found = find_overlap(subnet, taken)
        return found

    def mtu_of_the_way_out(self) -> int:
        """Return the smallest MTU of the devices that carry a default route; 1500 without one."""
        names = {r.device for r in self.routes if r.is_default}
        sizes = [link.mtu for link in self.links if link.name in names and link.mtu >= 68]
        return min(sizes, default=1500)


def parse_nameservers(resolv_conf: str) -> tuple[str, ...]:
    """Return the addresses of ``nameserver`` lines, without zones; others are skipped."""
    found = []
    for line in resolv_conf.splitlines():
        words = line.split()
        if len(words) >= 2 and words[0] == "nameserver":
            try:
                found.append(str(ip_address(words[1].partition("%")[0])))
            except ValueError:
                continue
    return tuple(found)


def read_flag(path: str) -> bool:
    """Read a sysctl that is 0 or not; False when the kernel has none such."""
    try:
        with open(path, "rb") as file:
            return file.read().strip() not in (b"", b"0")
    except OSError:
        return False


def host_resolv_conf(path: str = "/etc/resolv.conf") -> str:
    """Return the host's resolver configuration; empty when there is none.

    systemd-resolved's stub (127.0.0.53) is of no use in another namespace; it writes the real
    servers to a second file.
    """
    text = _read(path)
    if parse_nameservers(text) == ("127.0.0.53",):
        text = _read("/run/systemd/resolve/resolv.conf") or text
    return text


def probe_ephemeral_ports() -> tuple[int, int]:
    """Return the first and last port that the kernel gives to those who want any."""
    words = _read("/proc/sys/net/ipv4/ip_local_port_range").split()
    return (int(words[0]), int(words[1])) if len(words) == 2 else DEFAULT_EPHEMERAL


def host_hosts() -> str:
    """Return the host's ``/etc/hosts``; empty when there is none."""
    return _read("/etc/hosts")


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(65536)
    except OSError:
        return ""


def has_ipv6() -> bool:
    """The kernel was built, and booted, with IPv6."""
    return os.path.exists("/proc/sys/net/ipv6")


def probe_network_facts(netlink: NetlinkSocket) -> NetworkFacts:
    """Ask the kernel for the links, addresses and routes of the socket's namespace.

    Routes of every table count: a policy-routed VPN's subnet is in the way as much as another's.
    """
    addresses: dict[int, list[str]] = {}
    for address in dump_addresses(netlink):
        addresses.setdefault(address.index, []).append(address.prefix)
    links = tuple(
        Link(
            index=link.index,
            name=link.name,
            kind=link.kind,
            mtu=link.mtu,
            is_up=bool(link.flags & IFF.UP),
            master=link.master,
            alias=link.alias,
            addresses=tuple(addresses.get(link.index, ())),
        )
        for link in dump_links(netlink)
    )
    names = {link.index: link.name for link in links}
    routes = []
    for route in dump_routes(netlink, table=0):
        if route.table == _RT_TABLE_LOCAL:
            continue
        default = "0.0.0.0/0" if route.family == _AF_INET else "::/0"
        destination = default if route.destination == "default" else route.destination
        routes.append(Route(destination, names.get(route.link, ""), route.gateway, route.metric))
    return NetworkFacts(
        links=links,
        routes=tuple(routes),
        nameservers=parse_nameservers(host_resolv_conf()),
        has_ipv6=has_ipv6(),
        machine_id=_read("/etc/machine-id").strip(),
        forwarding=read_flag("/proc/sys/net/ipv4/ip_forward"),
        forwarding_v6=read_flag("/proc/sys/net/ipv6/conf/all/forwarding"),
    )
