"""How unpacked layers become snapshots: completed from below, synced once, renamed, named."""

import concurrent.futures
import os
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cutaway import linux
from cutaway.images.cancellation import Cancelled
from cutaway.images.layers.unpack import Unpacked
from cutaway.images.resolve import INSIDE_NO_LINKS

if TYPE_CHECKING:
    from cutaway.images.snapshots.overlay import Snapshots

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_PARALLEL_LAYERS = 3


@dataclass(frozen=True, slots=True)
class LayerBlob:
    """A layer of an image, ready to be unpacked.

    Attributes:
        open_fd: opens the blob for reading.
        diff_id: of the image config.
        chain_id: of the stack up to here: the snapshot's name.
    """

    open_fd: Callable[[], int]
    diff_id: str
    chain_id: str


def complete_from_below(unpacked: Unpacked, below: Sequence[str]) -> None:
    """Give what a layer only implies the attributes it has in the layers below.

    A tar may name ``usr/bin/tool`` without ``usr/bin``. The directory must exist in this layer,
    and overlay would show *its* owner and mode: it takes them from below, as containerd does.

    Args:
        unpacked: not yet adopted.
        below: the ``fs`` directories of the layers below, topmost first.
    """
    if not below or not (unpacked.implicit or not unpacked.declares_root):
        return
    layer_fd = os.open(f"{unpacked.directory}/fs", _DIRECTORY)
    below_fds = [os.open(path, _DIRECTORY) for path in below]
    try:
        # Deepest first: setting a time is undone by nothing, and parents come after children.
        for path in sorted(unpacked.implicit, key=len, reverse=True):
            _copy_attributes(layer_fd, below_fds, os.fsencode(path))
        if not unpacked.declares_root:
            _copy_attributes(layer_fd, below_fds, b".")
    finally:
        for fd in (layer_fd, *below_fds):
            os.close(fd)


def _copy_attributes(layer_fd: int, below_fds: Sequence[int], path: bytes) -> None:
    for below_fd in below_fds:
        source = _open_directory(below_fd, path)
        if source is None:
            continue
        target = _open_directory(layer_fd, path)
        if target is not None:
            copy_directory_attributes(source, target)
            os.close(target)
        os.close(source)
        return


def _open_directory(root_fd: int, path: bytes) -> int | None:
    try:
        return linux.openat2(root_fd, path, _DIRECTORY, 0, INSIDE_NO_LINKS)
    except OSError:
        return None  # not there, or not a directory


def copy_directory_attributes(source_fd: int, target_fd: int) -> None:
    """Give one directory the owner, mode and time of another."""
    status = os.fstat(source_fd)
    os.fchown(target_fd, status.st_uid, status.st_gid)
    os.fchmod(target_fd, stat.S_IMODE(status.st_mode))
    os.utime(target_fd, ns=(status.st_mtime_ns, status.st_mtime_ns))


def unpack_image(
    snapshots: "Snapshots",
    layers: Sequence[LayerBlob],
    *,
    progress: Callable[[int, int], None] | None = None,
    is_cancelled: Callable[[], bool] | None = None,
) -> str | None:
    """Unpack every layer of an image whose snapshot is missing, several at a time.

    Args:
        snapshots: where to.
        layers: lowest first.
        progress: called with a layer's index and the compressed bytes of it read so far; from
            several threads.
        is_cancelled: True stops.

    Returns:
        The chain id of the whole, None for an image without layers.

    Raises:
        BadLayer, System, Cancelled: the first layer's failure; nothing of the image is kept that
            was not there.
    """
    missing = [(n, layer) for n, layer in enumerate(layers) if layer.chain_id not in snapshots]
    failed: list[BaseException] = []

    def stop() -> bool:
        return bool(failed) or (is_cancelled is not None and is_cancelled())

    def unpack(number: int, layer: LayerBlob) -> Unpacked:
        def report(offset: int) -> None:
            if progress is not None:
                progress(number, offset)

        fd = layer.open_fd()
        try:
            return snapshots.unpack(fd, diff_id=layer.diff_id, progress=report, is_cancelled=stop)
        except BaseException as error:
            failed.append(error)
            raise
        finally:
            os.close(fd)

    with concurrent.futures.ThreadPoolExecutor(_PARALLEL_LAYERS, "unpack") as pool:
        futures = [pool.submit(unpack, number, layer) for number, layer in missing]
    unpacked = [f.result() for f in futures if f.exception() is None]
    if failed:
        for layer_directory in unpacked:
            snapshots.discard(layer_directory)
        raise next((e for e in failed if not isinstance(e, Cancelled)), failed[0])
    parents = {
        layer.chain_id: (layers[n - 1].chain_id if n else None) for n, layer in enumerate(layers)
    }
    snapshots.adopt(
        [
            (done, layer.chain_id, parents[layer.chain_id])
            for done, (_, layer) in zip(unpacked, missing, strict=True)
        ]
    )
    return layers[-1].chain_id if layers else None
