"""Which texts a sandbox's ``/etc/hosts``, ``resolv.conf`` and ``hostname`` have. Pure.

``etcfiles`` knows the formats; here is what goes into them.
"""

from collections.abc import Iterable, Mapping, Sequence

from cutaway.network.book import Book
from cutaway.network.endpoint import Endpoint
from cutaway.network.naming.etcfiles import (
    EtcFiles,
    ResolverConfig,
    embedded_resolv_conf,
    hostname_file,
    hosts,
    own_names,
    parse_extra_host,
    resolv_conf,
)
from cutaway.network.network import Network
from cutaway.network.sandbox import Sandbox, SandboxMode
from cutaway.network.settings import NetworkSettings


def split_link(text: str) -> tuple[str, str]:
    """Read ``--link other:alias``: (other, alias)."""
    other, _, alias = text.partition(":")
    return other.lstrip("/"), (alias or other).rpartition("/")[2]


def linked_hosts(book: Book, endpoints: Iterable[Endpoint]) -> list[tuple[str, str]]:
    """Return (address, name) of the links on the default network, which has no name server."""
    found = []
    for endpoint in endpoints:
        if not book.networks[endpoint.network_id].predefined:
            continue
        neighbours = book.endpoints_of(endpoint.network_id)
        for text in endpoint.links:
            other, alias = split_link(text)
            for neighbour in neighbours:
                if other in (neighbour.container_name, neighbour.container_id):
                    names = (alias, neighbour.container_id[:12], neighbour.container_name)
                    found += [(neighbour.address, name) for name in dict.fromkeys(names)]
    return found


def host_gateways(book: Book) -> tuple[str, ...]:
    """Return what ``host-gateway`` stands for: the default bridge's addresses."""
    for network in book.networks.values():
        if network.predefined and network.name == "bridge":
            return tuple(c.gateway for c in network.ipam if c.gateway)
    return ()


def has_name_server(sandbox: Sandbox, networks: Mapping[str, Network]) -> bool:
    """The sandbox gets a name server of its own: it is on a user's network, or has a policy."""
    return sandbox.mode is SandboxMode.OWN and any(
        e.egress or not networks[e.network_id].predefined for e in sandbox.endpoints
    )


def resolver_config(sandbox: Sandbox, settings: NetworkSettings, host_text: str) -> ResolverConfig:
    """Return whom a sandbox asks in the end: its own servers, the daemon's, or the host's."""
    request = sandbox.request
    config = ResolverConfig.parse(host_text)
    config = config.override(settings.dns, settings.dns_search, settings.dns_options)
    return config.override(request.dns, request.dns_search, request.dns_options)


def sandbox_files(
    sandbox: Sandbox, book: Book, settings: NetworkSettings, *, host_text: str, host_hosts: str
) -> EtcFiles:
    """Return the three texts of a sandbox.

    Args:
        sandbox: the container's.
        book: its networks and neighbours.
        settings: the daemon's.
        host_text: the host's resolv.conf.
        host_hosts: the host's hosts, which a container with the host's network sees.

    Raises:
        InvalidParameter: an ``extra_hosts`` entry, a name or an option can't be written.
    """
    request = sandbox.request
    gateways = settings.host_gateways or host_gateways(book)
    extra = [pair for text in request.extra_hosts for pair in parse_extra_host(text, gateways)]
    if sandbox.mode is SandboxMode.HOST:
        lines = [f"{address}\t{name}\n" for address, name in extra]
        text = host_hosts + "".join(lines)
    else:
        names = own_names(request.hostname, request.domain_name) if request.hostname else ()
        text = hosts(
            _own_addresses(sandbox.endpoints, names),
            [*extra, *linked_hosts(book, sandbox.endpoints)],
        )
    return EtcFiles(
        hosts=text,
        resolv_conf=_resolv_conf(sandbox, book, settings, host_text),
        hostname=hostname_file(request.hostname or request.container_id[:12]),
    )


def _own_addresses(
    endpoints: Iterable[Endpoint], names: Sequence[str]
) -> list[tuple[str, Sequence[str]]]:
    if not names:
        return []
    asked_for = [e for e in endpoints if not e.is_gateway]
    return [(a, names) for e in asked_for for a in (e.address, e.address_v6) if a]


def _resolv_conf(sandbox: Sandbox, book: Book, settings: NetworkSettings, host_text: str) -> str:
    config = resolver_config(sandbox, settings, host_text)
    if sandbox.mode is SandboxMode.HOST:
        # The host's own resolver answers there: loopback servers stay.
        return resolv_conf(config) if sandbox.request.dns or settings.dns else host_text
    if has_name_server(sandbox, book.networks):
        return embedded_resolv_conf(config)
    has_ipv6 = any(e.ipv6 for e in sandbox.endpoints)
    servers = config.reachable_servers(has_ipv6=has_ipv6)
    return resolv_conf(ResolverConfig(servers, config.search, config.options))
