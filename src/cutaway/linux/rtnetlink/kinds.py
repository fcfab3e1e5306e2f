"""What is particular to one kind of link: the ``data`` of ``link_add``."""

import socket

from cutaway.linux.addressing import family_of, pack_ip
from cutaway.linux.netlink import (
    NLA_F_NESTED,
    attribute,
    attribute_be16,
    attribute_u8,
    attribute_u16,
    attribute_u32,
)
from cutaway.linux.rtnetlink.abi import (
    IFLA_BR,
    IFLA_IPVLAN_FLAGS,
    IFLA_IPVLAN_MODE,
    IFLA_MACVLAN_MODE,
    IFLA_VLAN_ID,
    IFLA_VXLAN,
    IPVLAN_F,
    IPVLAN_MODE,
    MACVLAN_MODE,
    VETH_INFO_PEER,
)
from cutaway.linux.rtnetlink.links import link_body


def link_peer(
    name: str,
    *,
    index: int = 0,
    mtu: int | None = None,
    address: str | None = None,
    group: int | None = None,
    netns_fd: int | None = None,
) -> bytes:
    """Describe a veth's other end, made by the same message inside ``netns_fd``.

    With ``index`` chosen (2 in a fresh namespace) its address can be sent without asking for it.
    It is born down and set up by a later request: the kernel can't set up a veth's end before the
    other exists (ENOTCONN).
    """
    return b"".join(
        link_body(name, index=index, mtu=mtu, address=address, group=group, netns_fd=netns_fd)
    )


def veth_data(peer: bytes) -> bytes:
    """Return a veth's data; ``peer`` is what ``link_peer`` returned."""
    return attribute(VETH_INFO_PEER | NLA_F_NESTED, peer)


def bridge_data(
    *,
    forward_delay: int | None = None,
    ageing_time: int | None = None,
    stp: bool | None = None,
    vlan_filtering: bool | None = None,
    group_forward_mask: int | None = None,
    multicast_snooping: bool | None = None,
    call_iptables: bool | None = None,
) -> bytes:
    """Return a bridge's data; times are in hundredths of a second, what is None is the kernel's.

    ``vlan_filtering`` needs a kernel built with it, whatever its value (EOPNOTSUPP).
    ``call_iptables`` is whether bridged IPv4 and IPv6 packets pass the ip families' hooks; it
    needs the module br_netfilter.
    """
    parts = []
    if forward_delay is not None:
        parts.append(attribute_u32(IFLA_BR.FORWARD_DELAY, forward_delay))
    if ageing_time is not None:
        parts.append(attribute_u32(IFLA_BR.AGEING_TIME, ageing_time))
    if stp is not None:
        parts.append(attribute_u32(IFLA_BR.STP_STATE, stp))
    if group_forward_mask is not None:
        parts.append(attribute_u16(IFLA_BR.GROUP_FWD_MASK, group_forward_mask))
    switches = (
        (IFLA_BR.VLAN_FILTERING, vlan_filtering),
        (IFLA_BR.MCAST_SNOOPING, multicast_snooping),
        (IFLA_BR.NF_CALL_IPTABLES, call_iptables),
        (IFLA_BR.NF_CALL_IP6TABLES, call_iptables),
    )
    parts += [attribute_u8(kind, value) for kind, value in switches if value is not None]
    return b"".join(parts)


def macvlan_data(mode: MACVLAN_MODE) -> bytes:
    """Return a macvlan's data."""
    return attribute_u32(IFLA_MACVLAN_MODE, mode)


def ipvlan_data(mode: IPVLAN_MODE, flags: IPVLAN_F | None = None) -> bytes:
    """Return an ipvlan's data; no flags is bridge."""
    data = attribute_u16(IFLA_IPVLAN_MODE, mode)
    return data if flags is None else data + attribute_u16(IFLA_IPVLAN_FLAGS, flags)


def vlan_data(vlan_id: int) -> bytes:
    """Return an 802.1Q device's data."""
    return attribute_u16(IFLA_VLAN_ID, vlan_id)


def vxlan_data(
    vni: int,
    *,
    local: str | None = None,
    group: str | None = None,
    port: int = 4789,
    parent: int | None = None,
    learning: bool = True,
    proxy: bool = False,
    miss_events: bool = False,
) -> bytes:
    """Return a vxlan device's data.

    Args:
        vni: network identifier, 24 bits.
        local: the address packets are sent from.
        group: multicast group or the one remote address.
        port: UDP, of the other side and listened on.
        parent: index of the link packets leave by.
        learning: remote addresses are learned from packets.
        proxy: answers ARP from the neighbour table.
        miss_events: tells of unknown addresses by netlink.
    """
    parts = [
        attribute_u32(IFLA_VXLAN.ID, vni),
        attribute_be16(IFLA_VXLAN.PORT, port),
        attribute_u8(IFLA_VXLAN.LEARNING, learning),
        attribute_u8(IFLA_VXLAN.PROXY, proxy),
        attribute_u8(IFLA_VXLAN.L2MISS, miss_events),
        attribute_u8(IFLA_VXLAN.L3MISS, miss_events),
    ]
    addresses = (
        (local, IFLA_VXLAN.LOCAL, IFLA_VXLAN.LOCAL6),
        (group, IFLA_VXLAN.GROUP, IFLA_VXLAN.GROUP6),
    )
    for address, kind4, kind6 in addresses:
        if address is not None:
            kind = kind4 if family_of(address) == socket.AF_INET else kind6
            parts.append(attribute(kind, pack_ip(address)))
    if parent is not None:
        parts.append(attribute_u32(IFLA_VXLAN.LINK, parent))
    return b"".join(parts)
