"""From a registry's challenge to an ``Authorization`` header, and to whom credentials may go.

The rules, after CVE-2020-15157, CVE-2021-41092 and the token-realm leaks of 2026:

1. Credentials go to the registry they were given for and to the token server it names, nowhere
   else; a mirror gets none.
2. A token server (realm) must be https; http only if the registry is insecure itself.
3. A realm written as a private, loopback or link-local address is refused, unless its host is the
   registry's own: otherwise a registry could make us knock at doors inside our network.
4. A realm never redirects to another host with credentials (``Transport`` rule 1).
"""

import json
import re
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode, urlsplit

from cutaway.errors import System, Unauthorized, Unavailable
from cutaway.images.registry.credentials import Credentials
from cutaway.images.registry.patience import Patience
from cutaway.images.registry.refusal import RegistryRefusal, parse_refusal
from cutaway.images.registry.settings import Endpoint, host_of, is_private_literal
from cutaway.images.registry.transport import Response, Transport, TransportFailure

_TOKEN_LIMIT = 1024 * 1024
_DEFAULT_LIFE_S = 60.0
_PARAMETER = re.compile(r'([A-Za-z0-9_-]+)=(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))\s*,?\s*')
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9_-]*)(?:\s+|$)(?!=)")


@dataclass(frozen=True, slots=True)
class Challenge:
    """One way to authenticate that a 401 offers.

    Attributes:
        scheme: lower case: ``bearer``, ``basic``.
        parameters: ``realm``, ``service``, ``scope``, …
    """

    scheme: str
    parameters: dict[str, str] = field(default_factory=dict)


class RealmRefused(System):
    """The registry named a token server to which we don't go."""


class Authorizer:
    """Knows how one endpoint wants to be talked to; thread-safe.

    Attributes:
        credentials: None stays anonymous.
    """

    def __init__(
        self, transport: Transport, endpoint: Endpoint, credentials: Credentials | None
    ) -> None:
        self.credentials = None if endpoint.is_mirror else credentials
        self._transport = transport
        self._endpoint = endpoint
        self._lock = threading.Lock()
        self._challenge: Challenge | None = None  # guarded by _lock
        self._tokens: dict[tuple[str, ...], tuple[str, float]] = {}  # guarded by _lock

    def learn(self, response: Response) -> None:
        """Take the challenge of a 401; a token that was refused is forgotten.

        Raises:
            Unavailable: the challenge offers nothing we know.
        """
        found = parse_challenges(_header_values(response))
        best = [c for scheme in ("bearer", "basic") for c in found if c.scheme == scheme]
        if not best:
            raise Unavailable(
                f"{self._endpoint.host}: 401 without a challenge that is Bearer or Basic"
            )
        with self._lock:
            self._challenge = best[0]
            self._tokens.clear()

    def authorization(self, scopes: tuple[str, ...], patience: Patience) -> str:
        """Return the ``Authorization`` value for a request, or an empty string for none.

        Args:
            scopes: what the token must allow: ``repository:library/nginx:pull``.
            patience: for the token server's failures.

        Raises:
            RegistryRefusal: the token server refused.
            Unauthorized: basic authentication is wanted and there are no credentials.
            RealmRefused: rules 2 and 3.
        """
        credentials = self.credentials
        if credentials is not None and credentials.registry_token:
            return f"Bearer {credentials.registry_token}"
        with self._lock:
            challenge = self._challenge
            if challenge is None:
                return ""
            if challenge.scheme == "basic":
                if credentials is None or not credentials.username:
                    raise Unauthorized("no basic auth credentials")
                return credentials.basic_header
            token, expires = self._tokens.get(scopes, ("", 0.0))
            if time.monotonic() >= expires:
                token, life_s = self._fetch_token(challenge, scopes, patience)
                self._tokens[scopes] = token, time.monotonic() + life_s * 0.9
        return f"Bearer {token}"

    def _fetch_token(
        self, challenge: Challenge, scopes: tuple[str, ...], patience: Patience
    ) -> tuple[str, float]:
        realm = challenge.parameters.get("realm", "")
        check_realm(realm, self._endpoint)
        while True:
            try:
                response = self._ask(realm, challenge.parameters.get("service", ""), scopes)
                body = response.read(_TOKEN_LIMIT)
            except TransportFailure as failure:
                if not failure.is_transient:
                    raise
                patience.after_failure(failure)
                continue
            if response.status == 200:
                return _parse_token(body)
            refusal = parse_refusal(response.status, body)
            if response.status != 429 and response.status < 500:
                raise _token_refused(refusal)
            patience.after_failure(refusal, response.header("Retry-After"))

    def _ask(self, realm: str, service: str, scopes: tuple[str, ...]) -> Response:
        credentials = self.credentials
        if credentials is not None and credentials.identity_token:
            form = {
                "grant_type": "refresh_token",
                "refresh_token": credentials.identity_token,
                "service": service,
                "scope": " ".join(scopes),
                "client_id": "cutaway",
            }
            headers = {"Content-Type": "application/x-www-form-urlencoded"}
            data = urlencode(form).encode()
            return self._send("POST", realm, headers, data)
        query = [("service", service)] if service else []
        query += [("scope", scope) for scope in scopes]
        headers = {}
        if credentials is not None and credentials.username:
            query.append(("account", credentials.username))
            headers["Authorization"] = credentials.basic_header
        separator = "&" if urlsplit(realm).query else "?"
        return self._send("GET", realm + separator + urlencode(query), headers, None)

    def _send(self, method: str, url: str, headers: dict[str, str], body: bytes | None) -> Response:
        self._transport.explain(f"asking {urlsplit(url).netloc} for a token")
        return self._transport.send(
            method, url, endpoint=self._endpoint, headers=headers, body=body, follow=method == "GET"
        )


def check_realm(realm: str, endpoint: Endpoint) -> None:
    """Apply rules 2 and 3 to a token server's address.

    Raises:
        RealmRefused: with the reason.
    """
    try:
        parts = urlsplit(realm)
        host = parts.hostname or ""
    except ValueError:
        raise RealmRefused(f"invalid token server address {realm!r}") from None
    prefix = f"registry {endpoint.host} names the token server {realm!r}: refused"
    if parts.scheme not in ("http", "https") or not host:
        raise RealmRefused(f"{prefix}: not an http address")
    if parts.scheme == "http" and endpoint.is_secure:
        raise RealmRefused(f"{prefix}: it is not https, credentials would travel in clear text")
    if is_private_literal(host) and host != host_of(endpoint.host):
        raise RealmRefused(f"{prefix}: it is a private address and not the registry's own")


def parse_challenges(values: Iterable[str]) -> list[Challenge]:
    """Read ``WWW-Authenticate`` headers, several challenges in one or in several.

    Source: RFC 9110, section 11.6.1.
    """
    found: list[Challenge] = []
    for value in values:
        rest = value.strip()
        while rest:
            scheme = _SCHEME.match(rest)
            if scheme is None:
                break
            rest = rest[scheme.end() :]
            parameters: dict[str, str] = {}
            while (parameter := _PARAMETER.match(rest)) is not None:
                quoted, plain = parameter[2], parameter[3]
                text = re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else plain
                parameters.setdefault(parameter[1].lower(), text)
                rest = rest[parameter.end() :]
            found.append(Challenge(scheme[1].lower(), parameters))
    return found


def _header_values(response: Response) -> list[str]:
    headers: Any = response.headers
    return list(headers.getlist("WWW-Authenticate"))


def _parse_token(body: bytes) -> tuple[str, float]:
    try:
        document = json.loads(body)
        token = document.get("token") or document.get("access_token")
        life_s = document.get("expires_in") or _DEFAULT_LIFE_S
    except (ValueError, AttributeError, RecursionError):
        token, life_s = None, 0
    is_safe = isinstance(token, str) and token.isascii() and token.isprintable() and token
    if not is_safe or not isinstance(life_s, int | float):
        raise Unavailable("authorization server did not include a token in the response")
    return str(token), min(max(float(life_s), _DEFAULT_LIFE_S), 3600.0)


def _token_refused(refusal: RegistryRefusal) -> RegistryRefusal:
    if refusal.code:
        return refusal
    if refusal.status == 401:
        message = "incorrect username or password"
        return RegistryRefusal(401, "UNAUTHORIZED", message)
    if refusal.status == 403:
        return RegistryRefusal(403, "DENIED", "requested access to the resource is denied")
    return refusal
