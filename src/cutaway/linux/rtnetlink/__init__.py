"""rtnetlink: links, addresses, routes, neighbours, as requests to build and values to read.

The problem: a container's network is a pair of devices, an address, a route; ``ip`` makes each by
a process of its own.

The model: ``link_add``, ``link_set``, ``address_add``, ``route_add`` … return ``Request`` values
without doing anything. ``NetlinkSocket.request`` sends any number of them in one system call, in
order. Links are named by index or by name, so that a link can be made and set up in one batch.
``dump_links(socket)`` and its like return frozen values.

    with NetlinkSocket(NETLINK_ROUTE) as host:
        host.request([
            link_add("br0", "bridge", up=True),
            link_add("ve1", "veth", up=True, data=veth_data(link_peer("eth0", netns_fd=fd))),
        ])

Read ``links.py``, ``addresses.py``, ``routes.py``, ``neighbours.py``; numbers are in ``abi.py``.

Docker's counterpart: vishvananda/netlink. Source: rtnetlink(7), iproute2's behaviour.
"""

from cutaway.linux.netlink import NETLINK_ROUTE, NetlinkSocket, in_network_namespace
from cutaway.linux.rtnetlink.abi import ADDR_GEN_MODE, IFF, IPVLAN_MODE, MACVLAN_MODE, NUD, RTN
from cutaway.linux.rtnetlink.addresses import (
    Address,
    address_add,
    address_delete,
    dump_addresses,
)
from cutaway.linux.rtnetlink.kinds import (
    bridge_data,
    ipvlan_data,
    link_peer,
    macvlan_data,
    veth_data,
    vlan_data,
    vxlan_data,
)
from cutaway.linux.rtnetlink.links import (
    Link,
    bridge_port_set,
    dump_links,
    get_link,
    link_add,
    link_delete,
    link_get,
    link_group_delete,
    link_index,
    link_set,
)
from cutaway.linux.rtnetlink.neighbours import (
    Neighbour,
    dump_neighbours,
    fdb_add,
    fdb_delete,
    neighbour_add,
    neighbour_delete,
)
from cutaway.linux.rtnetlink.routes import (
    Route,
    Rule,
    dump_routes,
    dump_rules,
    route_add,
    route_delete,
)

__all__ = [
    "ADDR_GEN_MODE",
    "IFF",
    "IPVLAN_MODE",
    "MACVLAN_MODE",
    "NETLINK_ROUTE",
    "NUD",
    "RTN",
    "Address",
    "Link",
    "Neighbour",
    "NetlinkSocket",
    "Route",
    "Rule",
    "address_add",
    "address_delete",
    "bridge_data",
    "bridge_port_set",
    "dump_addresses",
    "dump_links",
    "dump_neighbours",
    "dump_routes",
    "dump_rules",
    "fdb_add",
    "fdb_delete",
    "get_link",
    "in_network_namespace",
    "ipvlan_data",
    "link_add",
    "link_delete",
    "link_get",
    "link_group_delete",
    "link_index",
    "link_peer",
    "link_set",
    "macvlan_data",
    "neighbour_add",
    "neighbour_delete",
    "route_add",
    "route_delete",
    "veth_data",
    "vlan_data",
    "vxlan_data",
]
