"""Images in Docker's words: inspect, list and its filters, history."""

import os
import re
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from fnmatch import translate

from msgspec.structs import replace

from cutaway.engine.showing.inspection import STORAGE_DRIVER
from cutaway.engine.showing.listing import truth
from cutaway.engine.units import parse_time_ns
from cutaway.errors import CutawayError
from cutaway.images.image import Image
from cutaway.images.removal import ImageUser
from cutaway.images.snapshots import Snapshots
from cutaway.images.store import ImageStore
from cutaway.images.variants import variants
from cutaway.model import (
    ContainerConfig,
    DriverData,
    HealthConfig,
    ImageConfig,
    ImageHistoryItem,
    ImageInspect,
    ImageListOptions,
    ImageManifestSummary,
    ImageMetadata,
    ImageSummary,
    ManifestImageData,
    ManifestSize,
    OCIDescriptor,
    OCIPlatform,
    RootFS,
    UnpackedSize,
)
from cutaway.model.base import ZERO_TIME
from cutaway.oci import ContainerDefaults
from cutaway.oci import ImageConfig as OCIImageConfig


def created_ns(image: Image) -> int:
    """Return when the image says it was made; 0 when it does not say."""
    return parse_created(image.created)


def parse_created(text: str) -> int:
    """Read RFC 3339 as nanoseconds since the epoch; 0 for anything else."""
    try:
        return int(datetime.fromisoformat(text).timestamp() * 1_000_000_000)
    except (ValueError, OverflowError):
        return 0


def describe_config(defaults: ContainerDefaults) -> ImageConfig:
    """Return the defaults of a container as the API shows them."""
    check = defaults.healthcheck
    return ImageConfig(
        user=defaults.user,
        exposed_ports=defaults.exposed_ports or None,
        env=defaults.env or None,
        cmd=defaults.cmd,
        healthcheck=None if check is None else _describe_health(defaults),
        args_escaped=defaults.args_escaped,
        volumes=defaults.volumes or None,
        working_dir=defaults.working_dir,
        entrypoint=defaults.entrypoint,
        on_build=defaults.on_build or None,
        labels=defaults.labels or None,
        stop_signal=defaults.stop_signal,
        shell=defaults.shell or None,
    )


def _describe_health(defaults: ContainerDefaults) -> HealthConfig | None:
    check = defaults.healthcheck
    if check is None:
        return None
    return HealthConfig(
        test=check.test or None,
        interval=check.interval,
        timeout=check.timeout,
        start_period=check.start_period,
        start_interval=check.start_interval,
        retries=check.retries,
    )


def describe_names(image: Image) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the familiar tags and repo digests."""
    tags = tuple(name.familiar for name in image.names)
    return tags, tuple(name.familiar for name in image.repo_digests)


def describe_descriptor(image: Image) -> OCIDescriptor:
    """Return the manifest's descriptor."""
    return OCIDescriptor(
        media_type=str(image.manifest.media_type),
        digest=str(image.manifest.digest),
        size=image.manifest.size,
    )


def inspect_image(
    store: ImageStore, snapshots: Snapshots, image: Image, *, manifests: bool
) -> ImageInspect:
    """Tell all about one image."""
    config = image.config
    tags, digests = describe_names(image)
    return ImageInspect(
        id=str(image.id),
        repo_tags=tags,
        repo_digests=digests,
        parent=str(image.parent or ""),
        comment=config.comment or (config.history[-1].comment if config.history else ""),
        created=config.created,
        container=config.container,
        container_config=_old_config(config),
        docker_version=config.docker_version,
        author=config.author,
        config=describe_config(config.config),
        architecture=config.architecture,
        variant=config.variant,
        os=config.os,
        os_version=config.os_version,
        size=store.size_bytes(image),
        graph_driver=describe_layers(snapshots, image),
        root_fs=RootFS(type="layers", layers=tuple(str(d) for d in config.rootfs.diff_ids)),
        metadata=ImageMetadata(last_tag_time=image.tagged_at or ZERO_TIME),
        descriptor=describe_descriptor(image),
        manifests=describe_manifests(store, image, ()) if manifests else None,
    )


def _old_config(config: OCIImageConfig) -> ContainerConfig:
    """Return what API versions below 1.45 show of the step that made the image."""
    old = config.container_config
    return ContainerConfig(
        hostname=str(old.get("Hostname") or ""),
        image=str(old.get("Image") or ""),
        cmd=tuple(old.get("Cmd") or ()) or None,
        env=tuple(old.get("Env") or ()) or None,
        entrypoint=tuple(old.get("Entrypoint") or ()) or None,
        working_dir=str(old.get("WorkingDir") or ""),
        user=str(old.get("User") or ""),
        labels=old.get("Labels") or None,
    )


def describe_layers(snapshots: Snapshots, image: Image) -> DriverData:
    """Return the directories of an image's layers as the overlay driver tells them."""
    data: dict[str, str] = {}
    if image.chain_id is not None and image.chain_id in snapshots:
        upper = snapshots.directory(image.chain_id)
        snapshot = os.path.dirname(upper)
        data["UpperDir"] = upper
        data["MergedDir"] = f"{snapshot}/merged"
        data["WorkDir"] = f"{snapshot}/work"
        lower = [snapshots.directory(chain) for chain in reversed(image.chain_ids[:-1])]
        if lower:
            data["LowerDir"] = ":".join(lower)
    return DriverData(name=STORAGE_DRIVER, data=data)


def describe_manifests(
    store: ImageStore, image: Image, users: Iterable[ImageUser]
) -> tuple[ImageManifestSummary, ...]:
    """Return the manifests that are kept of an image: its own, or a whole index's."""
    return tuple(describe_manifest(store, one, users) for one in variants(store, image))


def describe_manifest(
    store: ImageStore, image: Image, users: Iterable[ImageUser]
) -> ImageManifestSummary:
    """Return one manifest of an image."""
    platform = image.platform
    size = store.size_bytes(image)
    return ImageManifestSummary(
        id=str(image.manifest.digest),
        descriptor=describe_descriptor(image),
        available=store.is_unpacked(image),
        kind="image",
        size=ManifestSize(total=size + image.download_bytes, content=image.download_bytes),
        image_data=ManifestImageData(
            platform=OCIPlatform(
                architecture=platform.architecture, os=platform.os, variant=platform.variant
            ),
            containers=tuple(u.container_id for u in users if u.image_id == image.id),
            size=UnpackedSize(unpacked=size),
        ),
    )


def describe_image(
    store: ImageStore, image: Image, options: ImageListOptions, users: Sequence[ImageUser]
) -> ImageSummary:
    """Return the image's line in the list."""
    tags, digests = describe_names(image)
    wanted = [re.compile(translate(value)) for value in options.filters.get("reference", ())]
    if wanted:  # an image found by a name is listed by the names that fit
        tags = tuple(
            tag
            for tag in tags
            if any(e.fullmatch(text) for e in wanted for text in (tag, tag.rpartition(":")[0]))
        )
    own = [user for user in users if user.image_id == image.id]
    return ImageSummary(
        id=str(image.id),
        parent_id=str(image.parent or ""),
        repo_tags=tags,
        repo_digests=digests,
        created=created_ns(image) // 1_000_000_000,
        size=store.size_bytes(image),
        shared_size=shared_bytes(store, image) if options.shared_size else -1,
        labels=image.config.config.labels or None,
        containers=len(own),
        descriptor=describe_descriptor(image),
        manifests=describe_manifests(store, image, users) if options.manifests else None,
    )


def shared_bytes(store: ImageStore, image: Image) -> int:
    """Return the bytes of those of an image's layers that other images have too."""
    others = {c for other in store.list() if other.id != image.id for c in other.chain_ids}
    shared = [chain for chain in image.chain_ids if chain in others and chain in store.snapshots]
    return sum(store.snapshots.usage(chain).size_bytes for chain in shared)


def select_images(
    store: ImageStore, options: ImageListOptions, users: Sequence[ImageUser]
) -> list[Image]:
    """Return the images that a list shows.

    An image without names that is another's parent is an intermediate one: only with ``all``.

    Raises:
        InvalidParameter: a filter's value is none. NoSuchImage: of ``before`` and ``since``.
    """
    images = store.list()
    parents = {image.parent for image in images if image.parent is not None}
    chosen = [
        image for image in images if options.all or not (image.is_dangling and image.id in parents)
    ]
    for name, values in options.filters.items():
        predicate = _PREDICATES.get(name)
        if predicate is not None and values:
            chosen = predicate(store, chosen, values)
    return chosen


def _by_dangling(_: ImageStore, images: list[Image], values: Sequence[str]) -> list[Image]:
    wanted = truth("dangling", values[0])
    return [image for image in images if image.is_dangling is wanted]


def _by_label(_: ImageStore, images: list[Image], values: Sequence[str]) -> list[Image]:
    for value in values:
        key, separator, wanted = value.partition("=")
        images = [
            image
            for image in images
            if key in (labels := image.config.config.labels)
            and (not separator or labels[key] == wanted)
        ]
    return images


def _by_reference(_: ImageStore, images: list[Image], values: Sequence[str]) -> list[Image]:
    expressions = [re.compile(translate(value)) for value in values]

    def fits(image: Image) -> bool:
        texts = [n.familiar for n in (*image.names, *image.repo_digests)]
        texts += [n.familiar_name for n in image.names]
        return any(e.fullmatch(text) for e in expressions for text in texts)

    return [image for image in images if fits(image)]


def _by_time(later: bool) -> "Callable[[ImageStore, list[Image], Sequence[str]], list[Image]]":
    def select(store: ImageStore, images: list[Image], values: Sequence[str]) -> list[Image]:
        for value in values:
            limit = created_ns(store.find(value))
            images = [i for i in images if (created_ns(i) > limit) is later]
            images = [i for i in images if created_ns(i) != limit]
        return images

    return select


def _by_until(_: ImageStore, images: list[Image], values: Sequence[str]) -> list[Image]:
    for value in values:
        limit = parse_time_ns(value, now_ns=time.time_ns())
        images = [image for image in images if created_ns(image) < limit]
    return images


_PREDICATES: dict[str, Callable[[ImageStore, list[Image], Sequence[str]], list[Image]]] = {
    "dangling": _by_dangling,
    "label": _by_label,
    "reference": _by_reference,
    "before": _by_time(later=False),
    "since": _by_time(later=True),
    "until": _by_until,
}


def describe_history(store: ImageStore, image: Image) -> list[ImageHistoryItem]:
    """Return the steps that made an image, newest first."""
    chains = iter(image.chain_ids)
    items: list[ImageHistoryItem] = []
    for step in image.config.history:
        size = 0
        if not step.empty_layer:
            chain = next(chains, None)
            if chain is not None:
                size = _layer_bytes(store, chain)
        items.append(
            ImageHistoryItem(
                id="<missing>",
                created=parse_created(step.created) // 1_000_000_000,
                created_by=step.created_by,
                comment=step.comment,
                size=size,
            )
        )
    items.reverse()
    if items:
        tags, _ = describe_names(image)
        items[0] = replace(items[0], id=str(image.id), tags=tags or None)
    return items


def _layer_bytes(store: ImageStore, chain: str) -> int:
    try:
        size: int = store.snapshots.usage(chain).size_bytes
    except CutawayError:
        return 0
    return size
