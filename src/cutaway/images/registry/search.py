"""``docker search``: the old index API, which Docker Hub and few others have.

Source: docker/docs "registry-1 search", ``GET /v1/search?q=TERM&n=COUNT``.
"""

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from cutaway.errors import System, Unavailable
from cutaway.images.registry.credentials import Credentials
from cutaway.images.registry.refusal import describe_status
from cutaway.images.registry.settings import Endpoint, RegistrySettings, endpoints_of
from cutaway.images.registry.transport import Transport, TransportFailure
from cutaway.oci import parse_document
from cutaway.oci.reference import DEFAULT_DOMAIN

_HUB = "https://index.docker.io"
_ANSWER_LIMIT = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Found:
    """One repository that a search names."""

    name: str
    description: str
    stars: int
    is_official: bool
    is_automated: bool


def search(
    term: str, limit: int, credentials: Credentials | None, settings: RegistrySettings
) -> list[Found]:
    """Ask an index for repositories by a word; ``host:port/word`` asks another than Docker Hub.

    Raises:
        System: it has no search, or answers rubbish.
        TransportFailure: it can't be reached.
    """
    domain, word = split_term(term)
    transport = Transport(settings)
    headers = {"Authorization": credentials.basic_header} if credentials else {}
    query = urlencode({"q": word, "n": limit})
    failure: TransportFailure | None = None
    try:
        for endpoint in _endpoints(domain, transport.settings):
            url = f"{endpoint.url}/v1/search?{query}"
            try:
                response = transport.send("GET", url, endpoint=endpoint, headers=headers)
                body = response.read(_ANSWER_LIMIT)
            except TransportFailure as error:
                failure = error
                continue
            if response.status != 200:
                status = describe_status(response.status)
                raise System(f"unexpected status code {status}: {domain} has no search for us")
            return _parse(body)
    finally:
        transport.close()
    raise failure or Unavailable(f"no endpoint of {domain} answers")


def split_term(term: str) -> tuple[str, str]:
    """Return the registry and the word: its first part is a host if it looks like one."""
    host, slash, rest = term.partition("/")
    if slash and (host == "localhost" or "." in host or ":" in host):
        return host, rest
    return DEFAULT_DOMAIN, term.removeprefix("library/")


def _endpoints(domain: str, settings: RegistrySettings) -> tuple[Endpoint, ...]:
    if domain == DEFAULT_DOMAIN:
        return (Endpoint(_HUB, verify_tls=settings.tls_verify),)
    return endpoints_of(f"{domain}/search", settings, for_push=True)


def _parse(body: bytes) -> list[Found]:
    document: Any = parse_document(body, "search results")
    results = document.get("results") if isinstance(document, dict) else None
    return [
        Found(
            name=str(entry.get("name") or ""),
            description=str(entry.get("description") or ""),
            stars=entry["star_count"] if isinstance(entry.get("star_count"), int) else 0,
            is_official=entry.get("is_official") is True,
            is_automated=entry.get("is_automated") is True,
        )
        for entry in results or ()
        if isinstance(entry, dict)
    ]
