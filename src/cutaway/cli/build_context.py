"""Packing a directory as a build context: what ``.dockerignore`` leaves, in a steady order."""

import os
import stat
import tarfile
from collections.abc import Iterator
from typing import Any

from cutaway.build.dockerfile.dockerignore import IgnoreRules, parse_dockerignore
from cutaway.cli.flags import UsageError

_CHUNK_BYTES = 1 << 20


class ContextSize:
    """How much of a context has been sent, for the progress line."""

    def __init__(self) -> None:
        self.sent_bytes = 0


def read_rules(directory: str, dockerfile: str) -> IgnoreRules:
    """Read ``DOCKERFILE.dockerignore`` or ``.dockerignore``; the Dockerfile itself is kept.

    Source: Dockerfile reference, ".dockerignore file".
    """
    own = f"{dockerfile}.dockerignore"
    for path in (own, os.path.join(directory, ".dockerignore")):
        try:
            with open(path, encoding="utf-8") as file:
                text = file.read()
        except FileNotFoundError:
            continue
        inside = os.path.relpath(dockerfile, directory)
        kept = f"\n!{inside}\n!.dockerignore\n" if not inside.startswith("..") else ""
        return IgnoreRules(parse_dockerignore(text + kept))
    return IgnoreRules(())


def walk_context(directory: str, rules: IgnoreRules) -> Iterator[tuple[str, str]]:
    """Yield (path, name in the archive) of everything that is not ignored, sorted."""

    def walk(path: str, inside: str) -> Iterator[tuple[str, str]]:
        for entry in sorted(os.scandir(path), key=lambda e: e.name):
            name = f"{inside}/{entry.name}" if inside else entry.name
            is_directory = entry.is_dir(follow_symlinks=False)
            if rules.ignores(name):
                if is_directory and rules.may_contain_exception(name):
                    yield from walk(entry.path, name)
                continue
            yield entry.path, name
            if is_directory:
                yield from walk(entry.path, name)

    yield from walk(directory, "")


class _Collector:
    """A file for tarfile to write to, whose bytes are taken away piece by piece."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._pieces.append(bytes(data))
        return len(data)

    def take(self) -> bytes:
        data = b"".join(self._pieces)
        self._pieces.clear()
        return data


def pack_context(
    directory: str, rules: IgnoreRules, extra: dict[str, bytes], size: ContextSize
) -> Iterator[bytes]:
    """Yield the context as a tar, read while it is sent.

    Args:
        directory: the context.
        rules: what is left out.
        extra: files by name that are added (a Dockerfile from elsewhere).
        size: told how much was sent.

    Raises:
        UsageError: a file can't be read.
    """
    sink: Any = _Collector()
    with tarfile.open(fileobj=sink, mode="w|", format=tarfile.PAX_FORMAT) as archive:
        for name, content in extra.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), 0o644
            archive.addfile(info)
            yield from _content(archive, sink, iter((content,)), len(content))
        for path, name in walk_context(directory, rules):
            yield from _entry(archive, sink, path, name)
            size.sent_bytes = archive.offset
    yield sink.take()


def _entry(archive: Any, sink: Any, path: str, name: str) -> Iterator[bytes]:
    status = os.lstat(path)
    if stat.S_ISSOCK(status.st_mode):
        return  # tar has no form for sockets; docker leaves them out
    info = archive.gettarinfo(path, name)
    info.uid = info.gid = 0
    info.uname = info.gname = ""
    # Hard links are sent as files: the link's other end may be ignored.
    if info.islnk():
        info.type, info.size, info.linkname = tarfile.REGTYPE, status.st_size, ""
    if not info.isreg():
        archive.addfile(info)
        yield sink.take()
        return
    try:
        with open(path, "rb") as file:
            archive.addfile(info)
            yield from _content(
                archive, sink, iter(lambda: file.read(_CHUNK_BYTES), b""), info.size
            )
    except PermissionError as error:
        raise UsageError(f"failed to read {path}: {error.strerror}") from None


def _content(archive: Any, sink: Any, chunks: Iterator[bytes], size: int) -> Iterator[bytes]:
    """Write a file behind its header piece by piece; ``addfile`` would hold all of it."""
    left = size
    while left > 0:
        chunk = next(chunks, b"")[:left] or bytes(min(left, _CHUNK_BYTES))
        left -= len(chunk)
        archive.fileobj.write(chunk)
        yield sink.take()
    padding = -size % tarfile.BLOCKSIZE
    archive.fileobj.write(bytes(padding))
    archive.offset += size + padding
    yield sink.take()
