"""The store of volumes: a directory for each, found again after any crash.

The directories are the truth: ``ROOT/volumes/NAME/volume.json`` says what the volume is, ``_data``
holds what is in it. A volume exists exactly when its directory does, which appears and disappears
by one rename. Which containers name a volume is told to the store by the engine.
"""

import os
import shutil
import stat
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from cutaway.files import read_json
from cutaway.steps import Ledger
from cutaway.volumes.errors import (
    UnknownVolumeDriver,
    VolumeDriverConflict,
    VolumeInUse,
    VolumeMountFailed,
    VolumeNotFound,
)
from cutaway.volumes.local import check_volume_name, plan_local_mount
from cutaway.volumes.steps import (
    CreateSourceDirectory,
    CreateVolume,
    DiscardVolume,
    EmptyTrash,
    MountVolume,
    UnmountVolume,
)

VOLUME_VERSION = 1
ANONYMOUS_LABEL = "com.docker.volume.anonymous"


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """A volume as it is.

    Attributes:
        name: unique; 64 hex digits when anonymous.
        driver: ``local``.
        mountpoint: the host path of its content.
        created_at: RFC 3339.
        labels: the user's.
        options: the driver's.
        anonymous: nobody gave it a name.
    """

    name: str
    driver: str
    mountpoint: str
    created_at: str
    labels: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, str] = field(default_factory=dict)
    anonymous: bool = False


class VolumeStore:
    """All volumes below one directory. Any thread; one lock guards ``_users`` and ``_mounted``.

    Args:
        root: ``ROOT/volumes``; made if missing.
    """

    def __init__(self, root: str) -> None:
        self.root = root
        self._lock = threading.Lock()
        self._users: dict[str, set[str]] = {}
        self._mounted: dict[str, set[str]] = {}
        os.makedirs(root, mode=0o701, exist_ok=True)
        self._remove_leftovers()
        os.makedirs(self._trash, mode=0o700, exist_ok=True)

    def _remove_leftovers(self) -> None:
        """Delete what an engine that died was making or deleting; no name begins with a dot."""
        ledger = Ledger("engine")
        for name in os.listdir(self.root):
            if name.startswith("."):
                path = os.path.join(self.root, name)
                ledger.apply(EmptyTrash(why="left over", path=path), None)

    @property
    def _trash(self) -> str:
        return os.path.join(self.root, ".trash")

    def create(
        self,
        name: str = "",
        *,
        driver: str = "local",
        options: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | None = None,
        ledger: Ledger | None = None,
    ) -> Volume:
        """Make a volume, or return the one that has the name.

        Args:
            name: empty for an anonymous one.
            driver: ``local``; no other driver is known.
            options: ``type``, ``o``, ``device``.
            labels: the user's.
            ledger: records the change.

        Raises:
            InvalidVolumeName: the name can't be a directory's.
            UnknownVolumeDriver: no driver has this name.
            InvalidParameter: an unknown option.
            VolumeDriverConflict: another driver's volume has the name.
        """
        anonymous = not name
        name = name or os.urandom(32).hex()
        check_volume_name(name)
        if driver not in ("", "local"):
            raise UnknownVolumeDriver(name, driver)
        plan_local_mount(options or {})
        labels = {**(labels or {}), **({ANONYMOUS_LABEL: ""} if anonymous else {})}
        document = {
            "version": VOLUME_VERSION,
            "name": name,
            "driver": "local",
            "created_at": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "labels": labels,
            "options": dict(options or {}),
            "anonymous": anonymous,
        }
        with self._lock:
            found = self._read(name)
            if found is None:
                step = CreateVolume(
                    why=f"volume {name}", path=self._directory(name), document=document
                )
                (ledger or Ledger("engine")).apply(step, None)
                found = self._read(name)
        if found is None:
            raise VolumeNotFound(name)
        if driver and found.driver != driver:
            raise VolumeDriverConflict(name, found.driver)
        return found

    def get(self, name: str) -> Volume:
        """Return the volume of this name.

        Raises:
            VolumeNotFound: there is none.
        """
        volume = self._read(name)
        if volume is None:
            raise VolumeNotFound(name)
        return volume

    def volumes(self) -> list[Volume]:
        """Return all volumes, by name; one with an unreadable description is left out."""
        names = sorted(n for n in os.listdir(self.root) if not n.startswith("."))
        return [v for v in map(self._read, names) if v is not None]

    def is_empty_directory(self, name: str) -> bool:
        """Say whether a volume is a plain directory (no mount of its own) with nothing in it."""
        volume = self.get(name)
        if plan_local_mount(volume.options) is not None:
            return False
        with os.scandir(volume.mountpoint) as entries:
            return next(entries, None) is None

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

    def _directory(self, name: str) -> str:
        return os.path.join(self.root, name)

    def _read(self, name: str) -> Volume | None:
        if "/" in name or name.startswith(".") or not name:
            return None
        try:
            document: dict[str, Any] = read_json(os.path.join(self._directory(name), "volume.json"))
        except (OSError, ValueError):
            return None
        document.pop("version", None)
        return Volume(mountpoint=os.path.join(self._directory(name), "_data"), **document)

    # Users: the engine says which containers name a volume, running or not.

    def reference(self, name: str, container_id: str) -> None:
        """Note that a container names the volume; it can't be removed now."""
        with self._lock:
            self._users.setdefault(name, set()).add(container_id)

    def dereference(self, container_id: str, name: str = "") -> None:
        """Note that a container is gone, or names this one volume no more."""
        with self._lock:
            for volume, users in self._users.items():
                if name in ("", volume):
                    users.discard(container_id)

    def users(self, name: str) -> tuple[str, ...]:
        """Return the ids of the containers that name the volume."""
        with self._lock:
            return tuple(sorted(self._users.get(name, ())))

    def unused(self) -> list[Volume]:
        """Return the volumes that no container names: what ``prune`` may remove."""
        return [v for v in self.volumes() if not self.users(v.name)]

    def remove(self, name: str, *, force: bool = False, ledger: Ledger | None = None) -> None:
        """Remove a volume and what is in it.

        Args:
            name: the volume's.
            force: a volume that does not exist is no error.
            ledger: records the change.

        Raises:
            VolumeNotFound: there is none.
            VolumeInUse: a container names it.
        """
        users = self.users(name)
        if users:
            raise VolumeInUse(name, users)
        if self._read(name) is None:
            if force:
                return
            raise VolumeNotFound(name)
        ledger = ledger or Ledger("engine")
        trash = os.path.join(self._trash, f"{name}.{os.urandom(4).hex()}")
        step = DiscardVolume(why=f"volume rm {name}", path=self._directory(name), trash=trash)
        with self._lock:
            ledger.apply(step, None)
            self._users.pop(name, None)
        ledger.apply(EmptyTrash(why=f"volume rm {name}", path=trash), None)

    # Use: some volumes are a mount, made for the first container and taken away after the last.

    def mount(self, name: str, container_id: str, ledger: Ledger) -> str:
        """Make a volume's content available.

        Returns:
            The host path to mount from.

        Raises:
            VolumeNotFound: it was removed meanwhile.
            VolumeMountFailed: its device, server or file system type can't be had.

        Leaves behind: a mount on ``_data``, if the options ask for one; ``unmount`` removes it.
        """
        volume = self.get(name)
        plan = plan_local_mount(volume.options)
        with self._lock:
            users = self._mounted.setdefault(name, set())
            if plan is not None and not users and not os.path.ismount(volume.mountpoint):
                step = MountVolume(
                    why=f"volume {name}: type, o, device",
                    device=plan.device,
                    target=volume.mountpoint,
                    fstype=plan.fstype,
                    flags=plan.flags,
                    data=plan.data,
                )
                try:
                    ledger.apply(step, None)
                except OSError as error:
                    raise VolumeMountFailed(name, str(error)) from error
            users.add(container_id)
        return volume.mountpoint

    def unmount(self, container_id: str, ledger: Ledger | None = None, name: str = "") -> None:
        """Give back every volume that a container used, or one; harmless when it used none."""
        ledger = ledger or Ledger("engine")
        with self._lock:
            for volume, users in list(self._mounted.items()):
                if container_id not in users or name not in ("", volume):
                    continue
                users.discard(container_id)
                target = os.path.join(self._directory(volume), "_data")
                if not users and os.path.ismount(target):
                    ledger.apply(UnmountVolume(why=f"last user of {volume}", target=target), None)

    def restore(self, name: str, container_id: str) -> None:
        """Note, after a restart of the engine, that a running container uses the volume."""
        with self._lock:
            self._mounted.setdefault(name, set()).add(container_id)

    def usage_bytes(self, name: str) -> int:
        """Return the size of a volume's files, each counted once however many names it has.

        Symlinks are not followed and other file systems not entered.
        """
        return directory_size(self.get(name).mountpoint)


def create_bind_source(path: str, ledger: Ledger) -> None:
    """Make the missing source of a ``-v`` bind mount.

    Raises:
        OSError: a parent is a file, or the file system read-only.
    """
    if not os.path.lexists(path):
        ledger.apply(CreateSourceDirectory(why="-v with a missing source", path=path), None)


def directory_size(path: str) -> int:
    """Return the bytes of all files below ``path``; see ``VolumeStore.usage_bytes``.

    Walks by descriptors (``os.fwalk``): a directory swapped for a symlink leads nowhere.
    """
    total, seen = 0, set[int]()
    try:
        device = os.lstat(path).st_dev
    except OSError:
        return 0
    for _, directories, files, fd in os.fwalk(path):
        for name in files:
            try:
                info = os.stat(name, dir_fd=fd, follow_symlinks=False)
            except OSError:
                continue
            if stat.S_ISREG(info.st_mode) and info.st_ino not in seen and info.st_dev == device:
                seen.add(info.st_ino)
                total += info.st_size
        directories[:] = [d for d in directories if _is_on(d, fd, device)]
    return total


def _is_on(name: str, dir_fd: int, device: int) -> bool:
    try:
        return os.stat(name, dir_fd=dir_fd, follow_symlinks=False).st_dev == device
    except OSError:
        return False
