"""Leases: which addresses of which networks are taken, and by whom, whichever IPAM gave them.

Docker's counterpart: libnetwork's ``ipams/defaultipam`` (its address spaces and bit sets).
"""

import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_interface, ip_network

from cutaway.network.endpoint import Endpoint
from cutaway.network.errors import AddressesExhausted, AddressInUse, NetworkNotFound
from cutaway.network.ipams.subnets import IPAddress, IPNetwork, nth_address, parse_range
from cutaway.network.network import IpamConfig, Network


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
        return nth_address(self.subnet, value)

    def release(self, address: IPAddress) -> None:
        """Give an address back; harmless when it is free."""
        value = int(address)
        if self.leases.pop(value, None) is not None and self.first <= value < self._candidate:
            self._candidate = value


class Leases:
    """The leases of all networks. Any thread: ``_lock``, the last of all locks, guards the pools.

    They follow from the records: nothing here is stored.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pools: dict[str, dict[int, list[Pool]]] = {}

    def open_pools(self, network: Network, endpoints: Iterable[Endpoint] = ()) -> None:
        """Begin to keep a network's leases, in place of what was kept of it before.

        Args:
            network: new, or its pools have changed.
            endpoints: those that have its addresses already.
        """
        pools: dict[int, list[Pool]] = {4: [], 6: []}
        for config in network.ipam:
            if config.subnet:
                pools[config.network.version].append(Pool.of(config))
        with self._lock:
            self._pools[network.id] = pools
        for endpoint in endpoints:
            self.note(endpoint)

    def close_pools(self, network_id: str) -> None:
        """Forget a network's leases; harmless when there are none."""
        with self._lock:
            self._pools.pop(network_id, None)

    def note(self, endpoint: Endpoint) -> None:
        """Note the addresses that an endpoint's record has."""
        owner = f"container {endpoint.container_name}"
        with self._lock:
            for address, pool in self._places(endpoint.network_id, endpoint.ipv4, endpoint.ipv6):
                pool.leases[int(address)] = owner

    def take(self, network: Network, version: int, owner: str, wanted: str = "") -> str:
        """Lease an address.

        Args:
            network: of which.
            version: 4 or 6.
            owner: who has it.
            wanted: an address in one of the network's subnets; empty for the lowest free one.

        Returns:
            The address with the subnet's prefix length.

        Raises:
            AddressInUse: ``wanted`` is taken.
            AddressesExhausted: nothing is free.
            NetworkNotFound: its pools are closed.
        """
        address: IPAddress | None = ip_interface(wanted).ip if wanted else None
        with self._lock:
            if network.id not in self._pools:
                raise NetworkNotFound(network.name)  # removed since the caller found it
            for pool in self._pools[network.id][version]:
                if address is not None and address not in pool.subnet:
                    continue
                found = pool.lease(owner, address)
                if found is not None:
                    return f"{found}/{pool.subnet.prefixlen}"
        raise AddressesExhausted(network.name, version)

    def release(self, network_id: str, *interfaces: str) -> None:
        """Give addresses back; harmless when the network or the lease is gone.

        Args:
            network_id: of which.
            interfaces: addresses with their prefix lengths; empty ones are none.
        """
        with self._lock:
            for address, pool in self._places(network_id, *interfaces):
                pool.release(address)

    def _places(self, network_id: str, *interfaces: str) -> list[tuple[IPAddress, Pool]]:
        pools = self._pools.get(network_id, {4: [], 6: []})
        addresses = [ip_interface(text).ip for text in interfaces if text]
        return [(a, p) for a in addresses for p in pools[a.version] if a in p.subnet]
