"""``docker_gwbridge``: the way out of a container whose plugins name none. Pure.

A plugin that answers a join without a gateway leaves it to the engine to let the container out,
unless it disables that service. The engine then adds an endpoint on a bridge network of its own,
on which containers can't reach one another; it is taken back when a network with a gateway comes.

Docker's counterpart: libnetwork's ``default_gateway.go``.
"""

from dataclasses import replace

from cutaway.network.decisions.endpoints import SHORT_ID
from cutaway.network.endpoint import Endpoint
from cutaway.network.facts import NetworkFacts
from cutaway.network.network import (
    BRIDGE_NAME_OPTION,
    ICC_OPTION,
    MASQUERADE_OPTION,
    NetworkRequest,
)
from cutaway.network.sandbox import Sandbox

GATEWAY_NETWORK = "docker_gwbridge"


def gateway_network_request(facts: NetworkFacts) -> NetworkRequest:
    """Return the network as a user would ask for it.

    Its bridge has Docker's name, unless a dockerd on this host has taken it.
    """
    options = {ICC_OPTION: "false", MASQUERADE_OPTION: "true"}
    if facts.link(GATEWAY_NETWORK) is None:
        options[BRIDGE_NAME_OPTION] = GATEWAY_NETWORK
    return NetworkRequest(name=GATEWAY_NETWORK, options=options)


def needs_gateway(sandbox: Sandbox) -> bool:
    """A plugin left the way out to the engine, and no network of the container has one."""
    asked_for = [e for e in sandbox.endpoints if not e.is_gateway]
    return any(e.gateway_service for e in asked_for) and not any(map(_leads_out, asked_for))


def _leads_out(endpoint: Endpoint) -> bool:
    default = any(destination == "0.0.0.0/0" for destination, _ in endpoint.static_routes)
    return bool(endpoint.gateway or endpoint.gateway_v6 or default)


def as_gateway(endpoint: Endpoint) -> Endpoint:
    """Return an endpoint of the network as what it is: nobody asked for it, nobody may find it."""
    name = f"gateway_{endpoint.container_id[:SHORT_ID]}"
    return replace(endpoint, is_gateway=True, container_name=name, dns_names=())


def without_idle_gateway(sandbox: Sandbox) -> Sandbox:
    """Return a sandbox without the endpoint that the engine added, if it needs it no longer."""
    if needs_gateway(sandbox):
        return sandbox
    kept = tuple(e for e in sandbox.endpoints if not e.is_gateway)
    return sandbox if kept == sandbox.endpoints else replace(sandbox, endpoints=kept)
