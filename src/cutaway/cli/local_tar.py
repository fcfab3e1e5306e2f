"""Tar archives of local paths, for ``cp``.

What comes out of a container is hostile: its names are resolved below one directory descriptor,
with no symbolic link followed that the archive itself could have made.
"""

import contextlib
import os
import stat
import tarfile
from collections.abc import Iterator
from typing import IO, Any

from cutaway.cli.tar_stream import TarStream
from cutaway.errors import InvalidParameter

_CHUNK_BYTES = 1 << 20


def pack_local(
    path: str, name: str, *, follow: bool, keep_owner: bool
) -> tuple[Iterator[bytes], int]:
    """Pack ``path`` under ``name``.

    Args:
        path: a local file or directory.
        name: what it is called in the archive; ``.`` for a directory's contents.
        follow: pack what a symbolic link points to.
        keep_owner: keep user and group ids; else they are 0, for the engine to set.

    Returns:
        The archive's bytes, read while they are taken, and the sum of the file sizes.
    """
    root = os.path.realpath(path) if follow else path.rstrip("/") or "/"
    size = sum(os.lstat(p).st_size for p, _ in _walk(root, name) if not os.path.isdir(p))
    return _pack(root, name, keep_owner=keep_owner), size


def _walk(root: str, name: str) -> Iterator[tuple[str, str]]:
    yield root, name
    if not os.path.isdir(root) or os.path.islink(root):
        return
    for entry in sorted(os.scandir(root), key=lambda e: e.name):
        yield from _walk(entry.path, f"{name}/{entry.name}")


def _pack(root: str, name: str, *, keep_owner: bool) -> Iterator[bytes]:
    stream = TarStream()
    for path, inside in _walk(root, name):
        info = stream.archive.gettarinfo(path, inside)
        if info is None:  # a socket: tar has no form for it, docker leaves it out
            continue
        if not keep_owner:
            info.uid = info.gid = 0
            info.uname = info.gname = ""
        if info.isreg():
            with open(path, "rb") as file:
                yield from stream.add(info, file)
        else:
            yield from stream.add(info)
    yield from stream.end()


class ChunkReader:
    """A file for tarfile to read from, fed by an iterator of bytes."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._buffer = b""

    def read(self, size: int) -> bytes:
        """Return ``size`` bytes, less only at the end."""
        parts, have = [self._buffer], len(self._buffer)
        while have < size:
            chunk = next(self._chunks, b"")
            if not chunk:
                break
            parts.append(chunk)
            have += len(chunk)
        data = b"".join(parts)
        self._buffer = data[size:]
        return data[:size]


def unpack_local(
    chunks: Iterator[bytes], target: str, *, contents_only: bool, keep_owner: bool
) -> int:
    """Unpack what ``GET archive`` sent to ``target``, by ``cp``'s rules.

    Args:
        chunks: the archive; its first entry is the thing that was copied.
        target: a directory to put it in, or its new name.
        contents_only: the source was ``PATH/.``: the first entry's contents go into ``target``.
        keep_owner: set user and group ids as the archive says.

    Returns:
        The sum of the sizes of the files written.

    Raises:
        InvalidParameter: the target's directory does not exist, or the archive tries to leave it.
    """
    stream: Any = ChunkReader(chunks)
    with tarfile.open(fileobj=stream, mode="r|") as archive:
        first = archive.next()
        if first is None:
            return 0
        base, new_name = _destination(first, target, contents_only=contents_only)
        old_name = first.name.strip("/")
        root = os.open(base, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            total = 0
            entry: tarfile.TarInfo | None = first
            while entry is not None:
                name = _renamed(entry.name.strip("/"), old_name, new_name)
                if entry.islnk():
                    entry.linkname = _renamed(entry.linkname.strip("/"), old_name, new_name)
                _place(root, name, entry, archive.extractfile(entry) if entry.isreg() else None,
                       keep_owner=keep_owner)  # fmt: skip
                total += entry.size if entry.isreg() else 0
                entry = archive.next()
            return total
        finally:
            os.close(root)


def _destination(first: tarfile.TarInfo, target: str, *, contents_only: bool) -> tuple[str, str]:
    """Return (existing directory, name of the first entry below it; empty for the directory)."""
    own_name = os.path.basename(first.name.strip("/"))
    if os.path.isdir(target):
        return target, "" if contents_only else own_name
    if os.path.exists(target) and first.isdir():
        raise InvalidParameter(f"cannot copy directory onto a file: {target}")
    parent, name = os.path.split(target.rstrip("/"))
    if not os.path.isdir(parent or ".") or (target.endswith("/") and not first.isdir()):
        raise InvalidParameter(f"invalid output path: directory {parent or target} does not exist")
    return parent or ".", name


def _renamed(name: str, old: str, new: str) -> str:
    if name == old:
        return new
    rest = name.removeprefix(old + "/") if old not in {"", "."} else name
    return f"{new}/{rest}" if new else rest


def _place(
    root: int,
    name: str,
    entry: tarfile.TarInfo,
    content: IO[bytes] | None,
    *,
    keep_owner: bool,
) -> None:
    parts = [part for part in name.split("/") if part not in {"", "."}]
    if ".." in parts:
        raise InvalidParameter(f"the archive names a path outside the target: {entry.name}")
    directory = os.dup(root)
    try:
        for part in parts[:-1]:
            directory = _step_into(directory, part)
        if parts:
            _place_in(directory, parts[-1], entry, content, keep_owner=keep_owner, root=root)
    finally:
        os.close(directory)


def _step_into(directory: int, name: str) -> int:
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        inner = os.open(name, flags, dir_fd=directory)
    except FileNotFoundError:
        os.mkdir(name, 0o755, dir_fd=directory)
        inner = os.open(name, flags, dir_fd=directory)
    os.close(directory)
    return inner


def _place_in(
    directory: int,
    name: str,
    entry: tarfile.TarInfo,
    content: IO[bytes] | None,
    *,
    keep_owner: bool,
    root: int,
) -> None:
    mode = entry.mode & 0o7777
    if entry.isdir():
        try:
            os.mkdir(name, mode, dir_fd=directory)
        except FileExistsError:
            if not stat.S_ISDIR(os.lstat(name, dir_fd=directory).st_mode):
                raise
    else:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name, dir_fd=directory)
    if content is not None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(name, flags, mode, dir_fd=directory)
        with os.fdopen(fd, "wb") as file:
            while chunk := content.read(_CHUNK_BYTES):
                file.write(chunk)
            os.fchmod(file.fileno(), mode)
    elif entry.issym():
        os.symlink(entry.linkname, name, dir_fd=directory)
    elif entry.islnk():
        _link_inside(root, entry.linkname, directory, name)
    elif entry.isfifo():
        os.mkfifo(name, mode, dir_fd=directory)
    if keep_owner and not entry.islnk():
        os.chown(name, entry.uid, entry.gid, dir_fd=directory, follow_symlinks=False)
    if not (entry.issym() or entry.islnk()):
        os.utime(name, (entry.mtime, entry.mtime), dir_fd=directory, follow_symlinks=False)


def _link_inside(root: int, source: str, directory: int, name: str) -> None:
    parts = [part for part in source.split("/") if part not in {"", "."}]
    if ".." in parts or not parts:
        raise InvalidParameter(f"the archive links to a path outside the target: {source}")
    found = os.dup(root)
    try:
        for part in parts[:-1]:
            found = _step_into(found, part)
        os.link(parts[-1], name, src_dir_fd=found, dst_dir_fd=directory, follow_symlinks=False)
    finally:
        os.close(found)
