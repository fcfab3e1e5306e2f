"""What the engine calls to get at a container's files; each call starts one confined worker."""

import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

from cutaway.images.layers.disk_guard import free_space_floor
from cutaway.images.snapshots import Mount, Snapshots
from cutaway.images.trees.changes import ChangeKind
from cutaway.images.trees.writers import writing
from cutaway.images.worker_process import Worker, wide_pipe

KIND = "tree"
_READ_SIZE = 1 << 18


@dataclass(frozen=True, slots=True)
class Bind:
    """A volume or bind mount inside a stopped container's tree.

    Attributes:
        source: on the host.
        destination: in the container.
        is_read_only: it can't be written through ``put_archive`` either.
        subpath: the part of the source that is mounted.
    """

    source: str
    destination: str
    is_read_only: bool = False
    subpath: str = ""


@dataclass(frozen=True, slots=True)
class Tree:
    """How to get at the files of one container.

    Attributes:
        mount_point: an empty directory; mounted on only in the worker's own namespace.
        mounts: of a stopped container: its snapshot's, to be written to by one at a time.
        reading_mounts: the same for readers, of whom there may be many beside one writer.
        binds: of a stopped container: what is mounted inside, outermost first.
        mount_namespace_fd: of a running container: ``/proc/PID/ns/mnt``, opened while its pidfd
            was held.
    """

    mount_point: str
    mounts: tuple[Mount, ...] = ()
    reading_mounts: tuple[Mount, ...] = ()
    binds: tuple[Bind, ...] = ()
    mount_namespace_fd: int | None = None

    @classmethod
    def stopped(cls, snapshots: Snapshots, key: str, binds: Sequence[Bind] = ()) -> "Tree":
        """Return the tree of a container that has no process.

        Preconditions: it is not started while the tree is in use: two overlays of one upper
            directory don't see each other's changes. The engine's lock of the container sees to it.
        """
        return cls(
            f"{snapshots.root}/tmp",
            snapshots.mounts(key),
            snapshots.reading_mounts(key),
            tuple(binds),
        )

    @classmethod
    def of_snapshot(cls, snapshots: Snapshots, name: str) -> "Tree":
        """Return the tree of any snapshot, active or committed, to copy from; empty for ``""``."""
        mounts = snapshots.reading_mounts(name) if name else ()
        return cls(f"{snapshots.root}/tmp", mounts, mounts)

    @classmethod
    def of_directory(cls, snapshots: Snapshots, directory: str) -> "Tree":
        """Return a directory of the host as a tree that workers may enter."""
        mounts = (Mount("bind", directory, ("rbind", "rw")),)
        return cls(f"{snapshots.root}/tmp", mounts, mounts)

    @classmethod
    def running(cls, snapshots: Snapshots, mount_namespace_fd: int) -> "Tree":
        """Return the tree of a container with processes, as these see it."""
        return cls(f"{snapshots.root}/tmp", mount_namespace_fd=mount_namespace_fd)

    def writing(self) -> AbstractContextManager[None]:
        """Be the only writer until the block ends; a running container has one mount for all."""
        return writing(self.mounts) if self.mounts else nullcontext()

    def to_json(self) -> dict[str, Any]:
        """Return what the worker reads."""
        return {
            "mount_point": self.mount_point,
            "mounts": [mount.to_json() for mount in self.mounts],
            "reading_mounts": [mount.to_json() for mount in self.reading_mounts],
            "binds": [[b.source, b.destination, b.is_read_only, b.subpath] for b in self.binds],
            "mount_namespace_fd": self.mount_namespace_fd,
        }

    def start(
        self, request: dict[str, Any], *, stdin: int | None = None, stdout: int | None = None
    ) -> Worker:
        """Start a worker for this tree."""
        fds = () if self.mount_namespace_fd is None else (self.mount_namespace_fd,)
        return Worker(
            KIND,
            {**request, "tree": self.to_json()},
            directory="/",
            stdin=stdin,
            stdout=stdout,
            fds=fds,
        )


@dataclass(frozen=True, slots=True)
class PathStat:
    """What ``HEAD /containers/ID/archive`` answers.

    Attributes:
        name: last component as asked for.
        size: in bytes.
        mode: Go's os.FileMode, as a number.
        mtime_ns: since the epoch.
        link_target: absolute in the container, of a link; else empty.
    """

    name: str
    size: int
    mode: int
    mtime_ns: int
    link_target: str


class ArchiveStream:
    """A tar that a worker is writing; read ``fd`` to its end, then ``finish``.

    Attributes:
        stat: what is being archived; None for a whole tree.
        fd: the reading end of a pipe.
    """

    def __init__(self, worker: Worker, fd: int, stat: PathStat | None) -> None:
        self._worker = worker
        self.fd = fd
        self.stat = stat

    def __enter__(self) -> "ArchiveStream":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def finish(self) -> Any:
        """Return the worker's result; raise what went wrong, the tar is then incomplete."""
        return self._worker.run()

    def close(self) -> None:
        """Stop the worker, if it still runs, and close the pipe; harmless when done."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
            self._worker.close()


def stat_path(tree: Tree, path: str) -> PathStat:
    """Describe a path of a container.

    Raises:
        NotFound: it is not there.
    """
    return PathStat(**tree.start({"op": "stat", "path": path}).run())


def resolve_path(tree: Tree, path: str) -> str:
    """Return a path with the links on its way resolved; the last part may be a link, or missing.

    Raises:
        InvalidParameter: too many links, or no path.
    """
    return str(tree.start({"op": "resolve", "path": path}).run())


def get_archive(tree: Tree, path: str) -> ArchiveStream:
    """Start archiving a path of a container, links as links.

    Raises:
        NotFound: it is not there.
    """
    return _stream(lambda out: tree.start({"op": "get", "path": path}, stdout=out))


def export_tree(tree: Tree, *, keeps_holes: bool = False) -> ArchiveStream:
    """Start archiving a whole tree, without what is mounted in it.

    Args:
        tree: a container's, or a directory's.
        keeps_holes: write sparse files as such, which not every reader of tars knows.
    """
    request = {"op": "export", "keeps_holes": keeps_holes}
    return _stream(lambda out: tree.start(request, stdout=out))


def put_archive(
    tree: Tree,
    path: str,
    tar_fd: int,
    *,
    keeps_kinds: bool = False,
    owner: tuple[int, int] | None = None,
    floor_bytes: int | None = None,
) -> int:
    """Extract a tar, compressed or not, into a directory of a container.

    Args:
        tree: the container's.
        path: must be a directory, or a link to one.
        tar_fd: read to its end.
        keeps_kinds: Docker's noOverwriteDirNonDir.
        owner: uid and gid of everything made; None: as the tar says.
        floor_bytes: what must stay free on the disk; None: enough for the engine to go on.

    Returns:
        How many entries were made.

    Raises:
        NotFound, InvalidParameter: the directory is missing or none. BadLayer: the tar is
            damaged or hostile; entries before the bad one stay.
    """
    request = {
        "op": "put",
        "path": path,
        "keeps_kinds": keeps_kinds,
        "owner": owner,
        "floor_bytes": (free_space_floor(tree.mount_point) if floor_bytes is None else floor_bytes),
    }
    with tree.writing():
        entries = tree.start(request, stdin=tar_fd).run()
    return int(entries)


def copy_directory(origin: Tree, path: str, target: Tree) -> None:
    """Copy a directory over the root of another tree, its own owner and mode included.

    Raises:
        NotFound: it is not there, or no directory.
    """
    with get_archive(origin, f"/{path.strip('/')}/.") as stream:
        put_archive(target, "/", stream.fd)
        stream.finish()


def diff_layer(
    snapshots: Snapshots,
    key: str,
    *,
    latest_mtime: int | None = None,
    stubs: Iterable[str] = (),
) -> ArchiveStream:
    """Start writing the changes of an active snapshot as a layer's tar, with its whiteouts.

    Args:
        snapshots: that have it.
        key: of the active snapshot.
        latest_mtime: seconds since 1970 that no file is newer than (SOURCE_DATE_EPOCH).
        stubs: absolute paths that are left out where they are empty: made to mount on.

    Preconditions: nothing writes to it (the container is paused or stopped), or the layer is a
        mixture of times.
    """
    directory = snapshots.directory(key)

    def start(out: int) -> Worker:
        request = {"op": "diff", "latest_mtime": latest_mtime, "stubs": sorted(stubs)}
        return Worker(KIND, request, directory=directory, stdout=out)

    return _stream(start)


def list_changes(snapshots: Snapshots, key: str) -> list[tuple[ChangeKind, str]]:
    """Return what a container has changed, in the order of the paths."""
    request = {
        "op": "changes",
        "upper": snapshots.directory(key),
        "lower": [mount.to_json() for mount in snapshots.lower_mounts(key)],
        "mount_point": f"{snapshots.root}/tmp",
    }

    def start(out: int) -> Worker:
        return Worker(KIND, request, directory="/", stdout=out)

    gathered = bytearray()
    with _stream(start) as stream:
        while piece := os.read(stream.fd, _READ_SIZE):
            gathered += piece
        stream.finish()
    lines = bytes(gathered).split(b"\0")[:-1]
    lines.sort(key=lambda line: line[1:])
    return [(ChangeKind(line[0] - ord("0")), os.fsdecode(line[1:])) for line in lines]


def _stream(start: Callable[[int], Worker]) -> ArchiveStream:
    read_fd, write_fd = wide_pipe()
    try:
        try:
            worker = start(write_fd)
        finally:
            os.close(write_fd)
        try:
            _, value = worker.receive()
        except BaseException:
            worker.close()
            raise
    except BaseException:
        os.close(read_fd)
        raise
    return ArchiveStream(worker, read_fd, None if value is None else PathStat(**value))
