"""What the kernel noted in the set ``denied``, in words. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address

from cutaway.linux.nftables.dumps import ElementRecord
from cutaway.network.firewall.conditions import ICMP, ICMPV6
from cutaway.network.firewall.sets import DENIED_MS, PROTOCOL_NUMBERS

_PROTOCOLS = {
    **{number: name for name, number in PROTOCOL_NUMBERS.items()},
    ICMP: "icmp",
    ICMPV6: "icmpv6",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Something that an egress policy did not let out.

    Attributes:
        name: what was asked for by name; empty when the container never asked.
        address: where it wanted to; empty when the name server refused the name already.
        protocol: ``tcp``; ``dns`` for a name.
        port: 0 for protocols without.
        seconds_ago: the last time.
    """

    name: str = ""
    address: str = ""
    protocol: str = "dns"
    port: int = 0
    seconds_ago: float


def read_refusal(element: ElementRecord, names: Mapping[str, str]) -> tuple[str, Refusal]:
    """Return who was refused, and what.

    Args:
        element: of ``denied4`` or ``denied6``: from, to, protocol, port.
        names: address to name, as the name server knows it.
    """
    key = element.key
    size = 4 if len(key) == 16 else 16
    source, target = (str(ip_address(key[i : i + size])) for i in (0, size))
    protocol, port = key[2 * size], int.from_bytes(key[2 * size + 4 : 2 * size + 6], "big")
    return source, Refusal(
        name=names.get(target, ""),
        address=target,
        protocol=_PROTOCOLS.get(protocol, str(protocol)),
        port=port,
        seconds_ago=(DENIED_MS - element.expires_ms) / 1000,
    )
