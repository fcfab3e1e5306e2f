"""The network operations of one engine. Fits ``api``'s ``NetworkBackend``."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from cutaway.engine.container import Container
from cutaway.engine.core import Core
from cutaway.engine.images.views import parse_created
from cutaway.engine.lifecycle import Status
from cutaway.engine.networking.endpoints import endpoint_request
from cutaway.engine.showing.listing import truth
from cutaway.engine.spec.namespaces import shares
from cutaway.engine.starts.planning import add_to_story
from cutaway.engine.starts.starting import plan_etc, rewrite_etc
from cutaway.engine.units import parse_time_ns
from cutaway.errors import Conflict, CutawayError, Forbidden, InvalidParameter
from cutaway.model import (
    IPAM,
    ConfigReference,
    EndpointSettings,
    Filters,
    IPAMConfig,
    NetworkConnectRequest,
    NetworkContainer,
    NetworkCreateRequest,
    NetworkCreateResponse,
    NetworkDisconnectRequest,
    NetworkInspect,
    NetworkPruneReport,
)
from cutaway.model import Network as NetworkAnswer
from cutaway.network import IpamConfig, Network, NetworkRequest
from cutaway.network.decisions.endpoints import check_endpoint_request
from cutaway.steps import Ledger

log = logging.getLogger(__name__)


class NetworkService:
    """The network operations of one engine."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def list(self, filters: Filters) -> Sequence[NetworkAnswer]:
        """List networks."""
        chosen: Sequence[Network] = self._core.network.networks()
        for value in filters.get("dangling", ()):
            truth("dangling", value)
        for name, values in filters.items():
            if values:
                chosen = self._filter(chosen, name, values)
        return [NetworkInspect(**describe_network(network), containers={}) for network in chosen]

    def _filter(
        self, networks: Sequence[Network], name: str, values: Sequence[str]
    ) -> Sequence[Network]:
        predicates: dict[str, Callable[[Network, str], bool]] = {
            "name": lambda n, v: v in n.name,
            "id": lambda n, v: n.id.startswith(v),
            "driver": lambda n, v: n.driver == v,
            "scope": lambda n, v: n.scope == v,
            "type": _is_of_type,
            "label": _has_label,
            "dangling": lambda n, v: (
                not n.predefined
                and bool(self._core.network.endpoints(n.id)) is not truth("dangling", v)
            ),
        }
        predicate = predicates.get(name)
        if predicate is None:
            return networks
        every = all if name == "label" else any
        return [n for n in networks if every(predicate(n, value) for value in values)]

    async def inspect(
        self, reference: str, *, verbose: bool = False, scope: str = ""
    ) -> NetworkInspect:
        """Tell all about one."""
        network = self._core.network.network(reference)
        containers = {
            endpoint.container_id: NetworkContainer(
                name=endpoint.container_name,
                endpoint_id=endpoint.id,
                mac_address=endpoint.mac,
                ipv4_address=endpoint.ipv4,
                ipv6_address=endpoint.ipv6,
            )
            for endpoint in self._core.network.endpoints(network.id)
        }
        return NetworkInspect(**describe_network(network), containers=containers)

    async def create(self, request: NetworkCreateRequest) -> NetworkCreateResponse:
        """Make one."""
        if request.ingress or request.scope == "swarm":
            raise Forbidden(
                'This node is not a swarm manager. Use "docker swarm init" or "docker swarm '
                'join" to connect this node to swarm and try again.'
            )
        network = await self._core.in_long_thread(
            self._core.network.create_network, _request(request)
        )
        self._tell("create", network)
        return NetworkCreateResponse(id=network.id)

    def _tell(self, action: str, network: Network, **attributes: str) -> None:
        told = {"name": network.name, "type": network.driver, **attributes}
        self._core.bus.publish("network", action, network.id, told)

    async def remove(self, reference: str) -> None:
        """Remove it."""
        network = await self._core.in_long_thread(self._core.network.remove_network, reference)
        self._tell("destroy", network)

    async def connect(self, reference: str, request: NetworkConnectRequest) -> None:
        """Put a container into it."""
        network = self._core.network.network(reference)
        container = self._core.containers.find(request.container)
        settings = request.endpoint_config or EndpointSettings()
        async with container.lock:
            _check_connectable(container)
            if network.name in container.document.networks:
                raise Forbidden(
                    f"endpoint with name {container.name} already exists in network {network.name}"
                )
            wanted = endpoint_request(network.name, settings, container)
            check_endpoint_request(wanted, network)
            if container.is_alive:
                ledger, files = Ledger("engine"), plan_etc(self._core, container)
                await self._core.in_long_thread(
                    self._core.network.connect,
                    container.id,
                    wanted,
                    container.netns_fd,
                    ledger,
                )
                self._core.spawn(add_to_story(container, ledger), "adding to the story")
                rewrite_etc(self._core, container, files)
            networks = {**container.document.networks, network.name: settings}
            self._keep(container, networks, "connect", network)

    async def disconnect(self, reference: str, request: NetworkDisconnectRequest) -> None:
        """Take a container out of it."""
        network = self._core.network.network(reference)
        container = self._core.containers.find(request.container)
        async with container.lock:
            if container.host_config.network_mode == "host":
                raise Forbidden(
                    "container cannot be disconnected from host network or connected "
                    "to host network"
                )
            if network.name not in container.document.networks:
                raise Forbidden(
                    f"container {container.id} is not connected to network {network.name}"
                )
            if container.is_alive:
                ledger, files = Ledger("engine"), plan_etc(self._core, container)
                await self._core.in_long_thread(
                    self._core.network.disconnect,
                    container.id,
                    network.id,
                    container.netns_fd,
                    ledger,
                )
                self._core.spawn(add_to_story(container, ledger), "adding to the story")
                rewrite_etc(self._core, container, files)
            networks = dict(container.document.networks)
            del networks[network.name]
            self._keep(container, networks, "disconnect", network)

    def _keep(
        self,
        container: Container,
        networks: Mapping[str, EndpointSettings],
        action: str,
        network: Network,
    ) -> None:
        """Store which networks a container is on now, and the event, in one transaction."""
        document = replace(container.document, networks=dict(networks))
        with self._core.bus.telling():
            self._core.commit(container, document=document)
            self._tell(action, network, container=container.id)

    async def prune(self, filters: Filters) -> NetworkPruneReport:
        """Remove networks that no container uses."""
        limits = [parse_time_ns(t, now_ns=time.time_ns()) for t in filters.get("until", ())]
        used = {name for c in self._core.containers for name in c.document.networks}
        removed: list[str] = []
        for network in self._core.network.networks():
            if network.predefined or self._core.network.endpoints(network.id):
                continue
            if network.name in used or network.id in used:
                continue
            if any(parse_created(network.created) > limit for limit in limits):
                continue
            if not all(_has_label(network, value) for value in filters.get("label", ())):
                continue
            if any(_has_label(network, value) for value in filters.get("label!", ())):
                continue
            try:
                await self.remove(network.id)
            except CutawayError as error:
                log.debug("prune leaves the network %s: %s", network.name, error)
                continue
            removed.append(network.name)
        self._core.bus.publish("network", "prune", "", {"reclaimed": "0"})
        return NetworkPruneReport(networks_deleted=tuple(removed) or None)


def _check_connectable(container: Container) -> None:
    if container.state.status in (Status.REMOVING, Status.DEAD):
        raise Conflict(
            f"Container {container.id} is marked for removal and cannot be connected "
            "or disconnected to the network"
        )
    if shares(container.host_config.network_mode):
        raise InvalidParameter(
            "container sharing network namespace with another container or host cannot be "
            "connected to any other network"
        )
    if container.host_config.network_mode == "host":
        raise InvalidParameter(
            "container cannot be disconnected from host network or connected to host network"
        )


def _request(request: NetworkCreateRequest) -> NetworkRequest:
    ipam = request.ipam or IPAM()
    return NetworkRequest(
        name=request.name,
        driver=request.driver or "bridge",
        internal=request.internal,
        attachable=request.attachable,
        enable_ipv4=request.enable_ipv4 is not False,
        enable_ipv6=bool(request.enable_ipv6),
        ipam_driver=ipam.driver or "default",
        ipam_options=ipam.options or {},
        ipam=tuple(
            IpamConfig(
                subnet=config.subnet,
                ip_range=config.ip_range,
                gateway=config.gateway,
                aux_addresses=config.auxiliary_addresses or {},
            )
            for config in ipam.config or ()
        ),
        options=request.options or {},
        labels=request.labels or {},
        config_only=request.config_only,
        config_from=request.config_from.network if request.config_from else "",
    )


def describe_network(network: Network) -> dict[str, Any]:
    """Return what list and inspect share, as the fields of ``model.Network``."""
    return {
        "name": network.name,
        "id": network.id,
        "created": network.created,
        "scope": network.scope,
        "driver": network.driver,
        "enable_ipv4": network.enable_ipv4,
        "enable_ipv6": network.enable_ipv6,
        "ipam": IPAM(
            driver=network.ipam_driver,
            options=dict(network.ipam_options) or None,
            config=tuple(
                IPAMConfig(
                    subnet=config.subnet,
                    ip_range=config.ip_range,
                    gateway=config.gateway,
                    auxiliary_addresses=dict(config.aux_addresses) or None,
                )
                for config in network.ipam
            )
            or None,
        ),
        "internal": network.internal,
        "attachable": network.attachable,
        "config_from": ConfigReference(network=network.config_from),
        "config_only": network.config_only,
        "options": dict(network.options),
        "labels": dict(network.labels),
    }


def _has_label(network: Network, value: str) -> bool:
    key, separator, wanted = value.partition("=")
    return key in network.labels and (not separator or network.labels[key] == wanted)


def _is_of_type(network: Network, value: str) -> bool:
    if value not in ("builtin", "custom"):
        raise InvalidParameter(f"invalid filter: 'type'='{value}'")
    return network.predefined is (value == "builtin")
