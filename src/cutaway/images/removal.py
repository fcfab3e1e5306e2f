"""What ``docker rmi`` does: which names go, which images go, and when it must refuse.

The rules, in the order in which they are asked:

1. A *name* was given: it is taken away. Refused without force when it is the image's only name
   and a container uses the image. When the last tag of a repository goes, its digests go too. If
   names are left, that is all; else the image is deleted, unless something forbids it.
2. An *id* was given: with at most one name (beside digests of the same repository) the names go
   too; with more, it is refused without force.
3. An image is never deleted while images built on it exist or a running container uses it, and
   not without force while names or stopped containers use it.
4. With prune, the parent is deleted too if nothing needs it, and so on; quietly.

Source: moby daemon/images/image_delete.go.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from cutaway.errors import Conflict
from cutaway.images.index import Entry
from cutaway.oci import Digest, Reference

_SHORT = 12


@dataclass(frozen=True, slots=True)
class ImageUser:
    """A container and the image it was made from."""

    container_id: str
    image_id: Digest
    is_running: bool


@dataclass(frozen=True, slots=True)
class Removed:
    """One line of the answer: a name untagged, or an image or a layer deleted.

    Attributes:
        untagged: a familiar reference, or None.
        deleted: an image id or a chain id, or None.
        image_id: whose event this is; None for a layer.
    """

    untagged: str | None = None
    deleted: str | None = None
    image_id: Digest | None = None


class ImageInUse(Conflict):
    """Something still needs the image."""

    def __init__(self, image_id: Digest, why: str, *, is_hard: bool) -> None:
        force = "cannot be forced" if is_hard else "must be forced"
        super().__init__(f"conflict: unable to delete {image_id.short} ({force}) - {why}")
        self.image_id = image_id
        self.is_hard = is_hard


@dataclass(slots=True)
class RemovalPlan:
    """The index after the removal, and what to tell."""

    remaining: tuple[Entry, ...]
    removed: list[Removed] = field(default_factory=list)
    untagged_names: list[Reference] = field(default_factory=list)

    def records(self, chain_ids: Iterable[str]) -> Iterator[Removed]:
        """Yield the answer; deleted layers follow the last deleted image."""
        yield from self.removed
        for chain_id in chain_ids:
            yield Removed(deleted=str(chain_id))

    def untag(self, entry: Entry) -> None:
        """Take one name away; an image without names keeps a nameless entry until deleted."""
        if entry.name is None:
            return
        others = [e for e in self.remaining if e.image_id == entry.image_id and e != entry]
        bare = () if others else (Entry(entry.manifest, entry.image_id, None, "", entry.parent),)
        self.remaining = tuple(e for e in self.remaining if e != entry) + bare
        self.untagged_names.append(entry.name)
        self.removed.append(Removed(untagged=entry.name.familiar, image_id=entry.image_id))

    def named(self, image_id: Digest) -> list[Entry]:
        """Return the entries of an image that have a name."""
        return [e for e in self.remaining if e.image_id == image_id and e.name is not None]


def plan_removal(
    entries: tuple[Entry, ...],
    image_id: Digest,
    name: str,
    *,
    force: bool,
    prune: bool,
    users: tuple[ImageUser, ...],
) -> RemovalPlan:
    """Decide what removing ``name``, which was found to be ``image_id``, does.

    Raises:
        Conflict: in Docker's words.
    """
    plan = RemovalPlan(remaining=entries)
    if _is_id_prefix(image_id, name):
        if _is_single_reference(plan.named(image_id)):
            _check_conflict(plan, image_id, users, soft=not force, names=False)
            for entry in plan.named(image_id):
                plan.untag(entry)
        quiet = False
    else:
        _untag_one(plan, image_id, name, force=force, users=users)
        if plan.named(image_id):
            return plan
        quiet = True
    _delete(plan, image_id, force=force, prune=prune, quiet=quiet, users=users)
    return plan


def _untag_one(
    plan: RemovalPlan, image_id: Digest, name: str, *, force: bool, users: tuple[ImageUser, ...]
) -> None:
    reference = Reference.parse(name).with_default_tag()
    named = plan.named(image_id)
    user = next((u for u in users if u.image_id == image_id), None)
    if not force and user is not None and _is_single_reference(named):
        raise Conflict(
            f'conflict: unable to remove repository reference "{reference.familiar}" (must force) '
            f"- container {user.container_id[:_SHORT]} is using its referenced image "
            f"{image_id.short}"
        )
    if reference.digest is not None:
        reference = reference.with_digest(reference.digest)
    for entry in named:
        if entry.name == reference:
            plan.untag(entry)
    tags_left = [
        e
        for e in plan.named(image_id)
        if e.name and not e.name.digest and e.name.name == reference.name
    ]
    if reference.digest is None and not tags_left:
        for entry in plan.named(image_id):
            if entry.name is not None and entry.name.name == reference.name:
                plan.untag(entry)


def _delete(
    plan: RemovalPlan,
    image_id: Digest,
    *,
    force: bool,
    prune: bool,
    quiet: bool,
    users: tuple[ImageUser, ...],
) -> None:
    try:
        _check_conflict(plan, image_id, users, soft=not force, names=not force)
    except ImageInUse:
        # The name is gone; that something still needs the image is then no error.
        if quiet:
            return
        raise
    parent = next((e.parent for e in plan.remaining if e.image_id == image_id), None)
    for entry in plan.named(image_id):
        plan.untag(entry)
    plan.remaining = tuple(e for e in plan.remaining if e.image_id != image_id)
    plan.removed.append(Removed(deleted=str(image_id), image_id=image_id))
    has_parent = parent is not None and any(e.image_id == parent for e in plan.remaining)
    if prune and parent is not None and has_parent and not plan.named(parent):
        _delete(plan, parent, force=False, prune=True, quiet=True, users=users)


def _check_conflict(
    plan: RemovalPlan, image_id: Digest, users: tuple[ImageUser, ...], *, soft: bool, names: bool
) -> None:
    if any(e.parent == image_id for e in plan.remaining):
        raise ImageInUse(image_id, "image has dependent child images", is_hard=True)
    own = [u for u in users if u.image_id == image_id]
    for user in own:
        if user.is_running:
            short = user.container_id[:_SHORT]
            why = f"image is being used by running container {short}"
            raise ImageInUse(image_id, why, is_hard=True)
    if names and plan.named(image_id):
        why = "image is referenced in multiple repositories"
        raise ImageInUse(image_id, why, is_hard=False)
    if soft and own:
        why = f"image is being used by stopped container {own[0].container_id[:_SHORT]}"
        raise ImageInUse(image_id, why, is_hard=False)


def _is_id_prefix(image_id: Digest, name: str) -> bool:
    return image_id.startswith(name) or image_id.encoded.startswith(name)


def _is_single_reference(named: list[Entry]) -> bool:
    if len(named) <= 1:
        return True
    references = [e.name for e in named if e.name is not None]
    tags = [r for r in references if r.digest is None]
    repositories = {r.name for r in references if r.digest is not None}
    if len(tags) > 1:
        return False
    single = tags[0] if tags else references[0]
    return repositories == {single.name}
