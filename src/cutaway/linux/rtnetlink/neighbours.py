"""Neighbours (ARP and ND entries) and the forwarding database of bridges and vxlan devices."""

import socket
import struct
from dataclasses import dataclass

from cutaway.linux.addressing import (
    family_of,
    pack_ip,
    pack_mac,
    unpack_ip,
    unpack_mac,
)
from cutaway.linux.netlink import (
    NLM_F_APPEND,
    NLM_F_CREATE,
    NLM_F_REPLACE,
    NetlinkSocket,
    Request,
    attribute,
    attribute_u16,
    parse_attributes,
    parse_u32,
)
from cutaway.linux.rtnetlink.abi import NDA, NTF, NUD, RTM

_NDMSG = struct.Struct("=BxxxiHBB")  # family, index, state, flags, type
_AF_BRIDGE = 7


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A neighbour or forwarding entry; absent addresses are empty."""

    index: int
    address: str
    link_address: str
    state: NUD
    flags: NTF
    master: int


def neighbour_add(
    index: int, address: str, link_address: str, *, state: NUD = NUD.PERMANENT
) -> Request:
    """Tell a link the Ethernet address of an IP address, replacing what it knew."""
    body = (
        _NDMSG.pack(family_of(address), index, state, 0, 0)
        + attribute(NDA.DST, pack_ip(address))
        + attribute(NDA.LLADDR, pack_mac(link_address))
    )
    call = f"RTM_NEWNEIGH({address} is {link_address} on link {index})"
    return Request(RTM.NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, body, call)


def neighbour_delete(index: int, address: str) -> Request:
    """Forget a neighbour; the kernel answers ENOENT when there is none."""
    body = _NDMSG.pack(family_of(address), index, 0, 0, 0) + attribute(NDA.DST, pack_ip(address))
    return Request(RTM.DELNEIGH, 0, body, f"RTM_DELNEIGH({address} on link {index})")


def _fdb_body(
    index: int, link_address: str, *, remote: str | None, master: bool, vlan: int | None
) -> bytes:
    flags = NTF.MASTER if master else NTF.SELF
    state = NUD.NOARP | NUD.PERMANENT
    body = [_NDMSG.pack(_AF_BRIDGE, index, state, flags, 0)]
    body.append(attribute(NDA.LLADDR, pack_mac(link_address)))
    if remote is not None:
        body.append(attribute(NDA.DST, pack_ip(remote)))
    if vlan is not None:
        body.append(attribute_u16(NDA.VLAN, vlan))
    return b"".join(body)


def fdb_add(
    index: int,
    link_address: str,
    *,
    remote: str | None = None,
    master: bool = False,
    vlan: int | None = None,
    append: bool = False,
) -> Request:
    """Say where frames to an Ethernet address go: RTM_NEWNEIGH, AF_BRIDGE.

    Args:
        index: the vxlan device, or with ``master`` the bridge's port.
        link_address: ``00:00:00:00:00:00`` on a vxlan device is every unknown and broadcast one.
        remote: the vxlan peer's address.
        master: in the bridge's table, not the device's own.
        vlan: of the bridge.
        append: one more remote instead of another.
    """
    body = _fdb_body(index, link_address, remote=remote, master=master, vlan=vlan)
    flags = NLM_F_CREATE | (NLM_F_APPEND if append else NLM_F_REPLACE)
    return Request(RTM.NEWNEIGH, flags, body, f"RTM_NEWNEIGH(fdb {link_address} on link {index})")


def fdb_delete(
    index: int,
    link_address: str,
    *,
    remote: str | None = None,
    master: bool = False,
    vlan: int | None = None,
) -> Request:
    """Remove a forwarding entry."""
    body = _fdb_body(index, link_address, remote=remote, master=master, vlan=vlan)
    return Request(RTM.DELNEIGH, 0, body, f"RTM_DELNEIGH(fdb {link_address} on link {index})")


def dump_neighbours(
    netlink: NetlinkSocket, index: int = 0, family: int = socket.AF_UNSPEC
) -> list[Neighbour]:
    """Return the neighbours of one link, or with 0 of all; AF_BRIDGE gives forwarding entries."""
    body = _NDMSG.pack(family, 0, 0, 0, 0)
    found = []
    for answer in netlink.dump(Request(RTM.GETNEIGH, 0, body, "neighbours")):
        _, own_index, state, flags, _ = _NDMSG.unpack_from(answer)
        attributes = parse_attributes(answer, 12)
        address = attributes.get(NDA.DST)
        neighbour = Neighbour(
            index=own_index,
            address=unpack_ip(address) if address else "",
            link_address=unpack_mac(attributes.get(NDA.LLADDR, b"")),
            state=NUD(state),
            flags=NTF(flags),
            master=parse_u32(attributes.get(NDA.MASTER, bytes(4))),
        )
        if index in (0, own_index):
            found.append(neighbour)
    return found
