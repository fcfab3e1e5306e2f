"""What can be wrong with a layer, in sentences for the person who pulled or loaded it."""

from cutaway.errors import InvalidParameter, System


class BadLayer(InvalidParameter):
    """A layer's bytes are damaged, hostile or beyond a limit; nothing of it was kept."""


class DiffIdMismatch(BadLayer):
    """The layer unpacked to other bytes than its image config promises.

    Attributes:
        expected: the ``rootfs.diff_ids`` entry of the image config.
        actual: the digest of the uncompressed stream.
    """

    def __init__(self, expected: str, actual: str) -> None:
        super().__init__(
            f"wrong diff id calculated on extraction: the image config promises {expected}, "
            f"the layer's content is {actual}; the image is damaged or forged: pull it again"
        )
        self.expected = expected
        self.actual = actual


class DiskFloor(System):
    """Unpacking would leave the disk with less free space than the engine needs to go on."""


class WorkerFailed(System):
    """A confined worker died or could not be confined; the request may be fine."""
