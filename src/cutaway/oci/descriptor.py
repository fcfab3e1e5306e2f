"""Descriptors: what a piece of content is, how long, and its digest; and the media types."""

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Self

from cutaway.errors import InvalidParameter
from cutaway.oci.codec import Int64, JsonObject
from cutaway.oci.digest import Digest
from cutaway.oci.platform import Platform


class MediaType(StrEnum):
    """The media types of images, Docker's and OCI's.

    Source: image-spec media-types.md; distribution manifest-v2-2.md.
    """

    OCI_INDEX = "application/vnd.oci.image.index.v1+json"
    OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
    OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
    OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
    OCI_LAYER_GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"
    OCI_LAYER_ZSTD = "application/vnd.oci.image.layer.v1.tar+zstd"
    OCI_EMPTY = "application/vnd.oci.empty.v1+json"
    DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
    DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
    DOCKER_SCHEMA1 = "application/vnd.docker.distribution.manifest.v1+json"
    DOCKER_SCHEMA1_SIGNED = "application/vnd.docker.distribution.manifest.v1+prettyjws"
    DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
    DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar"
    DOCKER_LAYER_GZIP = "application/vnd.docker.image.rootfs.diff.tar.gzip"
    DOCKER_LAYER_ZSTD = "application/vnd.docker.image.rootfs.diff.tar.zstd"
    DOCKER_FOREIGN_LAYER_GZIP = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
    OCI_FOREIGN_LAYER = "application/vnd.oci.image.layer.nondistributable.v1.tar"
    OCI_FOREIGN_LAYER_GZIP = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"
    OCI_FOREIGN_LAYER_ZSTD = "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd"


INDEX_TYPES = frozenset({MediaType.OCI_INDEX, MediaType.DOCKER_INDEX})
MANIFEST_TYPES = frozenset({MediaType.OCI_MANIFEST, MediaType.DOCKER_MANIFEST})
CONFIG_TYPES = frozenset({MediaType.OCI_CONFIG, MediaType.DOCKER_CONFIG})
FOREIGN_LAYER_TYPES = frozenset(
    {
        MediaType.DOCKER_FOREIGN_LAYER_GZIP,
        MediaType.OCI_FOREIGN_LAYER,
        MediaType.OCI_FOREIGN_LAYER_GZIP,
        MediaType.OCI_FOREIGN_LAYER_ZSTD,
    }
)
LAYER_TYPES = FOREIGN_LAYER_TYPES | {
    MediaType.OCI_LAYER,
    MediaType.OCI_LAYER_GZIP,
    MediaType.OCI_LAYER_ZSTD,
    MediaType.DOCKER_LAYER,
    MediaType.DOCKER_LAYER_GZIP,
    MediaType.DOCKER_LAYER_ZSTD,
}


@dataclass(frozen=True, slots=True)
class Descriptor(JsonObject):
    """A pointer to content that says how to verify it.

    Attributes:
        media_type: what the content is.
        digest: of the bytes.
        size: of the bytes; a reader stops there, and anything shorter or longer is a lie.
        urls: other places to fetch it from; kept, never followed (CVE-2020-15157).
        annotations: free text.
        data: the content itself in base64, if small.
        artifact_type: of the manifest pointed to.
        platform: in an index, what the manifest's image runs on.

    Source: image-spec descriptor.md.
    """

    media_type: str
    digest: Digest
    size: Int64
    urls: tuple[str, ...] = ()
    annotations: dict[str, str] = field(default_factory=dict)
    data: str = ""
    artifact_type: str = ""
    platform: Platform | None = None

    def validate(self, path: str) -> None:
        """Refuse a negative size."""
        if self.size < 0:
            raise InvalidParameter(f"{path}.size: negative: {self.size}")

    def with_annotations(self, annotations: dict[str, str]) -> Self:
        """Return the same descriptor with ``annotations`` in place of its own."""
        return replace(self, annotations=annotations)
