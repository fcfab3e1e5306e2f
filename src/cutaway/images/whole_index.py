"""A whole index: the images of all platforms under one name, kept for ``pull --all-platforms``.

Only this machine's own image is unpacked. The others are blobs that the name keeps, until a
container is made for their platform (``variants.py``) or the index is pushed.
"""

from collections.abc import Iterator

from cutaway.errors import CutawayError, InvalidParameter
from cutaway.images.content import ContentStore
from cutaway.oci import Descriptor, Digest, Index, Manifest, parse_manifest


def read_index(content: ContentStore, digest: Digest) -> Index:
    """Return an index that is here.

    Raises:
        ContentNotFound, VerificationFailed: it is not, or is damaged.
        InvalidParameter: it is an image.
    """
    document = parse_manifest(content.read(digest))
    if not isinstance(document, Index):
        raise InvalidParameter(f"{digest} is an image, not an index")
    return document


def read_members(content: ContentStore, index: Index) -> Iterator[tuple[Descriptor, Manifest]]:
    """Yield the descriptor and the manifest of every member.

    Raises:
        ContentNotFound, VerificationFailed: one is missing or damaged.
        InvalidParameter: one is an index itself.
    """
    for descriptor in index.manifests:
        document = parse_manifest(content.read(descriptor.digest), descriptor.media_type)
        if not isinstance(document, Manifest):
            raise InvalidParameter(f"manifest {descriptor.digest} is an index in an index")
        yield descriptor, document


def needed_by_index(content: ContentStore, digest: Digest) -> set[Digest]:
    """Return the digests of an index and of everything below it.

    Raises:
        CutawayError: as ``read_members``; what it needs is then unknown.
    """
    needed = {digest}
    for descriptor, manifest in read_members(content, read_index(content, digest)):
        needed |= {descriptor.digest, manifest.config.digest, *(x.digest for x in manifest.layers)}
    return needed


def is_whole(content: ContentStore, digest: Digest) -> bool:
    """Say whether an index and everything below it are here."""
    try:
        return all(blob in content for blob in needed_by_index(content, digest))
    except CutawayError:
        return False


def is_image(member: Descriptor) -> bool:
    """Say whether a member of an index may be an image: attestations are ``unknown/unknown``."""
    return member.platform is None or member.platform.os != "unknown"
