"""What the controller decides, from the book and the facts. Pure: nothing here acts.

Every plan that the controller applies is made here, so that ``cutaway plan`` and the tests see
what would be done without doing it.
"""

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from cutaway.errors import InvalidParameter
from cutaway.network.book import Book
from cutaway.network.decisions import endpoints as attaching
from cutaway.network.decisions import restoring
from cutaway.network.decisions.networks import (
    Surroundings,
    check_name,
    default_bridge_request,
    expand_config_only,
    plan_network,
    timestamp,
)
from cutaway.network.drivers import Driver, DriverContext
from cutaway.network.endpoint import Endpoint, EndpointRequest, Offer
from cutaway.network.errors import NetworkExists, NetworkInUse, PredefinedNetwork
from cutaway.network.facts import NetworkFacts
from cutaway.network.firewall.entries import network_entries
from cutaway.network.firewall.sets import Entry
from cutaway.network.firewall.steps import (
    AddFirewallElements,
    InstallFirewall,
    RemoveFirewallElements,
)
from cutaway.network.naming.files import has_name_server
from cutaway.network.network import Network, NetworkRequest
from cutaway.network.publishing.hostports import HeldPort, hold_ports
from cutaway.network.publishing.ports import PortRequest, host_version, routed_binding
from cutaway.network.remote.steps import HandLinkBack
from cutaway.network.sandbox import Sandbox, SandboxMode, SandboxRequest
from cutaway.network.sandbox_steps import RemoveInterface
from cutaway.network.services.plans import (
    default_host_address,
    default_publish_mode,
    plan_serving_change,
    published_versions,
    publishing_network,
    routed_versions,
)
from cutaway.network.services.steps import ReleasePorts, StopNames, WithdrawEndpoint
from cutaway.network.settings import NetworkSettings
from cutaway.network.steps import (
    DeleteLinkGroup,
    EnableForwarding,
    NetworkScope,
    RetireLinks,
)
from cutaway.steps import Plan, Step

RESERVED_NAMES = ("bridge", "host", "none", "default")
PREDEFINED_BARE = (("host", "host"), ("none", "null"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Decisions:
    """Decides over one engine's networks.

    Attributes:
        book: read; only leases are taken in it.
        settings: what the daemon was told.
        drivers: by name; a name that is not built in is a plugin's.
        context: what drivers must know.
        trash_group: link group of what is to be deleted.
    """

    book: Book
    settings: NetworkSettings
    drivers: Mapping[str, Driver]
    context: DriverContext
    trash_group: int

    # The start.

    def bare_networks(self) -> list[Network]:
        """Return the predefined networks ``host`` and ``none`` that have no record yet."""
        names = {n.name for n in self.book.networks.values() if n.predefined}
        return [
            Network(
                id=predefined_id(self.context.instance, name),
                name=name,
                driver=driver,
                created=timestamp(),
                predefined=True,
            )
            for name, driver in PREDEFINED_BARE
            if name not in names
        ]

    def default_bridge(self, facts: NetworkFacts, old: Network | None) -> Network:
        """Decide the default network; it stays as it was while that still fits.

        Raises:
            CutawayError: the flags can't be fulfilled, or no pool is free.
        """
        others = [n for n in self.book.networks.values() if n is not old]
        around = Surroundings.of(facts, others)
        request = default_bridge_request(self.settings, facts)
        if old is not None and not request.ipam and self._still_fits(old, request, facts):
            request = replace(request, ipam=old.ipam)
        network = plan_network(
            request,
            self.drivers["bridge"],
            self.settings,
            around,
            network_id=old.id if old else predefined_id(self.context.instance, "bridge"),
        )
        link = facts.link(network.device)
        return replace(
            network,
            created=old.created if old else network.created,
            predefined=True,
            device_is_ours=link is None
            or self.context.owner(link.alias) == ("network", network.id),
        )

    def _still_fits(self, old: Network, request: NetworkRequest, facts: NetworkFacts) -> bool:
        if old.enable_ipv6 != request.enable_ipv6 or old.device != self.settings.bridge:
            return False
        if self.book.endpoints_of(old.id):
            return True
        subnets = [c.network for c in old.ipam if c.subnet]
        return not any(facts.in_the_way(s, but_devices=[old.device]) for s in subnets)

    def plan_restoration(self, facts: NetworkFacts) -> Plan[NetworkScope]:
        """Return what makes the host fit the book."""
        book = self.book
        orphans = restoring.plan_orphans(
            book.networks,
            book.endpoints,
            facts,
            context=self.context,
            trash_group=self.trash_group,
        )
        devices = restoring.plan_devices(
            book.networks.values(),
            book.endpoints.values(),
            facts,
            drivers=self.drivers,
            context=self.context,
        )
        forwarding = self.plan_forwarding(facts, list(book.networks.values()))
        return (
            *orphans,
            # Before the bridges: they must not forward a single packet unguarded.
            self.plan_firewall("start", also_no_router=[s.version for s in forwarding]),
            *devices,
            *forwarding,
            DeleteLinkGroup(why="left over", group=self.trash_group),
        )

    def plan_forwarding(
        self, facts: NetworkFacts, networks: list[Network]
    ) -> tuple[EnableForwarding, ...]:
        """Return what switches forwarding on for those of the networks that need it."""
        if not self.settings.ip_forward:
            return ()
        bridges = [n for n in networks if n.driver == "bridge" and not n.config_only]
        missing = []
        if not facts.forwarding and any(n.enable_ipv4 for n in bridges):
            missing.append(4)
        if not facts.forwarding_v6 and any(n.enable_ipv6 for n in bridges):
            missing.append(6)
        return tuple(
            EnableForwarding(why="--ip-forward", version=v, marker=self.forwarding_marker(v))
            for v in missing
        )

    def forwarding_marker(self, version: int) -> str:
        """Return the file that says forwarding was off before this engine needed it."""
        return os.path.join(self.settings.run_directory, f"ipv{version}-forwarding-was-off")

    def no_router(self) -> tuple[int, ...]:
        """Return the IP versions that the host did not forward before, and shall not for others."""
        return tuple(v for v in (4, 6) if os.path.exists(self.forwarding_marker(v)))

    def plan_firewall(self, why: str, *, also_no_router: Iterable[int] = ()) -> InstallFirewall:
        """Return the step that puts the whole firewall in place."""
        return InstallFirewall(
            why=why,
            instance=self.settings.instance,
            entries=restoring.all_entries(self.book.networks, self.book.sandboxes.values()),
            no_router=tuple(sorted({*self.no_router(), *also_no_router})),
        )

    # Networks.

    def check_new_name(self, name: str) -> None:
        """Refuse a name that no new network can have.

        Raises:
            CutawayError: in Docker's words.
        """
        check_name(name)
        if name in RESERVED_NAMES:
            raise PredefinedNetwork(name, removing=False)
        if any(n.name == name for n in self.book.all_networks()):
            raise NetworkExists(name)

    def expand(self, request: NetworkRequest) -> NetworkRequest:
        """Return a request filled from its ``--config-from`` network, if it has one.

        Raises:
            CutawayError: there is none, or the request says again what it says.
        """
        if not request.config_from:
            return request
        return expand_config_only(request, self.book.find_network(request.config_from))

    def new_network(
        self, request: NetworkRequest, facts: NetworkFacts, network_id: str = ""
    ) -> Network:
        """Decide a network that a user asks for, by a request that was expanded.

        Args:
            request: what is wanted.
            facts: the host.
            network_id: empty for a new one.

        Raises:
            CutawayError: the request can't be fulfilled, in Docker's words.
        """
        if request.config_only:
            return _config_only(request)
        driver = self.drivers[request.driver or "bridge"]
        around = Surroundings.of(facts, self.book.all_networks())
        network_id = network_id or os.urandom(32).hex()
        return plan_network(request, driver, self.settings, around, network_id=network_id)

    def plan_new_network(self, network: Network, facts: NetworkFacts) -> Plan[NetworkScope]:
        """Return what makes a new network."""
        if network.config_only:
            return ()
        why = f"network {network.name}"
        forwarding = self.plan_forwarding(facts, [network])
        rules: list[Step[NetworkScope]] = []
        if forwarding:
            versions = [s.version for s in forwarding]
            rules.append(self.plan_firewall(why, also_no_router=versions))
        return (
            *rules,
            *self._add(why, network_entries(network)),
            *self.drivers[network.driver].plan_network(network, facts, self.context),
            *forwarding,
        )

    def check_removal(self, network: Network) -> None:
        """Refuse to remove a network that is needed.

        Raises:
            PredefinedNetwork: it is always there.
            NetworkInUse: it has endpoints, or others are made from it.
        """
        if network.predefined:
            raise PredefinedNetwork(network.name, removing=True)
        endpoints = self.book.endpoints_of(network.id)
        users = [(e.container_name, e.id) for e in endpoints]
        if network.config_only:
            users += [
                (n.name, n.id) for n in self.book.networks.values() if n.config_from == network.name
            ]
        if users:
            raise NetworkInUse(network.name, users)

    def plan_removal(self, network: Network) -> Plan[NetworkScope]:
        """Return what takes a network away."""
        if network.config_only:
            return ()
        return (
            *self.drivers[network.driver].plan_network_removal(network),
            *self._remove(f"network rm {network.name}", network_entries(network)),
        )

    # Sandboxes.

    def lease(
        self,
        request: EndpointRequest,
        sandbox: SandboxRequest,
        *,
        present: list[Endpoint],
        mode: SandboxMode,
        offer: Offer | None = None,
    ) -> Endpoint:
        """Decide an endpoint, its addresses leased in the book.

        Args:
            request: how to attach.
            sandbox: the container.
            present: its endpoints so far.
            mode: the sandbox's.
            offer: what plugins gave for it.

        Raises:
            CutawayError: the network can't give what is asked.
        """
        network = self.book.find_network(request.network)
        if network.config_only:
            raise InvalidParameter(
                f"network {network.name} is a configuration network: containers can't use it"
            )
        if present:
            attaching.check_combination(mode, network)
        driver = self.drivers[network.driver]
        return attaching.lease_endpoint(
            self.book,
            request,
            sandbox,
            driver=driver,
            network=network,
            present=present,
            offer=offer,
        )

    def hold_ports(self, sandbox: Sandbox, requests: Sequence[PortRequest]) -> list[HeldPort]:
        """Find and take the host's ports for a sandbox: the one decision that needs the kernel.

        Args:
            sandbox: whose.
            requests: what is to be published.

        Returns:
            Nothing where ports can't be published: host, none, internal networks, macvlan.

        Raises:
            PortInUse: with the owner's name; nothing is taken then.
            InvalidParameter: an address or a port that is none.
        """
        network = publishing_network(sandbox, self.book.networks)
        if network is None or not requests:
            return []
        routed = routed_versions(network)
        held = hold_ports(
            self.book.ports,
            [r for r in requests if host_version(r) not in routed],
            default=default_host_address(network, self.settings),
            mode=default_publish_mode(network, self.settings),
            owner=f"container {sandbox.request.container_name}",
            versions=[v for v in published_versions(network) if v == 4 or self.context.has_ipv6],
        )
        opened = [
            HeldPort(routed_binding(request, version), None)
            for version in routed
            for request in requests
            if host_version(request) in (0, version)
        ]
        return [*held, *opened]

    def plan_join(self, sandbox: Sandbox) -> Plan[NetworkScope]:
        """Return what connects a new sandbox."""
        return attaching.plan_sandbox(
            sandbox,
            self.book.networks,
            drivers=self.drivers,
            context=self.context,
            settings=self.settings,
        )

    def plan_leave(self, sandbox: Sandbox) -> Plan[NetworkScope]:
        """Return what is to be done on the host when a sandbox has ended."""
        why = "the container ended"
        named = [e for e in sandbox.endpoints if e.dns_names]
        serves_names = has_name_server(sandbox, self.book.networks)
        return (
            *(WithdrawEndpoint(why=why, endpoint=e.id) for e in named),
            *((StopNames(why=why, sandbox=sandbox.id),) if serves_names else ()),
            *((ReleasePorts(why=why, sandbox=sandbox.id),) if sandbox.ports else ()),
            *self._retire(why, sandbox.endpoints),
            *self._remove(why, attaching.sandbox_entries(sandbox, self.book.networks)),
            *attaching.plan_forgetting(why, sandbox.ports, None),
        )

    def plan_change(
        self, before: Sandbox, after: Sandbox, why: str
    ) -> tuple[Plan[NetworkScope], Plan[NetworkScope]]:
        """Return what turns one state of a running sandbox into another.

        Returns:
            What is done inside its namespace, and what is done on the host only, after it.
        """
        networks = self.book.networks
        kept = {e.id for e in before.endpoints} & {e.id for e in after.endpoints}
        gone = [e for e in before.endpoints if e.id not in kept]
        inner: list[Step[NetworkScope]] = [
            _plan_leaving(endpoint, why) for endpoint in gone if endpoint.interface
        ]
        for endpoint in after.endpoints:
            if endpoint.id not in kept:
                network = networks[endpoint.network_id]
                driver = self.drivers[network.driver]
                inner += driver.plan_endpoint(network, endpoint, self.context)
        inner += attaching.plan_routes(after, before)
        inner += plan_serving_change(before, after, networks, self.settings, why=why)
        had = attaching.sandbox_entries(before, networks)
        now = attaching.sandbox_entries(after, networks)
        outer = (
            *self._remove(why, [e for e in had if e not in now]),
            *self._add(why, [e for e in now if e not in had]),
            *self._plan_forgetting(before, after, why),
        )
        return tuple(inner), outer

    def _plan_forgetting(self, before: Sandbox, after: Sandbox, why: str) -> Plan[NetworkScope]:
        """Forget flows of ports that changed, or of all when the way in changed."""
        ways = [(s.gateway_endpoint, s.gateway_endpoint_v6) for s in (before, after)]
        changed = set(before.ports) ^ set(after.ports)
        ports = set(after.ports) | changed if ways[0] != ways[1] else changed
        return attaching.plan_forgetting(why, ports, after)

    def _add(self, why: str, entries: list[Entry]) -> list[Step[NetworkScope]]:
        if not entries:
            return []
        instance = self.settings.instance
        return [AddFirewallElements(why=why, instance=instance, entries=tuple(entries))]

    def _remove(
        self, why: str, entries: list[Entry] | tuple[Entry, ...]
    ) -> list[Step[NetworkScope]]:
        if not entries:
            return []
        instance = self.settings.instance
        return [RemoveFirewallElements(why=why, instance=instance, entries=tuple(entries))]

    def _retire(self, why: str, endpoints: tuple[Endpoint, ...]) -> list[Step[NetworkScope]]:
        names = tuple(e.host_interface for e in endpoints if e.host_interface)
        return [RetireLinks(why=why, names=names, group=self.trash_group)] if names else []


def _plan_leaving(endpoint: Endpoint, why: str) -> Step[NetworkScope]:
    if endpoint.source_interface:
        return HandLinkBack(
            why=why, inner_name=endpoint.interface, source=endpoint.source_interface
        )
    return RemoveInterface(why=why, name=endpoint.interface)


def _config_only(request: NetworkRequest) -> Network:
    return Network(
        id=os.urandom(32).hex(),
        name=request.name,
        driver="null",
        created=timestamp(),
        internal=request.internal,
        enable_ipv4=request.enable_ipv4,
        enable_ipv6=request.enable_ipv6,
        ipam=request.ipam,
        options=dict(request.options),
        labels=dict(request.labels),
        config_only=True,
    )


def predefined_id(instance: str, name: str) -> str:
    """Return the id of a network that is always there.

    It follows from the engine's name, so that a database that was lost and rebuilt still knows
    the bridge on the host, whose alias says this id.
    """
    return hashlib.sha256(f"{instance}/{name}".encode()).hexdigest()
