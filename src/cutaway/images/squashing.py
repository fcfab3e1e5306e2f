"""``cutaway image squash [--keep BASE] IMAGE``: the layers above a base made one.

What is gained is what lower layers held only for a higher one to delete or replace it. What is
lost is told too: the new layer is shared with nobody.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from cutaway.errors import InvalidParameter
from cutaway.images.assemble import assemble_image
from cutaway.images.image import Image, ImageDamaged
from cutaway.images.snapshots import Snapshots
from cutaway.images.store import ImageStore
from cutaway.images.trees.squash import squash_layers
from cutaway.oci import Digest, History, ImageConfig, Reference, RootFS


@dataclass(frozen=True, slots=True)
class LostSharing:
    """Another image here that has some of the squashed layers.

    Attributes:
        name: a name of it, or its id.
        size_bytes: of the layers that it had in common with the squashed image.
    """

    name: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class SquashReport:
    """What a squash made, gained and lost.

    Attributes:
        image_id: the new image.
        old_id: the image that was squashed; it stays while it has a name.
        layers_before: of the old image.
        layers_after: of the new one.
        size_before_bytes: what the old image's layers take unpacked.
        size_after_bytes: likewise the new one's.
        merged_steps: steps of the history that are now one layer.
        lost_sharing: images here that shared squashed layers: those bytes are kept twice now.
        pull_again_bytes: what who has the old image must fetch of the new one.
        lost_cache_steps: cached steps of builds here whose layers the new image doesn't have.
    """

    image_id: Digest
    old_id: Digest
    layers_before: int
    layers_after: int
    size_before_bytes: int
    size_after_bytes: int
    merged_steps: tuple[str, ...]
    lost_sharing: tuple[LostSharing, ...]
    pull_again_bytes: int
    lost_cache_steps: int


def squash_image(
    store: ImageStore,
    snapshots: Snapshots,
    image: Image,
    *,
    keep: Image | None = None,
    name: Reference | None = None,
) -> SquashReport:
    """Make a new image whose layers above a base are one; squashing twice gives the same image.

    Args:
        store: where it is.
        snapshots: where its layers are.
        image: what to squash.
        keep: the base whose layers stay as they are; None squashes all.
        name: the new image's name; None leaves it without one.

    Raises:
        InvalidParameter: the image is not built on ``keep``, or has nothing to squash above it.
        ImageDamaged: it can't be read. BadLayer: a layer can't be merged.
        System: the disk is full.
    """
    if image.damage:
        raise ImageDamaged(image.id, image.damage)
    kept = count_kept(image, keep)
    names = () if name is None else (name,)
    with store.lease(discards=True) as pin:
        pin(image.chain_ids)
        merged, diff_id = squash_layers(store, image.layers[kept:], keeps_whiteouts=kept > 0)
        config, steps = squashed_config(image.config, kept, diff_id)
        layers = (*image.layers[:kept], merged)
        made = assemble_image(store, snapshots, config, layers, names=names, by="squash")
    return SquashReport(
        image_id=made.id,
        old_id=image.id,
        layers_before=len(image.layers),
        layers_after=len(layers),
        size_before_bytes=store.size_bytes(image),
        size_after_bytes=store.size_bytes(made),
        merged_steps=steps,
        lost_sharing=tuple(_lost_sharing(store, image, made, kept)),
        pull_again_bytes=merged.size,
        lost_cache_steps=_count_cached(store, image.chain_ids[kept:]),
    )


def count_kept(image: Image, keep: Image | None) -> int:
    """Return how many layers stay.

    Raises:
        InvalidParameter: as ``squash_image``.
    """
    base = keep.chain_ids if keep is not None else ()
    if image.chain_ids[: len(base)] != base:
        shown = keep.names[0].familiar if keep and keep.names else keep and keep.id.short
        raise InvalidParameter(
            f"{image.id.short} is not built on {shown}: its lowest {len(base)} layers are others"
        )
    if len(image.layers) - len(base) < 2:
        raise InvalidParameter(
            f"nothing to squash: {image.id.short} has {len(image.layers) - len(base)} layers "
            "above what is kept"
        )
    return len(base)


def squashed_config(
    config: ImageConfig, kept: int, diff_id: Digest
) -> tuple[ImageConfig, tuple[str, ...]]:
    """Return the new image's config, and the steps that became one layer.

    The history of the layers that stay is kept; what came after is one step that tells its steps.
    """
    count, cut = 0, 0
    for position, step in enumerate(config.history):
        if not step.empty_layer:
            count += 1
        if count > kept:
            cut = position
            break
    squashed = config.history[cut:]
    steps = tuple(step.created_by for step in squashed if not step.empty_layer)
    one = History(
        created=config.created,
        created_by="cutaway image squash",
        comment=f"squashed {len(config.rootfs.diff_ids) - kept} layers",
    )
    silent = tuple(step for step in squashed if step.empty_layer)
    diff_ids = (*config.rootfs.diff_ids[:kept], diff_id)
    return replace(
        config,
        rootfs=RootFS("layers", diff_ids),
        history=(*config.history[:cut], one, *silent) if config.history else (),
    ), steps


def _lost_sharing(store: ImageStore, old: Image, new: Image, kept: int) -> Sequence[LostSharing]:
    squashed = set(old.chain_ids[kept:])
    found = []
    for other in store.list():
        common = squashed & set(other.chain_ids)
        if common and other.id not in (old.id, new.id):
            size = sum(store.snapshots.usage(chain).size_bytes for chain in common)
            name = other.names[0].familiar if other.names else other.id.short
            found.append(LostSharing(name, size))
    return found


def _count_cached(store: ImageStore, squashed: Sequence[Digest]) -> int:
    cached: set[str] = set()
    for keeper in store.keepers:
        cached.update(keeper()[1])
    return len(cached.intersection(squashed))
