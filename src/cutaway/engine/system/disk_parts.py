"""Where the bytes below the data root are: parts that add up to what ``du`` says of the whole."""

import contextlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass

from cutaway.images.snapshots import Kind, Snapshots

_BLOCK_BYTES = 512  # the unit of st_blocks, whatever the file system's own
_PARTS = {
    "images": "Images as pulled and pushed (blobs)",
    "snapshots": "Images unpacked (layers)",
    "containers": "Containers' documents and logs",
    "volumes": "Volumes",
    "build-cache-mounts": "Build cache mounts",
    "reserve": "Reserve for a full disk",
}
_CHANGES = "Containers' changes (writable layers)"
_REST = "Database and the rest"


@dataclass(frozen=True, slots=True)
class DiskPart:
    """What one kind of thing takes.

    Attributes:
        what: for people.
        path: below the data root; the root itself for the rest.
        size_bytes: allocated, directories included; a file with several names counts once.
    """

    what: str
    path: str
    size_bytes: int


def measure_parts(data_root: str, snapshots: Snapshots) -> list[DiskPart]:
    """Measure the whole data root; slow, for a worker thread."""
    seen: set[tuple[int, int]] = set()
    active = {
        os.path.dirname(snapshots.directory(info.name))
        for info in snapshots.walk()
        if info.kind is not Kind.COMMITTED
    }
    changes = sum(_allocated(directory, seen) for directory in sorted(active))
    parts = [
        DiskPart(what, f"{data_root}/{name}", _allocated(f"{data_root}/{name}", seen, skip=active))
        for name, what in _PARTS.items()
    ]
    rest = _allocated(data_root, seen, skip={part.path for part in parts})
    parts.append(DiskPart(_CHANGES, f"{data_root}/snapshots", changes))
    return [*parts, DiskPart(_REST, data_root, rest)]


def _allocated(path: str, seen: set[tuple[int, int]], skip: "set[str] | None" = None) -> int:
    total = 0
    for status in _statuses(path, skip or set()):
        name = status.st_dev, status.st_ino
        if status.st_nlink > 1 and not stat.S_ISDIR(status.st_mode):
            if name in seen:
                continue
            seen.add(name)
        total += status.st_blocks * _BLOCK_BYTES
    return total


def _statuses(path: str, skip: set[str]) -> Iterator[os.stat_result]:
    """Yield the status of a tree's files, links not followed; what goes meanwhile is left out."""
    try:
        top = os.lstat(path)
    except FileNotFoundError:
        return
    yield top
    pending = [path]
    while pending:
        with contextlib.suppress(OSError), os.scandir(pending.pop()) as entries:
            for entry in entries:
                status = entry.stat(follow_symlinks=False)
                if entry.path in skip or status.st_dev != top.st_dev:
                    continue
                yield status
                if stat.S_ISDIR(status.st_mode):
                    pending.append(entry.path)
