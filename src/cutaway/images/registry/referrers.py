"""What refers to an image in its registry, signatures and SBOMs: asked for, and kept up.

A manifest names what it refers to as its ``subject``. A registry with the referrers API lists such
manifests itself, and says so when it takes one (``OCI-Subject``). At any other the clients keep the
list: an index under a tag made of the subject's digest, read, extended and put back.

Source: distribution-spec "Listing Referrers", "Pushing Manifests with Subject", "Referrers Tag
Schema".
"""

from dataclasses import replace

from cutaway.errors import InvalidParameter
from cutaway.images.content import MAX_DOCUMENT_BYTES
from cutaway.images.registry.refusal import RegistryRefusal
from cutaway.images.registry.repository import MAX_PAGES, Repository, next_page
from cutaway.oci import (
    Descriptor,
    Digest,
    Index,
    Manifest,
    MediaType,
    encode_document,
    parse_manifest,
)
from cutaway.oci.hashing import digest_of

_NONE = Index(schema_version=2, media_type=MediaType.OCI_INDEX.value, manifests=())


def fetch_referrers(repository: Repository, digest: Digest, artifact_type: str = "") -> Index:
    """Return what refers to a manifest, of one type if asked for.

    Raises:
        RegistryRefusal: the registry's error.
        InvalidParameter: its answer is no index.
    """
    try:
        listed = _by_api(repository, digest)
    except RegistryRefusal as refusal:
        if refusal.status != 404:
            raise
        listed = _by_tag(repository, digest).manifests
    found = tuple(one for one in listed if artifact_type in ("", one.artifact_type))
    return replace(_NONE, manifests=found)


def push_manifest(
    repository: Repository, reference: str | Digest, data: bytes, media_type: str
) -> None:
    """Send a manifest whose blobs the registry has, and see that its subject's list names it.

    Raises:
        RegistryRefusal: the registry's error.
        InvalidParameter: something else has the tag of the list.
    """
    is_listed = repository.put_manifest(reference, data, media_type)
    document = parse_manifest(data, media_type)
    if document.subject is None or is_listed:
        return
    subject, descriptor = document.subject.digest, _describe(document, data, media_type)
    known = _by_tag(repository, subject)
    if descriptor.digest in {one.digest for one in known.manifests}:
        return
    repository.transport.explain(f"no referrers API: {descriptor.digest} added to {_tag(subject)}")
    extended = replace(known, manifests=(*known.manifests, descriptor))
    repository.put_manifest(_tag(subject), encode_document(extended.to_json()), _NONE.media_type)


def _by_api(repository: Repository, digest: Digest) -> tuple[Descriptor, ...]:
    url = f"{repository.endpoint.url}/v2/{repository.path}/referrers/{digest}"
    listed: tuple[Descriptor, ...] = ()
    for _ in range(MAX_PAGES):
        response, data = repository.request_document("GET", url, {}, MAX_DOCUMENT_BYTES)
        listed += _index(parse_manifest(data, MediaType.OCI_INDEX), digest).manifests
        following = next_page(url, response.header("Link"))
        if following is None:
            break
        url = following
    return listed


def _by_tag(repository: Repository, digest: Digest) -> Index:
    try:
        return _index(repository.fetch_manifest(_tag(digest)).document, digest)
    except RegistryRefusal as refusal:
        if refusal.status != 404:
            raise
    return _NONE


def _index(document: Manifest | Index, digest: Digest) -> Index:
    if not isinstance(document, Index):
        raise InvalidParameter(f"referrers of {digest}: expected an index")
    return document


def _tag(digest: Digest) -> str:
    """Return the tag of a subject's list; a tag is at most 128 characters long."""
    return f"{digest.algorithm[:32]}-{digest.encoded[:64]}"


def _describe(document: Manifest | Index, data: bytes, media_type: str) -> Descriptor:
    artifact_type = document.artifact_type
    if not artifact_type and isinstance(document, Manifest):
        artifact_type = document.config.media_type
    return Descriptor(
        media_type,
        digest_of(data),
        len(data),
        annotations=document.annotations,
        artifact_type=artifact_type,
    )
