"""Images: inspect, list, history, removal.

Source: Engine API ``ImageInspect``, ``ImageSummary``, ``ImageHistoryResponseItem``.
"""

from typing import Any

from cutaway.model.base import Int64, LowerModel, Model, always
from cutaway.model.config import ContainerConfig, ImageConfig
from cutaway.model.content import OCIDescriptor, OCIPlatform
from cutaway.model.mount import DriverData


class RootFS(Model):
    """The diff ids of an image's layers, bottom first."""

    type: str = always("")
    layers: tuple[str, ...] | None = None


class ImageMetadata(Model):
    """What this engine knows about an image beside its content."""

    last_tag_time: str = always("0001-01-01T00:00:00Z")


class ManifestSize(Model):
    """Bytes of one manifest: all of it, and its blobs alone."""

    total: Int64 = always(0)
    content: Int64 = always(0)


class UnpackedSize(Model):
    """Bytes of the snapshots that an image is unpacked to."""

    unpacked: Int64 = always(0)


class ManifestImageData(Model):
    """What an image manifest in an index says."""

    platform: OCIPlatform = always(OCIPlatform())
    containers: tuple[str, ...] = always(())
    size: UnpackedSize = always(UnpackedSize())


class AttestationData(Model):
    """Which manifest an attestation is about: its digest."""

    subject: str = always("", name="For")


class ImageManifestSummary(Model):
    """One manifest of an index.

    Attributes:
        kind: ``image``, ``attestation``, ``unknown``.
        available: all its blobs are here.
    """

    id: str = always("", name="ID")
    descriptor: OCIDescriptor = always(OCIDescriptor())
    available: bool = always(False)
    size: ManifestSize = always(ManifestSize())
    kind: str = always("unknown")
    image_data: ManifestImageData | None = None
    attestation_data: AttestationData | None = None


class ImageInspect(Model):
    """All that is known about one image.

    Attributes:
        id: digest of its config.
        created: RFC 3339; empty when the image does not say.
        size: bytes of its unpacked layers.
        parent: id of the image it was built on by this engine; API versions up to 1.51 show it.
        container, container_config: of the build step that made it; only up to API 1.44.
        docker_version: of the engine that built it; only up to API 1.51.
        manifests: only when asked for.
    """

    id: str = always("")
    repo_tags: tuple[str, ...] = always(())
    repo_digests: tuple[str, ...] = always(())
    parent: str = ""
    comment: str = ""
    created: str = ""
    container: str = ""
    container_config: ContainerConfig | None = None
    docker_version: str = ""
    author: str = ""
    config: ImageConfig | None = always(None)
    architecture: str = always("")
    variant: str = ""
    os: str = always("")
    os_version: str = ""
    size: Int64 = always(0)
    graph_driver: DriverData | None = None
    root_fs: RootFS = always(RootFS(), name="RootFS")
    metadata: ImageMetadata = always(ImageMetadata())
    descriptor: OCIDescriptor | None = None
    manifests: tuple[ImageManifestSummary, ...] | None = None
    identity: dict[str, Any] | None = None


class ImageSummary(Model):
    """An image as ``GET /images/json`` lists it.

    Attributes:
        created: seconds since the epoch.
        containers: how many use it; -1: not counted.
        shared_size: bytes that other images hold too; -1: not computed.
    """

    containers: Int64 = always(-1)
    created: Int64 = always(0)
    id: str = always("")
    labels: dict[str, str] | None = always(None)
    parent_id: str = always("")
    descriptor: OCIDescriptor | None = None
    manifests: tuple[ImageManifestSummary, ...] | None = None
    repo_digests: tuple[str, ...] = always(())
    repo_tags: tuple[str, ...] = always(())
    shared_size: Int64 = always(-1)
    size: Int64 = always(0)


class ImageHistoryItem(Model):
    """One entry of an image's history, newest first; ``id`` is ``<missing>`` for most."""

    comment: str = always("")
    created: Int64 = always(0)
    created_by: str = always("")
    id: str = always("")
    size: Int64 = always(0)
    tags: tuple[str, ...] | None = always(None)


class ImageDeleteItem(Model):
    """One thing that removing an image did: a name taken away, or content deleted."""

    untagged: str = ""
    deleted: str = ""


class ImagePruneReport(Model):
    """What ``docker image prune`` removed, and the bytes that freed."""

    images_deleted: tuple[ImageDeleteItem, ...] | None = always(None)
    space_reclaimed: Int64 = always(0)


class ImageSearchResult(LowerModel):
    """One repository that a registry's search found."""

    star_count: Int64 = always(0)
    is_official: bool = always(False)
    name: str = always("")
    is_automated: bool = always(False)
    description: str = always("")


class AttestationStatement(Model):
    """One in-toto statement attached to an image (since API 1.55)."""

    descriptor: OCIDescriptor = always(OCIDescriptor())
    predicate_type: str = always("")
    statement: dict[str, Any] | None = None
