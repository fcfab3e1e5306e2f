"""Connection tracking: what flows the kernel knows, and making it forget one.

A flow of UDP lives as long as datagrams come. While it does the rules are not asked again, so a
port that leads to another container now would go on leading to the old one.

Source: linux/netfilter/nfnetlink_conntrack.h.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address

from cutaway.linux.netlink import (
    NetlinkSocket,
    Request,
    attribute,
    parse_attributes,
    parse_be,
)

_SUBSYSTEM = 1  # NFNL_SUBSYS_CTNETLINK
_GET, _DELETE = 1, 2
_TUPLE_ORIG, _TUPLE_REPLY, _ID = 1, 2, 12
_TUPLE_IP, _TUPLE_PROTO = 1, 2
_SOURCES, _DESTINATIONS = (1, 3), (2, 4)  # CTA_IP_V4_SRC, CTA_IP_V6_SRC; …_DST
_PROTO_NUM, _PROTO_DST_PORT = 1, 3
_NESTED = 0x8000
_NFGENMSG = struct.Struct(">BBH")


@dataclass(frozen=True, slots=True)
class Flow:
    """One flow.

    Attributes:
        family: AF_INET or AF_INET6.
        protocol: 6 is TCP, 17 UDP.
        destination: where the first packet was sent to.
        port: the same.
        answerer: who answers: the destination after translation.
        handle: what names the flow to the kernel.
    """

    family: int
    protocol: int
    destination: str
    port: int
    answerer: str
    handle: bytes


def dump_flows(netlink: NetlinkSocket, family: int) -> Iterator[Flow]:
    """Yield the flows of one family.

    Raises:
        KernelError: EPERM; EOPNOTSUPP (the kernel has no connection tracking by netlink).
    """
    kind = _SUBSYSTEM << 8 | _GET
    request = Request(kind, 0, _NFGENMSG.pack(family, 0, 0), "conntrack flows")
    for body in netlink.dump(request):
        found = parse_attributes(body, 4)
        original, reply = (parse_attributes(found[i]) for i in (_TUPLE_ORIG, _TUPLE_REPLY))
        protocol = parse_attributes(original[_TUPLE_PROTO])
        yield Flow(
            family=body[0],
            protocol=parse_be(protocol[_PROTO_NUM]),
            destination=_address(original, _DESTINATIONS),
            port=parse_be(protocol.get(_PROTO_DST_PORT, b"\0")),
            answerer=_address(reply, _SOURCES),
            handle=attribute(_TUPLE_ORIG | _NESTED, found[_TUPLE_ORIG])
            + attribute(_ID, found[_ID]),
        )


def _address(flow: dict[int, bytes], kinds: tuple[int, int]) -> str:
    addresses = parse_attributes(flow[_TUPLE_IP])
    return next(str(ip_address(addresses[k])) for k in kinds if k in addresses)


def delete_flows(netlink: NetlinkSocket, flows: list[Flow]) -> None:
    """Make the kernel forget flows; one that has ended meanwhile is fine."""
    kind = _SUBSYSTEM << 8 | _DELETE
    netlink.try_requests(
        [
            Request(kind, 0, _NFGENMSG.pack(f.family, 0, 0) + f.handle, "conntrack delete")
            for f in flows
        ]
    )
