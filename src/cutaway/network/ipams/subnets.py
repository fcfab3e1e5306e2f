"""Subnets and addresses as texts and values: read, compared, chosen. Pure."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

from cutaway.errors import InvalidParameter
from cutaway.network.errors import PoolOverlaps, PoolsExhausted
from cutaway.network.network import IpamConfig
from cutaway.network.settings import AddressPool

IPNetwork = IPv4Network | IPv6Network
IPAddress = IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True)
class Occupied:
    """A range of addresses that a new subnet must not overlap, and who has it."""

    network: IPNetwork
    owner: str


def find_overlap(subnet: IPNetwork, occupied: Iterable[Occupied]) -> Occupied | None:
    """Return the first of ``occupied`` that shares an address with ``subnet``."""
    for taken in occupied:
        if taken.network.version == subnet.version and taken.network.overlaps(subnet):
            return taken
    return None


def choose_subnet(
    version: int, pools: Iterable[AddressPool], occupied: Iterable[Occupied]
) -> IPNetwork:
    """Return the first subnet of the pools that overlaps with nothing.

    Raises:
        PoolsExhausted: there is none; the error names what is in the way.
    """
    taken = tuple(occupied)
    blockers: dict[str, None] = {}
    for pool in pools:
        if pool.base.version != version:
            continue
        for subnet in _subnets(pool):
            blocker = find_overlap(subnet, taken)
            if blocker is None:
                return subnet
            blockers[blocker.owner] = None
            if pool.base.subnet_of(blocker.network):  # type: ignore[arg-type]
                break  # one neighbour holds the whole pool: no need to try its 2^n subnets
    raise PoolsExhausted(version, tuple(blockers))


def _subnets(pool: AddressPool) -> Iterator[IPNetwork]:
    yield from pool.base.subnets(new_prefix=pool.size)


def check_subnet(subnet: IPNetwork, occupied: Iterable[Occupied]) -> None:
    """Refuse a subnet that a user asked for and that somebody has.

    Raises:
        PoolOverlaps: with the owner's name.
    """
    blocker = find_overlap(subnet, occupied)
    if blocker is not None:
        raise PoolOverlaps(str(subnet), blocker.owner)


def _no_subnet(text: str) -> InvalidParameter:
    return InvalidParameter(
        f"invalid network config:\ninvalid subnet {text}: invalid CIDR block notation"
    )


def parse_subnet(text: str) -> IPNetwork:
    """Read a subnet as a user writes it.

    Raises:
        InvalidParameter: it is none, or has host bits set (Docker says what was meant).
    """
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        raise _no_subnet(text) from None
    if "/" not in text:
        raise _no_subnet(text)
    if str(ip_address(text.split("/")[0])) != str(network.network_address):
        raise InvalidParameter(
            f"invalid network config:\ninvalid subnet {text}: it should be {network}"
        )
    return network


def parse_address(text: str, what: str = "address") -> IPAddress:
    """Read an address.

    Raises:
        InvalidParameter: it is none.
    """
    try:
        return ip_address(text)
    except ValueError:
        raise InvalidParameter(f"invalid {what}: {text!r} is not an IP address") from None


def complete_config(config: IpamConfig, subnet: IPNetwork, *, gateway_needed: bool) -> IpamConfig:
    """Fill in what a request left open and check what it said.

    Args:
        config: the request's; its ``subnet`` may be empty.
        subnet: the one chosen or asked for.
        gateway_needed: choose a gateway if none was given.

    Raises:
        InvalidParameter: a range, gateway or auxiliary address lies outside the subnet.
    """
    problems = []
    if config.ip_range:
        part = parse_range(config.ip_range)
        if part.version != subnet.version or not part.subnet_of(subnet):  # type: ignore[arg-type]
            problems.append(
                f"invalid ip-range {config.ip_range}: "
                f"parent subnet {subnet} doesn't contain ip-range"
            )
    named = {"gateway": config.gateway} if config.gateway else {}
    for what, text in (*named.items(), *config.aux_addresses.items()):
        label = "gateway" if what == "gateway" else f"auxiliary address {what}"
        if parse_address(text, label) not in subnet:
            problems.append(f"invalid {label} {text}: parent subnet {subnet} doesn't contain it")
    if problems:
        raise InvalidParameter("invalid network config:\n" + "\n".join(problems))
    gateway = config.gateway
    if not gateway and gateway_needed:
        gateway = str(_first_free(config, subnet))
    return IpamConfig(
        subnet=str(subnet),
        ip_range=config.ip_range,
        gateway=gateway,
        aux_addresses=dict(config.aux_addresses),
    )


def parse_range(text: str) -> IPNetwork:
    """Read ``--ip-range``; host bits are ignored, as Docker does."""
    try:
        return ip_network(text, strict=False)
    except ValueError:
        raise InvalidParameter(f"invalid ip-range {text}") from None


def _first_free(config: IpamConfig, subnet: IPNetwork) -> IPAddress:
    """Docker's default gateway: the first address of the range, else of the subnet."""
    base = parse_range(config.ip_range) if config.ip_range else subnet
    reserved = {ip_address(a) for a in config.aux_addresses.values()}
    first = int(base.network_address) + (1 if base.network_address == subnet.network_address else 0)
    for value in range(first, int(base.broadcast_address) + 1):
        address = nth_address(subnet, value)
        if address not in reserved:
            return address
    raise InvalidParameter(f"invalid network config:\nno address left for a gateway in {base}")


def nth_address(subnet: IPNetwork, value: int) -> IPAddress:
    """Return the address that a number is, of the subnet's IP version."""
    return IPv4Address(value) if subnet.version == 4 else IPv6Address(value)
