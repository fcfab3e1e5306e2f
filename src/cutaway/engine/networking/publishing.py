"""``cutaway port add`` and ``rm``: published ports of a container that runs.

What is changed stays: the container's document says it, so the next start publishes it again.
"""

from typing import Any

from msgspec.structs import replace

from cutaway.engine.container import Container
from cutaway.engine.core import Core
from cutaway.engine.lifecycle import Status
from cutaway.engine.networking.endpoints import describe_ports, find_sandbox, port_requests
from cutaway.engine.spec.namespaces import shares
from cutaway.engine.starts.planning import add_to_story
from cutaway.engine.validate.host import check_ports
from cutaway.errors import Conflict, InvalidParameter, NotFound
from cutaway.model import PortMap
from cutaway.network import PortRequest
from cutaway.network.publishing.ports import is_asked_by
from cutaway.steps import Ledger


async def add_ports(core: Core, container: Container, ports: PortMap) -> PortMap:
    """Publish more ports, at once and at every start.

    Returns:
        All ports of the container, as inspect tells them.

    Raises:
        PortInUse: with the owner's name. InvalidParameter: a port that is none, or a network
            that has no published ports. Conflict: it is being removed.
    """
    async with container.lock:
        requests, ledger = _check(container, ports), Ledger("engine")
        if container.is_alive:
            await core.in_thread(
                core.network.publish, container.id, requests, container.netns_fd, ledger
            )
        bindings = dict(container.host_config.port_bindings or {})
        for port, wanted in ports.items():
            bindings[port] = (*(bindings.get(port) or ()), *(wanted or ()))
        exposed = {**(container.config.exposed_ports or {}), **dict.fromkeys(ports, _EXPOSED)}
        _commit(core, container, bindings, exposed)
        await add_to_story(container, ledger)
        return describe_ports(container, find_sandbox(core, container))


_EXPOSED: dict[str, Any] = {}


async def remove_ports(core: Core, container: Container, ports: PortMap) -> PortMap:
    """Publish ports no more; they stay exposed.

    Raises:
        NotFound: none of them is published. InvalidParameter: a port that is none.
        Conflict: it is being removed.
    """
    async with container.lock:
        requests, ledger = _check(container, ports), Ledger("engine")
        before = container.host_config.port_bindings or {}
        bindings: PortMap = {
            port: kept
            for port, had in before.items()
            if (kept := tuple(b for b in had or () if not _is_named(requests, {port: (b,)})))
        }
        found = bindings != before
        if container.is_alive:
            gone = await core.in_thread(
                core.network.unpublish, container.id, requests, container.netns_fd, ledger
            )
            found = found or bool(gone)
        if not found:
            named = ", ".join(f"'{port}'" for port in ports)
            raise NotFound(f"No public port {named} published for {container.name}")
        _commit(core, container, bindings, container.config.exposed_ports)
        await add_to_story(container, ledger)
        return describe_ports(container, find_sandbox(core, container))


def _is_named(requests: list[PortRequest], asked: PortMap) -> bool:
    return any(is_asked_by(r, a) for r in requests for a in port_requests(asked))


def _check(container: Container, ports: PortMap) -> list[PortRequest]:
    if not ports:
        raise InvalidParameter("no port given: say [[IP:]HOST_PORT:]CONTAINER_PORT[/PROTOCOL]")
    check_ports(ports)
    if container.state.status in (Status.REMOVING, Status.DEAD):
        raise Conflict(f"container {container.id} is marked for removal: its ports can't change")
    mode = container.host_config.network_mode
    if shares(mode):
        raise InvalidParameter(
            "conflicting options: port publishing and the container type network mode"
        )
    if mode in ("host", "none"):
        raise InvalidParameter(
            f"container {container.name} has network mode {mode}: it has no ports to publish"
        )
    return port_requests(ports)


def _commit(
    core: Core, container: Container, bindings: PortMap, exposed: dict[str, Any] | None
) -> None:
    host = replace(container.host_config, port_bindings=bindings)
    config = replace(container.config, exposed_ports=exposed)
    document = replace(container.document, host_config=host, config=config)
    core.commit(container, document=document, told=[("update", {})])
