"""A new volume starts with what the image has in its place: Docker's copy-up, done at the create.

So that ``docker create`` alone makes a data container whose volumes others may use. Volumes that
are a mount of their own (tmpfs, nfs, a limited size) are filled by the runtime at the first start.
"""

import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from cutaway.errors import NotFound
from cutaway.images.snapshots import Snapshots
from cutaway.images.trees.tree import Tree, copy_directory
from cutaway.steps import Ledger, Step
from cutaway.volumes import MountKind, MountPoint, VolumeStore


def fill_volumes(
    points: Iterable[MountPoint], chain_id: str, volumes: VolumeStore, snapshots: Snapshots
) -> None:
    """Fill those volumes that are empty and used by nobody, and for which the image has something.

    Args:
        points: of a container that is being created; its volumes exist.
        chain_id: names the image's topmost layer; empty: it has none.
        volumes: that have the volumes.
        snapshots: that have the layers.

    Raises:
        BadLayer, System: the disk is full; the volume is then as empty as before.

    Leaves behind: the content, which appears by one rename.
    """
    ledger = Ledger("engine")
    for point in points:
        if point.kind is not MountKind.VOLUME or not point.copy_up or not chain_id:
            continue
        if volumes.users(point.name) or not volumes.is_empty_directory(point.name):
            continue
        layers = (snapshots.directory(chain_id), *snapshots.lower_directories(chain_id))
        if any(may_hold(layer, point.destination) for layer in layers):
            step = FillVolume(
                why=f"the image's {point.destination}",
                volume=point.name,
                chain_id=chain_id,
                path=point.destination,
            )
            ledger.apply(step, FillScope(volumes, snapshots))


def may_hold(layer: str, path: str) -> bool:
    """Say whether a layer may have something at a path: cheap, and never wrongly no.

    A link on the way could lead anywhere, so it counts as yes.
    """
    fd = os.open(layer, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for name in path.strip("/").split("/"):
            try:
                if not stat.S_ISDIR(os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode):
                    return True
                flags = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
                inner = os.open(name, flags, dir_fd=fd)
            except OSError:
                return False
            os.close(fd)
            fd = inner
        return True
    finally:
        os.close(fd)


@dataclass(frozen=True, slots=True)
class FillScope:
    """Where the layers and the volumes are."""

    volumes: VolumeStore
    snapshots: Snapshots


@dataclass(frozen=True, slots=True, kw_only=True)
class FillVolume(Step[FillScope]):
    """Copy what an image has at a path into an empty volume, owners and modes kept.

    Two confined workers do it, joined by a pipe: one sees the image only, one the volume only.

    Attributes:
        volume: the volume's name.
        chain_id: names the image's topmost layer.
        path: in the image.
    """

    volume: str
    chain_id: str
    path: str

    def describe(self) -> str:
        """See ``Step``."""
        return f"copy {self.path} of the image into the volume {self.volume}"

    def shell(self) -> str:
        """See ``Step``."""
        return f"cp -a $IMAGE{self.path}/. $VOLUME/"

    def apply(self, scope: FillScope) -> Any:
        """Copy beside the volume's directory, then put the copy in its place."""
        with scope.volumes.replacing(self.volume) as directory:
            origin = Tree.of_snapshot(scope.snapshots, self.chain_id)
            try:
                copy_directory(origin, self.path, Tree.of_directory(scope.snapshots, directory))
            except NotFound:
                return False  # nothing there, or no directory: the volume stays as it is
        return True
