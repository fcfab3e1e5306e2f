"""Room on the disk that only the engine's own records use: a disk that is full stays manageable.

Images, logs and containers can fill a disk, and what helps then is ``rm``, ``rmi`` and ``prune``,
which write before they free anything. So the engine keeps some empty files, and deletes one when
a record of its own finds no room. One at a time: whoever filled the disk may take that room too.
"""

import contextlib
import os

from cutaway.files import sync_directory

SLICE_BYTES = 1 << 20
_SLICES = 16
_SHARE = 20  # of a small disk, a twentieth at most


class DiskReserve:
    """The empty files of one data root; any thread.

    Args:
        directory: of them; made if missing, on the disk that is to be kept manageable.
    """

    def __init__(self, directory: str) -> None:
        self._directory = directory
        with contextlib.suppress(OSError):
            os.makedirs(directory, mode=0o700, exist_ok=True)

    def fill(self) -> None:
        """Make what is missing, while there is plenty of room; a disk that has none is let be."""
        try:
            disk = os.statvfs(self._directory)
            wanted = min(_SLICES, disk.f_blocks * disk.f_frsize // _SHARE // SLICE_BYTES)
            free = disk.f_bavail * disk.f_frsize
            for path in self._paths()[:wanted]:
                if free < 2 * wanted * SLICE_BYTES:
                    return
                if not os.path.exists(path):
                    free -= SLICE_BYTES
                    self._make(path)
        except OSError:
            return

    def release(self) -> bool:
        """Give a slice back to the disk; False when none is left."""
        for path in reversed(self._paths()):
            with contextlib.suppress(OSError):
                os.unlink(path)
                sync_directory(self._directory)
                return True
        return False

    def _paths(self) -> list[str]:
        return [f"{self._directory}/{number:02}" for number in range(_SLICES)]

    def _make(self, path: str) -> None:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(fd, 0, SLICE_BYTES)
        except OSError:
            os.unlink(path)
            raise
        finally:
            os.close(fd)
