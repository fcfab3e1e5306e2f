"""Who is called how: the names of all endpoints, and which of them a sandbox knows. Pure."""

import random
from dataclasses import dataclass, field
from ipaddress import ip_address

from cutaway.network.userland.protocol import EndpointNames, SandboxNames


@dataclass(slots=True)
class Found:
    """What is known of a name.

    Attributes:
        addresses: of the version asked for; empty when the name has only others.
    """

    addresses: list[str]


@dataclass(slots=True)
class Records:
    """The names of every network.

    Names are kept in lower case; DNS does not tell cases apart (RFC 4343).
    """

    endpoints: dict[str, EndpointNames] = field(default_factory=dict)
    _by_name: dict[tuple[str, str], list[EndpointNames]] = field(default_factory=dict)
    _by_address: dict[tuple[str, str], EndpointNames] = field(default_factory=dict)
    _network_ids: dict[str, str] = field(default_factory=dict)

    def add(self, endpoint: EndpointNames) -> None:
        """Add an endpoint, or replace the one of this id."""
        self.remove(endpoint.id)
        self.endpoints[endpoint.id] = endpoint
        self._network_ids[endpoint.network_name.lower()] = endpoint.network
        for name in dict.fromkeys(n.lower() for n in endpoint.names):
            self._by_name.setdefault((endpoint.network, name), []).append(endpoint)
        for address in filter(None, (endpoint.address, endpoint.address_v6)):
            self._by_address[endpoint.network, address] = endpoint

    def remove(self, endpoint_id: str) -> None:
        """Forget an endpoint; harmless when it is not there."""
        endpoint = self.endpoints.pop(endpoint_id, None)
        if endpoint is None:
            return
        for name in dict.fromkeys(n.lower() for n in endpoint.names):
            holders = self._by_name[endpoint.network, name]
            holders.remove(endpoint)
            if not holders:
                del self._by_name[endpoint.network, name]
        for address in filter(None, (endpoint.address, endpoint.address_v6)):
            if self._by_address.get((endpoint.network, address)) is endpoint:
                del self._by_address[endpoint.network, address]

    def find(self, sandbox: SandboxNames, name: str, version: int) -> Found | None:
        """Look a name up as a sandbox knows it.

        Args:
            sandbox: who asks.
            name: without the final dot, any case.
            version: 4 or 6.

        Returns:
            The addresses in random order (so that several containers of one alias share the
            work), or None when no container is called so.
        """
        wanted = name.lower()
        for network in sandbox.networks:
            target = wanted
            for link_network, alias, other in sandbox.links:
                if link_network == network and alias.lower() == wanted:
                    target = other.lower()
            holders = self._by_name.get((network, target)) or self._by_full_name(network, wanted)
            if holders:
                found = [h.address if version == 4 else h.address_v6 for h in holders]
                addresses = [a for a in found if a]
                random.shuffle(addresses)
                return Found(addresses)
        return None

    def _by_full_name(self, network: str, wanted: str) -> list[EndpointNames] | None:
        """``web.backend``: a name and its network's."""
        name, dot, network_name = wanted.rpartition(".")
        if dot and self._network_ids.get(network_name) == network:
            return self._by_name.get((network, name))
        # A network's name may have dots of its own.
        for known, network_id in self._network_ids.items():
            if network_id == network and wanted.endswith("." + known):
                return self._by_name.get((network, wanted[: -len(known) - 1]))
        return None

    def find_address(self, sandbox: SandboxNames, address: str) -> str | None:
        """Return ``name.network`` of who has an address on a network of the sandbox."""
        text = str(ip_address(address))
        for network in sandbox.networks:
            holder = self._by_address.get((network, text))
            if holder is not None and holder.names:
                return f"{holder.names[0]}.{holder.network_name}"
        return None
