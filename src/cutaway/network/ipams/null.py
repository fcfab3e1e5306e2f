"""``--ipam-driver null``: networks without addresses; whoever is on them sees to that."""

from cutaway.network.ipams.base import AddressWish, PoolTerms
from cutaway.network.network import IpamConfig, Network, NetworkRequest
from cutaway.network.remote.messages import IpamCapabilities


class NullIpam:
    """See the module."""

    def capabilities(self) -> IpamCapabilities:
        """Nothing is required."""
        return IpamCapabilities()

    def request_pools(self, request: NetworkRequest, terms: PoolTerms) -> tuple[IpamConfig, ...]:
        """There are none."""
        return ()

    def request_address(self, network: Network, version: int, wish: AddressWish) -> str:
        """There is none."""
        return ""
