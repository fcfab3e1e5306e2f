"""What a driver must be able to say."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from cutaway.network.endpoint import Endpoint
from cutaway.network.facts import NetworkFacts
from cutaway.network.network import Network, NetworkRequest
from cutaway.network.steps import NetworkScope
from cutaway.steps import Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class DriverContext:
    """What a driver needs to know of the engine.

    Attributes:
        instance: the word in our objects' aliases.
        group: link group of our veths.
        has_ipv6: the kernel has IPv6.
        is_alone: nobody but the engine acts in the sandbox now: it is new, and empty.
    """

    instance: str
    group: int
    has_ipv6: bool = True
    is_alone: bool = False

    def alias(self, what: str, identifier: str) -> str:
        """Return the alias of a link: who made it, what it is, of which network or container."""
        return f"{self.instance} {what} {identifier}"

    def owner(self, alias: str) -> tuple[str, str] | None:
        """Read an alias: (what, identifier), or None when the link is not this engine's."""
        words = alias.split(" ")
        if len(words) != 3 or words[0] != self.instance:
            return None
        return words[1], words[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class DriverTerms:
    """What a plugin says of a network that it shall make; ours say nothing of it (``NO_TERMS``).

    Attributes:
        scope: ``local`` or ``global``.
        without_gateway: the IP versions of which it wants no gateway reserved.
    """

    scope: str = "local"
    without_gateway: tuple[int, ...] = ()


NO_TERMS = DriverTerms()


class Driver(Protocol):
    """One kind of network. All methods are pure."""

    name: str
    has_addresses: bool
    """Networks of this driver have subnets, and endpoints addresses."""
    has_gateway: bool
    """The engine itself is the gateway: the subnet's first address is the bridge's."""

    def check_request(self, request: NetworkRequest, facts: NetworkFacts) -> None:
        """Refuse options that the driver does not have, or that can't work here.

        Raises:
            CutawayError: in Docker's words.
        """

    def device_of(self, network_id: str, options: Mapping[str, str]) -> str:
        """Return the name of the host's device that a network will use."""

    def plan_network(
        self, network: Network, facts: NetworkFacts, context: DriverContext
    ) -> Plan[NetworkScope]:
        """Return what must be done that the network works; nothing when it does already."""

    def plan_network_removal(self, network: Network) -> Plan[NetworkScope]:
        """Return what takes the network's device away."""

    def plan_endpoint(
        self, network: Network, endpoint: Endpoint, context: DriverContext
    ) -> Plan[NetworkScope]:
        """Return what puts the endpoint's interface into the sandbox, without routes."""
