"""What the confined child that unpacks one layer does; ``worker_template`` makes the child.

stdin is the layer's blob, the working directory the empty directory to unpack into. It becomes
this process's root before the first byte of the blob is read. The bytes pass a short line: one
thread reads, decompresses and hashes (all three without the interpreter's lock), the other
parses the tar and makes the files.
"""

import hashlib
import os
import queue
import threading
from collections.abc import Callable
from typing import Any

from cutaway.images.layers.compression import DecompressedStream
from cutaway.images.layers.confine import (
    WRITE_TREE_CAPABILITIES,
    enter_directory,
    limit_resources,
    seal,
)
from cutaway.images.layers.disk_guard import DiskGuard
from cutaway.images.layers.errors import BadLayer, DiffIdMismatch
from cutaway.images.layers.extract import Extractor
from cutaway.images.layers.tar_read import TarReader
from cutaway.images.worker_side import Control

_QUEUED_CHUNKS = 4
_MAX_IMPLICIT = 10_000  # notes to the parent; a layer that needs more keeps plain defaults


def serve(control: Control, request: dict[str, Any]) -> dict[str, Any]:
    """Unpack stdin into the working directory.

    Args:
        control: for notes: ``{"opaque": true}`` with the directory's descriptor,
            ``{"implicit": path}``.
        request: ``diff_id`` (or null), ``floor_bytes``, ``layer_formats``.

    Returns:
        ``diff_id``, ``tar_bytes``, ``entries``, ``size_bytes``, ``declares_root``,
        ``hides_parent``, ``format``.
    """
    enter_directory()
    limit_resources()
    seal(WRITE_TREE_CAPABILITIES)
    stream = DecompressedStream(lambda size: os.read(0, size))
    if stream.format not in request["layer_formats"]:
        raise BadLayer(f"layer is compressed as {stream.format}, which image layers may not be")
    source = HashedSource(stream.read_chunk)
    root_fd = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
    extractor = Extractor(
        root_fd,
        mark_opaque=lambda fd: control.send("note", {"opaque": True}, (fd,)),
        note_implicit=_implicit_noter(control),
        guard=DiskGuard(root_fd, request["floor_bytes"]),
    )
    reader = TarReader(source.next_chunk)
    for entry in reader:
        extractor.apply(entry, reader.pieces())
    reader.drain()
    extractor.finish()
    diff_id = source.diff_id()
    if request["diff_id"] not in (None, diff_id):
        raise DiffIdMismatch(request["diff_id"], diff_id)
    result = extractor.result
    return {
        "diff_id": diff_id,
        "tar_bytes": source.size_bytes,
        "format": stream.format,
        "entries": result.entries,
        "size_bytes": result.size_bytes,
        "declares_root": result.declares_root,
        "hides_parent": result.hides_parent,
    }


def _implicit_noter(control: Control) -> Callable[[bytes], None]:
    left = iter(range(_MAX_IMPLICIT))

    def note(path: bytes) -> None:
        if next(left, None) is not None:
            control.send("note", {"implicit": os.fsdecode(path)})

    return note


class HashedSource:
    """Chunks of the uncompressed stream, read ahead and hashed by a thread of their own.

    Lock order: none; ``_chunks`` is the only thing both threads touch until the end.
    """

    def __init__(self, read_chunk: Callable[[], bytes]) -> None:
        self.size_bytes = 0
        self._hash = hashlib.sha256()
        self._read_chunk = read_chunk
        self._chunks: queue.Queue[bytes | BaseException] = queue.Queue(_QUEUED_CHUNKS)
        self._has_ended = False
        threading.Thread(target=self._read_ahead, daemon=True).start()

    def next_chunk(self) -> bytes:
        """Return the next chunk, ``b""`` at the end; raise what reading raised."""
        if self._has_ended:
            return b""
        chunk = self._chunks.get()
        if isinstance(chunk, BaseException):
            raise chunk
        self._has_ended = not chunk
        return chunk

    def diff_id(self) -> str:
        """Return the digest of everything read; only after ``next_chunk`` said the end."""
        return "sha256:" + self._hash.hexdigest()

    def _read_ahead(self) -> None:
        try:
            while chunk := self._read_chunk():
                self._hash.update(chunk)
                self.size_bytes += len(chunk)
                self._chunks.put(chunk)
            self._chunks.put(b"")
        except BaseException as error:  # handed to the thread that reports
            self._chunks.put(error)
