"""One HTTP exchange with a registry: connections, redirects, and errors as sentences.

The rules (RULES.md 1.7), each with a test that breaks it:

1. A redirect to another scheme, host or port loses the ``Authorization`` header.
2. A redirect from https to http, to anything but http(s), or to a link-local address is refused;
   so is the eleventh.
3. Certificates are verified unless the endpoint was configured otherwise; a redirect's target is
   judged by its own name, not by the endpoint's.
4. A body is read in pieces by whoever asked, never collected without a limit.
5. Silence, or less than ``stall_rate`` for ``stall_timeout_s``, is a failure.
"""

import http.client
import ssl
import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias
from urllib.parse import SplitResult, urljoin, urlsplit, urlunsplit

import urllib3
from urllib3 import exceptions

from cutaway.errors import CutawayError, System, Unavailable
from cutaway.images.cancellation import Cancelled
from cutaway.images.registry.configuration import with_configuration
from cutaway.images.registry.connection import OpenSockets, use_tracked_connections
from cutaway.images.registry.settings import (
    Endpoint,
    RegistrySettings,
    is_insecure,
    is_link_local,
    is_loopback,
)
from cutaway.images.registry.tls import explain_refusal, make_context

MAX_REDIRECTS = 10
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_READ_BYTES = 256 * 1024
_SENSITIVE = frozenset({"authorization", "cookie"})

Body: TypeAlias = bytes | Iterable[bytes] | None
Headers: TypeAlias = Mapping[str, str]
_Origin: TypeAlias = tuple[str, str, int]


class TransportFailure(Unavailable):
    """No usable answer came.

    Attributes:
        is_transient: another attempt may succeed.
        is_plain_http: the server spoke HTTP where TLS was expected.
    """

    def __init__(self, message: str, *, is_transient: bool, is_plain_http: bool = False) -> None:
        super().__init__(message)
        self.is_transient = is_transient
        self.is_plain_http = is_plain_http


class TlsFailure(TransportFailure):
    """The server speaks TLS, but not with us: plain HTTP would not go better."""


class RedirectRefused(System):
    """A registry sent us where we don't go."""


@dataclass(slots=True)
class Response:
    """An answer whose body has not been read yet. Read it all or ``close`` it."""

    status: int
    headers: Headers
    url: str
    method: str
    _raw: urllib3.BaseHTTPResponse
    _transport: "Transport"

    def header(self, name: str) -> str:
        """Return a header's value, empty when absent."""
        return self.headers.get(name) or ""

    def chunks(self) -> Iterator[bytes]:
        """Yield the body as it arrives.

        Raises:
            TransportFailure: the connection dropped before the announced end, or stalled.
            Cancelled: the transport was closed.
        """
        settings = self._transport.settings
        window_start, window_bytes = time.monotonic(), 0
        try:
            while chunk := self._raw.read1(_READ_BYTES):
                yield chunk
                window_bytes += len(chunk)
                elapsed = time.monotonic() - window_start
                if elapsed >= settings.stall_timeout_s:
                    if window_bytes < settings.stall_rate * elapsed:
                        raise self._stalled()
                    window_start, window_bytes = time.monotonic(), 0
        except (exceptions.HTTPError, OSError, http.client.HTTPException) as error:
            raise self._transport.failure(self.method, self.url, error) from error
        finally:
            self.close()

    def read(self, limit: int) -> bytes:
        """Return the whole body.

        Raises:
            System: it is longer than ``limit`` bytes.
            TransportFailure: as ``chunks``.
        """
        announced = self.header("Content-Length")
        if announced.isdecimal() and int(announced[:19]) > limit and self.method != "HEAD":
            self.close()
            raise self._too_long(limit)
        data = bytearray()
        for chunk in self.chunks():
            data += chunk
            if len(data) > limit:
                self.close()
                raise self._too_long(limit)
        return bytes(data)

    def close(self) -> None:
        """Give the connection back if the body was read, else close it."""
        is_read = self._raw.closed or getattr(self._raw, "length_remaining", 1) == 0
        if is_read:
            self._raw.drain_conn()  # http.client must see the end, also of an empty body
        else:
            self._raw.close()
        self._raw.release_conn()

    def abandon(self) -> None:
        """Close the connection whatever is left of the body: it is not worth reading."""
        self._raw.close()

    def _stalled(self) -> TransportFailure:
        settings = self._transport.settings
        return TransportFailure(
            f'{self.method.title()} "{shown_url(self.url)}": the transfer stalled: less than '
            f"{settings.stall_rate} bytes a second for {settings.stall_timeout_s:.0f} s",
            is_transient=True,
        )

    def _too_long(self, limit: int) -> System:
        return System(
            f'{self.method.title()} "{shown_url(self.url)}": the answer is longer than the '
            f"{limit} bytes allowed"
        )


class Transport:
    """Connections to any number of hosts for one pull or push; thread-safe.

    Made anew each time, so that certificates and settings are read afresh. ``close`` may be
    called by another thread: everything blocked then ends with ``Cancelled``.

    Attributes:
        settings: with what ``registries.toml`` says now.
        is_closed: nothing can be sent any more.
    """

    def __init__(
        self, settings: RegistrySettings, explain: Callable[[str], None] | None = None
    ) -> None:
        self.settings = with_configuration(settings)
        self.is_closed = False
        self._explain = explain or (lambda line: None)
        self._sockets = OpenSockets()
        self._pools: dict[tuple[_Origin, bool], urllib3.HTTPConnectionPool] = {}

    def close(self) -> None:
        """Break all connections; nothing can be sent afterwards."""
        self.is_closed = True
        self._sockets.shut_down()
        for pool in list(self._pools.values()):
            pool.close()

    def explain(self, line: str) -> None:
        """Tell a decision to whoever asked for explanations."""
        self._explain(line)

    def send(
        self,
        method: str,
        url: str,
        *,
        endpoint: Endpoint,
        headers: Headers,
        body: Body = None,
        timeout_s: float | None = None,
        follow: bool = True,
    ) -> Response:
        """Send one request, follow redirects by the rules above, and return the last answer.

        Args:
            method: in capitals.
            url: absolute.
            endpoint: the registry asked; decides how its own host's certificate is judged.
            headers: ``Authorization`` among them goes to ``url``'s origin only.
            body: bytes, or pieces whose sum ``Content-Length`` says.
            timeout_s: until the answer begins; the settings' stall time when None.
            follow: follow redirects; an upload's answers are returned as they are.

        Raises:
            TransportFailure: no answer.
            RedirectRefused: rule 2.
            CertificateRefused: with the chain.
            Cancelled: the transport was closed.
        """
        sent = {"User-Agent": self.settings.user_agent, "Accept-Encoding": "identity", **headers}
        first = url
        for _ in range(MAX_REDIRECTS + 1):
            response = self._exchange(method, url, endpoint, sent, body=body, timeout_s=timeout_s)
            location = response.header("Location")
            if not follow or response.status not in _REDIRECTS or not location:
                return response
            response.close()
            target = urljoin(url, location)
            self._check_redirect(first, url, target)
            if origin_of(target) != origin_of(url):
                sent = {k: v for k, v in sent.items() if k.lower() not in _SENSITIVE}
                self.explain(f"redirected to {urlsplit(target).netloc}: without credentials")
            url = target
        raise RedirectRefused(
            f'{method.title()} "{shown_url(first)}": stopped after {MAX_REDIRECTS} redirects'
        )

    def failure(self, method: str, url: str, error: BaseException) -> CutawayError:
        """Turn what urllib3 or a socket raised into our error, in Go's words where it has some."""
        if self.is_closed:
            return Cancelled()
        prefix = f'{method.title()} "{shown_url(url)}": '
        parts = urlsplit(url)
        cause = _root_cause(error)
        if isinstance(cause, ssl.SSLCertVerificationError):
            _, host, port = origin_of(url)
            return explain_refusal(shown_url(url), host, port, cause)
        text, is_transient = _describe(error, cause, parts)
        is_plain = isinstance(cause, ssl.SSLError) and "WRONG_VERSION" in str(cause).upper()
        if isinstance(cause, ssl.SSLError) and "record layer failure" in str(cause).lower():
            is_plain = True
        if is_plain:
            text, is_transient = "http: server gave HTTP response to HTTPS client", False
        elif isinstance(cause, ssl.SSLError):
            return TlsFailure(
                f"{prefix}remote error: tls: {cause.reason or cause}", is_transient=False
            )
        return TransportFailure(prefix + text, is_transient=is_transient, is_plain_http=is_plain)

    def _exchange(
        self,
        method: str,
        url: str,
        endpoint: Endpoint,
        headers: Headers,
        *,
        body: Body,
        timeout_s: float | None,
    ) -> Response:
        if self.is_closed:
            raise Cancelled
        parts = urlsplit(url)
        wait = timeout_s or self.settings.stall_timeout_s
        timeout = urllib3.Timeout(connect=self.settings.connect_timeout_s, read=wait)
        target = urlunsplit(("", "", parts.path or "/", parts.query, ""))
        started = time.monotonic()
        try:
            pool = self._pool(url, endpoint)
            raw = pool.urlopen(
                method,
                url if pool.proxy is not None and parts.scheme == "http" else target,
                body=body,
                headers=dict(headers),
                retries=False,
                redirect=False,
                assert_same_host=False,  # by a proxy, every host is another
                preload_content=False,
                decode_content=False,
                timeout=timeout,
            )
        except (exceptions.HTTPError, OSError, http.client.HTTPException) as error:
            failure = self.failure(method, url, error)
            self.explain(str(failure))
            raise failure from error
        milliseconds = (time.monotonic() - started) * 1000
        self.explain(f"{method} {shown_url(url)} -> {raw.status} ({milliseconds:.0f} ms)")
        return Response(raw.status, raw.headers, url, method, raw, self)

    def _pool(self, url: str, endpoint: Endpoint) -> urllib3.HTTPConnectionPool:
        origin = origin_of(url)
        scheme, host, port = origin
        netloc = urlsplit(url).netloc
        same_host = netloc == endpoint.host
        verify = endpoint.verify_tls if same_host else not is_insecure(netloc, self.settings)
        pool = self._pools.get((origin, verify))
        if pool is not None:
            return pool
        pool = self._make_pool(scheme, host, port, netloc, verify=verify)
        use_tracked_connections(pool, self._sockets)
        return self._pools.setdefault((origin, verify), pool)

    def _make_pool(
        self, scheme: str, host: str, port: int, netloc: str, *, verify: bool
    ) -> urllib3.HTTPConnectionPool:
        context = make_context(netloc, self.settings, verify=verify) if scheme == "https" else None
        size = self.settings.max_downloads + self.settings.max_uploads
        proxy = self.settings.proxies.get(scheme)
        if proxy and not is_loopback(host) and not _bypasses_proxy(host, self.settings.proxies):
            manager = urllib3.ProxyManager(proxy, maxsize=size, ssl_context=context)
            return manager.connection_from_host(host, port, scheme)
        if context is None:
            return urllib3.HTTPConnectionPool(host, port, maxsize=size)
        return urllib3.HTTPSConnectionPool(host, port, maxsize=size, ssl_context=context)

    def _check_redirect(self, first: str, url: str, target: str) -> None:
        old, new = urlsplit(url), urlsplit(target)
        if new.scheme not in ("http", "https") or not new.hostname:
            why = f"to {new.scheme or 'no'}: address"
        elif old.scheme == "https" and new.scheme == "http":
            why = f"from https to http ({new.netloc})"
        elif is_link_local(new.hostname) and new.hostname != urlsplit(first).hostname:
            why = f"to the link-local address {new.hostname}"
        else:
            return
        raise RedirectRefused(f'Get "{shown_url(first)}": refused a redirect {why}')


def origin_of(url: str) -> _Origin:
    """Return scheme, host and port: what must be the same for credentials to go along.

    Raises:
        RedirectRefused: the URL has no host, or a port that is no number.
    """
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError as error:
        raise RedirectRefused(f"invalid address {url!r}: {error}") from None
    return parts.scheme, parts.hostname or "", port


def shown_url(url: str) -> str:
    """Return a URL without its query and user, which may hold signatures and passwords."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _bypasses_proxy(host: str, proxies: Mapping[str, str]) -> bool:
    # The reader of no_proxy in urllib; typeshed doesn't know it.
    bypass: Callable[..., bool] = getattr(urllib.request, "proxy_bypass_environment")  # noqa: B009
    return bypass(host, dict(proxies))


def _root_cause(error: BaseException) -> BaseException:
    seen = error
    for _ in range(10):
        inner = seen.__cause__ or next((a for a in seen.args if isinstance(a, BaseException)), None)
        if inner is None:
            return seen
        seen = inner
    return seen


def _describe(error: BaseException, cause: BaseException, parts: SplitResult) -> tuple[str, bool]:
    """Return what happened in Go's words, and whether another attempt may go better."""
    host = parts.hostname or ""
    address = f"{host}:{parts.port or (443 if parts.scheme == 'https' else 80)}"
    if isinstance(error, exceptions.ProxyError):
        words = str(getattr(cause, "strerror", None) or cause).lower()
        is_reached = not isinstance(error.original_error, exceptions.NewConnectionError)
        return f"proxyconnect tcp: {words}: is the daemon's proxy right?", is_reached
    if isinstance(error, exceptions.NameResolutionError):
        return f"dial tcp: lookup {host}: no such host", False
    if isinstance(error, exceptions.NewConnectionError) and isinstance(cause, OSError):
        words = (cause.strerror or str(cause)).lower()
        return f"dial tcp {address}: connect: {words}", False
    if isinstance(error, exceptions.ConnectTimeoutError):
        return f"dial tcp {address}: i/o timeout", True
    if isinstance(error, exceptions.ReadTimeoutError | TimeoutError):
        return "the server did not answer in time", True
    if isinstance(cause, http.client.RemoteDisconnected | http.client.IncompleteRead):
        return "unexpected EOF", True
    if isinstance(error, exceptions.IncompleteRead):
        return "unexpected EOF", True
    if isinstance(cause, http.client.BadStatusLine):
        return f"malformed HTTP response {str(cause)[:60]!r}", False
    if isinstance(cause, http.client.HTTPException | exceptions.HTTPError):
        return f"malformed HTTP response: {cause}"[:200], False
    return str(getattr(cause, "strerror", None) or cause).lower(), True
