"""The distribution-spec for one repository on one endpoint."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from urllib.parse import urlencode, urljoin, urlsplit

from cutaway.errors import InvalidParameter
from cutaway.images.content import MAX_DOCUMENT_BYTES, VerificationFailed
from cutaway.images.registry.authorizer import Authorizer
from cutaway.images.registry.patience import Patience
from cutaway.images.registry.refusal import RegistryRefusal, parse_refusal
from cutaway.images.registry.settings import Endpoint
from cutaway.images.registry.transport import (
    Body,
    RedirectRefused,
    Response,
    Transport,
    TransportFailure,
    origin_of,
)
from cutaway.oci import (
    INDEX_TYPES,
    Descriptor,
    Digest,
    Index,
    Manifest,
    MediaType,
    parse_document,
    parse_manifest,
)

ACCEPT = ", ".join(
    (
        MediaType.OCI_INDEX,
        MediaType.DOCKER_INDEX,
        MediaType.OCI_MANIFEST,
        MediaType.DOCKER_MANIFEST,
    )
)
_ERROR_LIMIT = 64 * 1024
MAX_PAGES = 200
RETRIED = frozenset({408, 425, 429, 500, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class FetchedManifest:
    """A manifest or index as a registry sent it, verified.

    Attributes:
        data: the bytes whose digest it is.
        descriptor: media type, digest, size.
        document: parsed.
    """

    data: bytes
    descriptor: Descriptor
    document: Manifest | Index


class Repository:
    """One name at one endpoint; thread-safe.

    Attributes:
        endpoint: where it is.
        path: its name without the domain.
    """

    def __init__(
        self,
        transport: Transport,
        authorizer: Authorizer,
        endpoint: Endpoint,
        path: str,
        *,
        make_patience: Callable[[], Patience],
        actions: str = "pull",
    ) -> None:
        self.endpoint = endpoint
        self.path = path
        self.transport = transport
        self.make_patience = make_patience
        self._authorizer = authorizer
        self._scopes: tuple[str, ...] = (f"repository:{path}:{actions}",)

    def may_mount_from(self, paths: tuple[str, ...]) -> None:
        """Ask from now on for tokens that may read other repositories too."""
        self._scopes = (self._scopes[0], *(f"repository:{path}:pull" for path in paths))

    def ping(self) -> None:
        """See that a registry is there, and learn how it authenticates.

        Raises:
            TransportFailure: nobody answers, or not in HTTP.
        """
        patience = self.make_patience()
        while True:
            try:
                response = self.transport.send(
                    "GET", f"{self.endpoint.url}/v2/", endpoint=self.endpoint, headers={}
                )
                response.read(_ERROR_LIMIT)
            except TransportFailure as failure:
                if not failure.is_transient:
                    raise
                patience.after_failure(failure)
                continue
            if response.status == 401:
                self._authorizer.learn(response)
            if response.status in RETRIED:
                refusal = RegistryRefusal(response.status)
                patience.after_failure(refusal, response.header("Retry-After"))
                continue
            return

    def fetch_manifest(self, reference: str | Digest, media_type: str = "") -> FetchedManifest:
        """Fetch a manifest or index by tag or digest.

        Args:
            reference: a tag or a digest.
            media_type: what a descriptor announced; empty when nothing did.

        Raises:
            RegistryRefusal: the registry's error.
            VerificationFailed: another digest than asked for, or than the answer's own header.
            InvalidParameter: not a manifest, too long, or ambiguous.
        """
        headers = {"Accept": media_type or ACCEPT}
        response, data = self.request_document(
            "GET", f"manifests/{reference}", headers, MAX_DOCUMENT_BYTES
        )
        content_type = response.header("Content-Type").partition(";")[0].strip()
        if media_type and content_type and content_type != media_type:
            raise VerificationFailed(
                f"manifest {reference}: its descriptor says {media_type!r}, the registry sent "
                f"{content_type!r}"
            )
        digest = _verify_manifest(reference, data, response.header("Docker-Content-Digest"))
        document = parse_manifest(data, content_type)
        default = MediaType.OCI_INDEX if isinstance(document, Index) else MediaType.OCI_MANIFEST
        kind = document.media_type or media_type or _known(content_type) or default.value
        return FetchedManifest(data, Descriptor(kind, digest, len(data)), document)

    def resolve_digest(self, tag: str) -> Digest | None:
        """Ask for a tag's digest only (HEAD); None when the registry doesn't say it.

        Raises:
            RegistryRefusal: the registry's error.
        """
        response = self.request("HEAD", f"manifests/{tag}", {"Accept": ACCEPT})
        response.close()
        try:
            return Digest.parse(response.header("Docker-Content-Digest"))
        except InvalidParameter:
            return None

    def open_blob(self, digest: Digest, offset: int, patience: Patience) -> Response:
        """Begin to read a blob, from ``offset`` if the registry can (status 206), else all (200).

        Raises:
            RegistryRefusal: the registry's error.
            TransportFailure: no answer.
        """
        headers = {"Range": f"bytes={offset}-"} if offset else {}
        if offset:
            self.transport.explain(f"resuming {digest} at byte {offset}")
        return self.request("GET", f"blobs/{digest}", headers, patience=patience)

    def blob_size(self, digest: Digest) -> int | None:
        """Return the size of a blob the registry has, or None."""
        try:
            response = self.request("HEAD", f"blobs/{digest}", {})
        except RegistryRefusal as refusal:
            if refusal.status == 404:
                return None
            raise
        response.close()
        length = response.header("Content-Length")
        return int(length[:19]) if length.isdecimal() else 0

    def has_manifest(self, digest: Digest) -> bool:
        """Say whether the repository has a manifest of this digest.

        Raises:
            RegistryRefusal: the registry's error, other than not having it.
        """
        try:
            self.request("HEAD", f"manifests/{digest}", {"Accept": ACCEPT}).close()
        except RegistryRefusal as refusal:
            if refusal.status == 404:
                return False
            raise
        return True

    def read_blob(self, descriptor: Descriptor) -> bytes:
        """Return a small blob, an image config, verified.

        Raises:
            RegistryRefusal: the registry's error.
            VerificationFailed: not what the descriptor says, or longer than 4 MiB.
        """
        if descriptor.size > MAX_DOCUMENT_BYTES:
            raise VerificationFailed(f"{descriptor.digest} is larger than 4 MiB")
        path = f"blobs/{descriptor.digest}"
        _, data = self.request_document("GET", path, {}, MAX_DOCUMENT_BYTES)
        found = hashlib.new(descriptor.digest.algorithm, data).hexdigest()
        if found != descriptor.digest.encoded or len(data) != descriptor.size:
            raise VerificationFailed(f"blob {descriptor.digest}: the registry sent another")
        return data

    def mount(self, digest: Digest, path: str) -> bool:
        """Ask for a blob to be taken over from another repository; False if it isn't.

        Raises:
            RegistryRefusal: the registry's error.
        """
        query = urlencode({"mount": digest, "from": path})
        response = self.request(
            "POST", f"blobs/uploads/?{query}", {"Content-Length": "0"}, follow=False
        )
        response.read(_ERROR_LIMIT)
        return response.status == 201

    def list_tags(self) -> Iterator[str]:
        """Yield the tags of the repository, page by page.

        Raises:
            RegistryRefusal: the registry's error.
        """
        url = f"{self.endpoint.url}/v2/{self.path}/tags/list?n=1000"
        for _ in range(MAX_PAGES):
            response, data = self.request_document("GET", url, {}, MAX_DOCUMENT_BYTES)
            document = parse_document(data, "tags list")
            tags = document.get("tags") if isinstance(document, dict) else None
            for tag in tags or ():
                if isinstance(tag, str):
                    yield tag
            following = next_page(url, response.header("Link"))
            if following is None:
                return
            url = following

    def locate(self, location: str) -> str:
        """Return the absolute address of an upload's ``Location``.

        Raises:
            RedirectRefused: no address, or plain HTTP from a registry that was asked by TLS.
        """
        url = urljoin(f"{self.endpoint.url}/v2/", location)
        scheme, host, _ = origin_of(url)
        is_downgrade = scheme == "http" and self.endpoint.url.startswith("https:")
        if not location or scheme not in ("http", "https") or not host or is_downgrade:
            raise RedirectRefused(
                f"registry {self.endpoint.host}: refused to upload to the location {location!r}"
            )
        return url

    def put_manifest(self, reference: str | Digest, data: bytes, media_type: str) -> bool:
        """Send a manifest whose blobs the registry has.

        Returns:
            Whether the registry lists it among the referrers of its subject.

        Raises:
            RegistryRefusal: the registry's error.
        """
        headers = {"Content-Type": media_type, "Content-Length": str(len(data))}
        response = self.request("PUT", f"manifests/{reference}", headers, body=lambda: data)
        response.read(_ERROR_LIMIT)
        return bool(response.header("OCI-Subject"))

    def request_document(
        self, method: str, path: str, headers: dict[str, str], limit: int
    ) -> tuple[Response, bytes]:
        """Send a request and read its whole, small answer; a drop while reading is retried."""
        patience = self.make_patience()
        while True:
            response = self.request(method, path, headers, patience=patience)
            try:
                return response, response.read(limit)
            except TransportFailure as failure:
                if not failure.is_transient:
                    raise
                patience.after_failure(failure)

    def request(
        self,
        method: str,
        path: str,
        headers: dict[str, str],
        *,
        body: Callable[[], Body] = lambda: None,
        patience: Patience | None = None,
        follow: bool = True,
        retry: bool = True,
        timeout_s: float | None = None,
    ) -> Response:
        """Send one authorised request; retry what may pass, raise what won't.

        Args:
            method: in capitals.
            path: below the repository, or a whole URL of this endpoint's making.
            headers: without ``Authorization``.
            body: makes the body for each attempt.
            patience: of the transfer this belongs to.
            follow: follow redirects.
            retry: False for a body that must not be sent twice to the same address.
            timeout_s: until the answer begins; the patience's when None.

        Returns:
            An answer below 400, unread.

        Raises:
            RegistryRefusal: 4xx and 5xx.
            TransportFailure: no answer after all attempts.
        """
        url = path if "://" in path else f"{self.endpoint.url}/v2/{self.path}/{path}"
        patience = patience or self.make_patience()
        challenged = False
        while True:
            try:
                response = self._send(
                    (method, url), headers, body(), patience, follow=follow, timeout_s=timeout_s
                )
                if response.status < 400 or response.status == 416:
                    return response
                answer = b"" if method == "HEAD" else response.read(_ERROR_LIMIT)
            except TransportFailure as failure:
                if not failure.is_transient or not retry:
                    raise
                patience.after_failure(failure)
                continue
            response.close()
            if response.status == 401 and not challenged:
                challenged = True
                self._authorizer.learn(response)
                continue
            refusal = parse_refusal(response.status, answer)
            if response.status not in RETRIED or not retry:
                raise refusal
            patience.after_failure(refusal, response.header("Retry-After"))

    def _send(
        self,
        target: tuple[str, str],
        headers: dict[str, str],
        body: Body,
        patience: Patience,
        *,
        follow: bool,
        timeout_s: float | None,
    ) -> Response:
        method, url = target
        sent = dict(headers)
        # A whole URL may be an upload's Location on another host: rule 1 of the transport.
        if origin_of(url) == origin_of(self.endpoint.url):
            authorization = self._authorizer.authorization(self._scopes, patience)
            if authorization:
                sent["Authorization"] = authorization
        return self.transport.send(
            method,
            url,
            endpoint=self.endpoint,
            headers=sent,
            body=body,
            timeout_s=timeout_s or patience.timeout_s,
            follow=follow,
        )


def _verify_manifest(reference: str | Digest, data: bytes, header: str) -> Digest:
    """Return the digest of a manifest after comparing it with everything that claims to know it."""
    wanted = None
    if ":" in reference:
        wanted = Digest.parse(reference)
    algorithm = wanted.algorithm if wanted is not None else "sha256"
    found = Digest(f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}")
    if wanted is not None and found != wanted:
        raise VerificationFailed(
            f"manifest verification failed for digest {wanted}: the registry sent {found}"
        )
    if header:
        claimed = Digest.parse(header)
        actual = hashlib.new(claimed.algorithm, data).hexdigest()
        if actual != claimed.encoded:
            raise VerificationFailed(
                f"manifest verification failed for digest {claimed}: the registry's header says "
                f"so, but the manifest it sent is {claimed.algorithm}:{actual}"
            )
    return found


def _known(content_type: str) -> str:
    manifests = (MediaType.OCI_MANIFEST, MediaType.DOCKER_MANIFEST)
    return content_type if content_type in INDEX_TYPES or content_type in manifests else ""


def next_page(url: str, link: str) -> str | None:
    """Return the URL of ``Link: </v2/…>; rel="next"``, which must stay on the same host."""
    target, _, parameters = link.partition(">")
    if not target.startswith("<") or 'rel="next"' not in parameters:
        return None
    following = urljoin(url, target[1:])
    if origin_of(following) != origin_of(url) or not urlsplit(following).path.startswith("/v2/"):
        raise RedirectRefused(f"tags list: refused a next page on another host: {following}")
    return following
