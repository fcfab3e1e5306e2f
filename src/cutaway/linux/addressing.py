"""Addresses between text and the kernel's bytes."""

import socket


def family_of(address: str) -> int:
    """Return AF_INET6 for a text with a colon, else AF_INET."""
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def pack_ip(address: str) -> bytes:
    """Return the 4 or 16 bytes of an address.

    Raises:
        ValueError: it is not an address.
    """
    try:
        return socket.inet_pton(family_of(address), address)
    except OSError:
        raise ValueError(f"not an IP address: {address!r}") from None


def unpack_ip(data: bytes) -> str:
    """Return the text of 4 or 16 bytes."""
    return socket.inet_ntop(socket.AF_INET if len(data) == 4 else socket.AF_INET6, data)


def pack_prefix(prefix: str) -> tuple[bytes, int]:
    """Return ``(address bytes, prefix length)`` of ``172.17.0.2/16``; no slash is a whole address.

    Raises:
        ValueError: it is not a prefix.
    """
    address, slash, length_text = prefix.partition("/")
    data = pack_ip(address)
    bits = len(data) * 8
    if not slash:
        return data, bits
    if not length_text.isdecimal() or int(length_text) > bits:
        raise ValueError(f"not a prefix length of 0 to {bits}: {prefix!r}")
    return data, int(length_text)


def broadcast_of(data: bytes, prefix_length: int) -> bytes:
    """Return the address whose host bits are all one."""
    bits = len(data) * 8
    host = (1 << (bits - prefix_length)) - 1
    return (int.from_bytes(data, "big") | host).to_bytes(len(data), "big")


def pack_mac(address: str) -> bytes:
    """Return the 6 bytes of ``02:42:ac:11:00:02``.

    Raises:
        ValueError: it is not an Ethernet address.
    """
    parts = address.split(":")
    if len(parts) != 6 or any(len(part) != 2 for part in parts):
        raise ValueError(f"not an Ethernet address: {address!r}")
    return bytes(int(part, 16) for part in parts)


def link_local_of(mac: str) -> str:
    """Return the IPv6 address that a link of this Ethernet address gives itself (RFC 4291)."""
    data = pack_mac(mac)
    identifier = bytes((data[0] ^ 2, *data[1:3], 0xFF, 0xFE, *data[3:]))
    return unpack_ip(b"\xfe\x80" + bytes(6) + identifier)


def unpack_mac(data: bytes) -> str:
    """Return the text of an Ethernet address."""
    return data.hex(":")
