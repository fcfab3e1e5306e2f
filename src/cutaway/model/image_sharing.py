"""What this engine tells of images and Docker does not: how two differ, what a squash costs."""

from typing import Any

from cutaway.model.base import Int64, Model, always, named


class ComparedLayer(Model):
    """A layer of one of two images, or of both.

    Attributes:
        side: ``shared``, ``old`` or ``new``: who has it.
    """

    side: str = always("")
    diff_id: str = always("", name="DiffID")
    chain_id: str = always("", name="ChainID")
    size: Int64 = always(0)
    created_by: str = always("")


class FileChange(Model):
    """A file that differs.

    Attributes:
        kind: ``A`` added, ``C`` changed, ``D`` deleted.
        layer: diff id of the layer that it comes from.
    """

    kind: str = always("")
    path: str = always("")
    layer: str = always("")
    old_size: Int64 = always(0)
    new_size: Int64 = always(0)


class ImageComparison(Model):
    """``GET /cutaway/images/diff``: two images' layers, lowest first, and files, by path."""

    old_id: str = always("", name="OldID")
    new_id: str = always("", name="NewID")
    layers: tuple[ComparedLayer, ...] = always(())
    files: tuple[FileChange, ...] = always(())


class DiskPart(Model):
    """``GET /cutaway/disk``: what one kind of thing takes below the data root."""

    what: str = always("")
    path: str = always("")
    size: Int64 = always(0)


class LostSharing(Model):
    """An image that shared layers with one that was squashed."""

    name: str = always("")
    size: Int64 = always(0)


class SquashReport(Model):
    """The last message of ``POST /cutaway/images/squash``: what was made, gained and lost.

    Attributes:
        merged_steps: of the history, that are one layer now.
        lost_sharing: who shared the squashed layers; those bytes are on the disk twice now.
        pull_again: what who has the old image must fetch of the new one.
        lost_cache_steps: cached build steps whose layers the new image doesn't have.
    """

    id: str = named("", name="Id")
    old_id: str = always("", name="OldID")
    layers_before: int = always(0)
    layers_after: int = always(0)
    size_before: Int64 = always(0)
    size_after: Int64 = always(0)
    merged_steps: tuple[str, ...] = always(())
    lost_sharing: tuple[LostSharing, ...] = always(())
    pull_again: Int64 = always(0)
    lost_cache_steps: int = always(0)


class Referrers(Model):
    """``GET /cutaway/referrers/NAME``: signatures, SBOMs and the like of an image.

    Attributes:
        subject: digest of the manifest that they refer to.
        manifests: their descriptors, as the registry's index has them.
    """

    subject: str = always("")
    manifests: tuple[dict[str, Any], ...] = always(())
