"""The built-in IPAM: pools cut from the engine's ranges, and of a pool the lowest free address.

Docker's counterpart: libnetwork's ``ipams/defaultipam``.
"""

import hashlib
from collections.abc import Iterable
from ipaddress import ip_network

from cutaway.errors import InvalidParameter
from cutaway.network.facts import NetworkFacts
from cutaway.network.ipams.base import AddressWish, PoolTerms
from cutaway.network.ipams.leases import Leases
from cutaway.network.ipams.subnets import (
    IPNetwork,
    Occupied,
    check_subnet,
    choose_subnet,
    complete_config,
    parse_subnet,
)
from cutaway.network.network import IpamConfig, Network, NetworkRequest
from cutaway.network.remote.messages import IpamCapabilities
from cutaway.network.settings import AddressPool, NetworkSettings


class DefaultIpam:
    """See the module. It never waits: it may be asked with the controller's lock held.

    Args:
        settings: the ranges.
        leases: where addresses are taken.
    """

    def __init__(self, settings: NetworkSettings, leases: Leases) -> None:
        self._settings = settings
        self._leases = leases

    def capabilities(self) -> IpamCapabilities:
        """Nothing is required."""
        return IpamCapabilities()

    def request_pools(self, request: NetworkRequest, terms: PoolTerms) -> tuple[IpamConfig, ...]:
        """Check the subnets that were asked for; choose one of each IP version that has none."""
        found = [
            _complete(config, parse_subnet(config.subnet), terms)
            for config in _asked_for(request.ipam, terms)
        ]
        for version in terms.versions:
            if not any(config.network.version == version for config in found):
                pools = pools_for(version, self._settings, terms.around.facts)
                occupied = terms.around.occupied(but_device=terms.device)
                found.append(
                    _complete(IpamConfig(), choose_subnet(version, pools, occupied), terms)
                )
        return tuple(found)

    def request_address(self, network: Network, version: int, wish: AddressWish) -> str:
        """Lease the lowest free address, or the one that is wished."""
        return self._leases.take(network, version, wish.owner, wish.address)


def _asked_for(configs: Iterable[IpamConfig], terms: PoolTerms) -> list[IpamConfig]:
    """Return those with a subnet that the network can have.

    Raises:
        InvalidParameter: no subnet, or one that is none.
        PoolOverlaps: somebody has it.
    """
    found: list[IpamConfig] = []
    own: list[Occupied] = []
    for config in configs:
        if config == IpamConfig():
            continue
        if not config.subnet:
            raise InvalidParameter("invalid network config:\nno subnet for the gateway or range")
        subnet = parse_subnet(config.subnet)
        if subnet.version in terms.versions:
            check_subnet(subnet, own)
            terms.check(subnet)
            own.append(Occupied(subnet, "another subnet of this network"))
            found.append(config)
    return found


def _complete(config: IpamConfig, subnet: IPNetwork, terms: PoolTerms) -> IpamConfig:
    wants_gateway = subnet.version not in terms.without_gateway
    return complete_config(config, subnet, gateway_needed=wants_gateway)


def pools_for(
    version: int, settings: NetworkSettings, facts: NetworkFacts
) -> tuple[AddressPool, ...]:
    """Return the pools for one IP version.

    IPv6 has no default that could be the same everywhere: RFC 4193 wants 40 random bits after
    ``fd``; they follow from the machine's id, so that they stay.
    """
    pools = tuple(p for p in settings.default_address_pools if p.base.version == version)
    if pools or version == 4:
        return pools
    seed = f"cutaway {settings.instance} {facts.machine_id}".encode()
    bits = int.from_bytes(hashlib.sha256(seed).digest()[:5], "big")
    return (AddressPool(ip_network((0xFD << 120 | bits << 80, 48)), 64),)
