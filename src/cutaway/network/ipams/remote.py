"""Pools and addresses of an IPAM plugin.

Docker's counterpart: libnetwork's ``ipams/remote``; ``ipamAllocate`` of its ``network.go``.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from ipaddress import ip_address, ip_interface

from cutaway.errors import CutawayError, Forbidden
from cutaway.network.errors import AddressOutOfRange
from cutaway.network.network import IpamConfig, NetworkRequest
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

Hold = Callable[[Sequence[IpamConfig]], None]


class PluggedIpam:
    """Asks one IPAM plugin.

    Args:
        plugin: its name.
        asker: how to ask.
    """

    def __init__(self, plugin: str, asker: Asker) -> None:
        self.plugin = plugin
        self._asker = asker

    def requires_mac_address(self) -> bool:
        """It wants to know an endpoint's Ethernet address before it gives an IP address.

        Plugins without capabilities are as old as the protocol: they want nothing.
        """
        call = calls.ipam_call(self.plugin, "GetCapabilities")
        try:
            return self._asker.ask(call, IpamCapabilities).requires_mac_address
        except PluginRefused:
            return False

    def request_pools(
        self,
        request: NetworkRequest,
        *,
        scope: str,
        versions: Sequence[int],
        without_gateway: Sequence[int],
        hold: Hold,
    ) -> tuple[IpamConfig, ...]:
        """Get a network's pools, with the gateway and the auxiliary addresses of each.

        Args:
            request: the network's; without a subnet the plugin chooses one.
            scope: ``local`` or ``global``: which address space.
            versions: IP versions that the network is to have.
            without_gateway: those of which the driver wants none.
            hold: is told after each answer what the plugin has given so far.

        Raises:
            CutawayError: the plugin can't, or won't.
        """
        spaces = self._asker.ask(
            calls.ipam_call(self.plugin, "GetDefaultAddressSpaces"), AddressSpaces
        )
        is_local = scope == "local"
        space = spaces.local_default_address_space if is_local else ""
        space = space or spaces.global_default_address_space
        found: list[IpamConfig] = []
        for version in versions:
            asked = [c for c in request.ipam if _is_for(c, version)] or [IpamConfig()]
            for config in asked:
                config = replace(config, address_space=space)
                found.append(self._request_pool(config, version, request, found=found, hold=hold))
                if version not in without_gateway:
                    self._request_gateway(config, found, hold)
                self._request_aux_addresses(config, found, hold)
        return tuple(found)

    def _request_pool(
        self,
        asked: IpamConfig,
        version: int,
        request: NetworkRequest,
        *,
        found: Sequence[IpamConfig],
        hold: Hold,
    ) -> IpamConfig:
        call = calls.request_pool(
            self.plugin,
            asked.address_space,
            asked,
            options=request.ipam_options,
            version=version,
        )
        reader = AnswerReader(self.plugin, call.method)
        answer = self._asker.ask(call, RequestedPool)
        hold([*found, IpamConfig(pool_id=answer.pool_id)])
        return replace(reader.pool(answer, asked, version), aux_addresses={})

    def _request_gateway(self, asked: IpamConfig, found: list[IpamConfig], hold: Hold) -> None:
        """Reserve the gateway, unless the plugin has named one by itself."""
        pool = found[-1]
        if asked.gateway or not pool.gateway:
            call = calls.request_gateway(self.plugin, pool.pool_id, asked.gateway)
            gateway = self._address(call, pool, asked.gateway)
            found[-1] = replace(pool, gateway=str(ip_interface(gateway).ip))
            hold(found)

    def _request_aux_addresses(
        self, asked: IpamConfig, found: list[IpamConfig], hold: Hold
    ) -> None:
        for name, address in asked.aux_addresses.items():
            pool = found[-1]
            try:
                call = calls.request_address(self.plugin, pool.pool_id, address)
                self._address(call, pool, address)
            except PluginRefused as refusal:
                raise Forbidden(
                    f"failed to allocate secondary ip address ({name}): {refusal}"
                ) from refusal
            found[-1] = replace(pool, aux_addresses={**pool.aux_addresses, name: address})
            hold(found)

    def request_address(self, pools: Sequence[IpamConfig], wanted: str, mac: str) -> str:
        """Get an address with a prefix length: from the first pool that has one.

        Args:
            pools: of one IP version.
            wanted: the address to have; empty for any.
            mac: the endpoint's, if the plugin wants to know it.

        Raises:
            CutawayError: the plugin can't, or won't.
        """
        if wanted:
            pools = [pool for pool in pools if ip_address(wanted) in pool.network]
            if not pools:
                raise AddressOutOfRange(wanted)
        options = {calls.MAC_LABEL: mac} if mac else {}
        failure: CutawayError | None = None
        for pool in pools:
            call = calls.request_address(self.plugin, pool.pool_id, wanted, **options)
            try:
                return self._address(call, pool, wanted)
            except PluginRefused as refusal:
                failure = refusal
        raise failure or AddressOutOfRange(wanted)

    def _address(self, call: calls.Call, pool: IpamConfig, wanted: str) -> str:
        reader = AnswerReader(self.plugin, call.method)
        return reader.address(self._asker.ask(call, RequestedAddress), pool, wanted)


def _is_for(config: IpamConfig, version: int) -> bool:
    """A subnet of a request belongs to an IP version; one without a subnet is IPv4's."""
    text = config.subnet or config.gateway or config.ip_range
    return (":" in text) == (version == 6) and config != IpamConfig()
