"""Where a registry's name leads: endpoints, mirrors, and how much each is trusted."""

import ipaddress
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit
from urllib.request import getproxies_environment

from cutaway.errors import InvalidParameter
from cutaway.oci.reference import DEFAULT_DOMAIN

DOCKER_HUB = "registry-1.docker.io"


@dataclass(frozen=True, slots=True)
class RegistrySettings:
    """What the daemon's flags, its configuration and one command's flags say about registries.

    Attributes:
        insecure_registries: hosts (with ports) or networks that need no valid certificate and may
            speak plain HTTP.
        mirrors: base URLs asked before Docker Hub.
        mirrors_by_prefix: ``{"ghcr.io/org": ("https://mirror",)}``: for any domain or prefix of a
            name; the longest prefix decides.
        proxies: by scheme, as urllib reads them of the environment; ``no``: who needs none.
        certificate_dirs: where ``HOST/ca.crt`` and the like are looked up, for each pull afresh.
        configuration_files: ``registries.toml``; likewise.
        tls_verify: False accepts any certificate of the registry, for this command.
        ca: one more trusted issuer as PEM text, for this command.
        connect_timeout_s: for a TCP connection and the TLS handshake.
        stall_timeout_s: without an answer, or with less than ``stall_rate`` in that time.
        stall_rate: bytes a second.
        max_attempts: of one request, or of one blob without progress.
        backoff_s: before the second attempt; doubles from there.
        max_downloads: layers fetched at once.
        max_uploads: layers sent at once.
        user_agent: what we call ourselves.
    """

    insecure_registries: tuple[str, ...] = ()
    mirrors: tuple[str, ...] = ()
    mirrors_by_prefix: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    proxies: Mapping[str, str] = field(default_factory=getproxies_environment)
    certificate_dirs: tuple[str, ...] = ("/etc/docker/certs.d", "/etc/cutaway/certs.d")
    configuration_files: tuple[str, ...] = ("/etc/cutaway/registries.toml",)
    tls_verify: bool = True
    ca: str = ""
    connect_timeout_s: float = 10.0
    stall_timeout_s: float = 30.0
    stall_rate: int = 1024
    max_attempts: int = 5
    backoff_s: float = 0.5
    max_downloads: int = 3
    max_uploads: int = 5
    user_agent: str = "cutaway/0.1"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One base URL for a registry.

    Attributes:
        url: without a path's trailing slash: ``https://registry-1.docker.io``.
        verify_tls: the certificate must be valid.
        is_mirror: not the registry itself: gets no credentials, and its failure is no error.
    """

    url: str
    verify_tls: bool = True
    is_mirror: bool = False

    @property
    def host(self) -> str:
        """Host and port, as in a reference's domain."""
        return urlsplit(self.url).netloc

    @property
    def is_secure(self) -> bool:
        """The registry's certificate protects what is sent to it."""
        return self.url.startswith("https:") and self.verify_tls


def endpoints_of(name: str, settings: RegistrySettings, *, for_push: bool) -> tuple[Endpoint, ...]:
    """Return the endpoints to try for a repository, in order.

    Args:
        name: domain and path.
        settings: who is insecure, and who has mirrors.
        for_push: mirrors are never pushed to.

    Raises:
        InvalidParameter: the domain is a link-local address (a cloud's metadata service) that the
            settings don't list.
    """
    domain = name.partition("/")[0]
    _refuse_link_local(domain, settings)
    found: list[Endpoint] = []
    if not for_push:
        for url in _mirrors_of(name, settings):
            base = url.rstrip("/")
            verify = not is_insecure(urlsplit(base).netloc, settings)
            found.append(Endpoint(base, verify_tls=verify, is_mirror=True))
    host = DOCKER_HUB if domain == DEFAULT_DOMAIN else domain
    insecure = is_insecure(domain, settings)
    verify = settings.tls_verify and not insecure
    found.append(Endpoint(f"https://{host}", verify_tls=verify))
    if insecure:
        found.append(Endpoint(f"http://{host}", verify_tls=False))
    return tuple(found)


def is_insecure(domain: str, settings: RegistrySettings) -> bool:
    """Say whether a registry may be spoken to without TLS: loopback, or listed by host or network.

    Never decided by trying: a silent fall back to HTTP is what an attacker would cause.
    """
    host = host_of(domain)
    if is_loopback(host) or domain in settings.insecure_registries:
        return True
    if host in settings.insecure_registries:
        return True
    networks = []
    for listed in settings.insecure_registries:
        try:
            networks.append(ipaddress.ip_network(listed, strict=False))
        except ValueError:
            continue
    return bool(networks) and any(a in n for a in _addresses_of(host) for n in networks)


def is_loopback(host: str) -> bool:
    """Say whether a host name or literal address is this machine's loopback."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_private_literal(host: str) -> bool:
    """Say whether a host is written as an address that only means something near the asker."""
    if is_loopback(host):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None) or address
    return mapped.is_private or mapped.is_link_local or mapped.is_unspecified


def is_link_local(host: str) -> bool:
    """Say whether a host is written as a link-local address, where metadata services live."""
    try:
        return ipaddress.ip_address(host).is_link_local
    except ValueError:
        return False


def host_of(netloc: str) -> str:
    """Return the host of ``host``, ``host:port`` or ``[v6]:port``."""
    try:
        return urlsplit(f"//{netloc}").hostname or ""
    except ValueError:
        raise InvalidParameter(f"invalid registry host {netloc!r}") from None


def _mirrors_of(name: str, settings: RegistrySettings) -> tuple[str, ...]:
    prefixes = [
        prefix
        for prefix in settings.mirrors_by_prefix
        if name == prefix or name.startswith(prefix.rstrip("/") + "/")
    ]
    if prefixes:
        return settings.mirrors_by_prefix[max(prefixes, key=len)]
    return settings.mirrors if name.startswith(DEFAULT_DOMAIN + "/") else ()


def _refuse_link_local(domain: str, settings: RegistrySettings) -> None:
    host = host_of(domain)
    if is_link_local(host) and not is_insecure(domain, settings):
        raise InvalidParameter(
            f"registry {domain} is a link-local address: refused, because cloud metadata services "
            "live there; list it in insecure-registries if it is meant"
        )


def _addresses_of(host: str) -> list[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        return []
    return [ipaddress.ip_address(str(info[4][0]).partition("%")[0]) for info in found]
