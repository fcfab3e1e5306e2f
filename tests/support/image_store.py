"""An image store without an engine: pulled into in this very process, and looked at."""

import os
from pathlib import Path
from typing import Any

from cutaway.images.image import Image
from cutaway.images.pull import PullRequest, pull
from cutaway.images.snapshots import Snapshots
from cutaway.images.store import ImageStore
from cutaway.oci import Platform, Reference
from support.hostile_registry import QUICK


class Store:
    """An image store with its snapshots, and what a test asks of it.

    Attributes:
        root: the data root.
        events: of the last pull.
        explained: lines of the last pull.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.events: list[dict[str, Any]] = []
        self.explained: list[str] = []
        self.open()

    def open(self) -> None:
        """Open the store anew, as a restarted engine does."""
        self.snapshots = Snapshots(str(self.root / "snapshots"))
        self.images = ImageStore(str(self.root), self.snapshots)

    def pull(self, name: str, **options: Any) -> Image:
        """Pull for linux/amd64, whatever this machine is."""
        self.events, self.explained = [], []
        options.setdefault("settings", QUICK)
        platform = options.pop("platform", None)
        request = PullRequest(
            reference=Reference.parse(name),
            platform=Platform.parse(platform) if platform else None,
            progress=self.events.append,
            explain=self.explained.append,
            **options,
        )
        return pull(self.images, self.snapshots, request)

    def statuses(self, item: str | None = None) -> list[str]:
        """Return the different statuses of the last pull in order."""
        found = [e["status"] for e in self.events if item is None or e.get("id") == item]
        return list(dict.fromkeys(found))

    def blobs(self) -> set[str]:
        """Return the digests of all blobs."""
        return {str(d) for d, _, _ in self.images.content.list_blobs()}

    def partial(self) -> list[str]:
        """Return the names of partial blobs."""
        return os.listdir(self.root / "images" / "ingest")

    def is_empty(self) -> bool:
        """Say whether nothing at all is kept: no blob, partial blob, snapshot or name."""
        self.snapshots.empty_trash()
        left = os.listdir(self.root / "snapshots" / "tmp")
        names = [i.names for i in self.images.list()]
        return not (self.blobs() or self.partial() or left or self.snapshots.walk() or names)
