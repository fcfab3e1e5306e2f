"""Unpack one layer blob into a directory, in a confined child: the parent's side."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from cutaway.images.cancellation import Cancelled
from cutaway.images.layers import whiteout
from cutaway.images.layers.disk_guard import free_space_floor
from cutaway.images.worker_process import Worker

READ_SIZE = 256 * 1024
LAYER_FORMATS = ("none", "gzip", "zstd")
_KIND = "unpack"
_MAX_IMPLICIT = 10_000


@dataclass(frozen=True, slots=True)
class Unpacked:
    """A layer that lies unpacked, verified but not yet committed, in a directory of its own.

    Attributes:
        directory: holds ``fs``, the layer's tree.
        diff_id: digest of the uncompressed tar.
        tar_bytes: its length.
        size_bytes: data in files.
        entries: headers applied.
        declares_root: the layer says what the root directory's mode and owner are.
        hides_parent: nothing of the layers below shows through.
        implicit: directories made without an entry, which take the attributes they have below.
        format: ``none``, ``gzip`` or ``zstd``.
    """

    directory: str
    diff_id: str
    tar_bytes: int
    size_bytes: int
    entries: int
    declares_root: bool
    hides_parent: bool
    implicit: tuple[str, ...] = ()
    format: str = "none"


@dataclass(slots=True)
class _Notes:
    """Acts on what the worker tells while it unpacks."""

    implicit: list[str] = field(default_factory=list)

    def take(self, note: dict[str, Any], fds: list[int]) -> None:
        if "opaque" in note:
            # The worker has no right to set trusted.*; a descriptor from inside its root can
            # name nothing but a file of the layer, so marking it can harm only the layer.
            for fd in fds:
                os.setxattr(fd, whiteout.OPAQUE_XATTR, b"y")
        elif "implicit" in note and len(self.implicit) < _MAX_IMPLICIT:
            self.implicit.append(note["implicit"])


def unpack_layer(
    blob_fd: int,
    directory: str,
    *,
    diff_id: str | None = None,
    formats: tuple[str, ...] = LAYER_FORMATS,
    progress: Callable[[int], None] | None = None,
    is_cancelled: Callable[[], bool] | None = None,
) -> Unpacked:
    """Unpack a layer into ``directory/fs`` and verify it.

    Args:
        blob_fd: open for reading at the blob's start; its offset moves.
        directory: has an empty directory ``fs`` on the file system of the snapshots.
        diff_id: what the uncompressed stream must have as its digest, None to find out.
        formats: compressions that are accepted.
        progress: called ten times a second with the number of compressed bytes read.
        is_cancelled: asked as often; True stops.

    Raises:
        BadLayer: damaged, hostile, or DiffIdMismatch.
        DiskFloor, System: the host can't take it.
        Cancelled: as asked.

    Leaves behind: whatever was unpacked before the error; the caller removes ``directory``.
    """

    def tick() -> None:
        if is_cancelled is not None and is_cancelled():
            raise Cancelled
        if progress is not None:
            progress(os.lseek(blob_fd, 0, os.SEEK_CUR))

    notes = _Notes()
    request = {
        "diff_id": diff_id,
        "floor_bytes": free_space_floor(directory),
        "layer_formats": list(formats),
    }
    worker = Worker(_KIND, request, directory=f"{directory}/fs", stdin=blob_fd)
    needs_tick = progress is not None or is_cancelled is not None
    done = worker.run(on_note=notes.take, on_tick=tick if needs_tick else None)
    return Unpacked(directory=directory, implicit=tuple(notes.implicit), **done)
