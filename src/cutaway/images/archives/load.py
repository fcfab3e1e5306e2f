"""``docker load``: images out of a tar, whichever tool wrote it."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from cutaway.errors import InvalidParameter
from cutaway.images.archives.candidates import Candidate, find_candidates
from cutaway.images.archives.members import read_members
from cutaway.images.assemble import unpack_layers
from cutaway.images.image import Image
from cutaway.images.layers.errors import BadLayer
from cutaway.images.snapshots import Snapshots
from cutaway.images.store import ImageStore
from cutaway.oci import Manifest, Platform, Reference, parse_image_config, parse_manifest
from cutaway.oci.hashing import chain_ids

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


def load_images(
    store: ImageStore,
    snapshots: Snapshots,
    read: Callable[[int], bytes],
    *,
    progress: Progress | None = None,
    platforms: Sequence[Platform] = (),
) -> list[Loaded]:
    """Load every image of an archive.

    Args:
        store: where they go.
        snapshots: where their layers go.
        read: the tar, compressed or not.
        progress: gets Docker's JSON progress messages.
        platforms: take images for these only.

    Returns:
        One entry for each name, or for an image without one.

    Raises:
        InvalidParameter: not an image archive, or one that contradicts itself. Images before the
            faulty one stay loaded.
        NotFound: the archive has no image for the platforms.
        BadLayer: a layer is damaged or hostile. System: the disk is full.
    """
    with store.lease(discards=True) as pin:
        try:
            members = read_members(store.content, read, on_blob=_reporter(progress))
        except BadLayer as error:
            reason = str(error).removeprefix("layer is damaged: ")
            raise InvalidParameter(
                f"invalid archive: this is no tar file, or a damaged one ({reason})"
            ) from error
        loaded: list[Loaded] = []
        for candidate in find_candidates(store.content, members, platforms):
            image = _register(store, snapshots, candidate, pin)
            names: Iterable[Reference | None] = candidate.names or (None,)
            loaded += [Loaded(image, name) for name in names]
    # Attestations, and images for other platforms than those wanted.
    store.discard_unneeded(blob.descriptor.digest for blob in members.blobs.values())
    return loaded


def _register(
    store: ImageStore,
    snapshots: Snapshots,
    candidate: Candidate,
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
    return store.register(candidate.manifest, candidate.names, index=candidate.index, by="load")


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
