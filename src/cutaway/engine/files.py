"""A container's files: ``docker cp``, ``diff``, ``export``, ``commit``.

Nothing is resolved here: each path goes, as it is, to a confined worker of ``images.trees`` that
has the container's root as its own.
"""

import logging
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress

from cutaway.engine.container import Container
from cutaway.engine.core import Core
from cutaway.engine.threads import Inflow, Outflow, flow_out
from cutaway.engine.units import format_time
from cutaway.images.trees import (
    Tree,
    export_tree,
    get_archive,
    list_changes,
    put_archive,
    stat_path,
)
from cutaway.model import ArchiveStream, ByteStream, FilesystemChange, PathStat

log = logging.getLogger(__name__)
_READ_SIZE = 256 * 1024


@contextmanager
def open_tree(core: Core, container: Container) -> Iterator[Tree]:
    """Give access to a container's files as its processes see them, running or not."""
    if not container.is_alive:
        binds = [
            (point.source, point.destination)
            for point in container.document.mount_points
            if point.source
        ]
        yield Tree.stopped(core.snapshots.mounts(container.id), binds)
        return
    # Held by descriptor: the process may end, and its number may be another's, at any moment.
    fd = os.open(f"/proc/{container.state.pid}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield Tree.running(fd)
    finally:
        os.close(fd)


async def changes(core: Core, container: Container) -> list[FilesystemChange]:
    """List paths that differ from the image."""
    found = await core.in_thread(list_changes, core.snapshots, container.id)
    return [FilesystemChange(path=change.path, kind=int(change.kind)) for change in found]


async def export(core: Core, container: Container) -> ByteStream:
    """Read the whole file system as a tar."""

    def work(flow: "Outflow[bytes]") -> None:
        with open_tree(core, container) as tree:
            stream = export_tree(tree)
            _pump(stream.fd, flow)
            stream.finish()

    chunks: AsyncIterator[bytes] = await flow_out(core.transfers, work)
    core.commit(container, told=[("export", {})])
    return chunks


def _pump(fd: int, flow: "Outflow[bytes]") -> None:
    try:
        while piece := os.read(fd, _READ_SIZE):
            flow.put(piece)
    finally:
        os.close(fd)


async def archive(core: Core, container: Container, path: str) -> ArchiveStream:
    """Read a path as a tar."""
    stat = await archive_stat(core, container, path)

    def work(flow: "Outflow[bytes]") -> None:
        with open_tree(core, container) as tree:
            stream = get_archive(tree, path)
            _pump(stream.fd, flow)
            stream.finish()

    chunks: AsyncIterator[bytes] = await flow_out(core.transfers, work)
    core.commit(container, told=[("archive-path", {})])
    return ArchiveStream(stat=stat, chunks=chunks)


async def archive_stat(core: Core, container: Container, path: str) -> PathStat:
    """Tell what a path is."""

    def work() -> PathStat:
        with open_tree(core, container) as tree:
            found = stat_path(tree, path)
        return PathStat(
            name=found.name,
            size=found.size,
            mode=go_mode(found.mode),
            mtime=format_time(found.mtime_ns),
            link_target=found.link_target,
        )

    return await core.in_thread(work)


# stat(2)'s type bits to Go's os.FileMode.
_GO_TYPES = {
    0o040000: 1 << 31,  # directory
    0o120000: 1 << 27,  # symlink
    0o060000: 1 << 26,  # block device
    0o020000: 1 << 26 | 1 << 21,  # character device
    0o010000: 1 << 25,  # FIFO
    0o140000: 1 << 24,  # socket
}


def go_mode(mode: int) -> int:
    """Translate stat(2)'s mode into Go's ``os.FileMode``."""
    bits = mode & 0o777 | _GO_TYPES.get(mode & 0o170000, 0)
    for unix, go in ((0o4000, 1 << 23), (0o2000, 1 << 22), (0o1000, 1 << 20)):
        if mode & unix:
            bits |= go
    return bits


async def archive_put(
    core: Core,
    container: Container,
    *,
    path: str,
    body: ByteStream,
    no_overwrite_dir_non_dir: bool,
    copy_uid_gid: bool,
) -> None:
    """Unpack a tar at a directory of the container."""
    reader = Inflow(body)
    read_end, write_end = os.pipe()

    def feed() -> None:
        try:
            while piece := reader.read(_READ_SIZE):
                view = memoryview(piece)
                while view:
                    view = view[os.write(write_end, view) :]
        except BrokenPipeError:
            log.debug("the worker took no more of an archive for %s", container.short_id)
        finally:
            os.close(write_end)

    def unpack() -> None:
        try:
            with open_tree(core, container) as tree:
                put_archive(
                    tree,
                    path,
                    read_end,
                    no_overwrite_dir_non_dir=no_overwrite_dir_non_dir,
                    copy_uid_gid=copy_uid_gid,
                )
        finally:
            os.close(read_end)

    feeding = core.loop.run_in_executor(core.transfers, feed)
    try:
        await core.loop.run_in_executor(core.transfers, unpack)
    finally:
        with suppress(Exception):
            await feeding
    core.commit(container, told=[("extract-to-dir", {})])
