"""The one host change of a snapshot that belongs to starting a container."""

import contextlib
from dataclasses import dataclass
from shlex import quote

from cutaway.errors import NotFound
from cutaway.images.snapshots.overlay import Snapshots
from cutaway.steps import Step


@dataclass(frozen=True, slots=True, kw_only=True)
class PrepareSnapshot(Step[Snapshots]):
    """Make the container's own layer on top of its image.

    Attributes:
        key: the container's id.
        parent: the image's chain id; None for an image without layers.
        is_volatile: skip every sync, as the files die with the container.
    """

    key: str
    parent: str | None
    is_volatile: bool = False

    def describe(self) -> str:
        """Say which layer on top of what."""
        below = f"on top of {self.parent}" if self.parent else "on nothing"
        return f"prepare a writable layer {below}" + (", never synced" if self.is_volatile else "")

    def shell(self) -> str:
        """Print the directories that overlay needs; its mount is a step of the runtime."""
        return f"mkdir -p snapshots/{quote(self.key)}/fs snapshots/{quote(self.key)}/work"

    def apply(self, scope: Snapshots) -> None:
        """Prepare it; ``scope.mounts(key)`` says how to mount it."""
        scope.prepare(self.key, self.parent, is_volatile=self.is_volatile)

    def undo(self, scope: Snapshots, result: object) -> None:
        """Throw it away."""
        with contextlib.suppress(NotFound):
            scope.remove(self.key)
