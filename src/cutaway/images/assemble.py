"""Make an image of layers that are in the content store: config, manifest, snapshots, names."""

import os
from collections.abc import Callable, Iterable, Sequence

from cutaway.images.image import Image
from cutaway.images.snapshots import LayerBlob, Snapshots, unpack_image
from cutaway.images.store import ImageStore
from cutaway.oci import (
    Descriptor,
    Digest,
    ImageConfig,
    Manifest,
    MediaType,
    Platform,
    Reference,
    encode_document,
)
from cutaway.oci.hashing import chain_ids


def this_platform() -> Platform:
    """Return the platform that images made on this machine run on."""
    return Platform.of_machine(os.uname().machine)


def assemble_image(
    store: ImageStore,
    snapshots: Snapshots,
    config: ImageConfig,
    layers: Sequence[Descriptor],
    *,
    names: Iterable[Reference] = (),
    parent: Digest | None = None,
    by: str,
) -> Image:
    """Write config and manifest, unpack what is not unpacked yet, and register the image.

    Args:
        store: whose content has the layers' blobs.
        snapshots: where they are unpacked.
        config: ``rootfs.diff_ids`` fit ``layers``.
        layers: lowest first.
        names: with tags.
        parent: the image it was built on here.
        by: ``import``, ``commit``, ``build``, ``from-host``: for the tag history.

    Raises:
        BadLayer: a layer is hostile or not what its diff id says.

    Preconditions: the caller holds ``store.lease()``.
    """
    config_bytes = encode_document(config.to_json())
    config_digest = store.content.write_blob(config_bytes)
    manifest = Manifest(
        schema_version=2,
        media_type=MediaType.OCI_MANIFEST,
        config=Descriptor(MediaType.OCI_CONFIG, config_digest, len(config_bytes)),
        layers=tuple(layers),
    )
    manifest_bytes = encode_document(manifest.to_json())
    manifest_digest = store.content.write_blob(manifest_bytes)
    descriptor = Descriptor(MediaType.OCI_MANIFEST, manifest_digest, len(manifest_bytes))
    unpack_layers(store, snapshots, config, layers)
    return store.register(descriptor, names, parent=parent, by=by)


def unpack_layers(
    store: ImageStore,
    snapshots: Snapshots,
    config: ImageConfig,
    layers: Sequence[Descriptor],
    *,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Unpack the layers of an image whose blobs are here, unless their snapshots exist.

    Raises:
        BadLayer: a layer is hostile or not what its diff id says.
    """
    diff_ids = config.rootfs.diff_ids
    blobs = [
        LayerBlob(_opener(store, layer.digest), diff_id, chain_id)
        for layer, diff_id, chain_id in zip(layers, diff_ids, chain_ids(diff_ids), strict=True)
    ]
    unpack_image(snapshots, blobs, progress=progress)


def _opener(store: ImageStore, digest: Digest) -> Callable[[], int]:
    return lambda: store.content.open_fd(digest)
