"""The wire that hosts share, and the hosts on it."""

from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network

from cutaway.linux.netlink import NETLINK_ROUTE, NetlinkSocket, Request
from cutaway.linux.rtnetlink import (
    address_add,
    bridge_data,
    link_add,
    link_index,
    link_peer,
    link_set,
    route_add,
    veth_data,
)
from cutaway.network.namespace import inside
from cutaway.nodes.keeper import Keeper

WIRE = "wire0"
SUBNET = "10.77.0.0/24"
SUBNET_V6 = "fd77::/64"
MOST_HOSTS = 250
_GATEWAY = 254


def _address(subnet: IPv4Network | IPv6Network, number: int) -> str:
    return f"{subnet.network_address + number}/{subnet.prefixlen}"


@dataclass(slots=True)
class Host:
    """A host on the wire.

    Attributes:
        keeper: holds its namespaces.
        number: 1, 2, …; the last part of its addresses.
        address: IPv4.
        address_v6: IPv6.
    """

    keeper: Keeper
    number: int
    address: str
    address_v6: str


class Underlay:
    """A wire in a namespace of its own; hosts are added to it.

    The wire's own end has the last address, and is the hosts' way out: it leads nowhere, but a
    host without a default route is not like others.
    """

    def __init__(self, *, subnet: str = SUBNET, subnet_v6: str = SUBNET_V6) -> None:
        self._subnets = (ip_network(subnet), ip_network(subnet_v6))
        self.hosts: list[Host] = []
        self.keeper = Keeper()
        self._configure(
            self.keeper,
            [
                link_set("lo", up=True),
                link_add(WIRE, "bridge", data=bridge_data(forward_delay=0)),
            ],
        )
        self._bring_up(self.keeper, WIRE, _GATEWAY)

    def add_host(self) -> Host:
        """Make a host and join it to the wire by its ``eth0``.

        Raises:
            ValueError: the wire is full. OSError: the kernel refused.
        """
        number = len(self.hosts) + 1
        if number > MOST_HOSTS:
            raise ValueError(f"at most {MOST_HOSTS} nodes")
        keeper = Keeper()
        outer = f"node{number}"
        # Were both ends' indexes the same the kernel would take up to a second to see the carrier.
        peer = link_peer("eth0", index=1000 + number, netns_fd=keeper.netns_fd)
        self._configure(
            self.keeper,
            [
                link_add(outer, "veth", index=2000 + number, data=veth_data(peer)),
                link_set(outer, master=self._index(self.keeper, WIRE)),
                link_set(outer, up=True),
            ],
        )
        self._configure(keeper, [link_set("lo", up=True)])
        self._bring_up(keeper, "eth0", number)
        gateways = [_address(s, _GATEWAY).partition("/")[0] for s in self._subnets]
        self._configure(keeper, [route_add("default", gateway=g) for g in gateways])
        own = [_address(s, number).partition("/")[0] for s in self._subnets]
        host = Host(keeper, number, own[0], own[1])
        self.hosts.append(host)
        return host

    def _bring_up(self, keeper: Keeper, link: str, number: int) -> None:
        index = self._index(keeper, link)
        own = [_address(s, number) for s in self._subnets]
        adds = [address_add(index, a, broadcast=":" not in a, no_dad=True) for a in own]
        self._configure(keeper, [*adds, link_set(index, up=True)])
        self._index(keeper, link)  # asking makes the kernel see the carrier now

    @staticmethod
    def _configure(keeper: Keeper, requests: list[Request]) -> None:
        with inside(keeper.netns_fd), NetlinkSocket(NETLINK_ROUTE) as netlink:
            netlink.request(requests)

    @staticmethod
    def _index(keeper: Keeper, link: str) -> int:
        with inside(keeper.netns_fd), NetlinkSocket(NETLINK_ROUTE) as netlink:
            return link_index(netlink, link)

    def close(self) -> None:
        """End all keepers."""
        for host in self.hosts:
            host.keeper.close()
        self.keeper.close()
