"""What the controller decides, from the book and the facts. Pure: nothing here acts.

Every plan that the controller applies is made here, so that ``cutaway plan`` and the tests see
what would be done without doing it.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass

from cutaway.errors import InvalidParameter
from cutaway.network.decisions import endpoints as attaching
from cutaway.network.decisions.host import HostDecisions
from cutaway.network.decisions.networks import (
    check_name,
    check_network,
    expand_config_only,
    plan_network,
    pool_terms,
    timestamp,
)
from cutaway.network.drivers import NO_TERMS, DriverTerms
from cutaway.network.endpoint import Endpoint, EndpointRequest, Offer
from cutaway.network.errors import NetworkExists, NetworkInUse, PredefinedNetwork
from cutaway.network.facts import NetworkFacts
from cutaway.network.firewall.entries import network_entries
from cutaway.network.firewall.sets import Entry
from cutaway.network.firewall.steps import (
    AddFirewallElements,
    RemoveFirewallElements,
)
from cutaway.network.ipams.base import Ipam, PoolTerms
from cutaway.network.ipams.surroundings import Surroundings
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
from cutaway.network.steps import (
    NetworkScope,
    RetireLinks,
)
from cutaway.steps import Plan, Step

RESERVED_NAMES = ("bridge", "host", "none", "default")


@dataclass(frozen=True, slots=True, kw_only=True)
class Decisions(HostDecisions):
    """Decides over one engine's networks, endpoints and sandboxes."""

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

    def terms_for_plugin(
        self, request: NetworkRequest, facts: NetworkFacts, said: DriverTerms
    ) -> PoolTerms:
        """Return what a network needs of the pools that an IPAM plugin will be asked for.

        Raises:
            CutawayError: the request can't be fulfilled whatever the plugin gives.
        """
        driver = self.drivers[request.driver]
        around = Surroundings.of(facts, self.book.all_networks())
        check_network(request, driver, around)
        return pool_terms(request, driver, around, said=said)

    def new_network(
        self,
        request: NetworkRequest,
        facts: NetworkFacts,
        network_id: str = "",
        *,
        said: DriverTerms = NO_TERMS,
        ipam: Ipam | None = None,
    ) -> Network:
        """Decide a network that a user asks for, by a request that was expanded.

        Args:
            request: what is wanted.
            facts: the host.
            network_id: empty for a new one.
            said: by its driver, if that is a plugin.
            ipam: for its pools, if the request's IPAM is a plugin.

        Raises:
            CutawayError: the request can't be fulfilled, in Docker's words.
        """
        if request.config_only:
            return _config_only(request)
        driver = self.drivers[request.driver]
        around = Surroundings.of(facts, self.book.all_networks())
        network_id = network_id or os.urandom(32).hex()
        return plan_network(
            request,
            driver,
            self.settings,
            around,
            network_id=network_id,
            ipam=ipam or self.ipams[request.ipam_driver],
            said=said,
        )

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
            # Plugins that were not asked give nothing: that is a plan, which asks nobody.
            ipam=self.ipams["null" if network.asks_plugins else network.ipam_driver],
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
