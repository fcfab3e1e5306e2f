"""What the content of an image store is needed by: the roots and what hangs on them."""

import contextlib
from collections.abc import Callable, Iterable
from typing import Any, Protocol, TypeAlias

from cutaway.errors import Conflict, CutawayError, NotFound
from cutaway.images.index import Entry
from cutaway.oci import Digest, ImageConfig, Manifest
from cutaway.oci.hashing import chain_ids

ReadManifest: TypeAlias = Callable[[Digest], tuple[Manifest, ImageConfig]]
NeededByIndex: TypeAlias = Callable[[Digest], set[Digest]]
Keeper: TypeAlias = Callable[[], tuple[Iterable[Digest], Iterable[str]]]


class CommittedSnapshots(Protocol):
    """What the image store needs of ``images.snapshots``."""

    def __contains__(self, name: object) -> bool:
        """Say whether a snapshot of this name is committed."""

    def remove(self, name: str) -> None:
        """Delete one; Conflict while another is stacked on it or a container uses it."""

    def usage(self, name: str) -> Any:
        """Return its own size, ``.size_bytes``, without its parents'."""

    def walk(self) -> Iterable[Any]:
        """Yield ``.name``, ``.kind`` and ``.parent`` of each."""


def needed_blobs(
    entries: Iterable[Entry], read: ReadManifest, by_index: NeededByIndex
) -> set[Digest] | None:
    """Return the blobs that images need: manifests, indexes, configs, layers.

    Returns:
        None when a manifest can't be read: which layers are its own is then unknown, and
        nothing may be deleted for being needed by nobody.
    """
    needed: set[Digest] = set()
    for entry in entries:
        needed |= {entry.manifest.digest, entry.image_id}
        if entry.name is not None and entry.name.digest is not None:
            needed.add(entry.name.digest)
        try:
            manifest, _ = read(entry.manifest.digest)
            if entry.index is not None:
                needed |= by_index(entry.index.digest)
        except (CutawayError, OSError):
            return None
        needed |= {layer.digest for layer in manifest.layers}
    return needed


def needed_chains(entries: Iterable[Entry], read: ReadManifest) -> set[str]:
    """Return the chain ids of all layers of all images that can be read."""
    needed: set[str] = set()
    for digest in {e.manifest.digest for e in entries}:
        with contextlib.suppress(CutawayError, OSError):
            needed.update(chain_ids(read(digest)[1].rootfs.diff_ids))
    return needed


def free_snapshots(
    snapshots: CommittedSnapshots, needed: set[str], only: set[str] | None = None
) -> tuple[str, ...]:
    """Remove committed snapshots that are not needed, children first.

    What a container or a needed snapshot stands on stays, and goes with a later collection.

    Args:
        snapshots: where.
        needed: names that stay.
        only: names that may go; None: all others.

    Returns:
        What was removed, in that order.
    """
    parents = {
        s.name: s.parent for s in snapshots.walk() if s.kind == "committed" and s.name not in needed
    }
    removed: list[str] = []
    while parents:
        stacked_on = set(parents.values())
        leaves = [name for name in parents if name not in stacked_on]
        if not leaves:
            break
        for name in leaves:
            del parents[name]
            if only is None or name in only:
                with contextlib.suppress(Conflict, NotFound):
                    snapshots.remove(name)
                    removed.append(name)
    return tuple(removed)
