"""Links: network devices made, changed, removed, listed."""

import struct
from collections.abc import Callable
from dataclasses import dataclass

from cutaway.linux.addressing import pack_mac, unpack_mac
from cutaway.linux.netlink import (
    NLM_F_CREATE,
    NLM_F_EXCL,
    NetlinkSocket,
    Request,
    attribute,
    attribute_text,
    attribute_u8,
    attribute_u32,
    nested,
    parse_attributes,
    parse_text,
    parse_u32,
)
from cutaway.linux.rtnetlink.abi import (
    ADDR_GEN_MODE,
    IFF,
    IFLA,
    IFLA_BRPORT,
    IFLA_INET6_ADDR_GEN_MODE,
    IFLA_INFO,
    RTEXT_FILTER_SKIP_STATS,
    RTM,
)

_AF_INET6 = 10
_IFINFOMSG = struct.Struct("=BxHiII")  # family, type, index, flags, change
_NO_STATISTICS = attribute_u32(IFLA.EXT_MASK, RTEXT_FILTER_SKIP_STATS)
_IFNAMSIZ = 16
_FORBIDDEN_IN_NAMES = "/: \t\n\v\f\r\0"


@dataclass(frozen=True, slots=True)
class Link:
    """A network device as the kernel tells it.

    Attributes:
        index: number in its namespace.
        name: name in its namespace.
        kind: ``bridge``, ``veth``, …; empty for hardware and loopback.
        flags: UP is what was asked, LOWER_UP that there is a carrier.
        mtu: bytes.
        address: Ethernet address, empty where there is none.
        master: the index of its bridge, 0 for none.
        parent: the index of the link under it, or of a veth's peer; 0 for none.
        parent_netnsid: the id of the namespace ``parent`` is in, -1 for this one.
        group: link group, 0 is the default one.
        alias: free text.
        operstate: 6 is up, 2 down, 0 unknown.
    """

    index: int
    name: str
    kind: str
    flags: IFF
    mtu: int
    address: str
    master: int
    parent: int
    parent_netnsid: int
    group: int
    alias: str
    operstate: int


def _check_name(name: str) -> str:
    """Return ``name`` if the kernel takes it as a link's name.

    Raises:
        ValueError: too long, empty, a path component, or with a forbidden character.
    """
    if not 0 < len(name.encode()) < _IFNAMSIZ or name in (".", ".."):
        raise ValueError(f"not a link name of 1 to 15 bytes: {name!r}")
    if any(character in _FORBIDDEN_IN_NAMES for character in name):
        raise ValueError(f"not a link name: {name!r}")
    return name


def _identify(link: str | int) -> tuple[int, bytes]:
    """Return ``(ifi_index, name attribute)`` that find a link by index or by name."""
    if isinstance(link, int):
        return link, b""
    return 0, attribute_text(IFLA.IFNAME, _check_name(link))


def _quote(link: str | int) -> str:
    return str(link) if isinstance(link, int) else f'"{link}"'


def _state_attributes(
    *,
    mtu: int | None,
    address: str | None,
    master: int | None,
    group: int | None,
    txqlen: int | None,
    netns_fd: int | None,
) -> list[bytes]:
    """Encode what a link may be given at its birth and later alike."""
    numbers = (
        (IFLA.MTU, mtu),
        (IFLA.MASTER, master),
        (IFLA.GROUP, group),
        (IFLA.TXQLEN, txqlen),
        (IFLA.NET_NS_FD, netns_fd),
    )
    attributes = [attribute_u32(kind, value) for kind, value in numbers if value is not None]
    if address is not None:
        attributes.append(attribute(IFLA.ADDRESS, pack_mac(address)))
    return attributes


def link_body(
    name: str,
    *,
    index: int = 0,
    up: bool = False,
    mtu: int | None = None,
    address: str | None = None,
    master: int | None = None,
    group: int | None = None,
    txqlen: int | None = None,
    netns_fd: int | None = None,
) -> list[bytes]:
    """Encode a new link's structure and attributes: those of ``link_add`` but its kind."""
    flags = IFF.UP if up else 0
    return [
        _IFINFOMSG.pack(0, 0, index, flags, flags),
        attribute_text(IFLA.IFNAME, _check_name(name)),
        *_state_attributes(
            mtu=mtu, address=address, master=master, group=group, txqlen=txqlen, netns_fd=netns_fd
        ),
    ]


def link_add(
    name: str,
    kind: str,
    *,
    index: int = 0,
    up: bool = False,
    mtu: int | None = None,
    address: str | None = None,
    master: int | None = None,
    group: int | None = None,
    txqlen: int | None = None,
    parent: int | None = None,
    netns_fd: int | None = None,
    data: bytes = b"",
) -> Request:
    """Make a link: RTM_NEWLINK with CREATE and EXCL.

    Args:
        name: at most 15 bytes, unique in the namespace it is made in.
        kind: ``bridge``, ``veth``, ``macvlan``, ``ipvlan``, ``vlan``, ``vxlan``, ``dummy``.
        index: wished; 0 lets the kernel choose.
        up: set up at once.
        mtu: bytes.
        address: Ethernet address; default: random.
        master: index of the bridge it becomes a port of.
        group: link group, to delete many at a time.
        txqlen: packets.
        parent: index, in the sender's namespace, of the link a macvlan, ipvlan, vlan sits on.
        netns_fd: made in that namespace instead of moved there, which saves a grace period.
        data: what ``veth_data``, ``bridge_data``, ``macvlan_data`` … return.

    The kernel answers EEXIST (name or index taken), EOPNOTSUPP (kind unknown), ENODEV (parent),
    EBUSY (a parent in another mode).
    """
    body = link_body(
        name,
        index=index,
        up=up,
        mtu=mtu,
        address=address,
        master=master,
        group=group,
        txqlen=txqlen,
        netns_fd=netns_fd,
    )
    if parent is not None:
        body.append(attribute_u32(IFLA.LINK, parent))
    info = [attribute_text(IFLA_INFO.KIND, kind)]
    if data:
        info.append(nested(IFLA_INFO.DATA, data))
    body.append(nested(IFLA.LINKINFO, *info))
    call = f'RTM_NEWLINK({kind} "{name}")'
    return Request(RTM.NEWLINK, NLM_F_CREATE | NLM_F_EXCL, b"".join(body), call)


def link_set(
    link: str | int,
    *,
    up: bool | None = None,
    new_name: str | None = None,
    mtu: int | None = None,
    address: str | None = None,
    master: int | None = None,
    group: int | None = None,
    txqlen: int | None = None,
    netns_fd: int | None = None,
    alias: str | None = None,
    addr_gen_mode: ADDR_GEN_MODE | None = None,
) -> Request:
    """Change a link: RTM_SETLINK; what is None stays.

    Args:
        link: index or name.
        up: False sets it down.
        new_name: needs ``link`` as an index.
        mtu: bytes.
        address: Ethernet address.
        master: index of the bridge; 0 takes it out.
        group: link group.
        txqlen: packets.
        netns_fd: moves it; costs a grace period of the kernel, so make it there instead.
        alias: free text, at most 255 bytes.
        addr_gen_mode: NONE keeps the link without a link-local IPv6 address.
    """
    index, attributes = _identify(link)
    if new_name is not None:
        if index == 0:
            raise ValueError("a link is renamed by index")
        attributes = attribute_text(IFLA.IFNAME, _check_name(new_name))
    flags = IFF.UP if up else 0
    body = [_IFINFOMSG.pack(0, 0, index, flags, 0 if up is None else IFF.UP), attributes]
    body += _state_attributes(
        mtu=mtu, address=address, master=master, group=group, txqlen=txqlen, netns_fd=netns_fd
    )
    if alias is not None:
        body.append(attribute(IFLA.IFALIAS, alias.encode()))
    if addr_gen_mode is not None:
        mode = attribute_u8(IFLA_INET6_ADDR_GEN_MODE, addr_gen_mode)
        body.append(nested(IFLA.AF_SPEC, nested(_AF_INET6, mode)))
    return Request(RTM.SETLINK, 0, b"".join(body), f"RTM_SETLINK({_quote(link)})")


def bridge_port_set(
    link: str | int,
    *,
    hairpin: bool | None = None,
    isolated: bool | None = None,
    learning: bool | None = None,
    unicast_flood: bool | None = None,
    neighbour_suppression: bool | None = None,
    disabled: bool | None = None,
) -> Request:
    """Change how a bridge treats one of its ports; what is None stays.

    Args:
        link: a port already: its master is set by an earlier request of the same batch at least.
        hairpin: frames may leave by the port they came from (a container reaching itself by a
            published port).
        isolated: no frame goes between two isolated ports.
        learning: source addresses are learned.
        unicast_flood: frames to unknown addresses are sent there.
        neighbour_suppression: the bridge answers ARP and ND itself from its table.
        disabled: nothing is received or sent; cheaper than setting the link down, which waits
            for a grace period.
    """
    settings = (
        (IFLA_BRPORT.STATE, None if disabled is None else (0 if disabled else 3)),
        (IFLA_BRPORT.MODE, hairpin),
        (IFLA_BRPORT.ISOLATED, isolated),
        (IFLA_BRPORT.LEARNING, learning),
        (IFLA_BRPORT.UNICAST_FLOOD, unicast_flood),
        (IFLA_BRPORT.NEIGH_SUPPRESS, neighbour_suppression),
    )
    data = [attribute_u8(kind, value) for kind, value in settings if value is not None]
    index, name = _identify(link)
    info = nested(
        IFLA.LINKINFO,
        attribute_text(IFLA_INFO.SLAVE_KIND, "bridge"),
        nested(IFLA_INFO.SLAVE_DATA, *data),
    )
    body = _IFINFOMSG.pack(0, 0, index, 0, 0) + name + info
    return Request(RTM.NEWLINK, 0, body, f"RTM_NEWLINK(bridge port {_quote(link)})")


def link_delete(link: str | int) -> Request:
    """Remove a link; a veth's peer goes with it. The kernel answers ENODEV when there is none."""
    index, name = _identify(link)
    body = _IFINFOMSG.pack(0, 0, index, 0, 0) + name
    return Request(RTM.DELLINK, 0, body, f"RTM_DELLINK({_quote(link)})")


def link_group_delete(group: int) -> Request:
    """Remove all links of a group at the price of one: the grace period is shared.

    Raises:
        ValueError: group 0, the default group that hardware is in.
    """
    if group == 0:
        raise ValueError("the default link group holds the host's own devices")
    body = _IFINFOMSG.pack(0, 0, 0, 0, 0) + attribute_u32(IFLA.GROUP, group)
    return Request(RTM.DELLINK, 0, body, f"RTM_DELLINK(group {group})")


def parse_link(body: bytes) -> Link:
    """Read an RTM_NEWLINK."""
    _, _, index, flags, _ = _IFINFOMSG.unpack_from(body)
    attributes = parse_attributes(body, 16)

    def text(kind: int, source: dict[int, bytes] = attributes) -> str:
        return parse_text(source.get(kind, b""))

    def number(kind: int, default: int = 0) -> int:
        value = attributes.get(kind)
        return default if value is None else parse_u32(value)

    info = parse_attributes(attributes.get(IFLA.LINKINFO, b""))
    netnsid = number(IFLA.LINK_NETNSID, 0xFFFFFFFF)
    return Link(
        index=index,
        name=text(IFLA.IFNAME),
        kind=text(IFLA_INFO.KIND, info),
        flags=IFF(flags),
        mtu=number(IFLA.MTU),
        address=unpack_mac(attributes.get(IFLA.ADDRESS, b"")),
        master=number(IFLA.MASTER),
        parent=number(IFLA.LINK),
        parent_netnsid=-1 if netnsid == 0xFFFFFFFF else netnsid,
        group=number(IFLA.GROUP),
        alias=text(IFLA.IFALIAS),
        operstate=attributes.get(IFLA.OPERSTATE, b"\0")[0],
    )


def dump_links(
    netlink: NetlinkSocket, *, where: Callable[[Link], bool] | None = None
) -> list[Link]:
    """Return all links of the socket's namespace, or those for which ``where`` is true."""
    request = Request(RTM.GETLINK, 0, _IFINFOMSG.pack(0, 0, 0, 0, 0) + _NO_STATISTICS, "links")
    links = [parse_link(body) for body in netlink.dump(request)]
    return links if where is None else [link for link in links if where(link)]


def link_get(link: str | int) -> Request:
    """Ask for a link, without its statistics. The kernel answers ENODEV when there is none.

    A kernel from 6.8 on first lets all know of the link's carrier, which it does later otherwise.
    """
    index, name = _identify(link)
    body = _IFINFOMSG.pack(0, 0, index, 0, 0) + name + _NO_STATISTICS
    return Request(RTM.GETLINK, 0, body, f"RTM_GETLINK({_quote(link)})")


def get_link(netlink: NetlinkSocket, link: str | int) -> Link:
    """Return one link.

    Raises:
        KernelError: ENODEV.
    """
    (reply,) = netlink.request([link_get(link)])
    return parse_link(reply.body)


def link_index(netlink: NetlinkSocket, name: str) -> int:
    """Return the number of the link that has a name, and read nothing else.

    Raises:
        KernelError: ENODEV.
    """
    (reply,) = netlink.request([link_get(name)])
    return int(_IFINFOMSG.unpack_from(reply.body)[2])
