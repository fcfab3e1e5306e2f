"""The image store: names and ids of images, and what keeps their content alive.

An image is known by the digest of its image config (Docker's image id), by any number of tags and
by repo digests (``name@sha256:…``, what a registry called its manifest or index). All of that is
index.json; memory is changed only after the file was.

Locks: ``ImageStore._lock`` guards every change of index.json and of the committed snapshots; it
is taken before ``ContentStore._lock``. Reading takes no lock: entries are one immutable tuple.
"""

import contextlib
import datetime
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

from cutaway.errors import CutawayError, InvalidParameter, NotFound
from cutaway.files import sweep_temporaries
from cutaway.images import removal
from cutaway.images.content import ContentStore
from cutaway.images.history import TagHistory
from cutaway.images.image import Image, ImageDamaged, NoSuchImage
from cutaway.images.index import Entry, IndexFile
from cutaway.images.reachability import (
    CommittedSnapshots,
    Keeper,
    free_snapshots,
    needed_blobs,
    needed_chains,
)
from cutaway.images.whole_index import needed_by_index
from cutaway.oci import (
    CONFIG_TYPES,
    Descriptor,
    Digest,
    ImageConfig,
    Manifest,
    Reference,
    RootFS,
    parse_image_config,
    parse_manifest,
)
from cutaway.oci.hashing import chain_ids

_UNREADABLE = ImageConfig(architecture="unknown", os="unknown", rootfs=RootFS("layers"))
_HEX = frozenset("0123456789abcdef")
PARTIAL_KEPT_S = 24 * 3600


class ImageStore:
    """All images of one data root; made once by the engine, used from worker threads.

    Attributes:
        content: the blobs.
        snapshots: the unpacked layers.
        history: when tags moved.
        keepers: asked, under the lock, for blobs and chain ids that must stay besides those of
            images: a build cache's. A chain id keeps the ones below it.
    """

    def __init__(
        self,
        root: str,
        snapshots: CommittedSnapshots,
        clock: Callable[[], float] = time.time,
        make_room: Callable[[], bool] = lambda: False,
    ) -> None:
        directory = os.path.join(root, "images")
        self.content = ContentStore(directory)
        for place in (directory, f"{directory}/manifest-lists"):
            if os.path.isdir(place):
                sweep_temporaries(place)
        self.content.sweep(partial_older_than=clock() - PARTIAL_KEPT_S)
        self.snapshots = snapshots
        self.history = TagHistory(os.path.join(directory, "tag-history.jsonl"))
        self.keepers: list[Keeper] = []
        self._index = IndexFile(directory, make_room)
        self._lock = threading.RLock()
        self._clock = clock
        self._pinned: list[set[str]] = []  # guarded by _lock
        self._read_cache: dict[Digest, tuple[Manifest, ImageConfig]] = {}

    # Reading

    def list(self) -> list[Image]:
        """Return every image, the newest first; damaged ones too."""
        groups: dict[Digest, list[Entry]] = {}
        for entry in self._index.load():
            groups.setdefault(entry.image_id, []).append(entry)
        images = [self._image(entries) for entries in groups.values()]
        return sorted(images, key=lambda image: image.created, reverse=True)

    def get(self, image_id: Digest) -> Image:
        """Return the image with exactly this id, damaged or not.

        Raises:
            NoSuchImage: there is none.
        """
        entries = [e for e in self._index.load() if e.image_id == image_id]
        if not entries:
            raise NoSuchImage(image_id)
        return self._image(entries)

    def resolve(self, name: str) -> Image:
        """Find an image as Docker does: by name, by digest, by id, by the beginning of an id.

        Args:
            name: ``nginx``, ``nginx:1.25``, ``nginx@sha256:…``, ``sha256:…``, ``3f2a``.

        Raises:
            NoSuchImage: nothing fits, or several ids begin so.
            InvalidParameter: it can be neither name nor id.
            ImageDamaged: found, but unusable.
        """
        image = self.find(name)
        if image.damage:
            raise ImageDamaged(image.id, image.damage)
        return image

    def find(self, name: str) -> Image:
        """Find an image like ``resolve``, and return a damaged one as it is."""
        entries = self._index.load()
        found = self._find_id(entries, name)
        return self.get(found)

    def find_name(self, reference: Reference) -> Image | None:
        """Return the image that has exactly this reference, tag or digest, or None."""
        entries = self._index.load()
        image_id = _id_of_name(entries, reference)
        return self.get(image_id) if image_id is not None else None

    def index_of(self, reference: Reference) -> Descriptor | None:
        """Return the whole index that this very name stands for, or None."""
        named = (e.index for e in self._index.load() if e.name == reference)
        return next(named, None)

    def children(self, image_id: Digest) -> tuple[Digest, ...]:
        """Return the ids of the images that were built on this one here."""
        return tuple({e.image_id: None for e in self._index.load() if e.parent == image_id})

    def size_bytes(self, image: Image) -> int:
        """Return Docker's "Size": what all its layers take when unpacked."""
        total = 0
        for chain_id in image.chain_ids:
            with contextlib.suppress(NotFound):
                total += self.snapshots.usage(chain_id).size_bytes
        return total

    def is_unpacked(self, image: Image) -> bool:
        """Say whether a container can be made from it: its snapshot is there."""
        return image.chain_id is None or image.chain_id in self.snapshots

    def read_manifest(self, image: Image) -> Manifest:
        """Return the image's manifest.

        Raises:
            ImageDamaged: it can't be read.
        """
        try:
            return self._read(image.manifest.digest)[0]
        except (CutawayError, OSError) as error:
            raise ImageDamaged(image.id, str(error)) from error

    # Changing

    def register(
        self,
        manifest: Descriptor,
        names: Iterable[Reference] = (),
        repo_digests: Iterable[Reference] = (),
        *,
        parent: Digest | None = None,
        index: Descriptor | None = None,
        by: str = "load",
    ) -> Image:
        """Make an image known whose blobs are in the content store (under a lease).

        Args:
            manifest: its descriptor; annotations are dropped.
            names: with tags (``latest`` if without); each is taken from the image that has it.
            repo_digests: with digests.
            parent: the image it was built on here.
            index: the whole index that the names stand for; all its blobs are here.
            by: what did it, for the tag history: ``pull``, ``load``, ``build``, …

        Raises:
            NotFound: a blob is missing.
            InvalidParameter: manifest or config is wrong; numbers of layers and diff ids differ.
        """
        with self._lock:
            parsed, _ = self._read(manifest.digest)
            for layer in parsed.layers:
                self.content.size(layer.digest)
            entries = list(self._index.load())
            whole = index and replace(index, annotations={}, platform=None)
            plain = replace(manifest, annotations={}, platform=None)
            bare = Entry(plain, parsed.config.digest, None, self._now(), parent, whole)
            given = [name.with_default_tag() for name in (*names, *repo_digests)]
            moved = _put(entries, bare, given)
            self._index.save(entries)
            self._record(moved, bare.image_id, by)
        return self.get(bare.image_id)

    def tag(self, image_id: Digest, reference: Reference, *, by: str = "tag") -> None:
        """Give an image one more name, taking it from the image that has it.

        Raises:
            NoSuchImage: no image has this id.
            InvalidParameter: the reference has a digest, which only a registry can give.
        """
        if reference.digest is not None:
            raise InvalidParameter("refusing to create a tag with a digest reference")
        with self._lock:
            entries = list(self._index.load())
            own = max(
                (e for e in entries if e.image_id == image_id),
                key=lambda entry: entry.index is not None,
                default=None,
            )
            if own is None:
                raise NoSuchImage(image_id)
            entry = replace(own, name=None, tagged_at=self._now())
            moved = _put(entries, entry, [reference.with_default_tag()])
            self._index.save(entries)
            self._record(moved, image_id, by)

    def remove(
        self,
        name: str,
        *,
        force: bool = False,
        prune: bool = True,
        users: Iterable[removal.ImageUser] = (),
    ) -> tuple[removal.Removed, ...]:
        """Untag or delete an image, with Docker's rules; ``removal.py`` tells them.

        Args:
            name: a name takes that name away, and deletes the image with its last; an id deletes.
            force: also when containers use it or several names exist.
            prune: delete parents too that nothing needs any more.
            users: every container and the image it was made from.

        Returns:
            What was untagged and deleted, in Docker's order.

        Raises:
            NoSuchImage: there is none.
            Conflict: in Docker's words.
        """
        with self._lock:
            entries = self._index.load()
            image_id = self._find_id(entries, name)
            plan = removal.plan_removal(
                entries, image_id, name, force=force, prune=prune, users=tuple(users)
            )
            self._index.save(plan.remaining)
            for untagged in plan.untagged_names:
                self.history.append(self._now(), untagged, image_id, None, by="rmi")
            chains = self._free(entries, plan.remaining)
        return tuple(plan.records(chains))

    @contextlib.contextmanager
    def lease(self, *, discards: bool = False) -> Iterator[Callable[[Iterable[str]], None]]:
        """Keep blobs (see ``ContentStore.lease``) and pinned snapshots until the block ends.

        Args:
            discards: if the block fails, delete what it brought and no image needs.

        Yields:
            A function that pins chain ids: a removal of another image spares them.
        """
        pinned: set[str] = set()
        with self._lock:
            self._pinned.append(pinned)
        kept: set[Digest] = set()
        try:
            with self.content.lease() as kept:
                yield pinned.update
        except BaseException:
            if discards:
                self.discard_unneeded(kept)
            raise
        finally:
            with self._lock:
                self._pinned = [pins for pins in self._pinned if pins is not pinned]

    @contextlib.contextmanager
    def committing(self) -> Iterator[None]:
        """Let no removal or collection run between adopting snapshots and registering."""
        with self._lock:
            yield

    def discard_unneeded(self, digests: Iterable[Digest]) -> None:
        """Delete those of the blobs that no image needs and no lease keeps."""
        with self._lock:
            needed = self._needed_blobs(self._index.load())
            if needed is not None:
                self.content.remove(d for d in digests if d not in needed)

    def collect_garbage(self, grace_s: float = PARTIAL_KEPT_S) -> int:
        """Delete blobs and snapshots that no image needs; return the bytes of blobs freed.

        Args:
            grace_s: blobs younger than this are kept: an interrupted pull resumes from them.
        """
        with self._lock:
            entries = self._index.load()
            needed = self._needed_blobs(entries)
            if needed is None:
                return 0  # a damaged manifest hides which layers are its own: spare them all
            limit = self._clock() - grace_s
            blobs = [d for d, _, mtime in self.content.list_blobs() if mtime <= limit]
            freed = self.content.remove(d for d in blobs if d not in needed)
            self.content.sweep(partial_older_than=limit)
            free_snapshots(self.snapshots, self._needed_chains(entries))
        return freed

    # Inside

    def _find_id(self, entries: tuple[Entry, ...], name: str) -> Digest:
        with contextlib.suppress(InvalidParameter):
            digest = Digest.parse(name)
            if any(e.image_id == digest for e in entries):
                return digest
            raise NoSuchImage(name)
        hexadecimal = name.removeprefix("sha256:")
        is_id = bool(hexadecimal) and set(hexadecimal) <= _HEX
        reference = None
        if not (is_id and len(hexadecimal) == 64):
            reference = Reference.parse(name).with_default_tag()
            image_id = _id_of_name(entries, reference)
            if image_id is not None:
                return image_id
        matches = {
            e.image_id for e in entries if is_id and e.image_id.encoded.startswith(hexadecimal)
        }
        if len(matches) == 1:
            return matches.pop()
        raise NoSuchImage(reference.familiar if reference else name)

    def _read(self, manifest_digest: Digest) -> tuple[Manifest, ImageConfig]:
        cached = self._read_cache.get(manifest_digest)
        if cached is not None:
            return cached
        manifest = parse_manifest(self.content.read(manifest_digest))
        if not isinstance(manifest, Manifest):
            raise InvalidParameter(f"{manifest_digest} is an index, not an image")
        if manifest.config.media_type not in CONFIG_TYPES:
            raise InvalidParameter(
                f"{manifest_digest} is no container image: its config is a "
                f"{manifest.config.media_type!r}"
            )
        config = parse_image_config(self.content.read(manifest.config.digest))
        if len(config.rootfs.diff_ids) != len(manifest.layers):
            raise InvalidParameter(
                f"invalid image: {len(manifest.layers)} layers in its manifest, "
                f"{len(config.rootfs.diff_ids)} in its config"
            )
        self._read_cache[manifest_digest] = manifest, config
        return manifest, config

    def _image(self, entries: Sequence[Entry]) -> Image:
        first = entries[0]
        names = [e.name for e in entries if e.name is not None]
        config, damage = _UNREADABLE, ""
        layers: tuple[Descriptor, ...] = ()
        try:
            manifest, config = self._read(first.manifest.digest)
            layers = manifest.layers
        except (CutawayError, OSError) as error:
            damage = str(error)
        return Image(
            id=first.image_id,
            manifest=first.manifest,
            config=config,
            layers=layers,
            chain_ids=chain_ids(config.rootfs.diff_ids),
            names=tuple(name for name in names if name.digest is None),
            repo_digests=tuple(name for name in names if name.digest is not None),
            tagged_at=max(e.tagged_at for e in entries),
            parent=next((e.parent for e in entries if e.parent is not None), None),
            damage=damage,
            index=next((e.index for e in entries if e.index is not None), None),
        )

    def _free(self, before: tuple[Entry, ...], after: tuple[Entry, ...]) -> tuple[str, ...]:
        lost_entries = (e for e in before if e not in after)
        gone = needed_blobs(lost_entries, self._read, self._needed_by_index) or set()
        kept = self._needed_blobs(after)
        chains_kept = self._needed_chains(after)
        lost = needed_chains(before, self._read) - chains_kept
        if kept is not None:
            self.content.remove(gone - kept)
        known = {e.manifest.digest for e in after}
        self._read_cache = {d: v for d, v in self._read_cache.items() if d in known}
        return free_snapshots(self.snapshots, chains_kept, only=lost)

    def _needed_blobs(self, entries: Iterable[Entry]) -> set[Digest] | None:
        needed = needed_blobs(entries, self._read, self._needed_by_index)
        if needed is not None:
            for keeper in self.keepers:
                needed.update(keeper()[0])
        return needed

    def _needed_by_index(self, digest: Digest) -> set[Digest]:
        return needed_by_index(self.content, digest)

    def _needed_chains(self, entries: Iterable[Entry]) -> set[str]:
        needed = needed_chains(entries, self._read).union(*self._pinned)
        for keeper in self.keepers:
            needed.update(keeper()[1])
        return needed

    def _record(
        self, moved: Sequence[tuple[Reference, Digest | None]], image_id: Digest, by: str
    ) -> None:
        for name, old in moved:
            self.history.append(self._now(), name, old, image_id, by=by)

    def _now(self) -> str:
        moment = datetime.datetime.fromtimestamp(self._clock(), datetime.UTC)
        return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


def _id_of_name(entries: Iterable[Entry], reference: Reference) -> Digest | None:
    # "If reference contains both tag and digest, only look up by digest as the content would be
    # overridden by the tag" (moby reference/store.go).
    if reference.digest is not None:
        reference = reference.with_digest(reference.digest)
    for entry in entries:
        if entry.name == reference:
            return entry.image_id
        if reference.digest is not None and entry.name is not None:
            same_name = entry.name.name == reference.name
            if same_name and entry.manifest.digest == reference.digest:
                return entry.image_id
    return None


def _put(
    entries: list[Entry], bare: Entry, names: list[Reference]
) -> list[tuple[Reference, Digest | None]]:
    """Give ``bare``'s image ``names`` in ``entries``, in place; return tags moved, from whom.

    An image whose last name goes keeps an entry without a name: it dangles.
    """
    moved: list[tuple[Reference, Digest | None]] = []
    for name in names:
        old = next((i for i, e in enumerate(entries) if e.name == name), None)
        old_id = entries[old].image_id if old is not None else None
        if name.digest is None and old_id != bare.image_id:
            moved.append((name, old_id))
        new = replace(bare, name=name)
        if old is None:
            entries.append(new)
        elif sum(e.image_id == old_id for e in entries) == 1 and old_id != bare.image_id:
            entries[old] = replace(entries[old], name=None)
            entries.append(new)
        else:
            entries[old] = new
    own = [e for e in entries if e.image_id == bare.image_id]
    if not own:
        entries.append(bare)
    elif any(e.name is not None for e in own):
        entries[:] = [e for e in entries if e.image_id != bare.image_id or e.name is not None]
    return moved
