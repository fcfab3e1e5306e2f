"""The content of an open file: as pieces for an archive, or copied by the kernel into another."""

import errno
import os
from collections.abc import Callable, Iterator

from cutaway.images.layers.sparse import Segment

_READ_SIZE = 1 << 20
_COPY_SIZE = 64 << 20
_CANT_COPY = (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM)


class FileContent:
    """What a file holds; iterating yields all of it, holes as zeros.

    Args:
        fd: open for reading; the caller's, who keeps it open.
        size: of the file when it was looked at. It may shrink or grow meanwhile: exactly so many
            bytes are given.
    """

    def __init__(self, fd: int, size: int) -> None:
        self._fd = fd
        self._size = size

    def __iter__(self) -> Iterator[bytes]:
        yield from self._pieces(0, self._size)

    def status(self) -> os.stat_result:
        """Return the open file's status."""
        return os.fstat(self._fd)

    def segments(self) -> tuple[Segment, ...]:
        """Return where data is: (offset, length) each; what is between them are holes."""
        found: list[Segment] = []
        offset = 0
        while offset < self._size:
            try:
                start = os.lseek(self._fd, offset, os.SEEK_DATA)
                end = os.lseek(self._fd, start, os.SEEK_HOLE)
            except OSError as error:
                if error.errno == errno.ENXIO:  # a hole up to the end
                    break
                raise
            start, offset = min(start, self._size), min(end, self._size)
            if start < offset:
                found.append((start, offset - start))
        return tuple(found)

    def stored(self, segments: tuple[Segment, ...]) -> Iterator[bytes]:
        """Yield the bytes of some segments only."""
        for offset, length in segments:
            yield from self._pieces(offset, length)

    def copy_to(self, fd: int, spend: Callable[[int], None]) -> None:
        """Fill an empty file with it, holes kept.

        copy_file_range(2) shares the blocks where the file system can (btrfs, xfs) and copies
        within the kernel where it can't.

        Args:
            fd: open for writing.
            spend: told how many bytes come next; may raise.
        """
        for offset, length in self.segments():
            done = self._copy_range(fd, offset, length, spend)
            for piece in self._pieces(offset + done, length - done):
                spend(len(piece))
                os.lseek(fd, offset + done, os.SEEK_SET)
                done += len(piece)
                while piece:
                    piece = piece[os.write(fd, piece) :]
        os.ftruncate(fd, self._size)

    def _copy_range(self, fd: int, offset: int, length: int, spend: Callable[[int], None]) -> int:
        """Return how much of a segment the kernel copied."""
        done = 0
        while done < length:
            count = min(length - done, _COPY_SIZE)
            spend(count)
            try:
                copied = os.copy_file_range(self._fd, fd, count, offset + done, offset + done)
            except OSError as error:
                if error.errno in _CANT_COPY:
                    break
                raise
            if not copied:
                break
            done += copied
        return done

    def _pieces(self, offset: int, length: int) -> Iterator[bytes]:
        while length:
            size = min(length, _READ_SIZE)
            piece = os.pread(self._fd, size, offset) or bytes(size)
            offset += len(piece)
            length -= len(piece)
            yield piece
