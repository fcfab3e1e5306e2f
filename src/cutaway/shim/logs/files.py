"""The files of one log as one sequence of entries, over rotations, from any place near the end.

Files are opened all at once, the oldest first: what is open cannot be rotated away. A followed
file is whole once the path names another inode; then its successor is looked for.
"""

import contextlib
import os
import time
import zlib
from collections.abc import Iterator
from types import ModuleType

from cutaway.linux import inotify
from cutaway.linux.abi import IN
from cutaway.shim.logs import jsonread, local
from cutaway.shim.logs.batch import TailStart

_BLOCK_BYTES = 1 << 18
_BLOCK_LIMIT = 1 << 26
_GZIP_WINDOW = 31
_WATCHED = IN.MODIFY | IN.MOVE_SELF | IN.ATTRIB
_ROTATION_PATIENCE = 1000


class LogFiles:
    """Yields blocks of whole entries.

    Args:
        path: the current file; ``.1``, ``.2.gz``… are older ones.
        driver: ``json-file`` or ``local``.
        tail: begin at the last that many entries; negative is all.
        follow: don't stop at the end until ``finish``.
    """

    def __init__(self, path: str, driver: str, *, tail: int = -1, follow: bool = False) -> None:
        self._path = path
        self.format: ModuleType = local if driver == "local" else jsonread
        self._tail = tail
        self._follow = follow
        self._finished = False
        self._open_fds: list[int] = []
        self._starts: list[TailStart] = []
        self._last_size = 0
        self._is_open = False
        self.inotify_fd = inotify.inotify_init() if follow else -1

    def finish(self) -> None:
        """Stop following once everything that is written has been yielded."""
        self._finished = True

    def close(self) -> None:
        """Close all descriptors."""
        for fd in (*self._open_fds, self.inotify_fd):
            if fd >= 0:
                os.close(fd)
        self._open_fds, self.inotify_fd = [], -1

    def open(self) -> None:
        """Open everything now; without ``follow`` what is written later is not read."""
        self._open_fds = self._open_all()
        self._starts = self._find_starts()
        self._last_size = os.fstat(self._open_fds[-1]).st_size if self._open_fds else 0
        self._is_open = True

    def blocks(self) -> Iterator[tuple[bytes | None, int]]:
        """Yield (whole entries, how many lines to skip in the first); None: caught up."""
        if not self._is_open:
            self.open()
        while self._open_fds:
            fd = self._open_fds[0]
            start = self._starts.pop(0) if self._starts else TailStart(0, 0, 0)
            is_followed = self._follow and len(self._open_fds) == 1
            if is_followed:
                yield from self._follow_file(fd, start)
                successor = self._successor(fd)
                if successor is not None:
                    self._open_fds.append(successor)
            else:
                is_last = len(self._open_fds) == 1
                yield from self._read_file(fd, start, self._last_size if is_last else -1)
            self._open_fds.pop(0)
            os.close(fd)

    def _read_file(self, fd: int, start: TailStart, end: int = -1) -> Iterator[tuple[bytes, int]]:
        """Yield what the file holds up to ``end``, or now (a writer may add to it for ever)."""
        offset, skip = start.offset, start.skip_lines
        if end < 0:
            end = os.fstat(fd).st_size
        block = _BLOCK_BYTES
        while offset < end:
            data = os.pread(fd, min(block, end - offset), offset)
            usable = self.format.complete_length(data)
            if usable:
                yield data[:usable], skip
                skip, offset = 0, offset + usable
            elif len(data) < block or block >= _BLOCK_LIMIT:
                return  # a torn entry at the end
            else:
                block *= 2

    def _follow_file(self, fd: int, start: TailStart) -> Iterator[tuple[bytes | None, int]]:
        """Yield what is in the file and comes into it, until it is rotated away or the end."""
        with contextlib.suppress(OSError):  # out of inotify watches: the caller's time-out helps
            inotify.inotify_add_watch(self.inotify_fd, f"/proc/self/fd/{fd}", _WATCHED)
        offset, skip = start.offset, start.skip_lines
        while True:
            # Read before yielding: a rotation after this look leaves nothing unread.
            rotated = not _is_same_file(fd, self._path)
            finished = self._finished
            seen = offset
            for data, skip_lines in self._read_file(fd, TailStart(offset, skip, 0)):
                yield data, skip_lines
                skip, offset = 0, offset + len(data)
            if offset > seen:
                continue
            if os.fstat(fd).st_size < offset:  # emptied: max-file is 1
                offset = 0
            elif rotated or finished:
                return
            else:
                yield None, 0
                inotify.inotify_read(self.inotify_fd)

    def _successor(self, fd: int) -> int | None:
        """Open the file that was begun after ``fd``; None when ``fd`` is the current one."""
        for _ in range(_ROTATION_PATIENCE):
            if _is_same_file(fd, self._path):
                return None
            newer = self._path
            number = 1
            while os.path.exists(f"{self._path}.{number}"):
                if _is_same_file(fd, f"{self._path}.{number}"):
                    break
                newer = f"{self._path}.{number}"
                number += 1
            else:
                newer = self._path  # ours was deleted or compressed: the newest is what is left
            with contextlib.suppress(FileNotFoundError):
                return os.open(newer, os.O_RDONLY | os.O_CLOEXEC)
            if self._finished:
                return None
            time.sleep(0.001)  # between the writer's rename and open
        return None

    def _open_all(self) -> list[int]:
        """Open every file, oldest first; once more when a rotation came in between."""
        while True:
            fds: list[int] = []
            newest = _open(self._path)
            number = 1
            while (fd := _open_rotated(f"{self._path}.{number}")) is not None:
                fds.insert(0, fd)
                number += 1
            if newest is not None:
                fds.append(newest)
            if newest is None or _is_same_file(newest, self._path):
                return fds
            for fd in fds:
                os.close(fd)

    def _find_starts(self) -> list[TailStart]:
        """Find where the tail begins; files that lie wholly before it are closed."""
        if self._tail < 0:
            return []
        missing = self._tail
        for index in range(len(self._open_fds) - 1, -1, -1):
            start: TailStart = self.format.find_tail(self._open_fds[index], missing)
            missing = start.missing
            if not missing:
                for fd in self._open_fds[:index]:
                    os.close(fd)
                del self._open_fds[:index]
                return [start]
        return []


def _open(path: str) -> int | None:
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None


def _open_rotated(path: str) -> int | None:
    """Open a rotated file; a compressed one is unpacked into memory first."""
    plain = _open(path)
    if plain is not None:
        return plain
    packed = _open(f"{path}.gz")
    if packed is None:
        return None
    memfd = os.memfd_create("cutaway log", os.MFD_CLOEXEC)
    unpacker = zlib.decompressobj(_GZIP_WINDOW)
    try:
        while chunk := os.read(packed, _BLOCK_BYTES):
            view = memoryview(unpacker.decompress(chunk))
            while view:
                view = view[os.write(memfd, view) :]
    except zlib.error:
        pass  # damaged: what could be unpacked is shown
    finally:
        os.close(packed)
    return memfd


def _is_same_file(fd: int, path: str) -> bool:
    try:
        there = os.stat(path)
    except FileNotFoundError:
        return False
    here = os.fstat(fd)
    return (here.st_ino, here.st_dev) == (there.st_ino, there.st_dev)
