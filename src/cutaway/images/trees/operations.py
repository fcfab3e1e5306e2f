"""What a sealed worker does in a tree: stat, archive, extract, list changes."""

import os
import stat
from collections.abc import Iterable, Iterator
from typing import Any

from cutaway.errors import InvalidParameter, NotFound
from cutaway.images.layers.compression import DecompressedStream
from cutaway.images.layers.disk_guard import DiskGuard
from cutaway.images.layers.extract import Extractor, Policy
from cutaway.images.layers.tar_read import TarReader
from cutaway.images.layers.tar_write import TarWriter
from cutaway.images.layers.tree_tar import TreeTar
from cutaway.images.resolve import is_missing, open_directory_in_root
from cutaway.images.trees.paths import Place, go_file_mode, locate, missing, resolve_links

_STDIN, _STDOUT = 0, 1


def write_stdout(data: bytes | bytearray | memoryview) -> None:
    """Write all of ``data``."""
    view = memoryview(data)
    while view:
        view = view[os.write(_STDOUT, view) :]


def read_stdin(size: int) -> bytes:
    """Return up to ``size`` bytes, ``b""`` at the end."""
    return os.read(_STDIN, size)


def stat_place(root_fd: int, place: Place) -> dict[str, Any]:
    """Describe what is at a place, a link as a link with where it leads.

    Raises:
        NotFound: nothing is there.
    """
    try:
        fd = open_directory_in_root(root_fd, place.directory)
        try:
            status = os.stat(place.leaf or b".", dir_fd=fd, follow_symlinks=False)
        finally:
            os.close(fd)
    except OSError as error:
        raise missing(place.path, error) from None
    target = b""
    if stat.S_ISLNK(status.st_mode):
        target = resolve_links(root_fd, place.path)
    return {
        "name": os.fsdecode(place.name),
        "size": status.st_size,
        "mode": go_file_mode(status.st_mode),
        "mtime_ns": status.st_mtime_ns,
        "link_target": os.fsdecode(target),
    }


def write_archive(root_fd: int, place: Place) -> None:
    """Write what is at a place to stdout as a tar that calls it by the name asked for."""
    writer = TarWriter(write_stdout)
    archive = TreeTar(writer)
    try:
        fd = open_directory_in_root(root_fd, place.directory)
        try:
            leaf = place.leaf or b"."
            status = os.stat(leaf, dir_fd=fd, follow_symlinks=False)
            if stat.S_ISDIR(status.st_mode):
                archive.add_tree(root_fd, place.path.lstrip(b"/"), place.name)
            else:
                archive.add_one(fd, leaf, place.name)
        finally:
            os.close(fd)
    except OSError as error:
        raise missing(place.path, error) from None  # taken away since it was looked at
    writer.close()


def write_export(
    root_fd: int,
    *,
    is_layer: bool,
    latest_mtime: int | None = None,
    keeps_holes: bool = False,
    stubs: Iterable[str] = (),
) -> int:
    """Write the whole tree to stdout, names relative to the root; return the entries.

    Args:
        root_fd: of the tree.
        is_layer: whiteouts are written.
        latest_mtime: seconds since 1970 that no file is newer than (SOURCE_DATE_EPOCH).
        keeps_holes: sparse files stay so.
        stubs: absolute paths that are left out where they are empty.
    """
    writer = TarWriter(write_stdout)
    archive = TreeTar(
        writer,
        is_layer=is_layer,
        latest_mtime_ns=None if latest_mtime is None else latest_mtime * 10**9,
        keeps_holes=keeps_holes,
        stubs=frozenset(os.fsencode(path.strip("/")) for path in stubs),
    )
    archive.add_tree(root_fd, b"", b"")
    writer.close()
    return archive.entries


def extract_archive(root_fd: int, path: bytes, request: dict[str, Any]) -> int:
    """Extract the tar on stdin below a directory of the tree; return the entries.

    Raises:
        NotFound: the directory is not there. InvalidParameter: it is no directory, or an entry
            would replace a directory by a file or the reverse and ``keeps_kinds`` forbids it.
    """
    base = resolve_links(root_fd, b"/" + path, must_exist=True)
    try:
        os.close(open_directory_in_root(root_fd, base))
    except OSError as error:
        if is_missing(error):
            raise InvalidParameter("extraction point is not a directory") from None
        raise
    owner = request["owner"]
    extractor = Extractor(
        root_fd,
        mark_opaque=lambda fd: None,
        note_implicit=lambda path: None,
        guard=DiskGuard(root_fd, request["floor_bytes"]),
        policy=Policy(
            applies_whiteouts=False,
            keeps_kinds=request["keeps_kinds"],
            owner=None if owner is None else (owner[0], owner[1]),
            base=tuple(part for part in base.split(b"/") if part),
        ),
    )
    reader = TarReader(DecompressedStream(read_stdin).read_chunk)
    for entry in reader:
        extractor.apply(entry, reader.pieces())
    reader.drain()
    extractor.finish()
    return extractor.result.entries


def place_of(root_fd: int, request: dict[str, Any]) -> Place:
    """Locate the request's path; a directory with a trailing slash must be one."""
    place = locate(root_fd, os.fsencode(request["path"]))
    if not place.leaf:
        try:
            os.close(open_directory_in_root(root_fd, place.directory))
        except OSError as error:
            if is_missing(error):
                raise NotFound(f"{request['path']}: not a directory") from None
            raise
    return place


def iterate_directory(fd: int) -> Iterator[tuple[bytes, os.stat_result]]:
    """Yield the entries of an open directory by name, with their unfollowed status."""
    for leaf in sorted(os.fsencode(name) for name in os.listdir(fd)):
        try:
            yield leaf, os.stat(leaf, dir_fd=fd, follow_symlinks=False)
        except FileNotFoundError:
            continue
