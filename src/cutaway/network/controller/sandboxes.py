"""Sandboxes: a container joins its networks when it starts, and leaves them when it has ended."""

from collections.abc import Sequence
from dataclasses import replace

from cutaway.network.controller.gateways import Gateways
from cutaway.network.endpoint import Endpoint, EndpointRequest
from cutaway.network.facts import (
    host_hosts,
    host_resolv_conf,
)
from cutaway.network.naming.etcfiles import EtcFiles
from cutaway.network.naming.files import has_name_server, sandbox_files
from cutaway.network.publishing.hostports import HeldPort, release_ports
from cutaway.network.publishing.ports import PortInUse, PortRequest
from cutaway.network.sandbox import (
    Sandbox,
    SandboxMode,
    SandboxRequest,
    parse_mode,
    wanted_endpoints,
)
from cutaway.network.services.keeper import NOTHING
from cutaway.network.services.plans import port_requests
from cutaway.network.steps import NetworkScope
from cutaway.steps import Ledger, Plan


class Sandboxes(Gateways):
    """What the controller does with sandboxes as wholes."""

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
            self._remove_sandbox(request.container_id, Ledger("engine"))
            mode = parse_mode(request.mode)
            endpoints: list[Endpoint] = []
            try:
                for wanted in wanted_endpoints(request):
                    endpoints.append(self._lease(wanted, request, endpoints, mode))
                sandbox = Sandbox(
                    id=request.container_id,
                    mode=mode,
                    endpoints=tuple(endpoints),
                    request=request,
                )
                sandbox = self._publish(sandbox)
            except BaseException:
                for endpoint in endpoints:
                    self._book.leases.release(endpoint.network_id, endpoint.ipv4, endpoint.ipv6)
                self._give_up_offers(request.container_id)
                raise
            self._offers.pop(sandbox.id, None)
            return sandbox

    def _lease(
        self,
        wanted: EndpointRequest,
        request: SandboxRequest,
        present: list[Endpoint],
        mode: SandboxMode,
    ) -> Endpoint:
        """Decide an endpoint, by what plugins offered for it if they did."""
        network = self._book.find_network(wanted.network)
        offer = self._offers.get(request.container_id, {}).get(network.id)
        return self._decisions.lease(wanted, request, present=present, mode=mode, offer=offer)

    def _publish(self, sandbox: Sandbox) -> Sandbox:
        """Take a sandbox's ports and write its record."""
        held = self._hold_ports(sandbox, port_requests(sandbox.request))
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

    def _hold_ports(self, sandbox: Sandbox, requests: Sequence[PortRequest]) -> list[HeldPort]:
        """Take ports of the host.

        One that somebody has is tried once more when the userland process has done what it was
        told: its socket of a container that has just ended may still be open.
        """
        try:
            return self._decisions.hold_ports(sandbox, requests)
        except PortInUse:
            self._services.client.settle()
            return self._decisions.hold_ports(sandbox, requests)

    def plan_join(self, sandbox: Sandbox) -> Plan[NetworkScope]:
        """Return what connects a sandbox, without doing it."""
        with self._lock:
            return self._decisions.plan_join(sandbox)

    def join(self, sandbox_id: str, netns_fd: int | None, ledger: Ledger) -> None:
        """Connect a sandbox: make its interfaces, addresses, routes, open its ports.

        Any thread. Plugins of its networks are asked, and the store is written then only.

        Args:
            sandbox_id: of ``create_sandbox``.
            netns_fd: its network namespace; may be None in mode host.
            ledger: records the steps; on failure ``ledger.undo_all()`` takes them back.

        Raises:
            NotFound: there is no such sandbox.
            CutawayError: a plugin can't, or won't; a port is taken.
            OSError: the kernel refused.
        """
        sandbox = self._join_plugged(self.sandbox(sandbox_id), netns_fd, ledger)
        with self._lock:
            joined = self._add_gateway(sandbox)
            if joined is not sandbox:
                sandbox = self._publish(joined)
        if netns_fd is not None and has_name_server(sandbox, self._book.networks):
            with self._lock:
                self._services.remember(sandbox_id, netns_fd)
        self._apply_inside(self.plan_join(sandbox), netns_fd, ledger)
        self._move_way_out(None, sandbox, ledger)
        with self._lock:
            self._joined.add(sandbox_id)

    def delete_sandbox(self, sandbox_id: str, ledger: Ledger | None = None) -> None:
        """Forget a container that ended: free its addresses, ports, names and links.

        Writes the store. Harmless when there is no such sandbox.
        """
        with self._lock:
            self._remove_sandbox(sandbox_id, ledger or Ledger("engine"))
            self._give_up_offers(sandbox_id)

    def _remove_sandbox(self, sandbox_id: str, ledger: Ledger) -> None:
        sandbox = self._book.sandboxes.get(sandbox_id)
        if sandbox is not None:
            self._apply(self._decisions.plan_leave(sandbox), ledger)
            self._has_retired_links = True
            self._services.forget(sandbox_id)
            self._joined.discard(sandbox_id)
            self._book.remove_sandboxes([sandbox])

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
