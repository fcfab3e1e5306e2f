"""After an engine's death a container's document and its network's records agree again.

Network connects and published ports change the network's records first and the container's
document last. Whoever asked for a change that is in the records only got no answer: it is taken
back. One that was taken away in the records is taken away in the document, too.
"""

import logging

from msgspec.structs import replace

from cutaway.engine.container import Container
from cutaway.engine.core import Core
from cutaway.engine.networking.endpoints import find_sandbox, port_requests
from cutaway.engine.spec.namespaces import shares
from cutaway.engine.starts.planning import add_to_story
from cutaway.errors import CutawayError
from cutaway.model import PortBinding
from cutaway.network import Sandbox
from cutaway.steps import Ledger

log = logging.getLogger(__name__)


def settle_networks(core: Core) -> None:
    """Bring the documents of running containers and the network's records together."""
    for container in core.containers:
        sandbox = find_sandbox(core, container)
        if not container.is_alive or sandbox is None or shares(container.host_config.network_mode):
            continue
        ledger = Ledger("engine")
        try:
            _settle_endpoints(core, container, sandbox, ledger)
            _settle_ports(core, container, sandbox, ledger)
        except (CutawayError, OSError) as error:
            log.warning("the networks of %s: %s", container.short_id, error)
        if ledger.records():
            core.spawn(add_to_story(container, ledger), "adding to the story")


def _settle_endpoints(core: Core, container: Container, sandbox: Sandbox, ledger: Ledger) -> None:
    wanted = container.document.networks
    if not wanted:
        return
    for endpoint in (e for e in sandbox.endpoints if not e.is_gateway):
        if not {endpoint.network_name, endpoint.network_id} & set(wanted):
            log.info("taking back the connect of %s to %s", container.name, endpoint.network_name)
            core.network.disconnect(container.id, endpoint.network_id, container.netns_fd, ledger)
    present = {n for e in sandbox.endpoints for n in (e.network_name, e.network_id)}
    kept = {name: settings for name, settings in wanted.items() if name in present}
    if kept != wanted:
        core.commit(container, document=replace(container.document, networks=kept))


def _settle_ports(core: Core, container: Container, sandbox: Sandbox, ledger: Ledger) -> None:
    bindings = container.host_config.port_bindings or {}
    asked = port_requests(bindings)
    extra = [request for request in sandbox.request.ports if request not in asked]
    if extra:
        log.info("taking back the ports that %s was given last", container.name)
        core.network.unpublish(container.id, extra, container.netns_fd, ledger)
    kept = {
        port: left
        for port, had in bindings.items()
        if (left := tuple(b for b in had or () if _is_known(port, b, sandbox)))
    }
    if any(request not in sandbox.request.ports for request in asked):
        host = replace(container.host_config, port_bindings=kept)
        core.commit(container, document=replace(container.document, host_config=host))


def _is_known(port: str, binding: PortBinding, sandbox: Sandbox) -> bool:
    return all(r in sandbox.request.ports for r in port_requests({port: (binding,)}))
