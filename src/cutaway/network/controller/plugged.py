"""What plugins make: networks, pools, endpoints, in libnetwork's order.

A plugin is asked with no lock held: it may take a minute, and other networks go on meanwhile.
Before each question stands an intent in the book (``network/remote``'s docstring says why).
"""

import logging
import os
from collections.abc import Iterable
from dataclasses import replace

from cutaway.errors import CutawayError
from cutaway.linux import KernelError
from cutaway.linux.rtnetlink import IFF, get_link
from cutaway.network.controller.parts import ControllerParts
from cutaway.network.decisions import endpoints as attaching
from cutaway.network.drivers.bridge import mac_from_id
from cutaway.network.endpoint import Endpoint, EndpointRequest, Offer
from cutaway.network.ipams.base import Ipam
from cutaway.network.ipams.remote import Hold, RemoteIpam
from cutaway.network.network import Network
from cutaway.network.remote import calls
from cutaway.network.remote.answers import AnswerReader
from cutaway.network.remote.asking import Asker
from cutaway.network.remote.messages import (
    CreatedEndpoint,
    Done,
    EndpointInterface,
    Joined,
    OperationalInfo,
)
from cutaway.network.remote.releases import Release
from cutaway.network.sandbox import Sandbox, SandboxRequest, wanted_endpoints
from cutaway.steps import Ledger

log = logging.getLogger(__name__)
SETTLE_S = 10.0
"""How long a change waits for what the network has to give back, before it goes on anyway."""


class Plugged(ControllerParts):
    """What the controller does with plugins' endpoints."""

    def _release_due(self) -> None:
        with self._lock:
            self._releases.submit(list(self._book.releases.values()))

    def _settle(self, networks: Iterable[str]) -> None:
        """Wait a moment for what plugins are being told of networks; call it with no lock held."""
        for network_id in networks:
            self._releases.settle(network_id, SETTLE_S)

    # Offers.

    def asks_plugins(self, request: SandboxRequest) -> bool:
        """Plugins must be asked (``ask_plugins``) before the sandbox can be made."""
        with self._lock:
            return any(self._plugged_network(e) is not None for e in wanted_endpoints(request))

    def _plugged_network(self, request: EndpointRequest) -> Network | None:
        try:
            network = self._book.find_network(request.network)
        except CutawayError:
            return None
        return network if network.asks_plugins else None

    def ask_plugins(self, request: SandboxRequest, ledger: Ledger) -> None:
        """Get from plugins what a sandbox's endpoints need; ``create_sandbox`` uses it.

        Blocks while plugins think. Writes the store. ``delete_sandbox`` takes it back.

        Raises:
            CutawayError: a plugin can't, or won't.
        """
        with self._lock:
            wanted = [(e, self._plugged_network(e)) for e in wanted_endpoints(request)]
        try:
            for endpoint, network in wanted:
                if network is not None:
                    self._ask_for_offer(network, endpoint, request, ledger)
        except BaseException:
            self._give_up_offers(request.container_id)
            raise

    def _give_up_offers(self, sandbox_id: str) -> None:
        with self._lock:
            for offer in self._offers.pop(sandbox_id, {}).values():
                self._book.leases.release(offer.network_id, offer.ipv4, offer.ipv6)
            self._book.give_up_all_of(sandbox_id)
            self._release_due()

    def _ask_for_offer(
        self, network: Network, request: EndpointRequest, sandbox: SandboxRequest, ledger: Ledger
    ) -> None:
        self._settle([network.id])
        attaching.check_endpoint_request(request, network)
        asker = Asker(self._plugins, ledger, f"--network {network.name}")
        offer = Offer(endpoint_id=os.urandom(32).hex(), network_id=network.id, mac=request.mac)
        offer = self._offer_addresses(network, request, sandbox, offer=offer, asker=asker)
        if network.is_plugged:
            offer = self._create_endpoint(network, request, sandbox, offer=offer, asker=asker)

    def _offer_addresses(
        self,
        network: Network,
        request: EndpointRequest,
        sandbox: SandboxRequest,
        *,
        offer: Offer,
        asker: Asker,
    ) -> Offer:
        """Lease the addresses, and write down what gives them back."""
        ipam = self._ipam(network.ipam_driver, asker)
        requires_mac = ipam.capabilities().requires_mac_address
        if requires_mac and not offer.mac:
            offer = replace(offer, mac=mac_from_id(offer.endpoint_id))
        for version in network.versions:
            mac = offer.mac if requires_mac else ""
            wish = attaching.address_wish(request, sandbox, version, mac)
            address = ipam.request_address(network, version, wish)
            offer = replace(offer, **{f"ipv{version}": address})
            with self._lock:
                self._note_offer(sandbox, offer)
            self._intend(network, sandbox, offer)
        return offer

    def _ipam(self, name: str, asker: Asker, hold: Hold | None = None) -> Ipam:
        """Return a network's IPAM: ours, or a plugin that is asked so."""
        return self._decisions.ipams.get(name) or RemoteIpam(name, asker, self._book.leases, hold)

    def _note_offer(self, sandbox: SandboxRequest, offer: Offer) -> Offer:
        self._offers.setdefault(sandbox.container_id, {})[offer.network_id] = offer
        return offer

    def _intend(self, network: Network, sandbox: SandboxRequest, offer: Offer) -> None:
        """Write down what takes an offer back."""
        endpoint = calls.give_back_endpoint(network, offer.endpoint_id)
        addresses = calls.give_back_addresses(network, offer.ipv4, offer.ipv6)
        with self._lock:
            self._book.intend(
                Release(
                    id=offer.endpoint_id,
                    network_id=network.id,
                    sandbox_id=sandbox.container_id,
                    calls=(*(endpoint if network.is_plugged else ()), *addresses),
                )
            )

    def _create_endpoint(
        self,
        network: Network,
        request: EndpointRequest,
        sandbox: SandboxRequest,
        *,
        offer: Offer,
        asker: Asker,
    ) -> Offer:
        self._intend(network, sandbox, offer)
        given = EndpointInterface(
            address=offer.ipv4, address_ipv6=offer.ipv6, mac_address=offer.mac.lower()
        )
        call = calls.create_endpoint(
            network, offer.endpoint_id, given, calls.endpoint_options(request, sandbox)
        )
        reader = AnswerReader(call.plugin, call.method)
        has = reader.created(asker.ask(call, CreatedEndpoint).interface, given)
        offer = replace(offer, ipv4=has.address, ipv6=has.address_ipv6, mac=has.mac_address)
        with self._lock:
            return self._note_offer(sandbox, offer)

    # Joining.

    def _join_plugged(self, sandbox: Sandbox, netns_fd: int | None, ledger: Ledger) -> Sandbox:
        """Have plugins join those endpoints of theirs that have no link yet. Writes the store."""
        endpoints = list(sandbox.endpoints)
        for place, endpoint in enumerate(endpoints):
            network = self._book.networks[endpoint.network_id]
            if network.is_plugged and not endpoint.source_interface:
                taken = [e.interface for e in endpoints if e is not endpoint]
                asker = Asker(self._plugins, ledger, f"--network {network.name}")
                key = f"/proc/{os.getpid()}/fd/{netns_fd}"
                ports = calls.port_options(sandbox.request)
                call = calls.endpoint_call(
                    network, "Join", endpoint.id, SandboxKey=key, Options=ports
                )
                answer = asker.ask(call, Joined)
                joined = AnswerReader(call.plugin, call.method).joined(endpoint, answer)
                prefix = answer.interface_name.dst_prefix or "eth"
                if network.internal:
                    joined = replace(joined, gateway_service=False)
                endpoints[place] = self._with_link(network.driver, joined, prefix, taken)
                self._ask_for_information(network, endpoint, asker)
        after = replace(sandbox, endpoints=tuple(endpoints))
        if after != sandbox:
            with self._lock:
                self._book.write_sandbox(after)
        return after

    def _with_link(
        self, plugin: str, endpoint: Endpoint, prefix: str, taken: list[str]
    ) -> Endpoint:
        """Return an endpoint with the name and address of the link that its plugin named."""
        source = endpoint.source_interface
        if not source:
            return replace(endpoint, interface="")
        reader = AnswerReader(plugin, "NetworkDriver.Join")
        try:
            link = get_link(self._host_scope().host, source)
        except KernelError as error:
            raise reader.lie(f"the interface {source}, which this host does not have") from error
        if link.flags & IFF.LOOPBACK or self._decisions.context.owner(link.alias) is not None:
            raise reader.lie(f"the interface {source}, which is not its own")
        name = attaching.choose_interface(endpoint.driver_options, prefix, taken)
        return replace(endpoint, interface=name, mac=endpoint.mac or link.address)

    def _ask_for_information(self, network: Network, endpoint: Endpoint, asker: Asker) -> None:
        """Hear what the plugin tells of an endpoint: the ledger keeps it, nothing depends on it."""
        call = calls.endpoint_call(network, "EndpointOperInfo", endpoint.id)
        try:
            asker.ask_if_known(call, OperationalInfo, OperationalInfo())
        except CutawayError as error:
            log.warning("endpoint %s: %s", endpoint.id[:12], error)

    # The way out.

    def _move_way_out(self, before: Sandbox | None, after: Sandbox, ledger: Ledger) -> None:
        """Tell plugins which of their endpoints is the container's way out: its ports lead there.

        Raises:
            CutawayError: the plugin refused to publish them.
        """
        old = _ways_out(before) if before is not None else {}
        new = _ways_out(after)
        asker = Asker(self._plugins, ledger, "the way out")
        present = {e.id for e in after.endpoints}
        for endpoint in (e for i, e in old.items() if i not in new and i in present):
            self._tell_way_out(endpoint, "RevokeExternalConnectivity", asker)
        for endpoint in (e for i, e in new.items() if i not in old):
            options = calls.port_options(after.request)
            self._tell_way_out(endpoint, "ProgramExternalConnectivity", asker, Options=options)

    def _tell_way_out(
        self, endpoint: Endpoint, method: str, asker: Asker, **arguments: object
    ) -> None:
        network = self._book.networks[endpoint.network_id]
        if network.is_plugged:
            call = calls.endpoint_call(network, method, endpoint.id, **arguments)
            asker.ask_if_known(call, Done, Done())


def _ways_out(sandbox: Sandbox) -> dict[str, Endpoint]:
    ways = (sandbox.gateway_endpoint, sandbox.gateway_endpoint_v6)
    return {e.id: e for e in ways if e is not None}
