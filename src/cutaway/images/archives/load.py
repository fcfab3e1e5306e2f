"""``docker load``: images out of a tar, whichever tool wrote it.

Where both descriptions are there, Docker's ``manifest.json`` says which images and names, and the
OCI manifest of the same config is kept, so that the digest survives a save and a load.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from cutaway.errors import InvalidParameter
from cutaway.images.archives.members import Blob, Members, read_members
from cutaway.images.assemble import this_platform, unpack_layers
from cutaway.images.content import ContentStore
from cutaway.images.image import Image
from cutaway.images.snapshots import Snapshots
from cutaway.images.store import ImageStore
from cutaway.oci import (
    CONFIG_TYPES,
    Descriptor,
    Digest,
    Index,
    Manifest,
    MediaType,
    Reference,
    encode_document,
    parse_document,
    parse_image_config,
    parse_manifest,
)
from cutaway.oci.hashing import chain_ids

_IMAGE_NAME = "io.containerd.image.name"
_REF_NAME = "org.opencontainers.image.ref.name"
_MAX_IMAGES = 1000
_MAX_NESTED = 3
Progress = Callable[[dict[str, Any]], None]


@dataclass(frozen=True, slots=True)
class Loaded:
    """One line of the answer.

    Attributes:
        image: now in the store.
        reference: a name it got; None when the archive had none for it.
    """

    image: Image
    reference: Reference | None

    def __str__(self) -> str:
        if self.reference is None:
            return f"Loaded image ID: {self.image.id}"
        return f"Loaded image: {self.reference.familiar}"


@dataclass(frozen=True, slots=True)
class _Candidate:
    """An image that an archive describes: its manifest, not yet unpacked, and its names."""

    manifest: Descriptor
    names: tuple[Reference, ...]


def load_images(
    store: ImageStore,
    snapshots: Snapshots,
    read: Callable[[int], bytes],
    *,
    progress: Progress | None = None,
) -> list[Loaded]:
    """Load every image of an archive.

    Args:
        store: where they go.
        snapshots: where their layers go.
        read: the tar, compressed or not.
        progress: gets Docker's JSON progress messages.

    Returns:
        One entry for each name, or for an image without one.

    Raises:
        InvalidParameter: not an image archive, or one that contradicts itself. Images before the
            faulty one stay loaded.
        BadLayer: a layer is damaged or hostile. System: the disk is full.
    """
    with store.lease(discards=True) as pin:
        members = read_members(store.content, read, on_blob=_reporter(progress))
        loaded: list[Loaded] = []
        for candidate in _candidates(store.content, members):
            image = _register(store, snapshots, candidate, pin)
            names: Iterable[Reference | None] = candidate.names or (None,)
            loaded += [Loaded(image, name) for name in names]
    return loaded


def _register(
    store: ImageStore,
    snapshots: Snapshots,
    candidate: _Candidate,
    pin: Callable[[Iterable[str]], None],
) -> Image:
    manifest = parse_manifest(store.content.read(candidate.manifest.digest))
    if not isinstance(manifest, Manifest):
        raise InvalidParameter("invalid archive: an index where a manifest should be")
    config = parse_image_config(store.content.read(manifest.config.digest))
    diff_ids = config.rootfs.diff_ids
    if len(diff_ids) != len(manifest.layers):
        raise InvalidParameter(
            f"invalid manifest, layers length mismatch: expected {len(diff_ids)}, "
            f"got {len(manifest.layers)}"
        )
    pin(chain_ids(diff_ids))
    unpack_layers(store, snapshots, config, manifest.layers)
    return store.register(candidate.manifest, candidate.names, by="load")


def _candidates(content: ContentStore, members: Members) -> list[_Candidate]:
    """Return what the archive says it holds.

    Raises:
        InvalidParameter: nothing that says so.
    """
    described = list(_oci_manifests(content, members))
    if "manifest.json" in members.documents:
        by_config = {config: descriptor for descriptor, config in described}
        return _docker_candidates(content, members, by_config)
    if not described:
        raise InvalidParameter(
            "invalid archive: does not contain a manifest.json (docker save) "
            "or an index.json with a manifest (OCI layout)"
        )
    merged: dict[Digest, _Candidate] = {}
    for descriptor, _ in described:
        known = merged.get(descriptor.digest)
        names = (known.names if known else ()) + _annotated_names(descriptor)
        merged[descriptor.digest] = _Candidate(descriptor, names)
    return list(merged.values())


def _oci_manifests(content: ContentStore, members: Members) -> Iterable[tuple[Descriptor, Digest]]:
    """Yield descriptors of the manifests that an OCI layout lists, with their config's digest."""
    document = members.documents.get("index.json")
    if document is None:
        return
    index = parse_manifest(document)
    if not isinstance(index, Index) or len(index.manifests) > _MAX_IMAGES:
        raise InvalidParameter("invalid archive: index.json is not an index of images")
    for descriptor in index.manifests:
        found = _resolve_index(content, descriptor, _MAX_NESTED)
        if found is not None:
            yield found


def _resolve_index(
    content: ContentStore, descriptor: Descriptor, depth: int
) -> tuple[Descriptor, Digest] | None:
    """Follow an index to the manifest for this machine; None when that is not in the archive."""
    if descriptor.digest not in content or depth == 0:
        return None
    document = parse_manifest(content.read(descriptor.digest))
    if isinstance(document, Manifest):
        if document.config.media_type not in CONFIG_TYPES:
            return None  # a signature or an attestation, no image
        return descriptor, document.config.digest
    chosen = document.select(this_platform())
    if chosen is None and len(document.manifests) == 1:
        chosen = document.manifests[0]
    if chosen is None:
        return None
    inherited = chosen.with_annotations({**chosen.annotations, **descriptor.annotations})
    return _resolve_index(content, inherited, depth - 1)


def _annotated_names(descriptor: Descriptor) -> tuple[Reference, ...]:
    """Return the name that an OCI layout's annotations give; a bare tag is none."""
    name = descriptor.annotations.get(_IMAGE_NAME)
    reference = descriptor.annotations.get(_REF_NAME, "")
    if name is None and (":" in reference or "/" in reference):
        name = reference
    if name is None:
        return ()
    return (Reference.parse(name).with_default_tag(),)


def _docker_candidates(
    content: ContentStore, members: Members, by_config: dict[Digest, Descriptor]
) -> list[_Candidate]:
    entries = parse_document(members.documents["manifest.json"], "manifest.json")
    if not isinstance(entries, list) or len(entries) > _MAX_IMAGES:
        raise InvalidParameter("invalid archive: manifest.json is not a list of images")
    candidates = []
    for entry in entries:
        config_name, tags, layer_names = _docker_entry(entry)
        config = members.find(config_name).descriptor
        manifest = by_config.get(config.digest)
        if manifest is None:
            layers = [members.find(name) for name in layer_names]
            manifest = _write_manifest(content, config, layers)
        names = tuple(Reference.parse(tag).with_default_tag() for tag in tags)
        candidates.append(_Candidate(manifest, names))
    return candidates


def _docker_entry(entry: Any) -> tuple[str, list[str], list[str]]:
    if isinstance(entry, dict):
        config, tags, layers = (entry.get(k) for k in ("Config", "RepoTags", "Layers"))
        lists = ([] if tags is None else tags, [] if layers is None else layers)
        if isinstance(config, str) and all(
            isinstance(items, list) and all(isinstance(item, str) for item in items)
            for items in lists
        ):
            return config, *lists
    raise InvalidParameter("invalid archive: an entry of manifest.json lacks Config or Layers")


def _write_manifest(content: ContentStore, config: Descriptor, layers: list[Blob]) -> Descriptor:
    """Write the manifest that an archive without one implies."""
    manifest = Manifest(
        schema_version=2,
        media_type=MediaType.OCI_MANIFEST,
        config=Descriptor(MediaType.OCI_CONFIG, config.digest, config.size),
        layers=tuple(layer.descriptor for layer in layers),
    )
    data = encode_document(manifest.to_json())
    return Descriptor(MediaType.OCI_MANIFEST, content.write_blob(data), len(data))


def _reporter(progress: Progress | None) -> Callable[[str, int, int], None] | None:
    if progress is None:
        return None

    def report(name: str, done: int, size: int) -> None:
        if size >= 1 << 20:
            progress(
                {
                    "status": "Loading layer",
                    "progressDetail": {"current": done, "total": size},
                    "id": name.removeprefix("blobs/sha256/")[:12],
                }
            )

    return report
