"""Routes and policy rules, IPv4 and IPv6."""

import socket
import struct
from dataclasses import dataclass

from cutaway.linux.addressing import family_of, pack_ip, pack_prefix, unpack_ip
from cutaway.linux.netlink import (
    NLM_F_CREATE,
    NLM_F_EXCL,
    NLM_F_REPLACE,
    NetlinkSocket,
    Request,
    attribute,
    attribute_u32,
    parse_attributes,
    parse_u32,
)
from cutaway.linux.rtnetlink.abi import (
    FRA,
    RT_SCOPE,
    RT_TABLE_MAIN,
    RTA,
    RTM,
    RTM_F_CLONED,
    RTN,
    RTNH_F_ONLINK,
    RTPROT_BOOT,
)

# family, dst_len, src_len, tos, table, protocol, scope, type, flags
_RTMSG = struct.Struct("=BBBBBBBBI")
_TABLE_COMPAT = 252  # rtm_table's way to say "see RTA_TABLE"


@dataclass(frozen=True, slots=True)
class Route:
    """A route as the kernel tells it; absent addresses are empty, absent numbers 0.

    Attributes:
        destination: ``default``, or a prefix with its length.
        gateway: address of the next hop.
        link: index of the link packets leave by; 0 for multipath and blackholes.
        source: preferred source address.
        table: 254 is the main one.
        metric: lower is better.
        scope: RT_SCOPE's number.
        kind: unicast, blackhole, …
        protocol: who made it; 2 is the kernel, 3 boot, 4 static.
        family: AF_INET or AF_INET6.
    """

    destination: str
    gateway: str
    link: int
    source: str
    table: int
    metric: int
    scope: int
    kind: int
    protocol: int
    family: int


@dataclass(frozen=True, slots=True)
class Rule:
    """A policy rule: which table is asked for whom."""

    priority: int
    table: int
    source: str
    destination: str
    mark: int
    family: int


def _route_body(
    destination: str,
    gateway: str | None,
    link: int | None,
    *,
    source: str | None,
    table: int,
    metric: int | None,
    scope: RT_SCOPE | None,
    kind: RTN,
    protocol: int,
    onlink: bool,
    family: int | None,
) -> bytes:
    if destination == "default":
        if family is None:
            family = family_of(gateway or source or "")
        data, length = b"", 0
    else:
        data, length = pack_prefix(destination)
        family = socket.AF_INET if len(data) == 4 else socket.AF_INET6
    if scope is None:
        direct = gateway is None and kind == RTN.UNICAST and family == socket.AF_INET
        scope = RT_SCOPE.LINK if direct else RT_SCOPE.UNIVERSE
    short_table = table if table < 256 else _TABLE_COMPAT
    flags = RTNH_F_ONLINK if onlink else 0
    body = [_RTMSG.pack(family, length, 0, 0, short_table, protocol, scope, kind, flags)]
    if length:
        body.append(attribute(RTA.DST, data))
    for number, address in ((RTA.GATEWAY, gateway), (RTA.PREFSRC, source)):
        if address is not None:
            body.append(attribute(number, pack_ip(address)))
    numbers = ((RTA.OIF, link), (RTA.PRIORITY, metric))
    body += [attribute_u32(number, value) for number, value in numbers if value is not None]
    if table >= 256:
        body.append(attribute_u32(RTA.TABLE, table))
    return b"".join(body)


def _in_words(destination: str, gateway: str | None, link: int | None) -> str:
    via = f" via {gateway}" if gateway else ""
    return f"{destination}{via}" + (f" on link {link}" if link else "")


def route_add(
    destination: str,
    *,
    gateway: str | None = None,
    link: int | None = None,
    source: str | None = None,
    table: int = RT_TABLE_MAIN,
    metric: int | None = None,
    scope: RT_SCOPE | None = None,
    kind: RTN = RTN.UNICAST,
    protocol: int = RTPROT_BOOT,
    onlink: bool = False,
    replace: bool = False,
    family: int | None = None,
) -> Request:
    """Add a route: RTM_NEWROUTE.

    Args:
        destination: ``default`` or a prefix.
        gateway: next hop.
        link: index packets leave by.
        source: preferred source address.
        table: routing table.
        metric: lower is better.
        scope: default: LINK for an IPv4 route without a gateway.
        kind: BLACKHOLE, UNREACHABLE, PROHIBIT need no link.
        protocol: who made it.
        onlink: the gateway is reachable though no route says so.
        replace: an existing one is replaced.
        family: needed for ``default`` with neither gateway nor source.

    The kernel answers EEXIST, ENETUNREACH (gateway not reachable, or the link is down), ENETDOWN.
    """
    body = _route_body(
        destination,
        gateway,
        link,
        source=source,
        table=table,
        metric=metric,
        scope=scope,
        kind=kind,
        protocol=protocol,
        onlink=onlink,
        family=family,
    )
    flags = NLM_F_CREATE | (NLM_F_REPLACE if replace else NLM_F_EXCL)
    call = f"RTM_NEWROUTE({_in_words(destination, gateway, link)})"
    return Request(RTM.NEWROUTE, flags, body, call)


def route_delete(
    destination: str,
    *,
    gateway: str | None = None,
    link: int | None = None,
    table: int = RT_TABLE_MAIN,
    metric: int | None = None,
    family: int | None = None,
) -> Request:
    """Remove the first route that matches; the kernel answers ESRCH when none does."""
    body = _route_body(
        destination,
        gateway,
        link,
        source=None,
        table=table,
        metric=metric,
        scope=RT_SCOPE.NOWHERE,
        kind=RTN.UNSPEC,
        protocol=0,
        onlink=False,
        family=family,
    )
    call = f"RTM_DELROUTE({_in_words(destination, gateway, link)})"
    return Request(RTM.DELROUTE, 0, body, call)


def _parse_prefix(data: bytes | None, length: int) -> str:
    return f"{unpack_ip(data)}/{length}" if data else "default"


def parse_route(body: bytes) -> Route:
    """Read an RTM_NEWROUTE."""
    family, length, _, _, table, protocol, scope, kind, _ = _RTMSG.unpack_from(body)
    attributes = parse_attributes(body, 12)

    def address(number: int) -> str:
        return unpack_ip(attributes[number]) if number in attributes else ""

    def integer(number: int, default: int = 0) -> int:
        return parse_u32(attributes[number]) if number in attributes else default

    return Route(
        destination=_parse_prefix(attributes.get(RTA.DST), length),
        gateway=address(RTA.GATEWAY),
        link=integer(RTA.OIF),
        source=address(RTA.PREFSRC),
        table=integer(RTA.TABLE, table),
        metric=integer(RTA.PRIORITY),
        scope=scope,
        kind=kind,
        protocol=protocol,
        family=family,
    )


def dump_routes(
    netlink: NetlinkSocket, family: int = socket.AF_UNSPEC, table: int = RT_TABLE_MAIN
) -> list[Route]:
    """Return the routes of one table, with ``table`` 0 of all; learned exceptions left out."""
    request = Request(RTM.GETROUTE, 0, _RTMSG.pack(family, 0, 0, 0, 0, 0, 0, 0, 0), "routes")
    routes = []
    for body in netlink.dump(request):
        if not _RTMSG.unpack_from(body)[8] & RTM_F_CLONED:
            routes.append(parse_route(body))
    return [route for route in routes if table in (0, route.table)]


def dump_rules(netlink: NetlinkSocket, family: int = socket.AF_UNSPEC) -> list[Rule]:
    """Return the policy rules, in the order the kernel asks them."""
    request = Request(RTM.GETRULE, 0, _RTMSG.pack(family, 0, 0, 0, 0, 0, 0, 0, 0), "rules")
    rules = []
    for body in netlink.dump(request):
        own_family, dst_length, src_length, _, table, *_ = _RTMSG.unpack_from(body)
        if own_family not in (socket.AF_INET, socket.AF_INET6):
            continue  # multicast routing's own rules
        attributes = parse_attributes(body, 12)
        table = parse_u32(attributes[FRA.TABLE]) if FRA.TABLE in attributes else table
        rules.append(
            Rule(
                priority=parse_u32(attributes.get(FRA.PRIORITY, bytes(4))),
                table=table,
                source=_parse_prefix(attributes.get(FRA.SRC), src_length),
                destination=_parse_prefix(attributes.get(FRA.DST), dst_length),
                mark=parse_u32(attributes.get(FRA.FWMARK, bytes(4))),
                family=own_family,
            )
        )
    return rules
