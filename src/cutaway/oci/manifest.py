"""Image manifests and indexes, OCI's and Docker's: what a registry answers for a name."""

from dataclasses import dataclass, field
from typing import Any

from cutaway.errors import InvalidParameter
from cutaway.oci.codec import JsonObject, parse_document
from cutaway.oci.descriptor import INDEX_TYPES, MANIFEST_TYPES, Descriptor, MediaType
from cutaway.oci.platform import Platform

MAX_LAYERS = 1000

# Documents without mediaType exist (it was optional in OCI 1.0): the key then says which it is.
_DISTINCTIVE_KEYS = ("manifests", "config", "layers", "fslayers")


@dataclass(frozen=True, slots=True)
class Manifest(JsonObject):
    """One image: its config and its layers, lowest first.

    Attributes:
        config: descriptor of the image config; its digest is Docker's image id.
        layers: compressed or not, as their media types say.
        media_type: OCI's or Docker's; empty when the document doesn't say.
        schema_version: always 2.
        artifact_type: when this is no container image.
        subject: the manifest that this one refers to (signatures, SBOMs).
        annotations: free text.

    Source: image-spec manifest.md; distribution manifest-v2-2.md.
    """

    schema_version: int = field(kw_only=True)
    media_type: str = field(default="", kw_only=True)
    config: Descriptor
    layers: tuple[Descriptor, ...]
    artifact_type: str = ""
    subject: Descriptor | None = None
    annotations: dict[str, str] = field(default_factory=dict)

    def validate(self, path: str) -> None:
        """Refuse another schema version and more layers than any kernel can stack."""
        _check_version(self.schema_version)
        if len(self.layers) > MAX_LAYERS:
            raise InvalidParameter(
                f"manifest has {len(self.layers)} layers, more than the {MAX_LAYERS} allowed"
            )


@dataclass(frozen=True, slots=True)
class Index(JsonObject):
    """Several manifests under one name, one for each platform.

    Attributes:
        manifests: in the order of preference when several match.
        media_type: OCI's index or Docker's manifest list; empty when the document doesn't say.
        schema_version: always 2.
        artifact_type: when these are no container images.
        subject: the manifest that this index refers to.
        annotations: free text.

    Source: image-spec image-index.md; distribution manifest-v2-2.md "Manifest List".
    """

    schema_version: int = field(kw_only=True)
    media_type: str = field(default="", kw_only=True)
    manifests: tuple[Descriptor, ...]
    artifact_type: str = ""
    subject: Descriptor | None = None
    annotations: dict[str, str] = field(default_factory=dict)

    def validate(self, path: str) -> None:
        """Refuse another schema version."""
        _check_version(self.schema_version)

    def select(self, platform: Platform) -> Descriptor | None:
        """Return the manifest to use on ``platform``: the best match, the first among equals.

        Attestations (platform ``unknown/unknown``) are never chosen.
        """
        for wanted in platform.runnable():
            for descriptor in self.manifests:
                if descriptor.platform is not None and descriptor.platform.matches(wanted):
                    return descriptor
        return None

    def select_exactly(self, platform: Platform) -> Descriptor | None:
        """Return the first manifest whose platform is ``platform`` itself."""
        for descriptor in self.manifests:
            if descriptor.platform is not None and descriptor.platform.matches(platform):
                return descriptor
        return None


def parse_manifest(data: bytes, content_type: str = "") -> Manifest | Index:
    """Read a manifest or an index from a registry's answer or a blob.

    Args:
        data: the document's bytes.
        content_type: the header or the descriptor that announced it; empty when nothing did.

    Raises:
        InvalidParameter: not JSON; both manifest and index (CVE-2021-41190: two readers could see
            two images under one digest); the media type inside differs from the one announced;
            a schema 1 manifest; or a field is wrong.
    """
    document = parse_document(data, "manifest")
    if not isinstance(document, dict):
        raise InvalidParameter("manifest: expected an object")
    announced = content_type.partition(";")[0].strip()
    inner = document.get("mediaType") or ""
    if not isinstance(inner, str):
        raise InvalidParameter(f"mediaType: expected a string, got {inner!r:.60}")
    _refuse_schema1(document, announced)
    # Go matches keys without regard to case: "Layers" beside "manifests" is as ambiguous.
    keys = {key.lower() for key in document} & set(_DISTINCTIVE_KEYS)
    if "manifests" in keys and len(keys) > 1:
        raise InvalidParameter(
            "manifest is ambiguous: it is both an image manifest and an index; refused"
        )
    known = INDEX_TYPES | MANIFEST_TYPES
    if inner and announced in known and inner != announced:
        raise InvalidParameter(
            f"manifest mediaType {inner!r} differs from the announced type {announced!r}"
        )
    media_type = inner or (announced if announced in known else "")
    is_index = media_type in INDEX_TYPES or (not media_type and "manifests" in keys)
    if media_type and media_type not in known:
        raise InvalidParameter(f"unsupported manifest media type {media_type!r}")
    if is_index and keys & {"config", "layers"} or not is_index and "manifests" in keys:
        raise InvalidParameter(f"manifest content does not fit its media type {media_type!r}")
    return (Index if is_index else Manifest).from_json(document)


def _refuse_schema1(document: dict[str, Any], announced: str) -> None:
    schema1 = (MediaType.DOCKER_SCHEMA1, MediaType.DOCKER_SCHEMA1_SIGNED)
    if announced in schema1 or document.get("schemaVersion") == 1:
        raise InvalidParameter(
            "Docker Image Format v1 and Docker Image manifest version 2, schema 1 are not "
            "supported: ask the image's author to push it again in OCI format"
        )


def _check_version(version: int) -> None:
    if version != 2:
        raise InvalidParameter(f"schemaVersion: expected 2, got {version}")
