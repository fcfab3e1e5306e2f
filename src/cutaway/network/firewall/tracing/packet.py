"""A packet that might come, with what the kernel knows of it. Pure."""

from dataclasses import dataclass, replace
from ipaddress import ip_address

from cutaway.linux.nftables import HOOK, NFPROTO
from cutaway.network.firewall.sets import PROTOCOL_NUMBERS

_EPHEMERAL = 40000


@dataclass(frozen=True, slots=True, kw_only=True)
class Packet:
    """The first packet of a connection at one hook.

    Attributes:
        hook: where it is.
        in_link: the device it came by; empty for what the host sends.
        out_link: the device it will leave by; empty before routing and for what the host gets.
        protocol: ``tcp``, ``udp`` or ``sctp``.
        source: address.
        destination: address, after translation if ``is_translated``.
        port: the destination's.
        is_translated: its destination was a published port.
        to_host: the destination is an address of the host.
    """

    hook: HOOK
    in_link: str = ""
    out_link: str = ""
    protocol: str = "tcp"
    source: str
    destination: str
    port: int
    is_translated: bool = False
    to_host: bool = False

    @property
    def family(self) -> NFPROTO:
        """IPv4 or IPv6."""
        is_v6 = ip_address(self.destination).version == 6
        return NFPROTO.IPV6 if is_v6 else NFPROTO.IPV4

    def at(self, hook: HOOK, **changes: str | int | bool) -> "Packet":
        """Return it at another hook."""
        return replace(self, hook=hook, **changes)  # type: ignore[arg-type]

    def network_header(self) -> bytes:
        """Return the IP header, as far as firewalls look at it."""
        source, target = ip_address(self.source).packed, ip_address(self.destination).packed
        protocol = PROTOCOL_NUMBERS[self.protocol]
        if self.family == NFPROTO.IPV4:
            return bytes((0x45, 0, 0, 60, 0, 0, 0x40, 0, 64, protocol, 0, 0)) + source + target
        return bytes((0x60, 0, 0, 0, 0, 40, protocol, 64)) + source + target

    def transport_header(self) -> bytes:
        """Return the ports, and for TCP the flags of a SYN."""
        ports = _EPHEMERAL.to_bytes(2, "big") + self.port.to_bytes(2, "big")
        return ports + (bytes(8) + b"\x50\x02" + bytes(6) if self.protocol == "tcp" else bytes(16))
