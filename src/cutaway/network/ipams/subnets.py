"""Address management: which subnet a network gets, which address an endpoint gets.

Pure: nothing here knows the kernel or the disk. A ``Pool`` is one subnet with what is taken of it;
``choose_subnet`` finds a subnet that overlaps with nothing the machine routes to.

Docker's counterpart: libnetwork's ``ipams/defaultipam``.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

from cutaway.errors import InvalidParameter
from cutaway.network.errors import AddressInUse, PoolOverlaps, PoolsExhausted
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


def parse_subnet(text: str) -> IPNetwork:
    """Read a subnet as a user writes it.

    Raises:
        InvalidParameter: it is none, or has host bits set (Docker says what was meant).
    """
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        raise InvalidParameter(
            f"invalid subnet {text}: it is not an address with a prefix"
        ) from None
    if "/" not in text:
        raise InvalidParameter(f"invalid subnet {text}: it is not an address with a prefix")
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
        address = _address(subnet, value)
        if address not in reserved:
            return address
    raise InvalidParameter(f"invalid network config:\nno address left for a gateway in {base}")


def _address(subnet: IPNetwork, value: int) -> IPAddress:
    return IPv4Address(value) if subnet.version == 4 else IPv6Address(value)


@dataclass(slots=True)
class Pool:
    """One subnet and the leases of it; the lowest free address is given first, as Docker does.

    Attributes:
        subnet: all addresses.
        first: lowest address that may be leased without being asked for by name.
        last: highest of these.
        leases: address (as int) to the owner's name.
    """

    subnet: IPNetwork
    first: int
    last: int
    leases: dict[int, str] = field(default_factory=dict)
    _candidate: int = 0

    @classmethod
    def of(cls, config: IpamConfig) -> "Pool":
        """Make the pool of a subnet, with its reserved addresses leased."""
        subnet = ip_network(config.subnet)
        part = parse_range(config.ip_range) if config.ip_range else subnet
        pool = cls(subnet, int(part.network_address), int(part.broadcast_address))
        # The all-zeros and all-ones addresses name the subnet itself (RFC 1122); /31 and /32
        # have none (RFC 3021). IPv6 has a router anycast address instead (RFC 4291 2.6.1).
        if subnet.prefixlen < subnet.max_prefixlen - 1:
            pool.leases[int(subnet.network_address)] = "the subnet"
            if subnet.version == 4:
                pool.leases[int(subnet.broadcast_address)] = "the broadcast address"
        if config.gateway:
            pool.leases[int(ip_address(config.gateway))] = "the gateway"
        for name, address in config.aux_addresses.items():
            pool.leases[int(ip_address(address))] = f"auxiliary address {name}"
        pool._candidate = pool.first
        return pool

    def lease(self, owner: str, address: IPAddress | None = None) -> IPAddress | None:
        """Take one address.

        Args:
            owner: who it is for, in words an error may use.
            address: this one and no other; it must be in the subnet.

        Returns:
            The address, or None when none is free.

        Raises:
            AddressInUse: ``address`` is taken.
        """
        if address is not None:
            holder = self.leases.get(int(address))
            if holder is not None:
                raise AddressInUse(str(address), holder)
            self.leases[int(address)] = owner
            return address
        value = self._candidate
        while value in self.leases:
            value += 1
        self._candidate = value
        if value > self.last:
            return None
        self.leases[value] = owner
        self._candidate = value + 1
        return _address(self.subnet, value)

    def release(self, address: IPAddress) -> None:
        """Give an address back; harmless when it is free."""
        value = int(address)
        if self.leases.pop(value, None) is not None and self.first <= value < self._candidate:
            self._candidate = value


def pools_of(ipam: Iterable[IpamConfig]) -> Mapping[int, list[Pool]]:
    """Return the pools of a network, by IP version."""
    pools: dict[int, list[Pool]] = {4: [], 6: []}
    for config in ipam:
        pool = Pool.of(config)
        pools[pool.subnet.version].append(pool)
    return pools
