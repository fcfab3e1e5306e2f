"""Published ports: what was asked for, what was found for it, and who has which.

Pure: the book of ports that this engine has given away. Whether a process of the host has a port
is found out by ``hostports`` by binding it.

Docker's counterpart: libnetwork's ``portallocator`` and ``types.PortBinding``.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address

from cutaway.errors import InvalidParameter, System

PROTOCOLS = ("tcp", "udp", "sctp")
ANY_IPV4 = "0.0.0.0"  # noqa: S104, RUF100 - the word for "every address", not a bind
ANY_IPV6 = "::"
DEFAULT_EPHEMERAL = (32768, 60999)
DNAT, HOST = "dnat", "host"
PUBLISH_MODES = (DNAT, HOST)


@dataclass(frozen=True, slots=True, kw_only=True)
class PortRequest:
    """One entry of ``HostConfig.PortBindings``.

    Attributes:
        container_port: 1 to 65535.
        protocol: ``tcp``, ``udp`` or ``sctp``.
        host_ip: address to publish on; empty means the daemon's ``--ip``, and IPv6 as well.
        host_port: ``8080``, ``8000-8010`` (the first free one) or empty (an ephemeral one).
        mode: ``dnat`` or ``host``; empty means the network's or the daemon's.
    """

    container_port: int
    protocol: str = "tcp"
    host_ip: str = ""
    host_port: str = ""
    mode: str = ""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class PortBinding:
    """A published port as it is: ``host_ip:host_port`` leads to ``container_port``.

    Attributes:
        mode: ``dnat``: the firewall translates, the container sees the client's address.
            ``host``: a listener of the host relays, so that the host's own firewall (its INPUT
            rules: ufw's, firewalld's) decides who may come in; the container sees the bridge's.
    """

    container_port: int
    protocol: str
    host_ip: str
    host_port: int
    mode: str = DNAT

    def __str__(self) -> str:
        return f"{bracket(self.host_ip)}:{self.host_port}->{self.container_port}/{self.protocol}"


class PortInUse(System):
    """The port is somebody's.

    Attributes:
        host_ip: the address.
        host_port: the port.
        owner: who has it: ``container web``, ``nginx (pid 812, nginx.service)``.
        next_free: a port close by that is free, or None.
    """

    def __init__(
        self, host_ip: str, host_port: int, protocol: str, *, owner: str, next_free: int | None
    ) -> None:
        advice = f"; the next free port is {next_free}" if next_free else ""
        super().__init__(
            f"Bind for {bracket(host_ip)}:{host_port} failed: port is already allocated "
            f"({protocol}, by {owner}{advice})"
        )
        self.host_ip = host_ip
        self.host_port = host_port
        self.owner = owner
        self.next_free = next_free


def bracket(address: str) -> str:
    """Return an address as it stands before a colon and a port."""
    return f"[{address}]" if ":" in address else address


def parse_exposed(text: str) -> tuple[int, str]:
    """Read ``80/tcp`` or ``80``.

    Raises:
        InvalidParameter: in Docker's words.
    """
    port, _, protocol = text.partition("/")
    protocol = protocol.lower() or "tcp"
    if protocol not in PROTOCOLS:
        raise InvalidParameter(f"invalid proto: {protocol}")
    return parse_port(port, text), protocol


def parse_port(text: str, whole: str) -> int:
    """Read a port number, 1 to 65535 (0 is allowed by Docker for "any" only in ``host_port``)."""
    if not (text.isascii() and text.isdigit()) or int(text) > 65535:
        raise InvalidParameter(f"invalid port specification: {whole!r}")
    return int(text)


def choose_mode(request: PortRequest, default: str) -> str:
    """Decide how a port is published.

    Raises:
        InvalidParameter: there is no such mode, or the mode can't carry the protocol.
    """
    mode = request.mode or default
    if mode not in PUBLISH_MODES:
        raise InvalidParameter(f"invalid publish mode {mode!r}: it must be dnat or host")
    if mode == HOST and request.protocol == "sctp":
        raise InvalidParameter(
            f"port {request.container_port}/sctp can't be published in mode host: "
            "the listener relays TCP and UDP; use mode dnat"
        )
    return mode


def parse_host_ports(text: str) -> range:
    """Read ``host_port``: one port, a range, or nothing (an empty range: any ephemeral port).

    Raises:
        InvalidParameter: it is no port, or the range runs backwards.
    """
    if text in ("", "0"):
        return range(0)
    first, dash, last = text.partition("-")
    start = parse_port(first, text)
    end = parse_port(last, text) if dash else start
    if end < start:
        raise InvalidParameter(f"invalid range format for port: {text!r} ends before it begins")
    return range(start, end + 1)


def host_addresses(request: PortRequest, default: str, versions: Sequence[int]) -> list[str]:
    """Decide the addresses that one request is published on.

    Args:
        request: an empty ``host_ip`` means the default and, when that is "every address", every
            IPv6 address too.
        default: the network's or the daemon's ``--ip``.
        versions: IP versions in which it is to be published.

    Raises:
        InvalidParameter: ``host_ip`` is no address.
    """
    text = request.host_ip or default
    try:
        address = ip_address(text)
    except ValueError:
        raise InvalidParameter(f"invalid IP address: {text}") from None
    if not request.host_ip and text == ANY_IPV4:
        return [ANY_IPV4 if version == 4 else ANY_IPV6 for version in versions]
    return [str(address)] if address.version in versions else []


def host_version(request: PortRequest) -> int:
    """Return the IP version of a request's address; 0 when it has none."""
    try:
        return ip_address(request.host_ip).version if request.host_ip else 0
    except ValueError:
        return 0  # ``host_addresses`` refuses it


def routed_binding(request: PortRequest, version: int) -> PortBinding:
    """Return a port that is open at the container's own address: no port of the host has it."""
    return PortBinding(
        container_port=request.container_port,
        protocol=request.protocol,
        host_ip=ANY_IPV4 if version == 4 else ANY_IPV6,
        host_port=0,
    )


def is_binding_of(wanted: PortRequest, binding: PortBinding) -> bool:
    """A published port is one of those that ``port rm`` names.

    Args:
        wanted: an empty ``host_ip`` or ``host_port`` means any; both wildcard addresses mean both.
        binding: as it is.
    """
    return (
        (binding.container_port, binding.protocol) == (wanted.container_port, wanted.protocol)
        and (not wanted.host_ip or _same_address(wanted.host_ip, binding.host_ip))
        and binding.host_port in (parse_host_ports(wanted.host_port) or (binding.host_port,))
    )


def is_asked_by(wanted: PortRequest, asked: PortRequest) -> bool:
    """An earlier request is one of those that ``port rm`` takes back."""
    ports = parse_host_ports(asked.host_port)
    named = parse_host_ports(wanted.host_port)
    return (
        (asked.container_port, asked.protocol) == (wanted.container_port, wanted.protocol)
        and (not wanted.host_ip or _same_address(wanted.host_ip, asked.host_ip or ANY_IPV4))
        and (not ports or not named or bool(set(ports) & set(named)))
    )


def _same_address(one: str, other: str) -> bool:
    wildcards = (ANY_IPV4, ANY_IPV6)
    return one == other or (one in wildcards and other in wildcards)


@dataclass(slots=True)
class PortBook:
    """Which port belongs to which container, on which address.

    Attributes:
        taken: (protocol, port) to {address: owner}.
        ephemeral: first and last port of the kernel's ephemeral range.
    """

    ephemeral: tuple[int, int] = DEFAULT_EPHEMERAL
    taken: dict[tuple[str, int], dict[str, str]] = field(default_factory=dict)
    _next: int = 0

    def owner(self, protocol: str, address: str, port: int) -> str | None:
        """Return who has the port on this address, or on one that includes or is part of it."""
        holders = self.taken.get((protocol, port))
        if not holders:
            return None
        version = ip_address(address).version
        wildcard = ANY_IPV4 if version == 4 else ANY_IPV6
        for held, owner in holders.items():
            if held in (address, wildcard):
                return owner
            if address == wildcard and ip_address(held).version == version:
                return owner
        return None

    def is_free(self, protocol: str, addresses: Iterable[str], port: int) -> bool:
        """The port is free on all these addresses, as far as this engine knows."""
        return all(self.owner(protocol, a, port) is None for a in addresses)

    def candidates(self, requested: range) -> Iterator[int]:
        """Yield the ports to try for a request, in order.

        Ephemeral ports go round, so that a port is not given again right after it was freed.
        """
        if requested:
            yield from requested
            return
        first, last = self.ephemeral
        count = last - first + 1
        start = self._next
        for offset in range(count):
            port = first + (start + offset) % count
            self._next = (port - first + 1) % count
            yield port

    def take(self, binding: PortBinding, owner: str) -> None:
        """Write a binding down."""
        key = (binding.protocol, binding.host_port)
        self.taken.setdefault(key, {})[binding.host_ip] = owner

    def release(self, binding: PortBinding) -> None:
        """Cross a binding out; harmless when it is not there."""
        key = (binding.protocol, binding.host_port)
        holders = self.taken.get(key, {})
        holders.pop(binding.host_ip, None)
        if not holders:
            self.taken.pop(key, None)


class PortUnavailable(System):
    """The port can't be bound, though nobody has it.

    Attributes:
        host_ip: the address.
        host_port: the port.
    """

    def __init__(self, host_ip: str, host_port: int, reason: str) -> None:
        super().__init__(
            f"Bind for {bracket(host_ip)}:{host_port} failed: {reason[:1].lower()}{reason[1:]}"
        )
        self.host_ip = host_ip
        self.host_port = host_port
