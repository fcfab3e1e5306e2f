"""A container's files: ``docker cp``, ``diff``, ``export``.

Nothing is resolved here: each path goes, as it is, to a confined worker of ``images.trees`` that
has the container's root as its own.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager

from cutaway.engine.container import Container
from cutaway.engine.core import Core
from cutaway.engine.spec.namespaces import shares
from cutaway.engine.starts.intents import etc_files
from cutaway.engine.threads import Outflow, flow_out, read_by_pipe
from cutaway.engine.units import format_time
from cutaway.engine.volumes.mounting import lent_sources
from cutaway.errors import NotFound
from cutaway.errors import NotImplemented as Unsupported
from cutaway.images.trees import tree as trees
from cutaway.images.trees.tree import Bind, Tree
from cutaway.model import ArchiveStream, ByteStream, FilesystemChange, PathStat
from cutaway.volumes import MountKind

_READ_SIZE = 256 * 1024
DELETED = 2
# What is mounted in every container, or was made to be mounted on.
ENGINE_TARGETS = frozenset(
    {
        *("/etc/hostname", "/etc/hosts", "/etc/resolv.conf", "/etc/mtab", "/.dockerenv"),
        *("/dev", "/dev/console", "/dev/pts", "/dev/shm", "/dev/mqueue"),  # noqa: S108, RUF100
        *("/proc", "/sys", "/sys/fs/cgroup"),
    }
)


@contextmanager
def open_tree(core: Core, container: Container, *, with_mounts: bool = True) -> Iterator[Tree]:
    """Give access to a container's files as its processes see them, running or not.

    Args:
        core: the engine.
        container: whose files.
        with_mounts: what is mounted in it is wanted, too.

    Raises:
        VolumeMountFailed: it does not run, and one of its volumes can't be had.
    """
    if not container.is_alive and not with_mounts:
        yield Tree.stopped(core.snapshots, container.id)
    elif not container.is_alive:
        with lent_sources(core, container) as points:
            binds = [
                Bind(point.source, point.destination, not point.read_write, point.subpath)
                for point in points
                if point.source and point.kind is not MountKind.IMAGE
            ]
            binds += _etc_binds(core, container)
            yield Tree.stopped(core.snapshots, container.id, binds)
    else:
        # Held by descriptor: the process may end, and its number may be another's, at any moment.
        fd = os.open(f"/proc/{container.state.pid}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
        try:
            yield Tree.running(core.snapshots, fd)
        finally:
            os.close(fd)


def _etc_binds(core: Core, container: Container) -> list[Bind]:
    """Return the files about names that a container had when it ran last; those there are."""
    reference = shares(container.host_config.network_mode)
    owner = core.containers.get(reference) if reference else container
    files = etc_files(core, container, owner or container, container.document.mount_points)
    is_read_only = container.host_config.readonly_rootfs
    return [Bind(source, destination, is_read_only) for destination, source in files.items()]


async def changes(core: Core, container: Container) -> list[FilesystemChange]:
    """List paths that differ from the image."""
    found = await core.in_thread(trees.list_changes, core.snapshots, container.id)
    listed = [FilesystemChange(path=path, kind=int(kind)) for kind, path in found]
    return without_mount_points(listed, mount_targets(container))


def mount_targets(container: Container) -> frozenset[str]:
    """Return the paths that exist only because something is mounted there."""
    points = {point.destination for point in container.document.mount_points}
    return frozenset(points) | ENGINE_TARGETS


def without_mount_points(
    listed: list[FilesystemChange], targets: frozenset[str]
) -> list[FilesystemChange]:
    """Leave out mount points that the engine made, and directories changed by nothing else.

    Docker makes them in a layer of their own below the container's, where nobody counts them.
    """
    hidden = [c.path for c in listed if c.path in targets and c.kind != DELETED]
    parents = {path[: path.rindex("/")] for path in hidden}
    parents |= {p[: p.rindex("/")] for p in list(parents) if "/" in p}
    kept = [change for change in listed if change.path not in hidden]
    paths = [change.path for change in kept if change.path not in parents]
    return [
        change
        for change in kept
        if change.path not in parents
        or change.kind == DELETED
        or any(path.startswith(f"{change.path}/") for path in paths)
    ]


async def export(core: Core, container: Container) -> ByteStream:
    """Read the whole file system as a tar."""
    chunks, _ = await _stream(core, container, trees.export_tree, with_mounts=False)
    core.commit(container, told=[("export", {})])
    return chunks


async def archive(core: Core, container: Container, path: str) -> ArchiveStream:
    """Read a path as a tar."""
    with _naming(path, container):
        chunks, stat = await _stream(core, container, lambda tree: trees.get_archive(tree, path))
    core.commit(container, told=[("archive-path", {})])
    if stat is None:
        raise RuntimeError("the worker did not say what it archives")
    return ArchiveStream(stat=describe(stat), chunks=chunks)


async def _stream(
    core: Core,
    container: Container,
    start: "Callable[[Tree], trees.ArchiveStream]",
    *,
    with_mounts: bool = True,
) -> tuple[ByteStream, trees.PathStat | None]:
    """Start a worker that writes a tar; return its bytes as they come, and what they are."""
    known: asyncio.Future[trees.PathStat | None] = core.loop.create_future()

    def tell(stat: trees.PathStat | None) -> None:
        if not known.done():
            known.set_result(stat)

    def work(flow: "Outflow[bytes]") -> None:
        opened = open_tree(core, container, with_mounts=with_mounts)
        with opened as tree, start(tree) as stream:
            core.loop.call_soon_threadsafe(tell, stream.stat)
            while piece := os.read(stream.fd, _READ_SIZE):
                flow.put(piece)
            stream.finish()

    async with container.lock:
        chunks: AsyncIterator[bytes] = await flow_out(core.transfers, work)
    return chunks, await known


@contextmanager
def _naming(path: str, container: Container) -> Iterator[None]:
    """Name the path as the user wrote it, not the first piece of it that is missing."""
    try:
        yield
    except NotFound as error:
        if "Could not find the file" not in str(error):
            raise
        raise NotFound(f"Could not find the file {path} in container {container.name}") from error


async def archive_stat(core: Core, container: Container, path: str) -> PathStat:
    """Tell what a path is."""

    def work() -> PathStat:
        with open_tree(core, container) as tree:
            return describe(trees.stat_path(tree, path))

    with _naming(path, container):
        async with container.lock:
            return await core.in_long_thread(work)


def describe(found: trees.PathStat) -> PathStat:
    """Return what a path is in Docker's words."""
    return PathStat(
        name=found.name,
        size=found.size,
        mode=found.mode,
        mtime=format_time(found.mtime_ns),
        link_target=found.link_target,
    )


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
    owner = find_owner(container.config.user) if copy_uid_gid else None

    def unpack(tar_fd: int) -> None:
        with open_tree(core, container) as tree:
            trees.put_archive(tree, path, tar_fd, keeps_kinds=no_overwrite_dir_non_dir, owner=owner)

    with _naming(path, container):
        async with container.lock:
            await read_by_pipe(core.transfers, body, unpack)
    core.commit(container, told=[("extract-to-dir", {})])


def find_owner(user: str) -> tuple[int, int] | None:
    """Return the uid and gid that ``docker cp -a`` gives to what it copies; None: the tar's own.

    Raises:
        NotImplemented: the container's user is a name, which only the container can look up.
    """
    if not user:
        return None
    name, _, group = user.partition(":")
    if not name.isdecimal() or not (group or name).isdecimal():
        raise Unsupported(
            f"copying with the container's user {user!r} as owner needs a numeric user: leave out "
            "--archive"
        )
    return int(name), int(group or 0)
