"""Several layers of the content store made one, by a worker that sees only their blobs."""

import os
from collections.abc import Sequence

from cutaway.images.layer_blob import LayerBlobWriter
from cutaway.images.store import ImageStore
from cutaway.images.trees.tree import KIND
from cutaway.images.worker_process import Worker, wide_pipe
from cutaway.oci import Descriptor, Digest

_READ_BYTES = 1 << 20
_MAX_LAYERS = 100  # of one worker: it is handed a descriptor for each


def squash_layers(
    store: ImageStore, layers: Sequence[Descriptor], *, keeps_whiteouts: bool
) -> tuple[Descriptor, Digest]:
    """Merge layers that are in the content store into one new blob.

    Args:
        store: hold a lease of it.
        layers: lowest first; many are merged in several rounds.
        keeps_whiteouts: something is below them, so deletions must stay told.

    Returns:
        The new blob and its diff id.

    Raises:
        BadLayer: a layer is hostile or damaged.
    """
    while len(layers) > _MAX_LAYERS:
        lowest, rest = layers[:_MAX_LAYERS], layers[_MAX_LAYERS:]
        merged, _ = squash_layers(store, lowest, keeps_whiteouts=keeps_whiteouts)
        layers = (merged, *rest)
    fds = tuple(store.content.open_fd(layer.digest) for layer in layers)
    read_fd, write_fd = wide_pipe()
    try:
        try:
            request = {"op": "squash", "layers": fds, "keeps_whiteouts": keeps_whiteouts}
            directory = f"{store.content.root}/ingest"
            worker = Worker(KIND, request, directory=directory, stdout=write_fd, fds=fds)
        finally:
            os.close(write_fd)
        try:
            with LayerBlobWriter(store.content) as writer:
                while chunk := os.read(read_fd, _READ_BYTES):
                    writer.write(chunk)
                worker.run()
                return writer.commit()
        finally:
            worker.close()
    finally:
        for fd in (read_fd, *fds):
            os.close(fd)
