"""A tar archive that is read while it is written, so that none is ever held whole."""

import tarfile
from collections.abc import Iterator
from typing import IO, Any

_CHUNK_BYTES = 1 << 20


class TarStream:
    """Writes a PAX archive; each method yields the bytes that have come of it so far.

    Attributes:
        archive: for ``gettarinfo``, which remembers hard links.
    """

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        sink: Any = _Sink(self._pieces)
        self.archive: Any = tarfile.TarFile.open(  # noqa: SIM115 - it is open as long as this is
            fileobj=sink, mode="w|", format=tarfile.PAX_FORMAT
        )

    @property
    def written_bytes(self) -> int:
        """How long the archive is so far."""
        return int(self.archive.offset)

    def add(self, entry: tarfile.TarInfo, content: IO[bytes] | None = None) -> Iterator[bytes]:
        """Add one entry.

        Args:
            entry: its header; a file's size is what will be written.
            content: of a file. What is missing in the end is made up for with zeros: the file
                shrank meanwhile, and the header has promised.
        """
        self.archive.addfile(entry)
        yield self._take()
        if content is None:
            return
        left = entry.size
        while left > 0:
            chunk = content.read(min(left, _CHUNK_BYTES)) or bytes(min(left, _CHUNK_BYTES))
            left -= len(chunk)
            self.archive.fileobj.write(chunk)
            yield self._take()
        padding = -entry.size % tarfile.BLOCKSIZE
        self.archive.fileobj.write(bytes(padding))
        self.archive.offset += entry.size + padding
        yield self._take()

    def end(self) -> Iterator[bytes]:
        """Close the archive."""
        self.archive.close()
        yield self._take()

    def _take(self) -> bytes:
        data = b"".join(self._pieces)
        self._pieces.clear()
        return data


class _Sink:
    """What tarfile takes for a file."""

    def __init__(self, pieces: list[bytes]) -> None:
        self._pieces = pieces

    def write(self, data: bytes) -> int:
        self._pieces.append(bytes(data))
        return len(data)
