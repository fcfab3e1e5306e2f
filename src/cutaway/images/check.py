"""``cutaway system check``: read every blob again, set damaged ones aside, say who needs them."""

from collections.abc import Callable
from dataclasses import dataclass

from cutaway.errors import CutawayError
from cutaway.images.image import Image
from cutaway.images.store import ImageStore
from cutaway.oci import Digest


@dataclass(frozen=True, slots=True)
class DamagedBlob:
    """A blob that is not what its digest says.

    Attributes:
        digest: its name.
        size_bytes: what is there.
        quarantine: where it was moved.
        images: who needs it, by a name or an id; empty for rubbish.
    """

    digest: Digest
    size_bytes: int
    quarantine: str
    images: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What a check found.

    Attributes:
        checked: number of blobs read.
        checked_bytes: their length.
        damaged: set aside; pulling the images named heals them.
        missing: blobs that images need and that are not there, with these images.
        not_unpacked: images without their snapshot; pulling heals them.
    """

    checked: int
    checked_bytes: int
    damaged: tuple[DamagedBlob, ...]
    missing: tuple[tuple[Digest, tuple[str, ...]], ...]
    not_unpacked: tuple[str, ...]

    @property
    def is_sound(self) -> bool:
        """Nothing was found."""
        return not (self.damaged or self.missing or self.not_unpacked)


def check_images(
    store: ImageStore, on_bytes: Callable[[int], None] = lambda checked: None
) -> CheckReport:
    """Verify the whole content store; slow, for a worker thread.

    Args:
        store: what to check; may be used meanwhile.
        on_bytes: told how many bytes were read so far.

    Leaves behind: damaged blobs in ``images/quarantine``, so that the next pull fetches them.
    """
    content = store.content
    users = _users(store)
    damaged, checked, total = [], 0, 0
    for digest, size, _ in list(content.list_blobs()):
        try:
            is_sound = content.verify(digest)
        except CutawayError:
            continue  # removed meanwhile
        checked, total = checked + 1, total + size
        on_bytes(total)
        if not is_sound:
            place = content.quarantine(digest)
            damaged.append(DamagedBlob(digest, size, place, users.get(digest, ())))
    set_aside = {blob.digest for blob in damaged}
    missing = tuple(
        (digest, names)
        for digest, names in users.items()
        if digest not in set_aside and digest not in content
    )
    images = [image for image in store.list() if not image.damage]
    return CheckReport(
        checked=checked,
        checked_bytes=total,
        damaged=tuple(damaged),
        missing=missing,
        not_unpacked=tuple(_name(i) for i in images if not store.is_unpacked(i)),
    )


def _users(store: ImageStore) -> dict[Digest, tuple[str, ...]]:
    users: dict[Digest, list[str]] = {}
    for image in store.list():
        for digest in {image.id, image.manifest.digest, *(la.digest for la in image.layers)}:
            users.setdefault(digest, []).append(_name(image))
    return {digest: tuple(names) for digest, names in users.items()}


def _name(image: Image) -> str:
    return image.names[0].familiar if image.names else image.id.short
