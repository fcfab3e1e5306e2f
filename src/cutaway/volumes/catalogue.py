"""The catalogue of volumes: a directory for each, found again after any crash.

The directories are the truth: ``ROOT/volumes/NAME/volume.json`` says what the volume is, ``_data``
holds what is in it, ``snapshots`` its snapshots, each a directory of the same shape. A volume
exists exactly when its directory does, which appears and disappears by one rename.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from glob import escape, glob

from cutaway.steps import Ledger
from cutaway.volumes.errors import VolumeFilling, VolumeNotFound
from cutaway.volumes.local.driver import DISK, plan_creation, plan_removal
from cutaway.volumes.local.steps import DiscardVolume, EmptyTrash, MakeVolume, PublishVolume
from cutaway.volumes.sizes import directory_size
from cutaway.volumes.volume import LOCAL, VOLUME_VERSION, Volume, read_volume


class Catalogue:
    """All volumes below one directory. Any thread; who changes a volume holds its lock.

    Args:
        root: ``ROOT/volumes``; made if missing.
    """

    def __init__(self, root: str) -> None:
        self.root = root
        os.makedirs(root, mode=0o701, exist_ok=True)
        self._remove_leftovers()
        os.makedirs(self._trash, mode=0o700, exist_ok=True)

    def _remove_leftovers(self) -> None:
        """Delete what an engine that died was making or deleting; no name begins with a dot."""
        ledger, root = Ledger("engine"), escape(self.root)
        places = (f"{root}/.trash/*", f"{root}/.*", f"{root}/*/snapshots/.*")
        for path in (path for place in places for path in glob(place)):
            self._delete(path, ledger, "left over")

    @property
    def _trash(self) -> str:
        return os.path.join(self.root, ".trash")

    def get(self, name: str) -> Volume:
        """Return the volume of this name, or a snapshot: ``VOLUME@SNAPSHOT``.

        Raises:
            VolumeNotFound: there is none. VolumeFilling: not yet.
        """
        volume = self.find(name)
        if volume is None:
            raise VolumeNotFound(name)
        if volume.is_filling:
            raise VolumeFilling(name)
        return volume

    def volumes(self) -> list[Volume]:
        """Return all volumes, by name; one with an unreadable description is left out."""
        names = sorted(n for n in os.listdir(self.root) if not n.startswith("."))
        return [v for v in map(self.find, names) if v is not None and not v.is_filling]

    def snapshots(self, name: str) -> list[Volume]:
        """Return a volume's snapshots, oldest first."""
        try:
            names = os.listdir(f"{self.directory(name)}/snapshots")
        except FileNotFoundError:
            return []
        found = [self.find(f"{name}@{n}") for n in names if not n.startswith(".")]
        return sorted((v for v in found if v is not None), key=lambda v: (v.created_at, v.name))

    def directory(self, name: str) -> str:
        """Return where a volume, or a snapshot of one, and all about it is."""
        volume, separator, snapshot = name.partition("@")
        directory = os.path.join(self.root, volume)
        return f"{directory}/snapshots/{snapshot}" if separator else directory

    def find(self, name: str) -> Volume | None:
        """Return the volume of this name or None, also one that is being filled."""
        parts = name.split("@", 1)
        if not all(parts) or any("/" in part or part.startswith(".") for part in parts):
            return None
        return read_volume(self.directory(name))

    def usage_bytes(self, name: str) -> int:
        """Return the size of a volume's files, each counted once however many names it has.

        Symlinks are not followed and other file systems not entered. A disk in a file has the size
        that the file takes, which is what the host misses. -1: a plugin's, nobody knows.
        """
        volume = self.get(name)
        if volume.driver != LOCAL:
            return -1  # only its plugin knows
        if volume.has_disk:
            return os.stat(os.path.join(self.directory(name), DISK)).st_blocks * 512
        return directory_size(volume.mountpoint)

    @contextmanager
    def replacing(self, name: str) -> Iterator[str]:
        """Give a directory to fill that becomes the volume's content when the block ends well.

        Preconditions: the volume is an empty directory, used by nobody.

        Raises:
            OSError: ENOTEMPTY: somebody put something into the volume meanwhile, which is kept.
        """
        mountpoint = self.get(name).mountpoint
        temporary = os.path.join(self.root, f".{name}.filling.{os.urandom(4).hex()}")
        os.mkdir(temporary, 0o700)
        try:
            data = os.path.join(temporary, "_data")
            os.mkdir(data, 0o755)
            shutil.copystat(mountpoint, data)
            yield data
            os.rename(data, mountpoint)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    def make(self, volume: Volume, ledger: Ledger) -> Volume:
        """Make the directory of a volume whose lock is held."""
        with self.making(volume, ledger) as made:
            return made

    @contextmanager
    def making(self, volume: Volume, ledger: Ledger) -> Iterator[Volume]:
        """Make a volume where nobody sees it; it gets its name when the block ends well."""
        path = self.directory(volume.name)
        parent, leaf = os.path.split(path)
        temporary = os.path.join(parent, f".{leaf}.new")
        why = f"volume {volume.name}"
        try:
            ledger.apply(MakeVolume(why=why, path=temporary, document=describe(volume)), None)
            ledger.apply_all(plan_creation(volume, temporary), None)
            yield replace(volume, mountpoint=os.path.join(path, "_data"))
            ledger.apply(PublishVolume(why=why, temporary=temporary, path=path), None)
        except BaseException:
            ledger.undo_all()
            raise

    def discard(self, volume: Volume, ledger: Ledger, why: str) -> None:
        """Take a volume away, with all that is in it."""
        trash = os.path.join(self._trash, f"{volume.name}.{os.urandom(4).hex()}")
        ledger.apply(DiscardVolume(why=why, path=self.directory(volume.name), trash=trash), None)
        self._delete(trash, ledger, why)

    def _delete(self, path: str, ledger: Ledger, why: str) -> None:
        """Delete a directory that was a volume; what else there is of it goes first."""
        volume = read_volume(path)
        if volume is not None:
            ledger.apply_all(plan_removal(volume, self.root), None)
        ledger.apply(EmptyTrash(why=why, path=path), None)


def describe(volume: Volume) -> dict[str, object]:
    """Return the document that ``read_volume`` reads."""
    document = {"version": VOLUME_VERSION, **asdict(volume)}
    del document["mountpoint"]
    return document
