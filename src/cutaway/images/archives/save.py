"""``docker save``: images as one tar that is Docker's archive and an OCI layout at once.

A name that stands for a whole index is saved whole: the layout lists the index, and Docker's
``manifest.json`` this machine's image of it.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from cutaway.errors import InvalidParameter
from cutaway.images.image import Image, NoSuchImage
from cutaway.images.layers import tar_header as tar
from cutaway.images.layers.tar_read import Entry
from cutaway.images.layers.tar_write import TarWriter
from cutaway.images.store import ImageStore
from cutaway.images.variants import find_variant
from cutaway.images.whole_index import needed_by_index
from cutaway.oci import (
    Descriptor,
    Digest,
    Index,
    Manifest,
    MediaType,
    Reference,
    encode_document,
)
from cutaway.oci.hashing import digest_of

_READ_SIZE = 1 << 20
_IMAGE_NAME = "io.containerd.image.name"
_REF_NAME = "org.opencontainers.image.ref.name"


@dataclass(slots=True)
class _Selected:
    """What to save.

    Attributes:
        image: as ``manifest.json`` tells it.
        manifest: the image's.
        top: what the layout lists: the manifest, or the index that the names stand for.
        blobs: everything below ``top``, and itself.
        index: the bytes of ``top`` when it was made for this archive.
        names: none when it was asked for by id.
    """

    image: Image
    manifest: Manifest
    top: Descriptor
    blobs: set[Digest]
    index: bytes = b""
    names: list[Reference] = field(default_factory=list)


def save_images(
    store: ImageStore,
    names: Sequence[str],
    write: Callable[[bytes | memoryview], Any],
    *,
    platforms: Sequence[str] = (),
) -> None:
    """Write images as a tar.

    Args:
        store: where they are.
        names: ``busybox`` (all its tags), ``busybox:1``, an id; each image is written once.
        write: takes the tar piece by piece.
        platforms: of names that stand for a whole index, save these only; of several, an index
            of just these is made.

    Raises:
        NoSuchImage, ImageDamaged: before anything was written.
        NotFound: an image is not here for one of the platforms.
        InvalidParameter: no name was given.
    """
    if not names:
        raise InvalidParameter("no image was given to save")
    with store.lease():
        selected = list(_select(store, names, platforms))
        made = {item.top.digest: item.index for item in selected if item.index}
        stored = set().union(*(item.blobs for item in selected)) - set(made)
        # A missing one is an error before the first byte.
        sizes = {digest: store.content.size(digest) for digest in stored}
        writer = TarWriter(write)
        _write_documents(writer, selected)
        _add_directory(writer, "blobs/")
        for algorithm in sorted({digest.algorithm for digest in (*sizes, *made)}):
            _add_directory(writer, f"blobs/{algorithm}/")
        for digest in sorted((*sizes, *made)):
            if digest in made:
                writer.add_file(_path(digest), made[digest])
            else:
                _add_blob(writer, store, digest, sizes[digest])
        writer.close()


def _select(
    store: ImageStore, names: Iterable[str], platforms: Sequence[str]
) -> Iterable[_Selected]:
    selected: dict[Digest, _Selected] = {}
    for name in names:
        for image, reference in _matches(store, name):
            if platforms:
                variants = [find_variant(store, image, name, one) for one in platforms]
                found = _for_platforms(store, variants)
            else:
                index = image.index if reference is None else store.index_of(reference)
                found = _whole(store, image, index)
            known = selected.setdefault(found.top.digest, found)
            if reference is not None and reference not in known.names:
                known.names.append(reference)
    return selected.values()


def _whole(store: ImageStore, image: Image, index: Descriptor | None) -> _Selected:
    manifest = store.read_manifest(image)
    if index is None:
        return _Selected(image, manifest, image.manifest, _blobs(image, manifest))
    return _Selected(image, manifest, index, needed_by_index(store.content, index.digest))


def _for_platforms(store: ImageStore, variants: Sequence[Image]) -> _Selected:
    """Select one image, or an index of several."""
    different = {image.manifest.digest: image for image in variants}.values()
    first, *others = (_whole(store, image, None) for image in different)
    if not others:
        return first
    members = tuple(replace(image.manifest, platform=image.platform) for image in different)
    index = Index(schema_version=2, media_type=MediaType.OCI_INDEX.value, manifests=members)
    data = encode_document(index.to_json())
    first.index = data
    first.top = Descriptor(MediaType.OCI_INDEX, digest_of(data), len(data))
    first.blobs = first.blobs.union({first.top.digest}, *(other.blobs for other in others))
    return first


def _matches(store: ImageStore, name: str) -> list[tuple[Image, Reference | None]]:
    """Return the images a name stands for, each with the reference to save it under."""
    try:
        reference = Reference.parse(name)
    except InvalidParameter:
        return [(store.resolve(name), None)]
    if reference.is_name_only:
        tagged: list[tuple[Image, Reference | None]] = [
            (image, tag)
            for image in store.list()
            for tag in image.names
            if tag.name == reference.name
        ]
        if tagged:
            return tagged
    image = store.find_name(reference.with_default_tag())
    if image is None:
        return [(store.resolve(name), None)]  # an id, or nothing at all
    if image.damage:
        store.resolve(name)
        raise NoSuchImage(name)
    return [(image, None if reference.digest else reference.with_default_tag())]


def _blobs(image: Image, manifest: Manifest) -> set[Digest]:
    layers = {layer.digest for layer in manifest.layers}
    return {image.manifest.digest, manifest.config.digest} | layers


def _write_documents(writer: TarWriter, selected: Sequence[_Selected]) -> None:
    writer.add_file("oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
    manifests = [descriptor for item in selected for descriptor in _index_entries(item)]
    index = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [descriptor.to_json() for descriptor in manifests],
    }
    writer.add_file("index.json", encode_document(index))
    writer.add_file("manifest.json", encode_document([_docker_entry(item) for item in selected]))
    writer.add_file("repositories", encode_document(_repositories(selected)))


def _index_entries(item: _Selected) -> Iterable[Descriptor]:
    if not item.names:
        return [item.top]
    return [
        item.top.with_annotations({_IMAGE_NAME: str(name), _REF_NAME: name.tag or "latest"})
        for name in item.names
    ]


def _docker_entry(item: _Selected) -> dict[str, Any]:
    layers = item.manifest.layers
    return {
        "Config": _path(item.manifest.config.digest),
        "RepoTags": [name.familiar for name in item.names] or None,
        "Layers": [_path(layer.digest) for layer in layers],
        "LayerSources": {
            diff_id: layer.to_json()
            for diff_id, layer in zip(item.image.config.rootfs.diff_ids, layers, strict=False)
        },
    }


def _repositories(selected: Iterable[_Selected]) -> dict[str, dict[str, str]]:
    """Return Docker's oldest table, name to tag to top layer: some readers still want it."""
    table: dict[str, dict[str, str]] = {}
    for item in selected:
        if not item.image.chain_id:
            continue
        for name in item.names:
            table.setdefault(name.familiar_name, {})[name.tag or ""] = item.image.chain_id.encoded
    return table


def _path(digest: Digest) -> str:
    return f"blobs/{digest.algorithm}/{digest.encoded}"


def _add_directory(writer: TarWriter, name: str) -> None:
    writer.add(Entry(name.encode(), tar.DIRECTORY, 0o755))


def _add_blob(writer: TarWriter, store: ImageStore, digest: Digest, size: int) -> None:
    with store.content.open(digest) as file:
        pieces = iter(lambda: file.read(_READ_SIZE), b"")
        writer.add(Entry(_path(digest).encode(), tar.REGULAR, 0o644, size=size), pieces)
