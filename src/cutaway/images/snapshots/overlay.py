"""The snapshotter: containerd's operations on a directory of numbered layers."""

import os
import threading
from collections.abc import Callable, Sequence

from cutaway import linux
from cutaway.errors import Conflict
from cutaway.files import sync_directory
from cutaway.images.layers.unpack import LAYER_FORMATS, Unpacked, unpack_layer
from cutaway.images.mount import Mount
from cutaway.images.snapshots import index as table
from cutaway.images.snapshots.adoption import complete_from_below, copy_directory_attributes
from cutaway.images.snapshots.index import Kind, Record, SnapshotInfo, read_index
from cutaway.images.snapshots.mounts import check_root, plan_bind, plan_overlay
from cutaway.images.snapshots.trash import Trash
from cutaway.images.snapshots.usage import Usage, measure_usage, read_usage, write_usage
from cutaway.linux import storage

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_UPPER_MODE = 0o755


class Snapshots:
    """All snapshots below one directory, which one process owns.

    Every method may be called from any thread. ``_lock`` guards ``_index`` and ``_serial``; it is
    held for a few system calls at a time, never while unpacking, syncing or deleting.

    Args:
        root: absolute; made if missing. What a killed engine left half done is swept.
    """

    def __init__(self, root: str) -> None:
        check_root(root)
        self.root = root
        self._lock = threading.Lock()
        self._serial = 0
        for name in ("", *table.DIRECTORIES.values(), "tmp"):
            os.makedirs(f"{root}/{name}", mode=0o700, exist_ok=True)
        storage.spread_out(root)
        self._trash = Trash(f"{root}/trash")
        self._index, rubbish = read_index(root)
        for name in sorted(rubbish):
            self._throw_away(name)
        for name in os.listdir(f"{root}/tmp"):
            self._throw_away(f"tmp/{name}")

    def __contains__(self, name: object) -> bool:
        """Whether a snapshot has this name or key."""
        with self._lock:
            return name in self._index.by_name

    def prepare(
        self, key: str, parent: str | None, *, is_volatile: bool = False
    ) -> tuple[Mount, ...]:
        """Make a place for changes on top of ``parent``.

        Args:
            key: names it from now on; the container's id.
            parent: name of a committed snapshot, or None for an empty root.
            is_volatile: it will not outlive its container: skip every sync.

        Returns:
            What to mount.

        Raises:
            Conflict: the key is taken. SnapshotNotFound: no such parent.

        Leaves behind: the active snapshot, until ``commit`` or ``remove``.
        """
        record = self._make(Kind.ACTIVE, key, parent, is_volatile=is_volatile)
        return self._mounts(record)

    def view(self, key: str, parent: str | None) -> tuple[Mount, ...]:
        """Like ``prepare``, for reading only."""
        return self._mounts(self._make(Kind.VIEW, key, parent))

    def mounts(self, key: str) -> tuple[Mount, ...]:
        """Return again what ``prepare`` or ``view`` returned.

        Raises:
            SnapshotNotFound: no such key. Conflict: it is committed: prepare on top of it.

        Preconditions: not mounted now, if it is volatile: overlay's mark of an unclean end is
            taken away, which an fsync-less file system always has.
        """
        with self._lock:
            record = self._index.get(key)
        if record.kind is Kind.COMMITTED:
            raise Conflict(f"snapshot {key} is committed: it can only be viewed")
        if record.is_volatile and os.path.exists(self._path(record, "work/work/incompat")):
            self._throw_away(f"{record.number}/work")
            os.mkdir(self._path(record, "work"), 0o700)
        return self._mounts(record)

    def commit(self, name: str, key: str) -> None:
        """Turn the active snapshot ``key`` into the committed ``name``; the key is gone then.

        Raises:
            SnapshotNotFound: no such key. Conflict: not active, or the name is taken.

        Preconditions: not mounted.
        """
        with self._lock:
            self._index.check_free(name)
            record = self._index.get(key)
        if record.kind is not Kind.ACTIVE:
            raise Conflict(f"snapshot {key} is {record.kind}, not active")
        directory = self._path(record)
        write_usage(directory, measure_usage(f"{directory}/fs"))
        self._sync()
        with self._lock:
            self._index.check_free(name)
            committed = Record(record.number, name, Kind.COMMITTED, record.parent)
            # Killed between these two, it has both names: the start keeps the committed one.
            self._name(committed)
            os.unlink(f"{self.root}/{record.link}")
            self._index.discard(record)
            self._index.add(committed)
            self._throw_away(f"{record.number}/work")
        sync_directory(f"{self.root}/{table.DIRECTORIES[Kind.COMMITTED]}")

    def remove(self, name: str) -> None:
        """Remove a snapshot: at once for everybody, its files later by ``empty_trash``.

        Raises:
            SnapshotNotFound: no such name or key. Conflict: another is stacked on it.
        """
        with self._lock:
            record = self._index.get(name)
            if self._index.has_children(record):
                raise Conflict(f"snapshot {name} can't be removed: another one is stacked on it")
            os.unlink(f"{self.root}/{record.link}")
            self._index.discard(record)
            self._throw_away(str(record.number))

    def stat(self, name: str) -> SnapshotInfo:
        """Describe one snapshot.

        Raises:
            SnapshotNotFound: no such name or key.
        """
        with self._lock:
            return self._index.info(self._index.get(name))

    def walk(self) -> list[SnapshotInfo]:
        """Describe all snapshots, in no order; the list is the caller's own."""
        with self._lock:
            return [self._index.info(record) for record in self._index.by_name.values()]

    def chain(self, name: str) -> tuple[str, ...]:
        """Return the names of the snapshots below ``name``, topmost first."""
        with self._lock:
            return tuple(record.name for record in self._index.chain(self._index.get(name)))

    def usage(self, name: str) -> Usage:
        """Return what a snapshot takes without its parents; an active one is measured anew."""
        with self._lock:
            record = self._index.get(name)
        directory = self._path(record)
        known = read_usage(directory) if record.kind is Kind.COMMITTED else None
        return known or measure_usage(f"{directory}/fs")

    def directory(self, name: str) -> str:
        """Return the directory of a snapshot's own files: a layer, or an upper directory."""
        with self._lock:
            return self._path(self._index.get(name), "fs")

    def hides_parent(self, name: str) -> bool:
        """Say whether nothing of the layers below a snapshot shows through it."""
        with self._lock:
            return self._index.get(name).hides_parent

    def lower_directories(self, name: str) -> tuple[str, ...]:
        """Return the directories that show through below a snapshot, topmost first."""
        with self._lock:
            return tuple(self._path(below, "fs") for below in self._below(self._index.get(name)))

    def lower_mounts(self, name: str) -> tuple[Mount, ...]:
        """Return what to mount to see all below a snapshot, read-only; empty if nothing is."""
        with self._lock:
            numbers = [below.number for below in self._below(self._index.get(name))]
        return self._view_of(numbers)

    def reading_mounts(self, name: str) -> tuple[Mount, ...]:
        """Return what to mount to see a snapshot whole, itself included; for reading only.

        An active one's changes are mounted as its topmost layer, without an upper and a work
        directory: any number of readers may do so at once, also while it is being written.
        """
        with self._lock:
            record = self._index.get(name)
            shown = self._index.visible([record, *self._index.chain(record)])
            return self._view_of([layer.number for layer in shown])

    # Unpacked layers on their way to become snapshots

    def unpack(
        self,
        blob_fd: int,
        *,
        diff_id: str | None,
        formats: tuple[str, ...] = LAYER_FORMATS,
        progress: Callable[[int], None] | None = None,
        is_cancelled: Callable[[], bool] | None = None,
    ) -> Unpacked:
        """Unpack a layer blob into a private directory; ``unpack_layer`` says the rest.

        Leaves behind: the directory, until ``adopt`` or ``discard``; nothing after an error.
        """
        with self._lock:
            self._serial += 1
            directory = f"{self.root}/tmp/unpack-{self._serial}"
        os.mkdir(directory, 0o700)
        os.mkdir(f"{directory}/fs", _UPPER_MODE)
        os.chmod(f"{directory}/fs", _UPPER_MODE)
        try:
            return unpack_layer(
                blob_fd,
                directory,
                diff_id=diff_id,
                formats=formats,
                progress=progress,
                is_cancelled=is_cancelled,
            )
        except BaseException:
            self._throw_away(f"tmp/{os.path.basename(directory)}")
            raise

    def adopt(self, layers: Sequence[tuple[Unpacked, str, str | None]]) -> None:
        """Commit unpacked layers: all of them are on the disk before the first has its name.

        Args:
            layers: (unpacked, name, parent's name or None), a parent before its children. A name
                that exists by now (another pull was faster) keeps what it has.

        Raises:
            SnapshotNotFound: a parent is missing; nothing was committed then.
        """
        known: dict[str, list[str]] = {}
        for unpacked, name, parent in layers:
            below = self._adopted_below(parent, known)
            complete_from_below(unpacked, [] if unpacked.hides_parent else below)
            known[name] = [f"{unpacked.directory}/fs", *below]
            write_usage(unpacked.directory, Usage(unpacked.size_bytes, unpacked.entries))
            if unpacked.hides_parent:
                os.mknod(f"{unpacked.directory}/{table.HIDES_PARENT}")
        if layers:
            self._sync()
        for unpacked, name, parent in layers:
            with self._lock:
                is_new = name not in self._index.by_name
                if is_new:
                    self._adopt_one(unpacked, name, parent)
            if not is_new:
                self.discard(unpacked)
        sync_directory(self.root)
        sync_directory(f"{self.root}/{table.DIRECTORIES[Kind.COMMITTED]}")

    def discard(self, unpacked: Unpacked) -> None:
        """Throw away an unpacked layer that will not be adopted."""
        self._throw_away(f"tmp/{os.path.basename(unpacked.directory)}")

    def empty_trash(self) -> None:
        """Delete what was removed, as ``Trash.empty`` does."""
        self._trash.empty()

    # Parts

    def _make(
        self, kind: Kind, key: str, parent: str | None, *, is_volatile: bool = False
    ) -> Record:
        with self._lock:
            self._index.check_free(key)
            below = None if parent is None else self._index.get_parent(parent)
            record = Record(
                number=self._index.next_number(),
                name=key,
                kind=kind,
                parent=None if below is None else below.number,
                is_volatile=is_volatile,
            )
            try:
                self._make_directory(record, below)
                self._name(record)
            except OSError:
                self._throw_away(str(record.number))
                raise
            self._index.add(record)
        return record

    def _make_directory(self, record: Record, below: Record | None) -> None:
        directory = self._path(record)
        os.mkdir(directory, 0o700)
        os.mkdir(f"{directory}/fs", _UPPER_MODE)
        if below is None:
            os.chmod(f"{directory}/fs", _UPPER_MODE)
        else:
            self._inherit_root(below, directory)
            os.symlink(f"../{below.number}", f"{directory}/{table.PARENT_LINK}")
        if record.kind is Kind.ACTIVE:
            os.mkdir(f"{directory}/work", 0o700)
        if record.is_volatile:
            os.mknod(f"{directory}/{table.VOLATILE}")

    def _inherit_root(self, below: Record, directory: str) -> None:
        """The upper directory's owner and mode are what ``/`` will show: take the image's."""
        source = os.open(self._path(below, "fs"), _DIRECTORY)
        target = os.open(f"{directory}/fs", _DIRECTORY)
        copy_directory_attributes(source, target)
        os.close(target)
        os.close(source)

    def _name(self, record: Record) -> None:
        os.symlink(f"../{record.number}", f"{self.root}/{record.link}")

    def _adopt_one(self, unpacked: Unpacked, name: str, parent: str | None) -> None:
        below = None if parent is None else self._index.get_parent(parent)
        record = Record(
            number=self._index.next_number(),
            name=name,
            kind=Kind.COMMITTED,
            parent=None if below is None else below.number,
            hides_parent=unpacked.hides_parent,
        )
        if below is not None:
            os.symlink(f"../{below.number}", f"{unpacked.directory}/{table.PARENT_LINK}")
        os.rename(unpacked.directory, self._path(record))
        self._name(record)
        self._index.add(record)

    def _adopted_below(self, parent: str | None, known: dict[str, list[str]]) -> list[str]:
        """Return the ``fs`` directories below a layer of the batch that is being adopted."""
        if parent is None:
            return []
        if parent in known:
            return known[parent]
        with self._lock:
            record = self._index.get_parent(parent)
            chain = self._index.visible([record, *self._index.chain(record)])
        return [self._path(below, "fs") for below in chain]

    def _mounts(self, record: Record) -> tuple[Mount, ...]:
        with self._lock:
            lowers = [below.number for below in self._below(record)]
        if record.kind is not Kind.ACTIVE:
            return self._view_of(lowers) or plan_bind(self._path(record, "fs"), is_read_only=True)
        if not lowers:
            return plan_bind(self._path(record, "fs"), is_read_only=False)
        return plan_overlay(self.root, lowers, upper=record.number, is_volatile=record.is_volatile)

    def _view_of(self, numbers: list[int]) -> tuple[Mount, ...]:
        if len(numbers) > 1:
            return plan_overlay(self.root, numbers, upper=None, is_volatile=False)
        return plan_bind(f"{self.root}/{numbers[0]}/fs", is_read_only=True) if numbers else ()

    def _below(self, record: Record) -> list[Record]:
        return self._index.visible(self._index.chain(record))

    def _path(self, record: Record, name: str = "") -> str:
        return f"{self.root}/{record.number}/{name}" if name else f"{self.root}/{record.number}"

    def _sync(self) -> None:
        fd = os.open(self.root, _DIRECTORY)
        try:
            linux.syncfs(fd)
        finally:
            os.close(fd)

    def _throw_away(self, name: str) -> None:
        self._trash.throw_away(f"{self.root}/{name}")
