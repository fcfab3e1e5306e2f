"""A whole tree made again in an empty directory: owners, modes, times, attributes, links, holes.

Walked as for a tar and made as from one, so everything that protects extraction protects cloning;
but the content goes from file to file within the kernel, which shares the blocks where it can.
"""

from collections.abc import Iterable

from cutaway.images.layers.disk_guard import DiskGuard
from cutaway.images.layers.extract import Extractor, Policy
from cutaway.images.layers.tar_read import Entry
from cutaway.images.layers.tree_tar import TreeTar


def clone_tree(origin_fd: int, root_fd: int, floor_bytes: int) -> int:
    """Clone what is below one root to the other; return the entries made.

    Raises:
        System: the disk is full, or ``floor_bytes`` are left of it.
    """
    making = _Making(root_fd, floor_bytes)
    TreeTar(making).add_tree(origin_fd, b"", b"")
    making.extractor.finish()
    return making.extractor.result.entries


class _Making:
    """Makes each entry that a walk finds."""

    def __init__(self, root_fd: int, floor_bytes: int) -> None:
        self.extractor = Extractor(
            root_fd,
            mark_opaque=lambda fd: None,
            note_implicit=lambda path: None,
            guard=DiskGuard(root_fd, floor_bytes),
            policy=Policy(applies_whiteouts=False),
        )

    def add(self, entry: Entry, pieces: Iterable[bytes] = ()) -> None:
        """Make one entry."""
        self.extractor.apply(entry, pieces)
