"""What an IPAM must be able to do."""

from dataclasses import dataclass
from typing import Protocol

from cutaway.network.errors import PoolOverlaps
from cutaway.network.ipams.subnets import IPNetwork, check_subnet
from cutaway.network.ipams.surroundings import Surroundings
from cutaway.network.network import IpamConfig, Network, NetworkRequest
from cutaway.network.remote.messages import IpamCapabilities


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolTerms:
    """What a network needs of its pools.

    Attributes:
        versions: the IP versions that it is to have.
        without_gateway: those of which no gateway is to be chosen; one that is asked for is kept.
        scope: ``local`` or ``global``: which of a plugin's address spaces.
        around: what is in the way.
        device: the network's own, which is not in its own way.
        is_routed: the host gets a route to the subnets: no other route may lead there.
    """

    versions: tuple[int, ...]
    without_gateway: tuple[int, ...] = ()
    scope: str = "local"
    around: Surroundings
    device: str = ""
    is_routed: bool = True

    def check(self, subnet: IPNetwork) -> None:
        """Refuse a subnet that somebody has.

        Raises:
            PoolOverlaps: with the owner's name.
        """
        check_subnet(subnet, self.around.networks)
        if self.is_routed:
            devices = (*self.around.our_devices, self.device)
            blocker = self.around.facts.in_the_way(subnet, but_devices=devices)
            if blocker is not None:
                raise PoolOverlaps(str(subnet), blocker.owner)


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressWish:
    """What an endpoint wants of an address.

    Attributes:
        owner: who it is for, in words that an error may use: ``container web``.
        address: the one to have; empty for any.
        mac: the endpoint's Ethernet address, where the IPAM requires it.
    """

    owner: str
    address: str = ""
    mac: str = ""


class Ipam(Protocol):
    """Hands out pools and addresses; any thread. One that may wait is asked with no lock held."""

    def capabilities(self) -> IpamCapabilities:
        """Return what must be done for it beyond asking.

        Raises:
            CutawayError: it can't be asked.
        """

    def request_pools(self, request: NetworkRequest, terms: PoolTerms) -> tuple[IpamConfig, ...]:
        """Return a network's pools.

        Args:
            request: its ``ipam`` may leave subnets and gateways open.
            terms: what the network needs.

        Raises:
            CutawayError: a subnet that is taken, malformed, or not to be had.
        """

    def request_address(self, network: Network, version: int, wish: AddressWish) -> str:
        """Lease an address; it lasts while an endpoint's record says so, or until it is released.

        Args:
            network: of which.
            version: 4 or 6; the network has such a subnet.
            wish: which, and for whom.

        Returns:
            The address with its subnet's prefix length; empty for none.

        Raises:
            CutawayError: nothing is free, or what is wished is not to be had.
        """
