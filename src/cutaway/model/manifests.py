"""What this engine tells of tags, manifest lists and its own content, and Docker does not."""

from typing import Any

from cutaway.model.base import Int64, Model, always


class TagMove(Model):
    """One change of what a tag means.

    Attributes:
        at: RFC 3339.
        old: id of the image it named before; empty when it is new.
        new: id of the image it names now; empty when it was removed.
        by: ``pull``, ``tag``, ``build``, ``load``, ``import``, ``rmi``, …
    """

    at: str = always("")
    old: str = always("")
    new: str = always("")
    by: str = always("")


class DamagedBlob(Model):
    """A blob that is not what its digest says, or that is not there.

    Attributes:
        quarantine: where it was moved; empty when it is missing.
        images: who needs it.
    """

    digest: str = always("")
    size: Int64 = always(0)
    quarantine: str = always("")
    images: tuple[str, ...] = always(())


class ImageCheck(Model):
    """The last message of ``POST /cutaway/check``: what was read, and what is wrong with it.

    Attributes:
        not_unpacked: images without their directories; pulling heals them.
    """

    checked: int = always(0)
    checked_bytes: Int64 = always(0)
    damaged: tuple[DamagedBlob, ...] = always(())
    missing: tuple[DamagedBlob, ...] = always(())
    not_unpacked: tuple[str, ...] = always(())


class ManifestMember(Model):
    """One image of a manifest list.

    Attributes:
        ref: the name it can be had by.
        descriptor: as the list has it.
        manifest: its own; None unless asked for.
    """

    ref: str = always("")
    descriptor: dict[str, Any] = always({})
    manifest: dict[str, Any] | None = None


class ManifestView(Model):
    """A manifest or a manifest list, as a registry has it or as it was drafted here.

    Attributes:
        document: the JSON itself.
        members: of a list; of a manifest, itself.
    """

    name: str = always("")
    document: dict[str, Any] = always({})
    members: tuple[ManifestMember, ...] = always(())


class ManifestDraft(Model):
    """The body of ``POST /cutaway/manifests/create``."""

    name: str = ""
    members: tuple[str, ...] = ()
    amend: bool = False


class ManifestAnnotation(Model):
    """The body of ``POST /cutaway/manifests/annotate``: for which platform a member is."""

    name: str = ""
    member: str = ""
    architecture: str = ""
    os: str = ""
    os_version: str = ""
    os_features: tuple[str, ...] = ()
    variant: str = ""


class ManifestPushed(Model):
    """What a push of a manifest list made."""

    digest: str = always("")
