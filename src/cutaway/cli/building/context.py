"""Packing a directory as a build context: what ``.dockerignore`` leaves, in a steady order."""

import io
import os
import tarfile
from collections.abc import Iterator
from typing import BinaryIO

from cutaway.build.dockerfile.dockerignore import IgnoreRules, parse_dockerignore
from cutaway.cli.flags import UsageError
from cutaway.cli.tar_stream import TarStream

_COMPRESSED = (b"\x1f\x8b\x08", b"BZh", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd")
_PIECE_BYTES = 1 << 20


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
                    yield from with_directory(entry.path, name)
                continue
            yield entry.path, name
            if is_directory:
                yield from walk(entry.path, name)

    def with_directory(path: str, name: str) -> Iterator[tuple[str, str]]:
        """What is kept of an ignored directory comes with it: its mode and time are kept, too."""
        below = walk(path, name)
        for first in below:
            yield path, name
            yield first
            yield from below

    yield from walk(directory, "")


def pack_context(
    directory: str, rules: IgnoreRules, extra: dict[str, bytes], size: ContextSize
) -> Iterator[bytes]:
    """Yield the context as a tar, read while it is sent.

    Args:
        directory: the context.
        rules: what is left out.
        extra: files by name that are added, or stand for the directory's own.
        size: told how much was sent.

    Raises:
        UsageError: a file can't be read.
    """
    stream = TarStream()
    for name, content in extra.items():
        yield from _given(stream, name, content)
    for path, name in walk_context(directory, rules):
        if name in extra:
            continue
        yield from _entry(stream, path, name)
        size.sent_bytes = stream.written_bytes
    yield from stream.end()


def bring_dockerfile(directory: str, content: bytes) -> tuple[str, dict[str, bytes]]:
    """Return a name for a Dockerfile from elsewhere, and the files that bring it along.

    As with docker, ``.dockerignore`` tells the engine to take it out again: ``COPY .`` would copy
    it, and miss the cache for its name.
    """
    name = f".dockerfile.{os.urandom(10).hex()}"
    try:
        with open(os.path.join(directory, ".dockerignore"), "rb") as file:
            ignore = file.read()
    except FileNotFoundError:
        ignore = b".dockerignore"
    return name, {name: content, ".dockerignore": ignore + f"\n{name}\n".encode()}


def pack_input(source: BinaryIO) -> Iterator[bytes]:
    """Yield the context that standard input is: an archive as it comes, or a Dockerfile alone."""
    begin = source.read(tarfile.BLOCKSIZE)
    if _is_archive(begin):
        yield begin
        yield from iter(lambda: source.read(_PIECE_BYTES), b"")
        return
    stream = TarStream()
    yield from _given(stream, "Dockerfile", begin + source.read())
    yield from stream.end()


def _is_archive(begin: bytes) -> bool:
    if begin.startswith(_COMPRESSED):
        return True
    try:
        tarfile.TarInfo.frombuf(begin, "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return False
    return True


def _given(stream: TarStream, name: str, content: bytes) -> Iterator[bytes]:
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(content), 0o644
    yield from stream.add(info, io.BytesIO(content))


def _entry(stream: TarStream, path: str, name: str) -> Iterator[bytes]:
    status = os.lstat(path)
    info = stream.archive.gettarinfo(path, name)
    if info is None:
        return  # tar has no form for sockets; docker leaves them out
    info.uid = info.gid = 0
    info.uname = info.gname = ""
    # Hard links are sent as files: the link's other end may be ignored.
    if info.islnk():
        info.type, info.size, info.linkname = tarfile.REGTYPE, status.st_size, ""
    if not info.isreg():
        yield from stream.add(info)
        return
    try:
        with open(path, "rb") as file:
            yield from stream.add(info, file)
    except PermissionError as error:
        raise UsageError(f"failed to read {path}: {error.strerror}") from None
