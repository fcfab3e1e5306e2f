"""Trash: what is removed is gone by one rename, whatever its size, and deleted when nobody waits.

An unlink may wait for the disk, a tree is many of them. A directory that moves out of its place is
gone for everybody at once, also after a crash; what lies in the trash belongs to nobody.
"""

import itertools
import os
import threading
import time

from cutaway.images.layers.tree_removal import remove_tree

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Trash:
    """A directory of things to delete; every method may be called from any thread.

    Args:
        directory: made if missing; on the file system of all that is thrown away.
    """

    def __init__(self, directory: str) -> None:
        os.makedirs(directory, mode=0o700, exist_ok=True)
        self._directory = directory
        self._emptying = threading.Lock()  # held by the one thread that deletes
        self._started_ns = time.time_ns()  # keeps names apart across restarts
        self._serials = itertools.count(1)

    def throw_away(self, path: str) -> None:
        """Move something here.

        Raises:
            OSError: ENOENT, EXDEV (another file system), EROFS; it is where it was then.
        """
        os.rename(path, f"{self._directory}/{self._started_ns:x}-{next(self._serials)}")

    def empty(self) -> None:
        """Delete what is here; slow, for a thread of its own.

        One thread at a time: while another is at it, this returns at once, and the other one
        takes what was thrown away meanwhile.

        Raises:
            OSError: EBUSY, EROFS: what remains is tried again next time.
        """
        if not self._emptying.acquire(blocking=False):
            return
        try:
            fd = os.open(self._directory, _DIRECTORY)
            try:
                _empty(fd)
            finally:
                os.close(fd)
        finally:
            self._emptying.release()


def _empty(fd: int) -> None:
    failures: dict[str, OSError] = {}
    while names := set(os.listdir(fd)) - failures.keys():
        for name in names:
            try:
                remove_tree(fd, os.fsencode(name))
            except OSError as error:
                failures[name] = error
    if failures:
        raise next(iter(failures.values()))
