"""Pools and addresses of an IPAM plugin.

Docker's counterpart: libnetwork's ``ipams/remote``; ``ipamAllocate`` of its ``network.go``.
"""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from ipaddress import IPv4Interface, IPv6Interface, ip_address, ip_interface

from cutaway.errors import CutawayError, Forbidden
from cutaway.network.endpoint import Endpoint
from cutaway.network.errors import AddressInUse, AddressOutOfRange
from cutaway.network.ipams.base import AddressWish, PoolTerms
from cutaway.network.ipams.leases import Leases
from cutaway.network.ipams.null import NullIpam
from cutaway.network.network import IpamConfig, Network, NetworkRequest
from cutaway.network.remote import calls
from cutaway.network.remote.answers import AnswerReader
from cutaway.network.remote.asking import Asker
from cutaway.network.remote.messages import (
    AddressSpaces,
    IpamCapabilities,
    RequestedAddress,
    RequestedPool,
)
from cutaway.plugins import PluginRefused

log = logging.getLogger(__name__)

Hold = Callable[[Sequence[IpamConfig]], None]
"""Writes down what gives back the pools that a plugin has given so far."""


class RemoteIpam:
    """Asks one IPAM plugin, which may take its time: never with a lock held.

    Args:
        plugin: its name.
        asker: how to ask.
        leases: where its addresses are noted: it may give one that somebody has.
        hold: is told after each answer about pools what the plugin has given so far.
    """

    def __init__(self, plugin: str, asker: Asker, leases: Leases, hold: Hold | None = None) -> None:
        self.plugin = plugin
        self._asker = asker
        self._leases = leases
        self._hold = hold or (lambda pools: None)

    def capabilities(self) -> IpamCapabilities:
        """Ask; a plugin that knows no such question is as old as the protocol: it wants nothing."""
        call = calls.ipam_call(self.plugin, "GetCapabilities")
        try:
            return self._asker.ask(call, IpamCapabilities)
        except PluginRefused:
            return IpamCapabilities()

    def request_pools(self, request: NetworkRequest, terms: PoolTerms) -> tuple[IpamConfig, ...]:
        """Get the pools, with the gateway and the auxiliary addresses of each."""
        spaces = self._asker.ask(
            calls.ipam_call(self.plugin, "GetDefaultAddressSpaces"), AddressSpaces
        )
        is_local = terms.scope == "local"
        space = spaces.local_default_address_space if is_local else ""
        space = space or spaces.global_default_address_space
        found: list[IpamConfig] = []
        for version in terms.versions:
            asked = [c for c in request.ipam if _is_for(c, version)] or [IpamConfig()]
            for config in asked:
                config = replace(config, address_space=space)
                found.append(self._request_pool(config, version, request.ipam_options, found))
                if config.gateway or version not in terms.without_gateway:
                    self._request_gateway(config, found)
                self._request_aux_addresses(config, found)
        return tuple(found)

    def replay(self, network: Network, endpoints: Iterable[Endpoint]) -> Network:
        """Ask again for all that a network has; an address that is not given is logged.

        Returns:
            The network, with the ids by which the plugin knows its pools now.

        Raises:
            CutawayError: a pool is not given again.
        """
        found: list[IpamConfig] = []
        for config in network.ipam:
            version = config.network.version
            found.append(self._request_pool(config, version, network.ipam_options, found))
            if config.gateway:
                self._request_gateway(config, found)
            self._request_aux_addresses(config, found)
        again = replace(network, ipam=tuple(found))
        for endpoint in endpoints:
            for interface in filter(None, (endpoint.ipv4, endpoint.ipv6)):
                self._replay_address(again, endpoint, ip_interface(interface))
        return again

    def _replay_address(
        self, network: Network, endpoint: Endpoint, interface: IPv4Interface | IPv6Interface
    ) -> None:
        owner = f"container {endpoint.container_name}"
        wish = AddressWish(owner=owner, address=str(interface.ip), mac=endpoint.mac)
        try:
            self._request_from_any(network.subnets(interface.version), wish)
        except CutawayError as error:
            log.warning("%s has %s all the same: %s", owner, interface.ip, error)

    def _request_pool(
        self,
        asked: IpamConfig,
        version: int,
        options: Mapping[str, str],
        found: Sequence[IpamConfig],
    ) -> IpamConfig:
        call = calls.request_pool(
            self.plugin, asked.address_space, asked, options=options, version=version
        )
        reader = AnswerReader(self.plugin, call.method)
        answer = self._asker.ask(call, RequestedPool)
        self._hold([*found, IpamConfig(pool_id=answer.pool_id)])
        return replace(reader.pool(answer, asked, version), aux_addresses={})

    def _request_gateway(self, asked: IpamConfig, found: list[IpamConfig]) -> None:
        """Reserve the gateway, unless the plugin has named one by itself."""
        pool = found[-1]
        if asked.gateway or not pool.gateway:
            call = calls.request_gateway(self.plugin, pool.pool_id, asked.gateway)
            gateway = self._ask_for_address(call, pool, asked.gateway)
            found[-1] = replace(pool, gateway=str(ip_interface(gateway).ip))
            self._hold(found)

    def _request_aux_addresses(self, asked: IpamConfig, found: list[IpamConfig]) -> None:
        for name, address in asked.aux_addresses.items():
            pool = found[-1]
            try:
                call = calls.request_address(self.plugin, pool.pool_id, address)
                self._ask_for_address(call, pool, address)
            except PluginRefused as refusal:
                raise Forbidden(
                    f"failed to allocate secondary ip address ({name}): {refusal}"
                ) from refusal
            found[-1] = replace(pool, aux_addresses={**pool.aux_addresses, name: address})
            self._hold(found)

    def request_address(self, network: Network, version: int, wish: AddressWish) -> str:
        """Get an address from the first pool that has one, and lease it."""
        address = self._request_from_any(network.subnets(version), wish)
        plain = str(ip_interface(address).ip)
        try:
            self._leases.take(network, version, wish.owner, plain)
        except AddressInUse as error:
            reader = AnswerReader(self.plugin, "IpamDriver.RequestAddress")
            raise reader.lie(f"{plain}, which belongs to {error.owner}") from error
        return address

    def _request_from_any(self, pools: Sequence[IpamConfig], wish: AddressWish) -> str:
        if wish.address:
            pools = [pool for pool in pools if ip_address(wish.address) in pool.network]
        failure: CutawayError = AddressOutOfRange(wish.address)
        options = {calls.MAC_LABEL: wish.mac} if wish.mac else {}
        for pool in pools:
            call = calls.request_address(self.plugin, pool.pool_id, wish.address, **options)
            try:
                return self._ask_for_address(call, pool, wish.address)
            except PluginRefused as refusal:
                failure = refusal
        raise failure

    def _ask_for_address(self, call: calls.Call, pool: IpamConfig, wanted: str) -> str:
        reader = AnswerReader(self.plugin, call.method)
        return reader.address(self._asker.ask(call, RequestedAddress), pool, wanted)


class PoolsInHand(NullIpam):
    """The pools that a plugin gave while no lock was held, for the decision that needs one."""

    def __init__(self, pools: tuple[IpamConfig, ...]) -> None:
        self._pools = pools

    def request_pools(self, request: NetworkRequest, terms: PoolTerms) -> tuple[IpamConfig, ...]:
        """Return them.

        Raises:
            PoolOverlaps: they are to be routed to by our own device, and lead elsewhere already.
        """
        if terms.is_routed:
            for pool in self._pools:
                terms.check(pool.network)
        return self._pools


def _is_for(config: IpamConfig, version: int) -> bool:
    """A subnet of a request belongs to an IP version; one without a subnet is IPv4's."""
    text = config.subnet or config.gateway or config.ip_range
    return (":" in text) == (version == 6) and config != IpamConfig()
