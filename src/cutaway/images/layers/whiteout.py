"""Whiteouts: how a layer says that something below it is gone.

In a layer's tar a file ``.wh.NAME`` deletes NAME of the layers below, and ``.wh..wh..opq`` in a
directory deletes all that the layers below have in it. In an overlay file system the same two are
a character device 0:0 called NAME, and the attribute ``trusted.overlay.opaque`` of the directory.

Source: image-spec layer.md "Whiteouts"; kernel Documentation/filesystems/overlayfs.rst.
"""

from cutaway.images.layers.errors import BadLayer

PREFIX = b".wh."
OPAQUE_NAME = b".wh..wh..opq"
META_PREFIX = b".wh..wh."
OPAQUE_XATTR = "trusted.overlay.opaque"


def parse_whiteout(leaf: bytes) -> bytes | None:
    """Return the name that a whiteout file deletes, None for AUFS's own bookkeeping.

    Args:
        leaf: a last path component that starts with ``.wh.`` and is not the opaque mark.

    Raises:
        BadLayer: it would delete nothing, the directory itself or its parent.
    """
    if leaf.startswith(META_PREFIX):
        return None  # .wh..wh.plnk and the like: left by aufs, Docker skips them too
    target = leaf[len(PREFIX) :]
    if target in (b"", b".", b".."):
        raise BadLayer(f"layer has an invalid whiteout name {leaf.decode('ascii', 'replace')!r}")
    return target
