"""What an archive says it holds: by ``manifest.json`` (Docker's), ``index.json`` (OCI's), or both.

Where both are there, Docker's says which images and names, and the OCI manifest of the same config
is kept, so that the digest survives a save and a load. An index that is whole in the archive is
kept whole under its name.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from cutaway.errors import InvalidParameter, NotFound
from cutaway.images.archives.members import Blob, Members
from cutaway.images.assemble import this_platform
from cutaway.images.content import ContentStore
from cutaway.images.whole_index import is_image, is_whole
from cutaway.oci import (
    CONFIG_TYPES,
    Descriptor,
    Digest,
    Index,
    Manifest,
    MediaType,
    Platform,
    Reference,
    encode_document,
    parse_document,
    parse_image_config,
    parse_manifest,
)

_IMAGE_NAME = "io.containerd.image.name"
_REF_NAME = "org.opencontainers.image.ref.name"
_MAX_IMAGES = 1000
_MAX_NESTED = 3


@dataclass(frozen=True, slots=True)
class Candidate:
    """An image that an archive describes, not yet unpacked.

    Attributes:
        manifest: its descriptor.
        names: what the archive calls it.
        index: the whole index that the names stand for; None: this image alone.
    """

    manifest: Descriptor
    names: tuple[Reference, ...]
    index: Descriptor | None = None


@dataclass(frozen=True, slots=True)
class _Listed:
    """What an entry of an OCI layout comes to.

    Attributes:
        manifest: of the image to unpack; its annotations are the entry's.
        configs: the image ids of all members of the entry.
        index: as a candidate's.
    """

    manifest: Descriptor
    configs: frozenset[Digest]
    index: Descriptor | None = None


def find_candidates(
    content: ContentStore, members: Members, platforms: Sequence[Platform] = ()
) -> list[Candidate]:
    """Return the images of an archive.

    Args:
        content: has the archive's blobs.
        members: the archive's files.
        platforms: only images for these; none: all.

    Raises:
        InvalidParameter: the archive does not say, or contradicts itself.
        NotFound: it has no image for the platforms.
    """
    listed = list(_list_layout(content, members, platforms))
    if "manifest.json" in members.documents:
        candidates = _docker_candidates(content, members, listed)
    elif listed:
        candidates = _layout_candidates(listed)
    elif not platforms:
        raise InvalidParameter(
            "invalid archive: does not contain a manifest.json (docker save) "
            "or an index.json with a manifest (OCI layout)"
        )
    else:
        candidates = []
    return _filtered(content, candidates, platforms) if platforms else candidates


def _filtered(
    content: ContentStore, candidates: Iterable[Candidate], platforms: Sequence[Platform]
) -> list[Candidate]:
    found = [c for c in candidates if _is_for(content, c.manifest, platforms)]
    if not found:
        wanted = ", ".join(str(platform) for platform in platforms)
        raise NotFound(f"requested platform ({wanted}) not found: image might be filtered out")
    return found


def _is_for(content: ContentStore, descriptor: Descriptor, platforms: Sequence[Platform]) -> bool:
    manifest = parse_manifest(content.read(descriptor.digest))
    if not isinstance(manifest, Manifest):
        return False
    own = parse_image_config(content.read(manifest.config.digest)).platform
    return any(platform.matches(own) for platform in platforms)


def _list_layout(
    content: ContentStore, members: Members, platforms: Sequence[Platform]
) -> Iterator[_Listed]:
    document = members.documents.get("index.json")
    if document is None:
        return
    index = parse_manifest(document)
    if not isinstance(index, Index) or len(index.manifests) > _MAX_IMAGES:
        raise InvalidParameter("invalid archive: index.json is not an index of images")
    for descriptor in index.manifests:
        found = _follow(content, descriptor, platforms)
        if found is not None:
            yield found


def _follow(
    content: ContentStore,
    descriptor: Descriptor,
    platforms: Sequence[Platform],
    depth: int = _MAX_NESTED,
) -> _Listed | None:
    """Follow an entry to the image for this machine; None when that is not in the archive."""
    if descriptor.digest not in content or depth == 0:
        return None
    document = parse_manifest(content.read(descriptor.digest))
    if isinstance(document, Manifest):
        if document.config.media_type not in CONFIG_TYPES:
            return None  # a signature or an attestation, no image
        return _Listed(descriptor, frozenset((document.config.digest,)))
    here = _narrowed(content, document, platforms)
    chosen = here.select(this_platform()) or next(iter(here.manifests), None)
    if chosen is None:
        return None
    inherited = chosen.with_annotations({**chosen.annotations, **descriptor.annotations})
    found = _follow(content, inherited, platforms, depth - 1)
    if found is None:
        return None
    everything = (_follow(content, member, (), depth - 1) for member in document.manifests)
    configs = frozenset().union(*(one.configs for one in everything if one is not None))
    return _Listed(found.manifest, configs, _index(content, descriptor, here, platforms))


def _narrowed(content: ContentStore, index: Index, platforms: Sequence[Platform]) -> Index:
    """Return an index with the images that are in the archive and wanted."""
    members = (m for m in index.manifests if m.digest in content and is_image(m))
    if platforms:
        exact = (index.select_exactly(platform) for platform in platforms)
        wanted = {member.digest for member in exact if member is not None}
        members = (m for m in members if m.digest in wanted)
    return replace(index, manifests=tuple(members))


def _index(
    content: ContentStore, whole: Descriptor, here: Index, platforms: Sequence[Platform]
) -> Descriptor | None:
    """Return the index to keep: the archive's if all is there, or one of several platforms."""
    if not platforms:
        return whole if is_whole(content, whole.digest) else None
    if len(here.manifests) < 2:
        return None
    smaller = encode_document(here.to_json())
    kept = Descriptor(whole.media_type, content.write_blob(smaller), len(smaller))
    return kept if is_whole(content, kept.digest) else None


def _layout_candidates(listed: Iterable[_Listed]) -> list[Candidate]:
    merged: dict[Digest, Candidate] = {}
    for one in listed:
        key = (one.index or one.manifest).digest
        known = merged.get(key)
        names = (known.names if known else ()) + _annotated_names(one.manifest)
        merged[key] = Candidate(one.manifest, names, one.index)
    return list(merged.values())


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
    content: ContentStore, members: Members, listed: Iterable[_Listed]
) -> list[Candidate]:
    entries = parse_document(members.documents["manifest.json"], "manifest.json")
    if not isinstance(entries, list) or len(entries) > _MAX_IMAGES:
        raise InvalidParameter("invalid archive: manifest.json is not a list of images")
    by_config = {config: one for one in listed for config in one.configs}
    candidates = []
    for entry in entries:
        config_name, tags, layer_names = _docker_entry(entry)
        config = members.find(config_name).descriptor
        names = tuple(Reference.parse(tag).with_default_tag() for tag in tags)
        one = by_config.get(config.digest)
        if one is not None:
            candidates.append(Candidate(one.manifest, names, one.index))
            continue
        layers = [members.find(name) for name in layer_names]
        candidates.append(Candidate(_write_manifest(content, config, layers), names))
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
