"""Volumes as a whole: export, import, clone, snapshot.

Whatever reads or makes a volume's files is a confined worker (``images.trees``). What is made
appears whole or not at all, and a copy taken while containers write says who they are: it is a
mixture of moments, unless they are held still meanwhile.
"""

import os
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

from cutaway.engine.container import Container
from cutaway.engine.core import Core
from cutaway.engine.running.holding import held_still
from cutaway.engine.threads import Outflow, flow_out, read_by_pipe
from cutaway.images.snapshots import Snapshots
from cutaway.images.trees.copying import clone_tree
from cutaway.images.trees.tree import Tree, export_tree, put_archive
from cutaway.model import ByteStream, VolumeCopy
from cutaway.steps import Ledger, Step
from cutaway.volumes import Volume

WRITERS_LABEL = "writers"
_READ_SIZE = 256 * 1024


async def export(core: Core, name: str) -> ByteStream:
    """Read a volume, or a snapshot of one, as a tar.

    Raises:
        VolumeNotFound: there is none. VolumeMountFailed: its content can't be had.
    """

    def work(flow: "Outflow[bytes]") -> None:
        with _reading(core, name) as path:
            tree = Tree.of_directory(core.snapshots, path)
            with export_tree(tree, keeps_holes=True) as stream:
                while piece := os.read(stream.fd, _READ_SIZE):
                    flow.put(piece)
                stream.finish()

    chunks: AsyncIterator[bytes] = await flow_out(core.transfers, work)
    core.bus.publish("volume", "export", name, {})
    return chunks


async def import_tar(core: Core, name: str, body: ByteStream, options: Mapping[str, str]) -> Volume:
    """Make a new volume of a tar, compressed or not.

    Raises:
        VolumeExists: the name is taken. BadLayer: the tar is damaged or hostile. System: the disk
            is full. Nothing is left then.
    """

    def unpack(tar_fd: int) -> None:
        with core.volumes.filling(name, options=options, labels={}) as path:
            tree = Tree.of_directory(core.snapshots, path)
            step = ImportArchive(why="volume import", target=path)
            Ledger("engine").apply(step, _Archive(tree, tar_fd, _floor(path)))

    await read_by_pipe(core.transfers, body, unpack)
    return _made(core, name)


async def clone(core: Core, source: str, name: str, *, pause: bool) -> VolumeCopy:
    """Make a new volume with what another, or a snapshot, has.

    It is a directory of the engine's; a size limit is taken over, a device is not: it would be the
    same one.

    Raises:
        VolumeNotFound: there is no such source. VolumeExists: the name is taken.
    """
    origin = core.volumes.get(source)
    options = {key: origin.options[key] for key in ("size",) if key in origin.options}

    def work() -> int:
        with (
            _reading(core, source) as path,
            core.volumes.filling(name, options=options, labels=origin.labels) as target,
        ):
            return _clone(core.snapshots, path, target)

    async with _still(core, source, pause=pause) as writers:
        entries = await core.in_long_thread(work)
    _made(core, name)
    return VolumeCopy(name=name, entries=entries, writers=writers)


async def snapshot(core: Core, name: str, snapshot_name: str, *, pause: bool) -> VolumeCopy:
    """Keep what a volume has now, read-only, as ``name@snapshot``.

    Raises:
        VolumeNotFound: no such volume. VolumeExists: it has a snapshot of this name.
    """
    core.volumes.get(name)

    async with _still(core, name, pause=pause) as writers:
        labels = {WRITERS_LABEL: ",".join(writers)}

        def work() -> int:
            with (
                _reading(core, name) as path,
                core.volumes.snapshotting(name, snapshot_name, labels) as target,
            ):
                return _clone(core.snapshots, path, target)

        entries = await core.in_long_thread(work)
    core.bus.publish("volume", "snapshot", name, {"snapshot": snapshot_name})
    return VolumeCopy(name=f"{name}@{snapshot_name}", entries=entries, writers=writers)


@asynccontextmanager
async def _still(core: Core, name: str, *, pause: bool) -> AsyncIterator[tuple[str, ...]]:
    """Hold still who writes to a volume, if that is wanted; give the names of those who go on."""
    writers = [c for c in map(core.containers.get, core.volumes.users(name)) if _writes(c, name)]
    found = [c for c in writers if c is not None]
    async with AsyncExitStack() as stack:
        if pause:
            await stack.enter_async_context(held_still(core, found))
        yield () if pause else tuple(c.name for c in found)


def _writes(container: Container | None, name: str) -> bool:
    if container is None or not container.is_alive:
        return False
    return any(p.name == name and p.read_write for p in container.document.mount_points)


@contextmanager
def _reading(core: Core, name: str) -> Iterator[str]:
    """Give the directory of a volume that can't be removed, nor unmounted, until the block ends."""
    user = f"copy.{os.urandom(4).hex()}"
    core.volumes.reference(name, user)
    try:
        yield core.volumes.mount(name, user, Ledger("engine"))
    finally:
        core.volumes.unmount(user)
        core.volumes.dereference(user)


def _made(core: Core, name: str) -> Volume:
    volume = core.volumes.get(name)
    core.bus.publish("volume", "create", name, {"driver": volume.driver})
    return volume


def _floor(path: str) -> int | None:
    """Return what must stay free of a disk; of one that is only this volume's, nothing."""
    return 0 if os.path.ismount(path) else None


def _clone(snapshots: Snapshots, source: str, target: str) -> int:
    step = CloneDirectory(why="volume clone or snapshot", source=source, target=target)
    return int(Ledger("engine").apply(step, snapshots))


@dataclass(frozen=True, slots=True, kw_only=True)
class CloneDirectory(Step[Snapshots]):
    """Make one directory's content again in another, sharing blocks where the disk can.

    Attributes:
        source: on the host.
        target: empty.
    """

    source: str
    target: str

    def describe(self) -> str:
        """See ``Step``."""
        return f"clone {self.source} to {self.target}"

    def shell(self) -> str:
        """See ``Step``."""
        return f"cp -a --reflink=auto --sparse=always {self.source}/. {self.target}/"

    def apply(self, scope: Snapshots) -> Any:
        """Have a confined worker do it, which sees the two and no more."""
        return clone_tree(
            Tree.of_directory(scope, self.target),
            Tree.of_directory(scope, self.source),
            floor_bytes=_floor(self.target),
        )


@dataclass(frozen=True, slots=True)
class _Archive:
    """A tar that comes, and where it goes."""

    tree: Tree
    fd: int
    floor_bytes: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportArchive(Step[_Archive]):
    """Extract a tar into a new volume.

    Attributes:
        target: the volume's directory.
    """

    target: str

    def describe(self) -> str:
        """See ``Step``."""
        return f"extract an archive into {self.target}"

    def shell(self) -> str:
        """See ``Step``."""
        return f"tar -x --xattrs --numeric-owner -C {self.target}"

    def apply(self, scope: _Archive) -> Any:
        """Have a confined worker do it, which sees the directory and no more."""
        return put_archive(scope.tree, "/", scope.fd, floor_bytes=scope.floor_bytes)
