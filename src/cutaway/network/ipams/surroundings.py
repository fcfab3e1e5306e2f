"""What a new network's subnets must fit in beside: the host's routes, and other networks. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass

from cutaway.network.facts import NetworkFacts
from cutaway.network.ipams.subnets import Occupied
from cutaway.network.network import Network


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a new network must fit in beside.

    Attributes:
        facts: the host.
        networks: the subnets of the other networks.
        our_devices: their bridges: what the host says of these is said by ``networks`` already.
    """

    facts: NetworkFacts
    networks: tuple[Occupied, ...] = ()
    our_devices: tuple[str, ...] = ()

    @classmethod
    def of(cls, facts: NetworkFacts, networks: Iterable[Network]) -> "Surroundings":
        """Collect them."""
        existing = tuple(networks)
        return cls(
            facts=facts,
            networks=tuple(
                Occupied(c.network, f"network {n.name} ({c.subnet})")
                for n in existing
                for c in n.ipam
                if c.subnet
            ),
            our_devices=tuple(n.device for n in existing if n.device_is_ours),
        )

    def occupied(self, *, but_device: str) -> tuple[Occupied, ...]:
        """Return all that an automatically chosen subnet must not overlap."""
        return (
            *self.networks,
            *self.facts.occupied(but_devices=(*self.our_devices, but_device)),
        )
