"""The images of one name for other platforms: found in the index it was pulled with."""

from dataclasses import replace

from cutaway.errors import NotFound
from cutaway.images.assemble import unpack_layers
from cutaway.images.image import Image
from cutaway.images.snapshots import Snapshots
from cutaway.images.store import ImageStore
from cutaway.images.whole_index import is_image, read_index
from cutaway.oci import (
    Descriptor,
    Manifest,
    Platform,
    parse_image_config,
    parse_manifest,
)
from cutaway.oci.hashing import chain_ids


def find_variant(store: ImageStore, image: Image, name: str, platform: str) -> Image:
    """Return the image that ``name`` stands for on a platform.

    Args:
        store: where it is.
        image: what the name stands for on this machine.
        name: as the user wrote it.
        platform: ``os[/arch[/variant]]``; empty takes ``image``.

    Returns:
        ``image`` itself if it is for that platform, else another of the index it came with, which
        may not be registered yet.

    Raises:
        NotFound: it has no image for that platform, in Docker's words.
        InvalidParameter: that is no platform.
    """
    if not platform:
        return image
    wanted = Platform.parse(platform).normalized()
    if wanted.matches(image.platform):
        return image
    member = None
    if image.index is not None:
        member = read_index(store.content, image.index.digest).select_exactly(wanted)
    if member is None:
        raise NotFound(
            f"image with reference {name} was found but its platform ({image.platform}) "
            f"does not match the specified platform ({platform})"
        )
    return _describe(store, image, member)


def variants(store: ImageStore, image: Image) -> list[Image]:
    """Return the images of all platforms that the image was pulled with; itself if alone."""
    if image.index is None:
        return [image]
    members = read_index(store.content, image.index.digest).manifests
    return [
        _describe(store, image, member)
        for member in members
        if member.platform is not None and is_image(member)
    ]


def register_variant(store: ImageStore, snapshots: Snapshots, image: Image) -> Image:
    """Unpack a variant and make it an image of its own, so that containers can be made of it.

    Args:
        store: where its blobs are.
        snapshots: where its layers go.
        image: from ``find_variant``; it is known as ``name@digest`` from now on.

    Raises:
        BadLayer: a layer is hostile or not what its diff id says.
    """
    with store.lease() as pin:
        pin(image.chain_ids)
        unpack_layers(store, snapshots, image.config, image.layers)
        names = (*image.names, *image.repo_digests)[:1]
        known = [name.with_digest(image.manifest.digest) for name in names]
        return store.register(image.manifest, (), known, by="run")


def _describe(store: ImageStore, whole: Image, member: Descriptor) -> Image:
    if member.digest == whole.manifest.digest:
        return whole
    manifest = parse_manifest(store.content.read(member.digest))
    if not isinstance(manifest, Manifest):
        raise NotFound(f"manifest {member.digest} is an index in an index")
    config = parse_image_config(store.content.read(manifest.config.digest))
    return replace(
        whole,
        id=manifest.config.digest,
        manifest=replace(member, annotations={}, platform=None),
        config=config,
        layers=manifest.layers,
        chain_ids=chain_ids(config.rootfs.diff_ids),
        parent=None,
    )
