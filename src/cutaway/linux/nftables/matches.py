"""Matches: a load and a comparison, as the nft language writes them."""

import socket
import struct

from cutaway.linux.addressing import pack_mac, pack_prefix
from cutaway.linux.nftables.abi import (
    CMP,
    CT,
    CT_STATE,
    CT_STATUS,
    FIB_F,
    FIB_RESULT,
    META,
    NFPROTO,
    PAYLOAD,
)
from cutaway.linux.nftables.expressions import (
    bitwise,
    compare,
    ct,
    exthdr,
    fib,
    has_exthdr,
    in_range,
    meta,
    payload,
)
from cutaway.linux.nftables.nouns import pack_ifname, pack_mark, pack_port

_ETH_P_IP = 0x0800
_ETH_P_IPV6 = 0x86DD
_RTN_LOCAL = 2
_FRAGMENT, _FRAGMENT_OFFSET = 44, b"\xff\xf8"
_SOURCE, _DESTINATION = 0, 1
_IPV4_OFFSETS = (12, 16)
_IPV6_OFFSETS = (8, 24)


def _equality(invert: bool) -> CMP:
    return CMP.NEQ if invert else CMP.EQ


def _link_name(key: META, name: str, invert: bool) -> bytes:
    # nft's own way to say "begins with": compare fewer bytes, without the terminating NUL
    data = name[:-1].encode() if name.endswith("*") else pack_ifname(name)
    return meta(key) + compare(_equality(invert), data)


def input_link(name: str, *, invert: bool = False) -> bytes:
    """``iifname``; a trailing ``*`` is any name that begins so."""
    return _link_name(META.IIFNAME, name, invert)


def output_link(name: str, *, invert: bool = False) -> bytes:
    """``oifname``; a trailing ``*`` is any name that begins so."""
    return _link_name(META.OIFNAME, name, invert)


def ip_version(family: NFPROTO, *, table_family: NFPROTO = NFPROTO.INET) -> bytes:
    """Match IPv4 or IPv6 packets, as a table of ``table_family`` must ask it."""
    if table_family in (NFPROTO.IPV4, NFPROTO.IPV6):
        return b""
    if table_family is NFPROTO.INET:
        return meta(META.NFPROTO) + compare(CMP.EQ, bytes((family,)))
    protocol = _ETH_P_IP if family == NFPROTO.IPV4 else _ETH_P_IPV6
    return meta(META.PROTOCOL) + compare(CMP.EQ, struct.pack(">H", protocol))


def load_ip(family: NFPROTO, *, destination: bool, register: int = 0) -> bytes:
    """Load an IP address for a lookup; the caller matched ``ip_version`` before."""
    side = _DESTINATION if destination else _SOURCE
    if family == NFPROTO.IPV4:
        return payload(PAYLOAD.NETWORK, _IPV4_OFFSETS[side], 4, register)
    return payload(PAYLOAD.NETWORK, _IPV6_OFFSETS[side], 16, register)


def _ip(prefix: str, destination: bool, invert: bool, table_family: NFPROTO) -> bytes:
    data, length = pack_prefix(prefix)
    family = NFPROTO.IPV4 if len(data) == 4 else NFPROTO.IPV6
    bits = len(data) * 8
    parts = ip_version(family, table_family=table_family)
    parts += load_ip(family, destination=destination)
    if length < bits:
        mask = ((1 << bits) - (1 << (bits - length))).to_bytes(len(data), "big")
        data = bytes(byte & mask_byte for byte, mask_byte in zip(data, mask, strict=True))
        parts += bitwise(mask)
    return parts + compare(_equality(invert), data)


def ip_source(prefix: str, *, invert: bool = False, table_family: NFPROTO = NFPROTO.INET) -> bytes:
    """``ip saddr`` or ``ip6 saddr``, by the prefix; asks the IP version too."""
    return _ip(prefix, False, invert, table_family)


def ip_destination(
    prefix: str, *, invert: bool = False, table_family: NFPROTO = NFPROTO.INET
) -> bytes:
    """``ip daddr`` or ``ip6 daddr``, by the prefix; asks the IP version too."""
    return _ip(prefix, True, invert, table_family)


def l4_protocol(number: int, *, invert: bool = False) -> bytes:
    """``meta l4proto``: 6 is TCP, 17 UDP, 132 SCTP, 1 ICMP, 58 ICMPv6."""
    return meta(META.L4PROTO) + compare(_equality(invert), bytes((number,)))


def load_port(*, destination: bool, register: int = 0) -> bytes:
    """Load a port for a lookup; the caller matched ``l4_protocol`` before."""
    return payload(PAYLOAD.TRANSPORT, 2 if destination else 0, 2, register)


def _port(destination: bool, first: int, last: int | None, invert: bool) -> bytes:
    load = load_port(destination=destination)
    if last is None or last == first:
        return load + compare(_equality(invert), pack_port(first))
    return load + in_range(pack_port(first), pack_port(last), invert=invert)


def destination_port(first: int, last: int | None = None, *, invert: bool = False) -> bytes:
    """``th dport``, one or from first to last; the caller matched ``l4_protocol`` before."""
    return _port(True, first, last, invert)


def source_port(first: int, last: int | None = None, *, invert: bool = False) -> bytes:
    """``th sport``, one or from first to last; the caller matched ``l4_protocol`` before."""
    return _port(False, first, last, invert)


def icmpv6_type(first: int, last: int | None = None, *, invert: bool = False) -> bytes:
    """``icmpv6 type``, one or from first to last; the caller matched ``l4_protocol`` before."""
    load = payload(PAYLOAD.TRANSPORT, 0, 1)
    if last is None:
        return load + compare(_equality(invert), bytes((first,)))
    return load + in_range(bytes((first,)), bytes((last,)), invert=invert)


def is_fragment() -> bytes:
    """``exthdr frag exists``: an IPv6 packet in pieces, any of them."""
    return has_exthdr(_FRAGMENT) + compare(CMP.EQ, b"\x01")


def is_later_fragment() -> bytes:
    """``frag frag-off != 0``: a piece of an IPv6 packet that is not the first."""
    load = exthdr(_FRAGMENT, 2, 2) + bitwise(_FRAGMENT_OFFSET)
    return load + compare(CMP.NEQ, bytes(2))


def _any_bit(load: bytes, bits: int, invert: bool) -> bytes:
    operator = CMP.EQ if invert else CMP.NEQ
    return load + bitwise(struct.pack("=I", bits)) + compare(operator, bytes(4))


def ct_state(states: CT_STATE, *, invert: bool = False) -> bytes:
    """``ct state``: any of the states, or inverted none of them."""
    return _any_bit(ct(CT.STATE), states, invert)


def ct_status(status: CT_STATUS, *, invert: bool = False) -> bytes:
    """``ct status``: any of the bits; DNAT is "a published port"."""
    return _any_bit(ct(CT.STATUS), status, invert)


def mark(value: int, mask: int = 0xFFFFFFFF, *, invert: bool = False) -> bytes:
    """``meta mark & mask == value``."""
    masked = b"" if mask == 0xFFFFFFFF else bitwise(pack_mark(mask))
    return meta(META.MARK) + masked + compare(_equality(invert), pack_mark(value))


def destination_is_local(*, invert: bool = False) -> bytes:
    """``fib daddr type local``: the packet is for an address of this host."""
    load = fib(FIB_RESULT.ADDRTYPE, FIB_F.DADDR)
    return load + compare(_equality(invert), struct.pack("=I", _RTN_LOCAL))


def ethernet_source(address: str, *, invert: bool = False) -> bytes:
    """``ether saddr``, in the bridge and netdev families."""
    return payload(PAYLOAD.LINK, 6, 6) + compare(_equality(invert), pack_mac(address))


def ethernet_protocol(number: int, *, invert: bool = False) -> bytes:
    """``meta protocol``: 0x0806 is ARP, 0x0800 IPv4, 0x86dd IPv6."""
    return meta(META.PROTOCOL) + compare(_equality(invert), struct.pack(">H", number))


def arp_sender(ip_address: str, *, invert: bool = False) -> bytes:
    """``arp saddr ip``; the caller matched ``ethernet_protocol(0x0806)`` before."""
    data = socket.inet_aton(ip_address)
    return payload(PAYLOAD.NETWORK, 14, 4) + compare(_equality(invert), data)
