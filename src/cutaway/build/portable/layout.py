"""A cache as a manifest with blobs, and as the archive of an OCI image layout."""

from collections.abc import Callable
from typing import Any

from cutaway.build.portable.document import PortableCache
from cutaway.errors import InvalidParameter
from cutaway.images.archives.members import read_members
from cutaway.images.content import ContentStore
from cutaway.images.layers import tar_header as tar
from cutaway.images.layers.tar_read import Entry
from cutaway.images.layers.tar_write import TarWriter
from cutaway.oci import (
    Descriptor,
    Digest,
    Index,
    Manifest,
    MediaType,
    encode_document,
    parse_document,
    parse_manifest,
)

ARTIFACT_TYPE = "application/vnd.cutaway.buildcache.v1"
CONFIG_TYPE = "application/vnd.cutaway.buildcache.config.v1+json"
_READ_BYTES = 1 << 20


def write_manifest(content: ContentStore, cache: PortableCache) -> Descriptor:
    """Store a cache's document and manifest beside its layers; hold a lease.

    The same cache gives the same digest.
    """
    document = encode_document(cache.to_json())
    manifest = Manifest(
        schema_version=2,
        media_type=MediaType.OCI_MANIFEST,
        config=Descriptor(CONFIG_TYPE, content.write_blob(document), len(document)),
        layers=cache.layers,
        artifact_type=ARTIFACT_TYPE,
    )
    data = encode_document(manifest.to_json())
    return Descriptor(MediaType.OCI_MANIFEST, content.write_blob(data), len(data))


def read_manifest(content: ContentStore, descriptor: Descriptor) -> Manifest:
    """Return a manifest that is here.

    Raises:
        InvalidParameter: it is of no cache.
    """
    manifest = parse_manifest(content.read(descriptor.digest), descriptor.media_type)
    return check_manifest(manifest)


def check_manifest(manifest: Manifest | Index) -> Manifest:
    """Return the manifest of a cache.

    Raises:
        InvalidParameter: it is of something else.
    """
    if not isinstance(manifest, Manifest) or manifest.config.media_type != CONFIG_TYPE:
        raise InvalidParameter("this is no build cache: `cutaway build cache export` makes one")
    return manifest


def parse_cache(document: bytes) -> PortableCache:
    """Read the config document of a cache.

    Raises:
        InvalidParameter: it is none.
    """
    return PortableCache.from_json(parse_document(document, "build cache"))


def write_archive(
    content: ContentStore, descriptor: Descriptor, write: Callable[[bytes | memoryview], Any]
) -> None:
    """Write a cache as the tar of an OCI image layout.

    Args:
        content: has the cache's blobs; hold a lease.
        descriptor: of its manifest.
        write: takes the tar piece by piece.
    """
    manifest = read_manifest(content, descriptor)
    writer = TarWriter(write)
    writer.add_file("oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
    index = Index(schema_version=2, media_type=MediaType.OCI_INDEX.value, manifests=(descriptor,))
    writer.add_file("index.json", encode_document(index.to_json()))
    for blob in (descriptor, manifest.config, *manifest.layers):
        name = f"blobs/{blob.digest.algorithm}/{blob.digest.encoded}".encode()
        with content.open(blob.digest) as file:
            entry = Entry(name, tar.REGULAR, 0o644, size=content.size(blob.digest))
            writer.add(entry, iter(lambda: file.read(_READ_BYTES), b""))
    writer.close()


def read_archive(
    content: ContentStore, read: Callable[[int], bytes]
) -> tuple[PortableCache, frozenset[Digest]]:
    """Take a cache in from the tar of an OCI image layout; every blob is verified on its way.

    Args:
        content: where the blobs go; hold a lease.
        read: the tar.

    Returns:
        The cache, and every blob that came, needed or not.

    Raises:
        BadLayer, InvalidParameter: it is no tar, or not of a cache.
        VerificationFailed: a blob is not what its name says.
    """
    members = read_members(content, read)
    index = parse_manifest(members.documents.get("index.json", b"{}"), MediaType.OCI_INDEX)
    if not isinstance(index, Index) or len(index.manifests) != 1:
        raise InvalidParameter("this is no build cache: its index has not one manifest")
    manifest = read_manifest(content, index.manifests[0])
    cache = parse_cache(content.read(manifest.config.digest))
    missing = [layer.digest for layer in cache.layers if layer.digest not in content]
    if missing:
        raise InvalidParameter(f"the cache is not whole: blob {missing[0]} is missing")
    return cache, frozenset(blob.descriptor.digest for blob in members.blobs.values())
