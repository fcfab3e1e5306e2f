"""``cutaway image diff A B``: which layers two images share, and which files differ, by layer.

Both images are read as the stacks of directories that they are: a tree is the merge of its layers,
and each file knows the layer that it comes from. What comes from a layer that both have is the
same and not looked at.
"""

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from cutaway import linux
from cutaway.errors import NotFound
from cutaway.images.image import Image
from cutaway.images.layers.attributes import is_whiteout
from cutaway.images.layers.whiteout import OPAQUE_XATTR
from cutaway.images.resolve import INSIDE_NO_LINKS
from cutaway.images.snapshots import Snapshots
from cutaway.oci import Digest

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_READ_BYTES = 1 << 20


class Side(StrEnum):
    """Who has a layer."""

    SHARED = "shared"
    OLD = "old"
    NEW = "new"


@dataclass(frozen=True, slots=True)
class ComparedLayer:
    """A layer of one image or of both.

    Attributes:
        side: who has it.
        diff_id: its tar's digest.
        chain_id: its snapshot.
        size_bytes: of its files.
        created_by: the step of the history that made it; empty if the history doesn't say.
    """

    side: Side
    diff_id: Digest
    chain_id: Digest
    size_bytes: int
    created_by: str


@dataclass(frozen=True, slots=True)
class FileChange:
    """A path that is not the same in both.

    Attributes:
        kind: ``A`` only in the new image, ``C`` in both, ``D`` only in the old one.
        path: absolute, as the containers see it.
        layer: that it comes from: of the new image, or if it is gone there, of the old one.
        old_bytes: its size in the old image; 0 if absent or no regular file.
        new_bytes: likewise in the new one.
    """

    kind: str
    path: str
    layer: Digest
    old_bytes: int
    new_bytes: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """What ``compare_images`` found: layers lowest first, files by path."""

    layers: tuple[ComparedLayer, ...]
    files: tuple[FileChange, ...]


@dataclass(frozen=True, slots=True)
class _Place:
    """What is at a path, and which layer of the image it comes from."""

    layer: int
    status: os.stat_result
    link: str

    @property
    def size_bytes(self) -> int:
        return self.status.st_size if stat.S_ISREG(self.status.st_mode) else 0


def compare_images(snapshots: Snapshots, old: Image, new: Image) -> Comparison:
    """Compare two unpacked images; for a worker thread, since it reads files of equal size.

    Raises:
        NotFound: one is not unpacked.
    """
    shared = _count_shared(old.chain_ids, new.chain_ids)
    before, after = _Tree(snapshots, old), _Tree(snapshots, new)
    layers = (
        *_describe(snapshots, new, range(shared), Side.SHARED),
        *_describe(snapshots, old, range(shared, len(old.chain_ids)), Side.OLD),
        *_describe(snapshots, new, range(shared, len(new.chain_ids)), Side.NEW),
    )
    return Comparison(layers, tuple(_compare_trees(before, after, shared)))


def _count_shared(old: Sequence[Digest], new: Sequence[Digest]) -> int:
    count = 0
    for one, other in zip(old, new, strict=False):
        if one != other:
            break
        count += 1
    return count


def _describe(
    snapshots: Snapshots, image: Image, numbers: range, side: Side
) -> Iterator[ComparedLayer]:
    steps = [step.created_by for step in image.config.history if not step.empty_layer]
    for number in numbers:
        chain_id = image.chain_ids[number]
        yield ComparedLayer(
            side,
            image.config.rootfs.diff_ids[number],
            chain_id,
            snapshots.usage(chain_id).size_bytes,
            steps[number] if number < len(steps) else "",
        )


class _Tree:
    """An image's layers merged: the file that a container sees at each path."""

    def __init__(self, snapshots: Snapshots, image: Image) -> None:
        self.diff_ids = image.config.rootfs.diff_ids
        self.places: dict[str, _Place] = {}
        self._directories: list[str] = []
        for number, chain_id in enumerate(image.chain_ids):
            if chain_id not in snapshots:
                raise NotFound(f"layer {chain_id} of {image.id.short} is not unpacked: pull it")
            directory = snapshots.directory(chain_id)
            self._directories.append(directory)
            if snapshots.hides_parent(chain_id):
                self.places.clear()
            for path, place, is_opaque in _walk(directory, number):
                self._put(path, place, is_opaque=is_opaque)

    def _put(self, path: str, place: _Place, *, is_opaque: bool) -> None:
        known = self.places.get(path)
        was_directory = known is not None and stat.S_ISDIR(known.status.st_mode)
        if was_directory and (is_opaque or not stat.S_ISDIR(place.status.st_mode)):
            below = path + "/"
            self.places = {p: x for p, x in self.places.items() if not p.startswith(below)}
        if is_whiteout(place.status):
            self.places.pop(path, None)
        else:
            self.places[path] = place

    def open(self, path: str) -> int:
        """Open the file at a path, links not followed; the caller closes it."""
        root = os.open(self._directories[self.places[path].layer], _DIRECTORY)
        try:
            return linux.openat2(root, os.fsencode(path), _FILE, 0, INSIDE_NO_LINKS)
        finally:
            os.close(root)


def _walk(directory: str, layer: int) -> Iterator[tuple[str, _Place, bool]]:
    """Yield path, place and opaque mark of a layer's files, a directory before what it holds."""
    root = os.open(directory, _DIRECTORY)
    try:
        pending = [""]
        while pending:
            parent = pending.pop()
            try:
                fd = linux.openat2(root, os.fsencode(parent or "."), _DIRECTORY, 0, INSIDE_NO_LINKS)
            except OSError as error:
                if error.errno != errno.ENAMETOOLONG:
                    raise
                continue  # deeper than a path can say: no container sees it by its path either
            try:
                for name in sorted(os.listdir(fd)):
                    path = f"{parent}/{name}" if parent else name
                    status = os.stat(name, dir_fd=fd, follow_symlinks=False)
                    is_directory = stat.S_ISDIR(status.st_mode)
                    link = ""
                    if stat.S_ISLNK(status.st_mode):
                        link = os.readlink(name, dir_fd=fd)
                    if is_directory:
                        pending.append(path)
                    is_opaque = is_directory and _is_opaque(fd, name)
                    yield path, _Place(layer, status, link), is_opaque
            finally:
                os.close(fd)
    finally:
        os.close(root)


def _is_opaque(parent_fd: int, name: str) -> bool:
    fd = os.open(name, _DIRECTORY, dir_fd=parent_fd)
    try:
        return os.getxattr(fd, OPAQUE_XATTR) == b"y"
    except OSError as error:
        if error.errno not in (errno.ENODATA, errno.ENOTSUP):
            raise
        return False
    finally:
        os.close(fd)


def _compare_trees(old: _Tree, new: _Tree, shared: int) -> Iterator[FileChange]:
    for path in sorted({*old.places, *new.places}):
        before, after = old.places.get(path), new.places.get(path)
        if before is not None and after is not None:
            is_shared = before.layer == after.layer < shared
            if is_shared or _is_same(old, new, path):
                continue
        elif after is None and path.rpartition("/")[0] in old.places.keys() - new.places.keys():
            continue  # told by its directory
        yield _change(path, before, after, (old.diff_ids, new.diff_ids))


def _change(
    path: str,
    before: _Place | None,
    after: _Place | None,
    diff_ids: tuple[Sequence[Digest], Sequence[Digest]],
) -> FileChange:
    shown = "/" + os.fsencode(path).decode("utf-8", "replace")
    old_bytes = before.size_bytes if before else 0
    if after is None:
        layer = diff_ids[0][before.layer if before else 0]
        return FileChange("D", shown, layer, old_bytes, 0)
    kind = "A" if before is None else "C"
    return FileChange(kind, shown, diff_ids[1][after.layer], old_bytes, after.size_bytes)


def _is_same(old: _Tree, new: _Tree, path: str) -> bool:
    """Compare kind, owner, mode and content; times differ in every build and don't count."""
    before, after = old.places[path], new.places[path]
    one, two = before.status, after.status
    if (one.st_mode, one.st_uid, one.st_gid) != (two.st_mode, two.st_uid, two.st_gid):
        return False
    if not stat.S_ISREG(one.st_mode):
        return before.link == after.link and one.st_rdev == two.st_rdev
    return one.st_size == two.st_size and _has_same_content(old.open(path), new.open(path))


def _has_same_content(one_fd: int, two_fd: int) -> bool:
    with os.fdopen(one_fd, "rb", 0) as one, os.fdopen(two_fd, "rb", 0) as two:
        while chunk := one.read(_READ_BYTES):
            if two.read(_READ_BYTES) != chunk:
                return False
    return True
