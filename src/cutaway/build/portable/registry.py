"""A cache in a registry: pushed whole, read by its document, its layers fetched when they hit."""

from dataclasses import dataclass

from cutaway.build.portable.document import PortableCache, claim_of
from cutaway.build.portable.layout import check_manifest, parse_cache, read_manifest
from cutaway.build.solve.cache import CacheRecord, StepKey
from cutaway.images.content import ContentStore
from cutaway.images.registry.download import fetch_blob
from cutaway.images.registry.repository import Repository
from cutaway.images.registry.upload import BlobUpload
from cutaway.oci import Descriptor, Reference


def push_cache(
    repository: Repository,
    reference: Reference,
    content: ContentStore,
    descriptor: Descriptor,
) -> None:
    """Send a cache: the blobs that the registry lacks, then the manifest under its tag.

    Raises:
        RegistryRefusal, TransportFailure: as ``push``.
    """
    manifest = read_manifest(content, descriptor)
    for blob in (*manifest.layers, manifest.config):
        BlobUpload(
            repository, content, blob, on_bytes=lambda _: None, is_cancelled=lambda: False
        ).run()
    data = content.read(descriptor.digest)
    repository.put_manifest(reference.tag or "latest", data, descriptor.media_type)


def read_cache(repository: Repository, reference: Reference) -> PortableCache:
    """Fetch what a cache in a registry says; none of its layers.

    Raises:
        InvalidParameter: it is no cache.
        RegistryRefusal, TransportFailure, VerificationFailed: as ``pull``.
    """
    wanted = reference.digest or reference.tag or "latest"
    manifest = check_manifest(repository.fetch_manifest(wanted).document)
    return parse_cache(repository.read_blob(manifest.config))


@dataclass(frozen=True, slots=True)
class RegistryClaims:
    """The claims of a cache in a registry; layers come when they are needed.

    Attributes:
        origin: the reference.
        claims: by the digest of the step's key.
        repository: where the layers are.
        content: where they go; hold a lease.
    """

    origin: str
    claims: dict[str, CacheRecord]
    repository: Repository
    content: ContentStore

    @classmethod
    def read(
        cls, origin: str, repository: Repository, reference: Reference, content: ContentStore
    ) -> "RegistryClaims":
        """Fetch the claims.

        Raises:
            as ``read_cache``.
        """
        cache = read_cache(repository, reference)
        claims = {step.key.digest: claim_of(step, origin) for step in cache.steps}
        return cls(origin, claims, repository, content)

    def find(self, key: StepKey) -> CacheRecord | None:
        """Return the claim about a step."""
        return self.claims.get(key.digest)

    def fetch(self, record: CacheRecord) -> None:
        """Bring the layer of a claim.

        Raises:
            VerificationFailed: it has another digest or size.
            RegistryRefusal, TransportFailure: it can't be had.
        """
        if record.layer is not None:
            fetch_layer(self.repository, self.content, record.layer.descriptor)


def fetch_layer(repository: Repository, content: ContentStore, layer: Descriptor) -> None:
    """Bring one blob, unless it is here; it is verified while it arrives."""
    fetch_blob(repository, content, layer, on_bytes=lambda _: None, is_cancelled=lambda: False)
