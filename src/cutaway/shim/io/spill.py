"""A bounded first-in first-out queue of bytes in a file that has no name."""

import os

SPILL_LIMIT_BYTES = 256 * 1024 * 1024


class SpillFile:
    """Holds what a slow client has not taken yet, at most ``limit_bytes``.

    The file is a ring: its blocks are used again, so it is never bigger than the most that was
    waiting. It has no name, so no crash can leave it behind.
    """

    def __init__(self, directory: str, limit_bytes: int = SPILL_LIMIT_BYTES) -> None:
        self._directory = directory
        self._limit_bytes = limit_bytes
        self._fd = -1
        self._begin = 0
        self.size = 0

    def has_room(self, size: int) -> bool:
        """Whether ``put`` would take that much more."""
        return self.size + size <= self._limit_bytes

    def put(self, data: bytes) -> None:
        """Append.

        Raises:
            OSError: ENOSPC; nothing was added.
        """
        if self._fd < 0:
            flags = os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC
            self._fd = os.open(self._directory, flags, 0o600)
        end = (self._begin + self.size) % self._limit_bytes
        first = data[: self._limit_bytes - end]
        _pwrite_all(self._fd, first, end)
        _pwrite_all(self._fd, data[len(first) :], 0)
        self.size += len(data)

    def take(self, size: int) -> bytes:
        """Remove and return up to ``size`` bytes from the front."""
        size = min(size, self.size, self._limit_bytes - self._begin)
        data = os.pread(self._fd, size, self._begin) if size else b""
        self._begin = (self._begin + len(data)) % self._limit_bytes
        self.size -= len(data)
        if not self.size:
            self.close()  # gives the disk its blocks back
        return data

    def close(self) -> None:
        """Forget everything."""
        if self._fd >= 0:
            os.close(self._fd)
        self._fd, self._begin, self.size = -1, 0, 0


def _pwrite_all(fd: int, data: bytes, offset: int) -> None:
    while data:
        written = os.pwrite(fd, data, offset)
        data, offset = data[written:], offset + written
