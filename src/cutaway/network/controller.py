"""The controller: owns the networks, and is what the engine talks to.

It decides with its lock held (``decisions``), writes the records (``book``), and then acts on the
kernel by steps. A record is written before the kernel is touched and deleted after: whatever the
host has, a record knows, and after a crash ``start`` puts right whatever does not match.

Lock order: ``_lock`` guards the book; ``_kernel`` guards the two host sockets. ``_kernel`` may be
taken with ``_lock`` held, never the other way round.

Docker's counterpart: libnetwork's ``controller.go``.
"""

import threading
import zlib
from collections.abc import Mapping
from dataclasses import replace

from cutaway.linux.netlink import NETLINK_NETFILTER, NETLINK_ROUTE, NetlinkSocket
from cutaway.linux.nftables import dump_rules, get_generation
from cutaway.network.book import Book
from cutaway.network.decisions import endpoints as attaching
from cutaway.network.decisions.decisions import Decisions
from cutaway.network.drivers import (
    BridgeDriver,
    DriverContext,
    HostDriver,
    IpvlanDriver,
    MacvlanDriver,
    NullDriver,
)
from cutaway.network.endpoint import Endpoint, EndpointRequest
from cutaway.network.facts import (
    NetworkFacts,
    has_ipv6,
    host_hosts,
    host_resolv_conf,
    probe_ephemeral_ports,
    probe_network_facts,
)
from cutaway.network.firewall.ruleset import Tables, count_rules
from cutaway.network.namespace import inside
from cutaway.network.naming.etcfiles import EtcFiles
from cutaway.network.naming.files import has_name_server, sandbox_files
from cutaway.network.network import Network, NetworkRequest
from cutaway.network.publishing.hostports import release_ports
from cutaway.network.sandbox import Sandbox, SandboxRequest, default_network, parse_mode
from cutaway.network.services.keeper import NOTHING, Services
from cutaway.network.settings import NetworkSettings
from cutaway.network.steps import DeleteLinkGroup, NetworkScope
from cutaway.network.store import LeaseStore
from cutaway.network.userland.protocol import State
from cutaway.steps import Ledger, Plan

_GROUP_BASE = 0x63740000  # "ct": a number no administrator uses by chance


class Controller:
    """All networks of one engine. Synchronous; any thread.

    Args:
        store: where records are kept; used by the methods that say so.
        settings: what the daemon was told.

    Its kernel sockets belong to the network namespace of the thread that calls ``start``.
    """

    def __init__(self, store: LeaseStore, settings: NetworkSettings) -> None:
        self.settings = settings
        self._book = Book(store)
        self._lock = threading.RLock()
        self._kernel = threading.Lock()
        self._scope: NetworkScope | None = None
        self._generation = 0
        self._has_retired_links = False
        self._services = Services(settings)
        group = _GROUP_BASE | (zlib.crc32(settings.instance.encode()) & 0xFFFE)
        drivers = (BridgeDriver(), MacvlanDriver(), IpvlanDriver(), HostDriver(), NullDriver())
        self._decisions = Decisions(
            book=self._book,
            settings=settings,
            drivers={d.name: d for d in drivers},
            context=DriverContext(instance=settings.instance, group=group, has_ipv6=has_ipv6()),
            trash_group=group | 1,
        )

    # Start and stop.

    def start(self, live: Mapping[str, int | None]) -> Ledger:
        """Read the records, make the predefined networks, put the host in order.

        Writes the store.

        Args:
            live: the containers that run, with their network namespaces' descriptors.

        Returns:
            What was changed on the host.

        Raises:
            CutawayError: the default network can't be made as the flags want it.
            OSError: the kernel refused.
        """
        ledger = Ledger("engine")
        with self._lock:
            self._scope = scope = NetworkScope(
                NetlinkSocket(NETLINK_ROUTE),
                NetlinkSocket(NETLINK_NETFILTER),
                userland=self._services.client,
                held=self._services.held,
            )
            self._book.ports.ephemeral = probe_ephemeral_ports()
            self._book.load()
            gone = [s for i, s in self._book.sandboxes.items() if i not in live]
            self._book.remove_sandboxes(gone)
            facts = probe_network_facts(scope.host)
            self._ensure_predefined(facts)
            self._apply(self._decisions.plan_restoration(facts), ledger)
            self._generation = get_generation(scope.firewall)
            for sandbox_id, netns_fd in live.items():
                if netns_fd is not None and sandbox_id in self._book.sandboxes:
                    self._services.remember(sandbox_id, netns_fd)
            self._reconcile_services(self._services.find(), ledger)
        return ledger

    def _reconcile_services(self, state: State, ledger: Ledger) -> None:
        """Make the userland process serve what the book says; start one if it takes one."""
        sandboxes = list(self._book.sandboxes.values())
        if any(self._needs_services(s) for s in sandboxes) and self._services.ensure(ledger):
            state = NOTHING
        self._services.reconcile(
            state,
            sandboxes,
            self._book.networks,
            apply=self._apply,
            apply_inside=self._apply_inside,
        )

    def _needs_services(self, sandbox: Sandbox) -> bool:
        return bool(sandbox.ports) or has_name_server(sandbox, self._book.networks)

    def _ensure_predefined(self, facts: NetworkFacts) -> None:
        for network in self._decisions.bare_networks():
            self._book.add_network(network)
        found = [n for n in self._book.networks.values() if n.predefined and n.name == "bridge"]
        old = found[0] if found else None
        if self.settings.bridge != "none":
            self._book.add_network(self._decisions.default_bridge(facts, old))
        elif old is not None:
            self._book.remove_network(old)

    def close(self) -> None:
        """Close the sockets; everything on the host stays as it is."""
        with self._lock, self._kernel:
            if self._scope is not None:
                self._scope.host.close()
                self._scope.firewall.close()
                self._services.close()
                self._scope = None

    def _host_scope(self) -> NetworkScope:
        if self._scope is None:
            raise RuntimeError("the controller was not started, or was closed")
        return self._scope

    def _apply(self, plan: Plan[NetworkScope], ledger: Ledger) -> None:
        with self._kernel:
            ledger.apply_all(plan, self._host_scope())

    def _apply_inside(self, plan: Plan[NetworkScope], netns_fd: int | None, ledger: Ledger) -> None:
        if not plan or netns_fd is None:
            return
        host = self._host_scope()
        scope = replace(host, netns_fd=netns_fd)
        with self._kernel, inside(netns_fd):
            try:
                ledger.apply_all(plan, scope)
            finally:
                scope.close_sandbox()

    # Networks.

    def networks(self) -> list[Network]:
        """Return all networks, oldest first."""
        with self._lock:
            return sorted(self._book.networks.values(), key=lambda n: n.created)

    def network(self, reference: str) -> Network:
        """Return a network by id, name or the beginning of its id.

        Raises:
            NetworkNotFound: nothing fits.
            AmbiguousNetwork: the beginning fits several.
        """
        with self._lock:
            return self._book.find_network(reference)

    def endpoints(self, network_id: str) -> list[Endpoint]:
        """Return the endpoints of a network, by container name."""
        with self._lock:
            return self._book.endpoints_of(network_id)

    def plan_network(self, request: NetworkRequest) -> tuple[Network, Plan[NetworkScope]]:
        """Decide a network and what it takes, without doing it.

        Raises:
            CutawayError: the request can't be fulfilled.
        """
        with self._lock:
            with self._kernel:
                facts = probe_network_facts(self._host_scope().host)
            network = self._decisions.new_network(request, facts)
            return network, self._decisions.plan_new_network(network, facts)

    def create_network(self, request: NetworkRequest, ledger: Ledger | None = None) -> Network:
        """Make a network. Writes the store.

        Raises:
            CutawayError: the request can't be fulfilled, in Docker's words.
            OSError: the kernel refused; nothing is left.
        """
        ledger = ledger or Ledger("engine")
        with self._lock:
            network, plan = self.plan_network(request)
            self._book.add_network(network)
            try:
                self._apply(plan, ledger)
            except BaseException:
                ledger.undo_all()
                self._book.remove_network(network)
                raise
        return network

    def remove_network(self, reference: str, ledger: Ledger | None = None) -> Network:
        """Remove a network that has no endpoints. Writes the store.

        Raises:
            NetworkNotFound: there is none.
            PredefinedNetwork: it is always there.
            NetworkInUse: it has endpoints.
        """
        with self._lock:
            network = self._book.find_network(reference)
            self._decisions.check_removal(network)
            self._apply(self._decisions.plan_removal(network), ledger or Ledger("engine"))
            self._book.remove_network(network)
        return network

    # Sandboxes.

    def sandbox(self, sandbox_id: str) -> Sandbox:
        """Return a container's sandbox.

        Raises:
            NotFound: it has none: it does not run.
        """
        with self._lock:
            return self._book.sandbox(sandbox_id)

    def create_sandbox(self, request: SandboxRequest) -> Sandbox:
        """Lease the addresses and ports of a container that is about to start.

        Writes the store; the kernel is touched only if a sandbox of that id was left over.

        Raises:
            CutawayError: a network is missing, an address or port is taken …; nothing is leased.
        """
        with self._lock:
            self.delete_sandbox(request.container_id)
            mode = parse_mode(request.mode)
            wanted = request.endpoints or (EndpointRequest(network=default_network(request.mode)),)
            endpoints: list[Endpoint] = []
            try:
                for one in wanted:
                    endpoints.append(self._decisions.lease(one, request, endpoints, mode))
                sandbox = Sandbox(
                    id=request.container_id,
                    mode=mode,
                    endpoints=tuple(endpoints),
                    request=request,
                )
                sandbox = self._publish(sandbox)
            except BaseException:
                for endpoint in endpoints:
                    self._book.unlease(endpoint.network_id, endpoint.ipv4, endpoint.ipv6)
                raise
            return sandbox

    def _publish(self, sandbox: Sandbox) -> Sandbox:
        """Take a sandbox's ports and write its record."""
        held = self._decisions.hold_ports(sandbox)
        sandbox = replace(sandbox, ports=tuple(h.binding for h in held))
        try:
            self._book.write_sandbox(sandbox)
            self._services.hold(sandbox.id, held)
            if self._needs_services(sandbox) and self._services.ensure(Ledger("engine")):
                self._reconcile_services(NOTHING, Ledger("engine"))
        except BaseException:
            self.delete_sandbox(sandbox.id)
            release_ports(self._book.ports, held)
            raise
        return sandbox

    def plan_join(self, sandbox: Sandbox) -> Plan[NetworkScope]:
        """Return what connects a sandbox, without doing it."""
        with self._lock:
            return self._decisions.plan_join(sandbox)

    def join(self, sandbox_id: str, netns_fd: int | None, ledger: Ledger) -> None:
        """Connect a sandbox: make its interfaces, addresses, routes, open its ports.

        Does not write the store; any thread.

        Args:
            sandbox_id: of ``create_sandbox``.
            netns_fd: its network namespace; may be None in mode host.
            ledger: records the steps; on failure ``ledger.undo_all()`` takes them back.

        Raises:
            NotFound: there is no such sandbox.
            OSError: the kernel refused.
        """
        sandbox = self.sandbox(sandbox_id)
        if netns_fd is not None and has_name_server(sandbox, self._book.networks):
            with self._lock:
                self._services.remember(sandbox_id, netns_fd)
        self._apply_inside(self.plan_join(sandbox), netns_fd, ledger)

    def delete_sandbox(self, sandbox_id: str, ledger: Ledger | None = None) -> None:
        """Forget a container that ended: free its addresses, ports, names and links.

        Writes the store. Harmless when there is no such sandbox.
        """
        with self._lock:
            sandbox = self._book.sandboxes.get(sandbox_id)
            if sandbox is None:
                return
            self._apply(self._decisions.plan_leave(sandbox), ledger or Ledger("engine"))
            self._has_retired_links = True
            self._services.forget(sandbox_id)
            self._book.remove_sandboxes([sandbox])

    def connect(
        self,
        sandbox_id: str,
        request: EndpointRequest,
        netns_fd: int | None,
        ledger: Ledger | None = None,
    ) -> Endpoint:
        """Attach a running container to one more network. Writes the store.

        Raises:
            CutawayError: the network can't give what is asked.
            OSError: the kernel refused; the container is as it was.
        """
        with self._lock:
            before = self._book.sandbox(sandbox_id)
            network = self._book.find_network(request.network)
            attaching.check_combination(before.mode, network)
            endpoint = self._decisions.lease(
                request, before.request, list(before.endpoints), before.mode
            )
            after = replace(before, endpoints=(*before.endpoints, endpoint))
            try:
                self._book.write_sandbox(after)
            except BaseException:
                self._book.unlease(endpoint.network_id, endpoint.ipv4, endpoint.ipv6)
                raise
            why = f"network connect {network.name}"
            self._change(before, after, netns_fd=netns_fd, ledger=ledger, why=why)
        return endpoint

    def disconnect(
        self,
        sandbox_id: str,
        reference: str,
        netns_fd: int | None,
        ledger: Ledger | None = None,
    ) -> Endpoint:
        """Detach a running container from a network. Writes the store.

        Raises:
            NetworkNotFound: there is no such network.
            NotConnected: the container is not on it.
            OSError: the kernel refused.
        """
        with self._lock:
            before = self._book.sandbox(sandbox_id)
            network = self._book.find_network(reference)
            endpoint = self._book.endpoint_on(before, network)
            kept = tuple(e for e in before.endpoints if e.id != endpoint.id)
            after = replace(before, endpoints=kept)
            why = f"network disconnect {network.name}"
            self._change(before, after, netns_fd=netns_fd, ledger=ledger, why=why)
            self._book.write_sandbox(after)
        return endpoint

    def _change(
        self,
        before: Sandbox,
        after: Sandbox,
        *,
        netns_fd: int | None,
        ledger: Ledger | None,
        why: str,
    ) -> None:
        """Turn one state of a running sandbox into another; on failure the old one stays."""
        ledger = ledger or Ledger("engine")
        inner, outer = self._decisions.plan_change(before, after, why)
        if netns_fd is not None and has_name_server(after, self._book.networks):
            self._services.ensure(ledger)
            self._services.remember(after.id, netns_fd)
        try:
            self._apply_inside(inner, netns_fd, ledger)
            self._apply(outer, ledger)
        except BaseException:
            ledger.undo_all()
            self._book.write_sandbox(before)
            raise

    def etc_files(self, sandbox_id: str) -> EtcFiles:
        """Return the texts of a sandbox's ``/etc/hosts``, ``resolv.conf`` and ``hostname``.

        Raises:
            NotFound: there is no such sandbox.
            InvalidParameter: a name or option of the request can't be written into one.
        """
        with self._lock:
            return sandbox_files(
                self._book.sandbox(sandbox_id),
                self._book,
                self.settings,
                host_text=host_resolv_conf(),
                host_hosts=host_hosts(),
            )

    def rename(self, sandbox_id: str, name: str) -> None:
        """Tell the networks a container's new name; harmless when it does not run.

        Writes the store.
        """
        with self._lock:
            before = self._book.sandboxes.get(sandbox_id)
            if before is not None:
                after = self._book.rename(sandbox_id, name)
                inner, outer = self._decisions.plan_change(before, after, "rename")
                self._apply((*inner, *outer), Ledger("engine"))

    # Upkeep.

    @property
    def needs_upkeep(self) -> bool:
        """A container runs, so its rules must stay; or links of gone ones wait to be deleted."""
        return self._has_retired_links or bool(self._book.sandboxes)

    def check_firewall(self) -> bool:
        """Look whether somebody flushed our tables, and put them back; delete retired links.

        One system call when nothing changed. Call it every second or two while ``needs_upkeep``.

        Returns:
            True when the firewall had to be restored.
        """
        with self._lock:
            scope = self._host_scope()
            if self._has_retired_links:
                self._has_retired_links = False
                step = DeleteLinkGroup(why="retired", group=self._decisions.trash_group)
                self._apply((step,), Ledger("engine"))
            with self._kernel:
                generation = get_generation(scope.firewall)
                intact = generation == self._generation or self._rules_are_whole(scope)
            if not intact:
                step_all = self._decisions.plan_firewall("somebody changed it")
                self._apply((step_all,), Ledger("engine"))
                with self._kernel:
                    generation = get_generation(scope.firewall)
            self._generation = generation
            if not self._services.client.is_alive():
                self._reconcile_services(NOTHING, Ledger("engine"))
            return not intact

    def _rules_are_whole(self, scope: NetworkScope) -> bool:
        tables = Tables(self.settings.instance)
        found = sum(len(dump_rules(scope.firewall, t)) for t in (tables.inet, tables.bridge))
        return found == count_rules(tables, no_router=self._decisions.no_router())
