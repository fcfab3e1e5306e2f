"""Ethernet frames made by hand, as an attacker makes them."""

import socket
import struct
from dataclasses import dataclass
from ipaddress import ip_address

from support.machine import Container

ARP, IPV4, IPV6 = 0x0806, 0x0800, 0x86DD
_ALL, _UDP, _ICMPV6 = 3, 17, 58


@dataclass(frozen=True)
class Station:
    """A container's interface, as frames name it."""

    mac: bytes
    ipv4: bytes
    ipv6: bytes

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


def ipv6(source: bytes, target: bytes, kind: int, payload: bytes) -> bytes:
    """Return a packet that came by no router."""
    return struct.pack(">IHBB", 6 << 28, len(payload), kind, 255) + source + target + payload
