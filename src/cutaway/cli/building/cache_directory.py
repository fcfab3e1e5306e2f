"""A build cache in a directory: an OCI image layout, read from and written to as a tar.

DIR/oci-layout
DIR/index.json            written last: a reader sees the old cache or the new one
DIR/blobs/sha256/HEX
"""

import os
import re
import tarfile
from collections.abc import Iterator
from typing import Any

from cutaway.cli.flags import UsageError
from cutaway.cli.local_tar import ChunkReader, pack_local
from cutaway.errors import InvalidParameter

_BLOBS = "blobs/sha256"
_MEMBER = re.compile(rf"oci-layout|index\.json|{_BLOBS}/[0-9a-f]{{64}}")
_CHUNK_BYTES = 1 << 20


def is_cache_directory(path: str) -> bool:
    """Tell whether a cache is there to be read."""
    return os.path.isfile(os.path.join(path, "index.json"))


def read_cache_directory(path: str) -> Iterator[bytes]:
    """Return the layout as a tar, read while it is taken.

    Raises:
        UsageError: there is none.
    """
    if not is_cache_directory(path):
        raise UsageError(f"{path} is no build cache: it has no index.json")
    packed, _ = pack_local(path, ".", follow=True, keep_owner=False)
    return packed


def write_cache_directory(chunks: Iterator[bytes], path: str) -> None:
    """Write a layout; blobs that are there stay, those of an older cache go.

    Raises:
        InvalidParameter: the tar has anything else in it, or is cut short.
        UsageError: the directory has files that are no cache's.
    """
    os.makedirs(path, exist_ok=True)
    if os.listdir(path) and not is_cache_directory(path):
        raise UsageError(f"{path} is not empty, and is no build cache: name another directory")
    os.makedirs(os.path.join(path, _BLOBS), exist_ok=True)
    index = b""
    named = set()
    stream: Any = ChunkReader(chunks)
    with tarfile.open(fileobj=stream, mode="r|") as archive:
        for member in archive:
            content = archive.extractfile(member)
            if content is None or not _MEMBER.fullmatch(member.name):
                raise InvalidParameter(f"the engine sent {member.name!r}, which no cache has")
            named.add(os.path.basename(member.name))
            if member.name == "index.json":
                index = content.read()
            else:
                _write(os.path.join(path, member.name), content, member.size)
    if not index:
        raise InvalidParameter("the engine sent no whole cache")
    _replace(os.path.join(path, "index.json"), iter((index,)))
    for name in os.listdir(os.path.join(path, _BLOBS)):
        if name not in named:
            os.unlink(os.path.join(path, _BLOBS, name))


def _write(path: str, content: Any, size: int) -> None:
    """Write a file whose name says what is in it, unless it is there."""
    if os.path.exists(path) and os.path.getsize(path) == size:
        return
    _replace(path, iter(lambda: content.read(_CHUNK_BYTES), b""))


def _replace(path: str, pieces: Iterator[bytes]) -> None:
    temporary = f"{path}.{os.getpid()}.tmp"
    with open(temporary, "wb") as file:
        for piece in pieces:
            file.write(piece)
    os.rename(temporary, path)
