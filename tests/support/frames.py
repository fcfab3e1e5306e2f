"""Ethernet frames made by hand, as an attacker makes them."""

import socket
import struct
import zlib
from dataclasses import dataclass
from ipaddress import ip_address

from support.machine import Container

ARP, IPV4, IPV6, VLAN, PROVIDER_VLAN = 0x0806, 0x0800, 0x86DD, 0x8100, 0x88A8
_ALL, _UDP, _FRAGMENT, _ICMPV6 = 3, 17, 44, 58


@dataclass(frozen=True)
class Station:
    """A container's interface, as frames name it."""

    mac: bytes
    ipv4: bytes
    ipv6: bytes

    @property
    def link_local(self) -> bytes:
        """The IPv6 address that the interface gave itself."""
        mac = self.mac
        return b"\xfe\x80" + bytes(6) + bytes((mac[0] ^ 2,)) + mac[1:3] + b"\xff\xfe" + mac[3:]

    @classmethod
    def of(cls, container: Container) -> "Station":
        """Return what the engine gave a container."""
        endpoint = container.sandbox.endpoints[0]
        return cls(
            bytes.fromhex(endpoint.mac.replace(":", "")),
            ip_address(endpoint.address).packed,
            ip_address(endpoint.address_v6 or "::").packed,
        )


def raw_socket(interface: str) -> socket.socket:
    """Return a socket that sends and sees whole frames, in the caller's namespace."""
    made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ALL))
    made.bind((interface, _ALL))
    made.settimeout(5)
    return made


def ethernet(source: bytes, target: bytes, kind: int, payload: bytes) -> bytes:
    """Return a frame."""
    return target + source + struct.pack(">H", kind) + payload


def arp(mac: bytes, address: bytes, target: Station) -> bytes:
    """Return an answer: who has the address, and where."""
    head = struct.pack(">HHBBH", 1, IPV4, 6, 4, 2)
    return head + mac + address + target.mac + target.ipv4


def udp(source_port: int, target_port: int, data: bytes = b"") -> bytes:
    """Return a datagram without a checksum, which IPv4 allows."""
    return struct.pack(">HHHH", source_port, target_port, 8 + len(data), 0) + data


def ipv4(source: bytes, target: bytes, payload: bytes) -> bytes:
    """Return a packet of UDP."""

    def header(checksum: int) -> bytes:
        size = 20 + len(payload)
        return struct.pack(">BBHIBBH", 0x45, 0, size, 0, 64, _UDP, checksum) + source + target

    total = sum(struct.unpack(">10H", header(0)))
    return header(~(total + (total >> 16)) & 0xFFFF) + payload


def icmpv6(source: bytes, target: bytes, message: bytes) -> bytes:
    """Return a packet of ICMPv6 with the checksum that makes it valid."""
    pseudo = source + target + struct.pack(">II", len(message), _ICMPV6)
    total = sum(struct.unpack(f">{(len(pseudo) + len(message)) // 2}H", pseudo + message))
    checksum = struct.pack(">H", ~(total + (total >> 16)) & 0xFFFF)
    return ipv6(source, target, _ICMPV6, message[:2] + checksum + message[4:])


def behind(packet: bytes, kind: int, header: bytes) -> bytes:
    """Put an extension header, given without its first byte, before what an IPv6 packet carries."""
    payload = packet[6:7] + header + packet[40:]
    return packet[:4] + struct.pack(">HB", len(payload), kind) + packet[7:40] + payload


def in_pieces(packet: bytes, size: int, kind: int) -> tuple[bytes, bytes]:
    """Cut what an IPv6 packet carries in two; ``kind`` is what the second piece says that it is."""
    head, payload = packet[:40], packet[40:]
    number = zlib.crc32(packet)
    second = head[:6] + bytes((kind,)) + head[7:] + payload[size:]
    return (
        behind(head + payload[:size], _FRAGMENT, struct.pack(">BHI", 0, 1, number)),
        behind(second, _FRAGMENT, struct.pack(">BHI", 0, size, number)),
    )


def tagged(frame: bytes, *kinds: int) -> bytes:
    """Return a frame in VLAN 0, which is none, said by tags of these kinds."""
    return frame[:12] + b"".join(struct.pack(">HH", kind, 0) for kind in kinds) + frame[12:]


def ipv6(source: bytes, target: bytes, kind: int, payload: bytes) -> bytes:
    """Return a packet that came by no router."""
    return struct.pack(">IHBB", 6 << 28, len(payload), kind, 255) + source + target + payload
