"""``docker save``: images as one tar that is Docker's archive and an OCI layout at once."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from cutaway.errors import InvalidParameter
from cutaway.images.image import Image, NoSuchImage
from cutaway.images.layers import tar_header as tar
from cutaway.images.layers.tar_read import Entry
from cutaway.images.layers.tar_write import TarWriter
from cutaway.images.store import ImageStore
from cutaway.oci import Descriptor, Digest, Manifest, Reference, encode_document

_READ_SIZE = 1 << 20
_IMAGE_NAME = "io.containerd.image.name"
_REF_NAME = "org.opencontainers.image.ref.name"


@dataclass(slots=True)
class _Selected:
    """An image to save and the names that go with it; none when it was asked for by id."""

    image: Image
    manifest: Manifest
    names: list[Reference] = field(default_factory=list)


def save_images(
    store: ImageStore, names: Sequence[str], write: Callable[[bytes | memoryview], Any]
) -> None:
    """Write images as a tar.

    Args:
        store: where they are.
        names: ``busybox`` (all its tags), ``busybox:1``, an id; each image is written once.
        write: takes the tar piece by piece.

    Raises:
        NoSuchImage, ImageDamaged: before anything was written.
        InvalidParameter: no name was given.
    """
    if not names:
        raise InvalidParameter("no image was given to save")
    with store.lease():
        selected = list(_select(store, names))
        blobs = _blobs(store, selected)
        writer = TarWriter(write)
        _write_documents(writer, selected)
        _add_directory(writer, "blobs/")
        for algorithm in sorted({digest.algorithm for digest in blobs}):
            _add_directory(writer, f"blobs/{algorithm}/")
        for digest in sorted(blobs):
            _add_blob(writer, store, digest, blobs[digest])
        writer.close()


def _select(store: ImageStore, names: Iterable[str]) -> Iterable[_Selected]:
    selected: dict[Digest, _Selected] = {}
    for name in names:
        for image, reference in _matches(store, name):
            known = selected.get(image.id)
            if known is None:
                known = selected[image.id] = _Selected(image, store.read_manifest(image))
            if reference is not None and reference not in known.names:
                known.names.append(reference)
    return selected.values()


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


def _blobs(store: ImageStore, selected: Iterable[_Selected]) -> dict[Digest, int]:
    """Return digest and size of all blobs; a missing one is an error before the first byte."""
    blobs: dict[Digest, int] = {}
    for item in selected:
        manifest = item.manifest
        for descriptor in (item.image.manifest, manifest.config, *manifest.layers):
            blobs[descriptor.digest] = store.content.size(descriptor.digest)
    return blobs


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
        return [item.image.manifest]
    return [
        item.image.manifest.with_annotations(
            {_IMAGE_NAME: str(name), _REF_NAME: name.tag or "latest"}
        )
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
