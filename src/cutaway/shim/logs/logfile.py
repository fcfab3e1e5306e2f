"""An append-only file that rotates at a size: ``x.log``, ``x.log.1``, …, optionally compressed.

Rotation happens before the next entry once the file has reached its size, so a file ends with the
entry that crossed the limit, exactly as Docker's. Compression runs in a child process: output
must not wait for it.

Source: moby daemon/logger/loggerutils/logfile.go.
"""

import contextlib
import errno
import os
import zlib
from typing import NoReturn

from cutaway import linux

FULL_DISK = frozenset({errno.ENOSPC, errno.EDQUOT})
_GZIP_WINDOW = 31  # zlib's word for "with a gzip head"
_COMPRESS_CHUNK = 1 << 18


class LogFile:
    """The current log file, open for appending.

    Args:
        path: its directory exists; rotated files appear beside it.
        max_size_bytes: -1 never rotates.
        max_files: how many files are kept, this one included; with 1 it is emptied instead.
        compress: rotated files become ``.gz``.
    """

    def __init__(
        self, path: str, *, max_size_bytes: int = -1, max_files: int = 1, compress: bool = False
    ) -> None:
        self.path = path
        self._max_size_bytes = max_size_bytes
        self._max_files = max_files
        self._compress = compress
        self._unwritten = b""
        self._compression: _Compression | None = None
        self._open(0)

    def _open(self, extra_flags: int) -> None:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        self._fd = os.open(self.path, flags | extra_flags, 0o640)
        self._size = os.fstat(self._fd).st_size

    @property
    def is_stalled(self) -> bool:
        """A full disk holds entries back: don't write more, call ``retry`` now and then."""
        return bool(self._unwritten)

    @property
    def is_compressing(self) -> bool:
        """A child compresses a rotated file."""
        return self._compression is not None

    def write(self, entries: bytes, entry_end: bytes = b"\n") -> None:
        """Append whole entries. A full disk keeps what did not fit in memory: see ``is_stalled``.

        Raises:
            OSError: EIO and the like; not ENOSPC or EDQUOT.
        """
        if self._max_size_bytes < 0:
            self._append(entries)
            return
        position = 0
        while position < len(entries):
            if self._size >= self._max_size_bytes:
                self._rotate()
            # The entry that reaches the limit is the file's last.
            reach = position + self._max_size_bytes - self._size - 1
            end = len(entries)
            if reach < end:
                end = entries.find(entry_end, reach) + len(entry_end) or end
            self._append(entries[position:end])
            position = end

    def write_records(self, records: list[bytes]) -> None:
        """Append records that have no end mark; the file rotates between them."""
        if self._max_size_bytes < 0:
            self._append(b"".join(records))
            return
        for record in records:
            if self._size >= self._max_size_bytes:
                self._rotate()
            self._append(record)

    def retry(self) -> bool:
        """Write what a full disk held back; True when nothing is left."""
        held, self._unwritten = self._unwritten, b""
        self._append(held)
        return not self._unwritten

    def child_ended(self, pid: int, *, succeeded: bool) -> bool:
        """Tell of an ended child process; True when it was this file's compressing child."""
        compression = self._compression
        if compression is None or compression.pid != pid:
            return False
        self._compression = None
        # Moved beyond the last number, the file itself is already gone.
        kept = compression.number < self._max_files
        compression.finish(self.path, succeeded=succeeded and kept)
        return True

    def close(self) -> None:
        """Close the file; what a full disk still holds back is lost, compressing is given up."""
        if self._compression:
            self._compression.finish(self.path, succeeded=False)
            self._compression = None
        os.close(self._fd)

    def _append(self, data: bytes) -> None:
        if self._unwritten:
            self._unwritten += data
            return
        written = 0
        try:
            while written < len(data):
                written += os.write(self._fd, data[written:] if written else data)
        except OSError as error:
            if error.errno not in FULL_DISK:
                raise
            self._unwritten = data[written:]
        self._size += len(data)

    def _rotate(self) -> None:
        if self._unwritten:
            return  # rotating would give the held-back entries to the wrong file
        os.close(self._fd)
        if self._max_files < 2:
            self._open(os.O_TRUNC)
            return
        for suffix in ("", ".gz"):
            _remove(f"{self.path}.{self._max_files - 1}{suffix}")
            for number in range(self._max_files - 2, 0, -1):
                _rename(f"{self.path}.{number}{suffix}", f"{self.path}.{number + 1}{suffix}")
        _rename(self.path, f"{self.path}.1")
        self._open(os.O_TRUNC)
        if self._compression:
            self._compression.number += 1
        elif self._compress:
            self._compression = _Compression(self.path)


def _remove(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def _rename(source: str, target: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.rename(source, target)


class _Compression:
    """A child that compresses one rotated file; the shim finishes the job when it has ended.

    The child only writes a temporary file. Renaming is done by the process that also rotates, so
    the two can never meet half way.
    """

    def __init__(self, log_path: str) -> None:
        self.number = 1  # the rotated file's number now; rotation moves it on
        self._temporary = f"{log_path}.gz.tmp"
        source = os.open(f"{log_path}.1", os.O_RDONLY | os.O_CLOEXEC)
        try:
            self.pid = linux.fork()
            if self.pid == 0:
                _compress_and_exit(source, self._temporary)
        finally:
            os.close(source)

    def finish(self, log_path: str, *, succeeded: bool) -> None:
        """Put the compressed file in the plain one's place, or forget it."""
        if not succeeded:
            _remove(self._temporary)
            return
        os.rename(self._temporary, f"{log_path}.{self.number}.gz")
        _remove(f"{log_path}.{self.number}")


def _compress_and_exit(source: int, temporary: str) -> NoReturn:
    status = 1
    try:
        os.nice(10)
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        target = os.open(temporary, flags, 0o640)
        packer = zlib.compressobj(6, zlib.DEFLATED, _GZIP_WINDOW)
        while chunk := os.read(source, _COMPRESS_CHUNK):
            _write_all(target, packer.compress(chunk))
        _write_all(target, packer.flush())
        status = 0
    finally:
        os._exit(status)


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
