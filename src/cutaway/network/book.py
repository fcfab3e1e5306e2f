"""The book of what exists: networks, endpoints, sandboxes, leases and ports, as records.

The book changes only through ``write``, which tells the store first: what the store did not take
did not happen. It knows neither the kernel nor how to decide.
"""

from collections.abc import Iterable
from dataclasses import replace

from cutaway.errors import NotFound
from cutaway.network.endpoint import Endpoint
from cutaway.network.errors import (
    AmbiguousNetwork,
    NetworkNotFound,
    NotConnected,
)
from cutaway.network.ipams.leases import Leases
from cutaway.network.network import Network
from cutaway.network.publishing.ports import PortBook
from cutaway.network.remote.calls import give_back, give_back_network, give_back_pools
from cutaway.network.remote.releases import Release
from cutaway.network.sandbox import Sandbox
from cutaway.network.store import Change, LeaseStore


class Book:
    """All records, and what follows from them: pools and ports. One lock, the controller's."""

    def __init__(self, store: LeaseStore) -> None:
        self._store = store
        self.networks: dict[str, Network] = {}
        self.endpoints: dict[str, Endpoint] = {}
        self.sandboxes: dict[str, Sandbox] = {}
        self.ports = PortBook()
        self.pending: dict[str, Network] = {}
        """Networks that plugins are being asked for: their names and subnets are taken."""
        self.intents: dict[str, Release] = {}
        """What would take back what plugins are being asked for, by network's or endpoint's id."""
        self.releases: dict[str, Release] = {}
        """What plugins must be told to let go of."""
        self.leases = Leases()

    def load(self) -> None:
        """Read every record of the store; one that can't be read is dropped there, too."""
        bad: list[Change] = []
        sandboxes = []
        for kind, key, document in self._store.load_network_records():
            try:
                if kind == "network":
                    self._add_network(Network.from_json(document))
                elif kind == "endpoint":
                    endpoint = Endpoint.from_json(document)
                    self.endpoints[endpoint.id] = endpoint
                elif kind == "release":
                    # Also those that were intents: what they were for has no record.
                    self.releases[key] = Release.from_json(document)
                else:
                    sandboxes.append((key, document))
            except (TypeError, ValueError, KeyError):
                bad.append(Change(kind, key, None))
        for endpoint in list(self.endpoints.values()):
            if endpoint.network_id not in self.networks:
                del self.endpoints[endpoint.id]
                bad.append(Change("endpoint", endpoint.id, None))
            else:
                self.leases.note(endpoint)
        for key, document in sandboxes:
            own = tuple(
                sorted(
                    (e for e in self.endpoints.values() if e.container_id == key),
                    key=lambda e: e.interface,
                )
            )
            try:
                self._add_sandbox(Sandbox.from_json(document, own))
            except (TypeError, ValueError, KeyError):
                bad.append(Change("sandbox", key, None))
        if bad:
            self._store.write_network_records(bad)

    def _add_network(self, network: Network) -> None:
        self.networks[network.id] = network
        self.leases.open_pools(network, self.endpoints_of(network.id))

    def _add_sandbox(self, sandbox: Sandbox) -> None:
        self.sandboxes[sandbox.id] = sandbox
        for binding in sandbox.ports:
            self.ports.take(binding, f"container {sandbox.request.container_name}")

    # Reading.

    def all_networks(self) -> list[Network]:
        """Return all networks, those too that plugins are being asked for."""
        return [*self.networks.values(), *self.pending.values()]

    def find_network(self, reference: str) -> Network:
        """Return a network by id, name or the beginning of its id, in this order.

        Raises:
            NetworkNotFound: nothing fits.
            AmbiguousNetwork: the beginning fits several.
        """
        if reference in self.networks:
            return self.networks[reference]
        for network in self.networks.values():
            if network.name == reference:
                return network
        found = [n for i, n in self.networks.items() if reference and i.startswith(reference)]
        if not found:
            raise NetworkNotFound(reference)
        if len(found) > 1:
            raise AmbiguousNetwork(reference, len(found))
        return found[0]

    def sandbox(self, sandbox_id: str) -> Sandbox:
        """Return a sandbox by its id.

        Raises:
            NotFound: the container has none: it does not run.
        """
        try:
            return self.sandboxes[sandbox_id]
        except KeyError:
            raise NotFound(f"sandbox {sandbox_id[:12]} not found") from None

    def endpoints_of(self, network_id: str) -> list[Endpoint]:
        """Return the endpoints of a network, by container name."""
        found = [e for e in self.endpoints.values() if e.network_id == network_id]
        return sorted(found, key=lambda e: e.container_name)

    def endpoint_on(self, sandbox: Sandbox, network: Network) -> Endpoint:
        """Return a sandbox's endpoint on a network.

        Raises:
            NotConnected: it has none.
        """
        for endpoint in sandbox.endpoints:
            if endpoint.network_id == network.id and not endpoint.is_gateway:
                return endpoint
        raise NotConnected(sandbox.request.container_name, network.name)

    # Writing.

    def intend(self, release: Release) -> None:
        """Write down what takes back what a plugin is about to be asked for."""
        self._store.write_network_records([Change("release", release.id, release.to_json())])
        self.intents[release.id] = release

    def give_up(self, identifier: str) -> None:
        """What an intent was for will not be: plugins must be told. Writes nothing."""
        release = self.intents.pop(identifier, None)
        if release is not None:
            self.releases[identifier] = release

    def give_up_all_of(self, sandbox_id: str) -> None:
        """Give up all intents for a sandbox."""
        for intent in [i for i in self.intents.values() if i.sandbox_id == sandbox_id]:
            self.give_up(intent.id)

    def forget_release(self, release: Release) -> None:
        """Plugins have heard it."""
        self._store.write_network_records([Change("release", release.id, None)])
        self.releases.pop(release.id, None)

    def _note_releases(self, endpoints: Iterable[Endpoint]) -> list[Change]:
        """Note what plugins must be told when endpoints are no more; return what to write."""
        changes = []
        for endpoint in endpoints:
            network = self.networks.get(endpoint.network_id)
            calls = give_back(network, endpoint) if network is not None else ()
            if calls:
                release = Release(id=endpoint.id, network_id=endpoint.network_id, calls=calls)
                self.releases[release.id] = release
                changes.append(Change("release", release.id, release.to_json()))
        return changes

    def add_network(self, network: Network) -> None:
        """Write a network's record, new or changed."""
        changes = [Change("network", network.id, network.to_json())]
        if self.intents.pop(network.id, None) is not None:
            changes.append(Change("release", network.id, None))
        self._store.write_network_records(changes)
        if network.id not in self.networks or self.networks[network.id].ipam != network.ipam:
            self._add_network(network)
        self.networks[network.id] = network

    def note_pool_ids(self, network: Network) -> None:
        """Write down what a plugin calls a network's pools now; nothing else of it has changed."""
        self._store.write_network_records([Change("network", network.id, network.to_json())])
        self.networks[network.id] = network

    def remove_network(self, network: Network) -> None:
        """Delete a network's record."""
        changes = [Change("network", network.id, None)]
        calls = give_back_network(network) if network.is_plugged else ()
        calls += give_back_pools(network.ipam_driver, network.ipam)
        if calls:
            release = Release(id=network.id, network_id=network.id, calls=calls)
            self.releases[release.id] = release
            changes.append(Change("release", release.id, release.to_json()))
        self._store.write_network_records(changes)
        self.networks.pop(network.id, None)
        self.leases.close_pools(network.id)

    def write_sandbox(self, sandbox: Sandbox) -> None:
        """Write a sandbox's record and its endpoints', and delete those it has no more."""
        before = self.sandboxes.get(sandbox.id)
        old = {e.id: e for e in before.endpoints} if before else {}
        new = {e.id: e for e in sandbox.endpoints}
        changes = [Change("sandbox", sandbox.id, sandbox.to_json())]
        changes += [Change("endpoint", e.id, e.to_json()) for e in new.values()]
        changes += [Change("endpoint", i, None) for i in old if i not in new]
        changes += self._note_releases(e for i, e in old.items() if i not in new)
        changes += [Change("release", i, None) for i in new if self.intents.pop(i, None)]
        self._store.write_network_records(changes)
        for endpoint in old.values():
            self.endpoints.pop(endpoint.id, None)
            if endpoint.id not in new:
                self.leases.release(endpoint.network_id, endpoint.ipv4, endpoint.ipv6)
        self.endpoints.update(new)
        for binding in before.ports if before else ():
            if binding not in sandbox.ports:
                self.ports.release(binding)
        self._add_sandbox(sandbox)

    def remove_sandboxes(self, sandboxes: Iterable[Sandbox]) -> None:
        """Delete the records of sandboxes and all their endpoints: their leases end."""
        gone = tuple(sandboxes)
        changes = [Change("sandbox", s.id, None) for s in gone]
        changes += [Change("endpoint", e.id, None) for s in gone for e in s.endpoints]
        changes += self._note_releases(e for s in gone for e in s.endpoints)
        if changes:
            self._store.write_network_records(changes)
        for sandbox in gone:
            self.sandboxes.pop(sandbox.id, None)
            for endpoint in sandbox.endpoints:
                self.endpoints.pop(endpoint.id, None)
                self.leases.release(endpoint.network_id, endpoint.ipv4, endpoint.ipv6)
            for binding in sandbox.ports:
                self.ports.release(binding)

    def rename(self, sandbox_id: str, name: str) -> Sandbox:
        """Give a container's sandbox and endpoints its new name."""
        sandbox = self.sandbox(sandbox_id)
        old = sandbox.request.container_name
        endpoints = tuple(e.renamed(old, name) for e in sandbox.endpoints)
        request = replace(sandbox.request, container_name=name)
        renamed = replace(sandbox, endpoints=endpoints, request=request)
        self.write_sandbox(renamed)
        return renamed
