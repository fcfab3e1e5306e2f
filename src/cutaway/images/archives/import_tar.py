"""``docker import``: one tar becomes one layer becomes one image."""

import datetime
import os
from collections.abc import Callable, Sequence

from cutaway.images.archives.changes import apply_changes
from cutaway.images.assemble import assemble_image, this_platform
from cutaway.images.content import ContentStore
from cutaway.images.image import Image
from cutaway.images.layer_blob import LayerBlobWriter
from cutaway.images.layers.compression import READ_SIZE, DecompressedStream, find_format
from cutaway.images.snapshots import Snapshots
from cutaway.images.store import ImageStore
from cutaway.oci import (
    ContainerDefaults,
    Descriptor,
    Digest,
    History,
    ImageConfig,
    MediaType,
    Platform,
    Reference,
    RootFS,
)

_HEAD_BYTES = 6
_KEPT_FORMATS = {"gzip": MediaType.OCI_LAYER_GZIP, "zstd": MediaType.OCI_LAYER_ZSTD}


def import_tar(
    store: ImageStore,
    snapshots: Snapshots,
    read: Callable[[int], bytes],
    *,
    reference: Reference | None = None,
    changes: Sequence[str] = (),
    message: str = "",
    source: str = "-",
    platform: Platform | None = None,
) -> Image:
    """Make an image of a tar of a root file system.

    Args:
        store: where it goes.
        snapshots: where its layer goes.
        read: the tar; compressed as gzip or zstd it is kept as it is, as bzip2 or xz or not at
            all it is compressed anew.
        reference: its name, with a tag; None for an image without one.
        changes: Dockerfile instructions, ``CMD ["sh"]``.
        message: the image's comment.
        source: where the tar came from, for the history.
        platform: what it runs on; this machine by default.

    Raises:
        BadLayer: not a tar, damaged or hostile; nothing is kept.
        InvalidParameter: a change is wrong. System: the disk is full.
    """
    config = apply_changes(ContainerDefaults(), changes)
    with store.lease(discards=True) as pin:
        descriptor = _store_layer(store.content, read)
        diff_id = _unpack(store, snapshots, descriptor, pin)
        target = platform or this_platform()
        created = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        comment = message or f"Imported from {source}"
        image = ImageConfig(
            architecture=target.architecture,
            variant=target.variant,
            os=target.os,
            created=created,
            config=config,
            comment=comment,
            rootfs=RootFS("layers", (diff_id,)),
            history=(History(created=created, comment=comment),),
        )
        names = () if reference is None else (reference.with_default_tag(),)
        return assemble_image(store, snapshots, image, (descriptor,), names=names, by="import")


def _store_layer(content: ContentStore, read: Callable[[int], bytes]) -> Descriptor:
    head = b""
    while len(head) < _HEAD_BYTES and (more := read(READ_SIZE)):
        head += more
    stream = _Pushback(head, read)
    media_type = _KEPT_FORMATS.get(find_format(head))
    if media_type is None:
        source = DecompressedStream(stream.read)
        with LayerBlobWriter(content) as layer:
            while chunk := source.read_chunk():
                layer.write(chunk)
            return layer.commit()[0]
    with content.ingest() as ingest:
        while chunk := stream.read(READ_SIZE):
            ingest.write(chunk)
        digest, size = ingest.commit()
    return Descriptor(media_type, digest, size)


class _Pushback:
    """A stream whose first bytes were looked at already."""

    def __init__(self, head: bytes, read: Callable[[int], bytes]) -> None:
        self._head = head
        self._read = read

    def read(self, size: int) -> bytes:
        head, self._head = self._head, b""
        return head or self._read(size)


def _unpack(
    store: ImageStore,
    snapshots: Snapshots,
    descriptor: Descriptor,
    pin: Callable[[Sequence[str]], None],
) -> Digest:
    """Unpack the one layer, which only now tells its diff id."""
    fd = store.content.open_fd(descriptor.digest)
    try:
        unpacked = snapshots.unpack(fd, diff_id=None)
    finally:
        os.close(fd)
    pin([unpacked.diff_id])
    snapshots.adopt([(unpacked, unpacked.diff_id, None)])
    return Digest.parse(unpacked.diff_id)
