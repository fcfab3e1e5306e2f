"""Files that are never seen half written, and locks that die with their owner.

A reader of a file written here sees the old document or the new one, never a torn one; when
``durable`` it also survives a power cut, file and name both.
"""

import fcntl
import json
import os
from typing import Any


def write_atomic(path: str, data: bytes, *, mode: int = 0o600, durable: bool = True) -> None:
    """Replace the file at ``path`` by ``data``, all or nothing.

    Args:
        path: its directory must exist.
        data: the whole new content.
        mode: permission bits of the new file, whatever the umask.
        durable: fsync the file and its directory (about 3 ms on a disk). Without it the file
            still survives the death of every process, but not of the machine.

    Raises:
        OSError: ENOSPC (disk full), EROFS, EACCES, ENOENT (no such directory). The old file is
            then untouched and no temporary file is left.
    """
    directory, name = os.path.split(path)
    temporary = os.path.join(directory, f".{name}.{os.getpid()}.tmp")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    try:
        try:
            os.fchmod(fd, mode)
            view = memoryview(data)
            while view:
                view = view[os.write(fd, view) :]
            if durable:
                os.fsync(fd)
        finally:
            os.close(fd)
        os.rename(temporary, path)
    except BaseException as error:
        os.unlink(temporary)
        if isinstance(error, OSError):
            error.filename = error.filename or path  # a failed write(2) names no file
        raise
    if durable:
        sync_directory(directory or ".")


def sweep_temporaries(directory: str) -> None:
    """Delete what killed writers left; for the directory's owner, before anybody writes there."""
    for name in os.listdir(directory):
        if name.startswith(".") and name.endswith(".tmp"):
            os.unlink(os.path.join(directory, name))


def write_json(path: str, document: Any, *, mode: int = 0o600, durable: bool = True) -> None:
    """Write ``document`` as compact JSON by ``write_atomic``."""
    data = json.dumps(document, separators=(",", ":")).encode()
    write_atomic(path, data, mode=mode, durable=durable)


def read_json(path: str) -> Any:
    """Return the JSON document at ``path``.

    Raises:
        FileNotFoundError: there is none.
        ValueError: the file is not JSON; it was not written by ``write_json``.
    """
    with open(path, "rb") as file:
        return json.loads(file.read())


def sync_directory(path: str) -> None:
    """Make renames, links and unlinks in ``path`` survive a power cut: fsync(2) on a directory."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


class FileLock:
    """An exclusive flock(2) on a file: held while the owner lives, never stale.

    The file's content is for people (a process id); only the lock decides.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._fd: int | None = None

    def acquire(self, content: bytes = b"") -> bool:
        """Take the lock if nobody holds it, and write ``content`` into the file.

        Returns:
            True when taken, False when another process holds it.

        Leaves behind: the file, also after ``release``; it means nothing without the lock.
        """
        fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            return False
        os.ftruncate(fd, 0)
        os.pwrite(fd, content, 0)
        self._fd = fd
        return True

    def release(self) -> None:
        """Give the lock back; harmless when not held."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
