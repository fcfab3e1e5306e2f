"""Egress: what a container may reach beyond its own network. Pure.

A policy is a word: ``none`` (nothing), ``lan`` (private and link-local addresses) or
``allow=example.org:443,10.0.0.0/8:5432`` (these and nothing else). It is kept in the endpoint's
record, so the firewall and the name server read the same one:

- the firewall refuses what a fenced address sends, unless ``allowed`` has an element for it;
- a name of the list has no element until the container asks our name server for it: then the
  addresses of the answer become elements of ``named``, for as long as the answer is good;
- names that are not on the list are refused by the name server itself: a question is a way out.

Docker has no counterpart.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_network

from cutaway.errors import InvalidParameter
from cutaway.network.ipams.subnets import IPNetwork

PortRange = tuple[int, int]

EGRESS_OPTION = "com.cutaway.network.egress"
LAN_V4 = ("10.0.0.0/8", "100.64.0.0/10", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16")
LAN_V6 = ("fc00::/7", "fe80::/10")
_PROTOCOLS = ("tcp", "udp", "sctp")
_ANY_PORT = "0-65535"


@dataclass(frozen=True, slots=True)
class Allowance:
    """One entry of an ``allow`` list.

    Attributes:
        target: a name (``example.org``, ``*.debian.org``), an address or a subnet.
        protocols: ``tcp`` and ``udp`` unless the entry says one.
        ports: ``443`` or ``0-65535``.
    """

    target: str
    protocols: tuple[str, ...]
    ports: str

    @property
    def is_name(self) -> bool:
        """The target is a name, to be resolved."""
        return _subnet(self.target) is None


@dataclass(frozen=True, slots=True)
class EgressPolicy:
    """A policy as a value.

    Attributes:
        kind: ``all``, ``none``, ``lan`` or ``allow``.
        allowances: of ``allow``.
    """

    kind: str
    allowances: tuple[Allowance, ...] = ()

    @property
    def names(self) -> tuple[Allowance, ...]:
        """The allowances that are names."""
        return tuple(a for a in self.allowances if a.is_name)

    @property
    def subnets(self) -> tuple[Allowance, ...]:
        """The allowances that are subnets or addresses."""
        return tuple(a for a in self.allowances if not a.is_name)


def parse_egress(text: str) -> EgressPolicy:
    """Read a policy; an empty text is ``all``.

    Raises:
        InvalidParameter: it is none, with what it may be.
    """
    if text in ("", "all"):
        return EgressPolicy("all")
    if text in ("none", "lan"):
        return EgressPolicy(text)
    word, _, listed = text.partition("=")
    if word != "allow" or not listed:
        raise InvalidParameter(
            f"invalid egress policy {text!r}: it must be none, lan or "
            "allow=HOST[:PORT[/PROTOCOL]],…"
        )
    return EgressPolicy("allow", tuple(_parse_allowance(part) for part in listed.split(",")))


def _parse_allowance(text: str) -> Allowance:
    target, ports, protocol = _split(text)
    subnet = _subnet(target)
    if subnet is not None:
        target = subnet
    elif not _is_name(target):
        raise InvalidParameter(f"invalid egress entry {text!r}: {target!r} is no name or address")
    if protocol and protocol not in _PROTOCOLS:
        raise InvalidParameter(f"invalid egress entry {text!r}: unknown protocol {protocol!r}")
    first, _, last = (ports or _ANY_PORT).partition("-")
    if not (first.isdecimal() and (last or first).isdecimal()):
        raise InvalidParameter(f"invalid egress entry {text!r}: {ports!r} is no port")
    if not int(first) <= int(last or first) <= 65535:
        raise InvalidParameter(f"invalid egress entry {text!r}: {ports!r} is no port")
    return Allowance(target, (protocol,) if protocol else ("tcp", "udp"), ports or _ANY_PORT)


def _split(text: str) -> tuple[str, str, str]:
    """Part ``[2001:db8::]/32:443/tcp`` into target, ports and protocol."""
    if text.startswith("["):
        address, _, rest = text[1:].partition("]")
        prefix, _, tail = rest.partition(":")
        ports, _, protocol = tail.partition("/")
        return address + prefix, ports, protocol
    if text.count(":") > 1:
        return text, "", ""
    target, _, tail = text.partition(":")
    ports, _, protocol = tail.partition("/")
    return target, ports, protocol


def _subnet(text: str) -> str | None:
    try:
        return str(ip_network(text, strict=False))
    except ValueError:
        return None


def _is_name(text: str) -> bool:
    labels = text.removeprefix("*.").rstrip(".").split(".")
    return all(0 < len(x) < 64 and x.replace("-", "").replace("_", "").isalnum() for x in labels)


def matches_name(pattern: str, name: str) -> bool:
    """A name is the pattern's: the same in any case, or below ``*.``."""
    wanted, asked = pattern.lower().rstrip("."), name.lower().rstrip(".")
    if wanted.startswith("*."):
        return asked.endswith(wanted[1:])
    return asked == wanted


def without_overlaps(subnets: Iterable[Allowance]) -> list[tuple[str, str, str]]:
    """Say the same in (subnet, protocol, ports) of which no two overlap: no set could have both.

    A subnet keeps those of its ports that no larger one has.
    """
    found: list[tuple[IPNetwork, str, PortRange]] = []
    for allowance in sorted(subnets, key=lambda a: ip_network(a.target).prefixlen):
        subnet = ip_network(allowance.target)
        for protocol in allowance.protocols:
            left = [_port_range(allowance.ports)]
            for larger, its_protocol, taken in found:
                if its_protocol == protocol and _is_within(subnet, larger):
                    left = [piece for ports in left for piece in _subtract(ports, taken)]
            found += [(subnet, protocol, ports) for ports in left]
    return [(str(subnet), protocol, _spell(ports)) for subnet, protocol, ports in found]


def _port_range(text: str) -> PortRange:
    first, _, last = text.partition("-")
    return int(first), int(last or first)


def _spell(ports: PortRange) -> str:
    first, last = ports
    return str(first) if first == last else f"{first}-{last}"


def _is_within(subnet: IPNetwork, larger: IPNetwork) -> bool:
    return larger.version == subnet.version and subnet.network_address in larger


def _subtract(ports: PortRange, taken: PortRange) -> list[PortRange]:
    pieces = (ports[0], min(ports[1], taken[0] - 1)), (max(ports[0], taken[1] + 1), ports[1])
    return [(first, last) for first, last in pieces if first <= last]
