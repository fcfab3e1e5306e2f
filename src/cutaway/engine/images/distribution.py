"""``docker manifest``'s question: what does a registry say of a reference, without pulling it."""

from functools import partial

from cutaway.errors import CutawayError, NotFound
from cutaway.images.registry.credentials import Credentials
from cutaway.images.registry.refusal import translate_pull
from cutaway.images.registry.repository import FetchedManifest, Repository
from cutaway.images.registry.settings import RegistrySettings
from cutaway.images.registry.source import Source, open_transport
from cutaway.model import DistributionInspect, OCIDescriptor, OCIPlatform
from cutaway.oci import Index, Platform, Reference, parse_image_config


def inspect_remote(
    reference: Reference, credentials: Credentials | None, settings: RegistrySettings
) -> DistributionInspect:
    """Ask the registry (or a mirror) for a manifest and its platforms.

    Raises:
        NotFound, Unauthorized, Unavailable: in Docker's words.
    """
    reference = reference.with_default_tag()
    translate = partial(translate_pull, reference=reference)
    with open_transport(settings, translate=translate) as transport:
        source = Source(transport, reference, credentials, lambda: False)
        for repository in source.repositories():
            try:
                return _ask(repository, reference)
            except CutawayError:
                if not repository.endpoint.is_mirror:
                    raise
    raise NotFound(f"manifest for {reference.familiar} not found: manifest unknown")


def _ask(repository: Repository, reference: Reference) -> DistributionInspect:
    fetched = repository.fetch_manifest(reference.digest or reference.tag or "latest")
    descriptor = fetched.descriptor
    return DistributionInspect(
        descriptor=OCIDescriptor(
            media_type=str(descriptor.media_type),
            digest=str(descriptor.digest),
            size=descriptor.size,
        ),
        platforms=tuple(_describe(p) for p in _platforms(repository, fetched)),
    )


def _platforms(repository: Repository, fetched: FetchedManifest) -> list[Platform]:
    document = fetched.document
    if isinstance(document, Index):
        return [m.platform for m in document.manifests if m.platform is not None]
    _, data = repository.request_document("GET", f"blobs/{document.config.digest}", {}, 4 << 20)
    return [parse_image_config(data).platform]


def _describe(platform: Platform) -> OCIPlatform:
    return OCIPlatform(
        architecture=platform.architecture,
        os=platform.os,
        os_version=platform.os_version,
        variant=platform.variant,
    )
