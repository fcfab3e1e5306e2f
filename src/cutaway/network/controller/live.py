"""What changes while a container runs: its networks, its ports, its name."""

import logging
from collections.abc import Sequence
from dataclasses import replace

from cutaway.errors import InvalidParameter
from cutaway.network.controller.sandboxes import Sandboxes
from cutaway.network.decisions import endpoints as attaching
from cutaway.network.decisions.gateways import without_idle_gateway
from cutaway.network.endpoint import Endpoint, EndpointRequest
from cutaway.network.errors import EndpointExists
from cutaway.network.naming.files import has_name_server
from cutaway.network.publishing.hostports import release_ports
from cutaway.network.publishing.ports import (
    PortBinding,
    PortRequest,
    is_asked_by,
    is_binding_of,
)
from cutaway.network.sandbox import Sandbox, SandboxRequest
from cutaway.network.services.keeper import NOTHING
from cutaway.network.services.plans import port_requests, publishing_network
from cutaway.steps import Ledger

log = logging.getLogger(__name__)


class LiveChanges(Sandboxes):
    """Changes of a running sandbox: the old state stays when the new one can't be had."""

    def connect(
        self,
        sandbox_id: str,
        request: EndpointRequest,
        netns_fd: int | None,
        ledger: Ledger | None = None,
    ) -> Endpoint:
        """Attach a running container to one more network. Writes the store.

        Ports that it asked for at its start are published if no network led out until now.

        Raises:
            CutawayError: the network can't give what is asked; a port is taken.
            OSError: the kernel refused; the container is as it was.
        """
        ledger = ledger or Ledger("engine")
        before = self.sandbox(sandbox_id)
        asked = replace(before.request, endpoints=(request,))
        if self.asks_plugins(asked):
            self._check_connectable(before, request)
            self.ask_plugins(asked, ledger)
        after = self._lease_more(before, request)
        place = len(before.endpoints)
        try:
            after = self._join_plugged(after, netns_fd, ledger)
            with self._lock:
                why = f"network connect {after.endpoints[place].network_name}"
                after = self._add_gateway(after)
                self._change(before, after, netns_fd=netns_fd, ledger=ledger, why=why)
                if self._opens_a_way_in(before, after):
                    ports = port_requests(after.request)
                    after = self._add_ports(
                        after, ports, after.request, netns_fd=netns_fd, ledger=ledger, why=why
                    )
            self._move_way_out(before, after, ledger)
        except BaseException:
            with self._lock:
                ledger.undo_all()
                self._book.write_sandbox(before)
                self._release_due()
            raise
        self._drop_idle_gateway(after, netns_fd, ledger)
        return after.endpoints[place]

    def _opens_a_way_in(self, before: Sandbox, after: Sandbox) -> bool:
        """Only now ports can be published: what was asked for at the start could not."""
        had, has = (publishing_network(s, self._book.networks) for s in (before, after))
        return had is None and has is not None and not before.ports

    def _check_connectable(self, sandbox: Sandbox, request: EndpointRequest) -> None:
        with self._lock:
            network = self._book.find_network(request.network)
            attaching.check_combination(sandbox.mode, network)
            if any(e.network_id == network.id for e in sandbox.endpoints):
                raise EndpointExists(sandbox.request.container_name, network.name)

    def _lease_more(self, before: Sandbox, request: EndpointRequest) -> Sandbox:
        """Lease what one more endpoint needs, and write it down."""
        with self._lock:
            self._check_connectable(before, request)
            leased: list[Endpoint] = []
            try:
                present = list(before.endpoints)
                leased.append(self._lease(request, before.request, present, before.mode))
                after = replace(before, endpoints=(*before.endpoints, *leased))
                self._book.write_sandbox(after)
            except BaseException:
                for endpoint in leased:
                    self._book.leases.release(endpoint.network_id, endpoint.ipv4, endpoint.ipv6)
                self._give_up_offers(before.id)
                raise
            self._offers.pop(before.id, None)
            return after

    def disconnect(
        self,
        sandbox_id: str,
        reference: str,
        netns_fd: int | None,
        ledger: Ledger | None = None,
    ) -> Endpoint:
        """Detach a running container from a network. Writes the store.

        Its ports are closed if no way out is left; the next way out opens them again.

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
            after = self._add_gateway(replace(before, endpoints=kept), recorded=before)
            if publishing_network(after, self._book.networks) is None:
                after = replace(after, ports=())
            why = f"network disconnect {network.name}"
            ledger = ledger or Ledger("engine")
            self._change(before, after, netns_fd=netns_fd, ledger=ledger, why=why)
            self._book.write_sandbox(after)
            self._release_due()
        self._settle([network.id])
        self._move_way_out(before, after, ledger)
        self._drop_idle_gateway(after, netns_fd, ledger)
        return endpoint

    def _drop_idle_gateway(self, before: Sandbox, netns_fd: int | None, ledger: Ledger) -> None:
        """Take the endpoint on ``docker_gwbridge`` away when it is needed no more.

        What was asked for is done: that this can't be is told in the log only, as by libnetwork.
        """
        after = without_idle_gateway(before)
        if after is before:
            return
        own = Ledger("engine")
        with self._lock:
            try:
                why = "another network leads out"
                self._change(before, after, netns_fd=netns_fd, ledger=own, why=why)
                self._book.write_sandbox(after)
            except OSError as error:
                log.warning("%s keeps its way out by docker_gwbridge: %s", before.id[:12], error)
        ledger.take(own.records())

    def publish(
        self,
        sandbox_id: str,
        requests: Sequence[PortRequest],
        netns_fd: int | None,
        ledger: Ledger,
    ) -> tuple[PortBinding, ...]:
        """Publish more ports of a running container. Writes the store.

        Returns:
            The new ones, with the addresses and ports that were found.

        Raises:
            PortInUse: with the owner's name. InvalidParameter: nothing can be published on its
                networks, or a port or mode that is none. OSError: the kernel refused. Nothing is
                published then.
        """
        with self._lock:
            before = self._book.sandbox(sandbox_id)
            if publishing_network(before, self._book.networks) is None:
                raise InvalidParameter(
                    f"container {before.request.container_name} is on no bridge network with a "
                    "way out: its ports can't be published; connect it to one first"
                )
            asked = replace(before.request, ports=(*before.request.ports, *requests))
            after = self._add_ports(
                before, requests, asked, netns_fd=netns_fd, ledger=ledger, why="port add"
            )
        return after.ports[len(before.ports) :]

    def _add_ports(
        self,
        before: Sandbox,
        requests: Sequence[PortRequest],
        asked: SandboxRequest,
        *,
        netns_fd: int | None,
        ledger: Ledger,
        why: str,
    ) -> Sandbox:
        """Return a running sandbox with more ports open, and with what it has asked for then."""
        held = self._hold_ports(before, requests)
        ports = (*before.ports, *(h.binding for h in held))
        after = replace(before, ports=ports, request=asked)
        self._services.hold(before.id, held)
        try:
            self._book.write_sandbox(after)
            self._change(before, after, netns_fd=netns_fd, ledger=ledger, why=why)
        except BaseException:
            release_ports(self._book.ports, held)
            self._services.let_go(before.id, held)
            raise
        return after

    def unpublish(
        self,
        sandbox_id: str,
        requests: Sequence[PortRequest],
        netns_fd: int | None,
        ledger: Ledger,
    ) -> tuple[PortBinding, ...]:
        """Take published ports of a running container back. Writes the store.

        Returns:
            Those that are no more; empty when none fits.

        Raises:
            InvalidParameter: a port that is none. OSError: the kernel refused.
        """
        with self._lock:
            before = self._book.sandbox(sandbox_id)
            gone = tuple(b for b in before.ports if any(is_binding_of(r, b) for r in requests))
            kept = tuple(b for b in before.ports if b not in gone)
            asked = before.request.ports
            asked = tuple(a for a in asked if not any(is_asked_by(r, a) for r in requests))
            after = replace(before, ports=kept, request=replace(before.request, ports=asked))
            self._change(before, after, netns_fd=netns_fd, ledger=ledger, why="port rm")
            self._book.write_sandbox(after)
        return gone

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
        if self._needs_services(after) and self._services.ensure(ledger):
            self._reconcile_services(NOTHING, ledger)
        if netns_fd is not None and has_name_server(after, self._book.networks):
            self._services.remember(after.id, netns_fd)
        try:
            self._apply_inside(inner, netns_fd, ledger)
            self._apply(outer, ledger)
        except BaseException:
            ledger.undo_all()
            self._book.write_sandbox(before)
            raise

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
