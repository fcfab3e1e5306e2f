"""Addresses of links, IPv4 and IPv6."""

import socket
import struct
from dataclasses import dataclass

from cutaway.linux.addressing import broadcast_of, pack_prefix, unpack_ip
from cutaway.linux.netlink import (
    NLM_F_CREATE,
    NLM_F_EXCL,
    NLM_F_REPLACE,
    NetlinkSocket,
    Request,
    attribute,
    attribute_text,
    attribute_u32,
    parse_attributes,
    parse_text,
    parse_u32,
)
from cutaway.linux.rtnetlink.abi import IFA, IFA_F, RT_SCOPE, RTM

_IFADDRMSG = struct.Struct("=BBBBI")  # family, prefix length, flags, scope, index


@dataclass(frozen=True, slots=True)
class Address:
    """An address of a link; ``prefix`` is ``172.17.0.2/16``."""

    index: int
    prefix: str
    scope: int
    flags: IFA_F
    label: str
    broadcast: str


def _message(index: int, prefix: str, scope: int) -> tuple[bytes, bytes, int]:
    """Return ``(ifaddrmsg, address bytes, prefix length)``."""
    data, length = pack_prefix(prefix)
    family = socket.AF_INET if len(data) == 4 else socket.AF_INET6
    return _IFADDRMSG.pack(family, length, 0, scope, index), data, length


def address_add(
    index: int,
    prefix: str,
    *,
    broadcast: bool = False,
    no_dad: bool = False,
    no_prefix_route: bool = False,
    label: str | None = None,
    scope: RT_SCOPE = RT_SCOPE.UNIVERSE,
    replace: bool = False,
) -> Request:
    """Give a link an address: RTM_NEWADDR.

    Args:
        index: the link's.
        prefix: ``172.17.0.2/16`` or ``fd00::2/64``.
        broadcast: set the subnet's broadcast address (IPv4).
        no_dad: usable at once, without duplicate address detection (IPv6).
        no_prefix_route: no route to the subnet comes with it.
        label: begins with the link's name (IPv4).
        scope: LINK, HOST or UNIVERSE.
        replace: an existing one is no error.

    The kernel answers EEXIST, ENODEV, EINVAL, EACCES (IPv6 is disabled on the link).
    """
    message, data, length = _message(index, prefix, scope)
    body = [message, attribute(IFA.LOCAL, data), attribute(IFA.ADDRESS, data)]
    if broadcast and len(data) == 4 and length < 31:
        body.append(attribute(IFA.BROADCAST, broadcast_of(data, length)))
    if label is not None:
        body.append(attribute_text(IFA.LABEL, label))
    flags = (IFA_F.NODAD if no_dad else 0) | (IFA_F.NOPREFIXROUTE if no_prefix_route else 0)
    if flags:
        body.append(attribute_u32(IFA.FLAGS, flags))
    mode = NLM_F_REPLACE if replace else NLM_F_EXCL
    call = f"RTM_NEWADDR({prefix} on link {index})"
    return Request(RTM.NEWADDR, NLM_F_CREATE | mode, b"".join(body), call)


def address_delete(index: int, prefix: str) -> Request:
    """Take an address from a link; the kernel answers EADDRNOTAVAIL when it has none such."""
    message, data, _ = _message(index, prefix, 0)
    body = message + attribute(IFA.LOCAL, data) + attribute(IFA.ADDRESS, data)
    return Request(RTM.DELADDR, 0, body, f"RTM_DELADDR({prefix} on link {index})")


def parse_address(body: bytes) -> Address:
    """Read an RTM_NEWADDR."""
    _, length, flags, scope, index = _IFADDRMSG.unpack_from(body)
    attributes = parse_attributes(body, 8)
    data = attributes.get(IFA.LOCAL) or attributes[IFA.ADDRESS]
    broadcast = attributes.get(IFA.BROADCAST)
    return Address(
        index=index,
        prefix=f"{unpack_ip(data)}/{length}",
        scope=scope,
        flags=IFA_F(parse_u32(attributes[IFA.FLAGS]) if IFA.FLAGS in attributes else flags),
        label=parse_text(attributes.get(IFA.LABEL, b"")),
        broadcast=unpack_ip(broadcast) if broadcast else "",
    )


def dump_addresses(netlink: NetlinkSocket, index: int = 0) -> list[Address]:
    """Return the addresses of one link, or with 0 of all."""
    request = Request(RTM.GETADDR, 0, _IFADDRMSG.pack(0, 0, 0, 0, 0), "addresses")
    addresses = [parse_address(body) for body in netlink.dump(request)]
    return [address for address in addresses if index in (0, address.index)]
