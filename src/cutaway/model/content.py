"""OCI's descriptor and platform as the Engine API shows them.

The types that the content store works with are in ``cutaway.oci``; these are their shadows in
answers. Names on the wire are the OCI's own.

Source: Engine API ``OCIDescriptor``, ``OCIPlatform``; image-spec descriptor.md.
"""

from cutaway.model.base import Int64, LowerModel, Model, always, named


class OCIPlatform(LowerModel):
    """Which machine an image is for: ``linux/arm64/v8``."""

    architecture: str = always("")
    os: str = always("")
    os_version: str = named("", name="os.version")
    os_features: tuple[str, ...] | None = named(None, name="os.features")
    variant: str = ""


class OCIDescriptor(LowerModel):
    """A blob by media type, digest and size."""

    media_type: str = always("", name="mediaType")
    digest: str = always("")
    size: Int64 = always(0)
    urls: tuple[str, ...] | None = None
    annotations: dict[str, str] | None = None
    data: str = ""
    platform: OCIPlatform | None = None
    artifact_type: str = named("", name="artifactType")


class DistributionInspect(Model):
    """What a registry says about a reference, without pulling it."""

    descriptor: OCIDescriptor = always(OCIDescriptor())
    platforms: tuple[OCIPlatform, ...] | None = always(None)
