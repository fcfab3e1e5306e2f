"""A sandbox: one container's isolated view of networks, and the endpoints in it.

The sandbox is a network namespace that the shim made and whose file descriptor the controller is
handed for the moments it acts in it; ``mode`` says whether there is one at all.

Docker's counterpart: libnetwork's ``sandbox.go``.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from cutaway.network.endpoint import Endpoint, EndpointRequest
from cutaway.network.publishing.ports import PortBinding, PortRequest


class SandboxMode(StrEnum):
    """What ``--network`` means for the namespace.

    OWN: a namespace with interfaces. NONE: a namespace with nothing but ``lo``. HOST: the
    machine's own; nothing is configured.
    """

    OWN = "own"
    NONE = "none"
    HOST = "host"


def parse_mode(network_mode: str) -> SandboxMode:
    """Read ``HostConfig.NetworkMode`` (``container:…`` has no sandbox of its own)."""
    if network_mode == "host":
        return SandboxMode.HOST
    return SandboxMode.NONE if network_mode == "none" else SandboxMode.OWN


def default_network(network_mode: str) -> str:
    """Return the network that ``HostConfig.NetworkMode`` names; ``default`` is ``bridge``."""
    return "bridge" if network_mode in ("", "default") else network_mode


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxRequest:
    """What a container that is about to start needs.

    Attributes:
        container_id: 64 hex digits; becomes the sandbox's id.
        container_name: without the slash.
        hostname: ``Config.Hostname``.
        domain_name: ``Config.Domainname``.
        mode: ``HostConfig.NetworkMode``: ``default``, ``bridge``, ``host``, ``none`` or a network.
        endpoints: the networks to join; empty means the one that ``mode`` names.
        ports: what to publish.
        publish_all: ``-P``: publish these too, each on a port of the kernel's ephemeral range.
        exposed: ``80/tcp``: ports that the image exposes (``publish_all`` reads them).
        dns: ``--dns``; empty means the daemon's, then the host's.
        dns_search: ``--dns-search``; ``(".",)`` means none at all.
        dns_options: ``--dns-option``.
        egress: the container's own policy; empty: its networks' policies.
        extra_hosts: ``name:address`` or ``name:host-gateway``.
        sets_ipv6: ``--sysctl net.ipv6.conf…``: written while its networks are being made.
    """

    container_id: str
    container_name: str
    hostname: str = ""
    domain_name: str = ""
    mode: str = "default"
    endpoints: tuple[EndpointRequest, ...] = ()
    ports: tuple[PortRequest, ...] = ()
    publish_all: bool = False
    exposed: tuple[str, ...] = ()
    dns: tuple[str, ...] = ()
    dns_search: tuple[str, ...] = ()
    dns_options: tuple[str, ...] = ()
    extra_hosts: tuple[str, ...] = ()
    egress: str = ""
    sets_ipv6: bool = False


def wanted_endpoints(request: SandboxRequest) -> tuple[EndpointRequest, ...]:
    """Return the networks to join: those of the request, else the one that its mode names."""
    return request.endpoints or (EndpointRequest(network=default_network(request.mode)),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sandbox:
    """A sandbox as it is.

    Attributes:
        id: the container's id.
        mode: see ``SandboxMode``.
        endpoints: in the order of their interfaces, ``eth0`` first.
        ports: what is published, with the addresses and ports that were found for it.
        request: what it was made for (its ``endpoints`` are not kept up to date).
    """

    id: str
    mode: SandboxMode
    endpoints: tuple[Endpoint, ...] = ()
    ports: tuple[PortBinding, ...] = ()
    request: SandboxRequest

    @property
    def gateway_endpoint(self) -> Endpoint | None:
        """The endpoint whose gateway is the IPv4 default route.

        The highest priority wins, then the network whose name comes first, as in Docker; the one
        that the engine added is the last.
        """
        return _first_with(self.endpoints, "gateway")

    @property
    def gateway_endpoint_v6(self) -> Endpoint | None:
        """The endpoint whose gateway is the IPv6 default route."""
        return _first_with(self.endpoints, "gateway_v6")

    def to_json(self) -> dict[str, Any]:
        """Return the record that ``from_json`` reads; endpoints have records of their own."""
        return {
            "id": self.id,
            "mode": str(self.mode),
            "ports": [asdict(p) for p in self.ports],
            "request": asdict(self.request),
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any], endpoints: tuple[Endpoint, ...]) -> "Sandbox":
        """Read what ``to_json`` wrote."""
        request = {k: _tuples(v) for k, v in document["request"].items()}
        request["endpoints"] = tuple(
            EndpointRequest(**{k: _tuples(v) for k, v in e.items()}) for e in request["endpoints"]
        )
        request["ports"] = tuple(PortRequest(**p) for p in request["ports"])
        return cls(
            id=document["id"],
            mode=SandboxMode(document["mode"]),
            endpoints=endpoints,
            ports=tuple(PortBinding(**p) for p in document["ports"]),
            request=SandboxRequest(**request),
        )


def _tuples(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _first_with(endpoints: tuple[Endpoint, ...], gateway: str) -> Endpoint | None:
    candidates = [e for e in endpoints if getattr(e, gateway)]
    return min(candidates, key=_rank, default=None)


def _rank(endpoint: Endpoint) -> tuple[bool, int, str]:
    return endpoint.is_gateway, -endpoint.gateway_priority, endpoint.network_name
