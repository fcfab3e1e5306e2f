"""The store of volumes: the catalogue, and who uses what is in it.

Which containers name a volume, and which have it mounted, is told to the store by the engine.
"""

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from weakref import WeakValueDictionary

from cutaway.errors import CutawayError
from cutaway.files import write_json
from cutaway.plugins import PluginRegistry
from cutaway.steps import Ledger
from cutaway.volumes.catalogue import Catalogue, describe
from cutaway.volumes.driver import VolumeDriver
from cutaway.volumes.errors import (
    VolumeDriverConflict,
    VolumeExists,
    VolumeFilling,
    VolumeHasSnapshots,
    VolumeInUse,
    VolumeNotFound,
)
from cutaway.volumes.leases.book import LeaseBook, Writer, lease_directory
from cutaway.volumes.leases.lease import Lease, read
from cutaway.volumes.local.driver import LocalDriver, choose_limit
from cutaway.volumes.local.options import check_volume_name, plan_local
from cutaway.volumes.local.steps import CreateSourceDirectory
from cutaway.volumes.remote import RemoteDriver
from cutaway.volumes.volume import LOCAL, Volume

ANONYMOUS_LABEL = "com.docker.volume.anonymous"


class VolumeStore(Catalogue):
    """All volumes below one directory. Any thread.

    Locks: ``_lock`` guards ``_users``, ``_mounted`` (who uses those that must be mounted) and
    ``_locks``, and is never held in a call of a driver; a volume's own lock, taken before it, keeps
    mount, unmount and rm of the volume apart.

    Args:
        root: ``ROOT/volumes``; made if missing.
        plugins: finds drivers that are not built in; None: in Docker's directories.
    """

    def __init__(self, root: str, plugins: PluginRegistry | None = None) -> None:
        super().__init__(root)
        self._lock = threading.Lock()
        self._locks: WeakValueDictionary[str, threading.RLock] = WeakValueDictionary()
        self._users: dict[str, set[str]] = {}
        self._mounted: dict[str, set[str]] = {}
        self._local = LocalDriver()
        self._leases = LeaseBook()
        self.remote = RemoteDriver(plugins or PluginRegistry(), self.directory)
        self._discard_unfilled()

    def _discard_unfilled(self) -> None:
        """Take away the volumes that an engine that died was filling."""
        ledger = Ledger("engine")
        for name in os.listdir(self.root):
            volume = self.find(name)
            if volume is not None and volume.is_filling:
                self._driver(volume).settle(volume, (), ledger)
                self.discard(volume, ledger, "filling was cut off")

    def _driver(self, volume: Volume) -> VolumeDriver:
        return self._local if volume.driver == LOCAL else self.remote

    @contextmanager
    def _locked(self, name: str) -> Iterator[None]:
        with self._lock:
            lock = self._locks.get(name) or threading.RLock()
            self._locks[name] = lock  # as long as somebody holds it or waits for it
        with lock:
            yield

    def create(
        self,
        name: str = "",
        *,
        driver: str = LOCAL,
        options: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | None = None,
        ledger: Ledger | None = None,
    ) -> Volume:
        """Make a volume, or return the one that has the name.

        Args:
            name: empty for an anonymous one.
            driver: ``local`` or a plugin's name.
            options: of the local driver ``type``, ``o``, ``device``, ``size``, ``access``.
            labels: the user's.
            ledger: records the change.

        Raises:
            InvalidVolumeName: the name can't be a directory's.
            UnknownVolumeDriver: no driver has this name. System: its plugin can't, or won't.
            InvalidParameter: an unknown option, or one that this host can't fulfil.
            VolumeDriverConflict: another driver's volume has the name.
        """
        anonymous = not name
        volume = Volume(
            name=name or os.urandom(32).hex(),
            driver=driver or LOCAL,
            mountpoint="",
            created_at=_now(),
            labels={**(labels or {}), **({ANONYMOUS_LABEL: ""} if anonymous else {})},
            options=dict(options or {}),
            anonymous=anonymous,
        )
        check_volume_name(volume.name)
        with self._locked(volume.name):
            found = self.find(volume.name)
            if found is None:
                volume = self._choose(volume)
                try:
                    return self.make(volume, ledger or Ledger("engine"))
                except BaseException:
                    if volume.driver != LOCAL:
                        self._remove_remote(volume, force=True)
                    raise
        if found.is_filling:
            raise VolumeFilling(volume.name)
        if driver and found.driver != driver:
            raise VolumeDriverConflict(name, found.driver)
        return found

    def _choose(self, volume: Volume) -> Volume:
        """Check the options of a new volume, decide how it is kept, and have its plugin make it."""
        if volume.driver != LOCAL:
            scope = self.remote.create(volume.name, volume.driver, volume.options)
            return replace(volume, scope=scope)
        if plan_local(volume.options).size_bytes:
            return replace(volume, **choose_limit(self.root))
        return volume

    @contextmanager
    def filling(
        self, name: str, *, options: Mapping[str, str], labels: Mapping[str, str]
    ) -> Iterator[str]:
        """Make a new volume and give its directory, to be filled; it exists when the block ends.

        Raises:
            VolumeExists: the name is taken. As ``create`` otherwise.

        Leaves behind: nothing when the block fails, or the engine dies in it.
        """
        user = f"filling.{os.urandom(4).hex()}"
        ledger = Ledger("engine")
        with self._locked(name):
            if self.find(name) is not None:
                raise VolumeExists(name)
            volume = self._begin(name, options, labels, ledger)
        try:
            yield self.mount(name, user, ledger, is_filling=True)
            self.unmount(user, ledger)
            path = os.path.join(self.directory(name), "volume.json")
            write_json(path, describe(replace(volume, is_filling=False)))
        except BaseException:
            self.unmount(user, ledger)
            self.discard(volume, ledger, "filling failed")
            raise

    def _begin(
        self, name: str, options: Mapping[str, str], labels: Mapping[str, str], ledger: Ledger
    ) -> Volume:
        check_volume_name(name)
        volume = Volume(
            name=name,
            driver=LOCAL,
            mountpoint="",
            created_at=_now(),
            labels=dict(labels),
            options=dict(options),
            is_filling=True,
        )
        return self.make(self._choose(volume), ledger)

    @contextmanager
    def snapshotting(self, name: str, snapshot: str, labels: Mapping[str, str]) -> Iterator[str]:
        """Make a snapshot ``name@snapshot`` and give its directory, to be filled.

        Args:
            name: the volume's.
            snapshot: a name like a volume's.
            labels: what is to be told of it.

        Raises:
            VolumeNotFound: no such volume. VolumeExists: it has a snapshot of this name.

        Leaves behind: nothing when the block fails, or the engine dies in it.
        """
        self.get(name)
        check_volume_name(snapshot)
        full_name = f"{name}@{snapshot}"
        taken = Volume(
            name=full_name, driver=LOCAL, mountpoint="", created_at=_now(), labels=dict(labels)
        )
        with self._locked(full_name):
            if self.find(full_name) is not None:
                raise VolumeExists(full_name)
            parent = os.path.dirname(self.directory(full_name))
            os.makedirs(parent, mode=0o700, exist_ok=True)
            with self.making(taken, Ledger("engine")):
                yield f"{parent}/.{snapshot}.new/_data"

    def is_empty_directory(self, name: str) -> bool:
        """Say whether a volume is a plain directory (no mount, no limit) with nothing in it."""
        volume = self.get(name)
        if volume.project or self._driver(volume).needs_mount(volume):
            return False
        with os.scandir(volume.mountpoint) as entries:
            return next(entries, None) is None

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
        """Remove a volume and what is in it, or a snapshot.

        Args:
            name: the volume's, or ``VOLUME@SNAPSHOT``.
            force: a volume that does not exist is no error, and its snapshots go with it.
            ledger: records the change.

        Raises:
            VolumeNotFound: there is none.
            VolumeInUse: a container names it, or it is being copied.
            VolumeHasSnapshots: which would go, too.
        """
        with self._locked(name):
            users = self.users(name)
            if users:
                raise VolumeInUse(name, users)
            volume = self.find(name)
            if volume is None:
                try:
                    self._remove_remote(self.remote.find(name), force=force)
                except VolumeNotFound:
                    if not force:
                        raise
                return
            snapshots = self.snapshots(name)
            if snapshots and not force:
                raise VolumeHasSnapshots(name, [s.name for s in snapshots])
            ledger = ledger or Ledger("engine")
            # A container that is gone may not have given it back yet: that is done now.
            self._driver(volume).settle(volume, (), ledger)
            with self._lock:
                self._mounted.pop(name, None)
            if volume.driver != LOCAL:
                self._remove_remote(volume, force=force)
            self.discard(volume, ledger, f"volume rm {name}")

    def _remove_remote(self, volume: Volume, *, force: bool) -> None:
        try:
            self.remote.remove(volume.name, volume.driver)
        except CutawayError:
            if not force:  # Docker: "even if the plugin is gone"
                raise

    # Use: some volumes are a mount, made for the first container and taken away after the last.

    def needs_mount(self, name: str) -> bool:
        """Say whether a volume must be mounted for its users, which may take a while."""
        volume = self.get(name)
        return self._driver(volume).needs_mount(volume)

    def has_one_writer(self, name: str) -> bool:
        """Say whether a volume may be written to by one container at a time."""
        return _has_one_writer(self.get(name))

    def is_used_by(self, user: str) -> bool:
        """Say whether a user has a volume that was mounted for it, and must be given back."""
        with self._lock:
            return any(user in users for users in self._mounted.values())

    def mount(
        self,
        name: str,
        user: str,
        ledger: Ledger,
        *,
        is_filling: bool = False,
        writer: Writer | None = None,
    ) -> str:
        """Make a volume's content available.

        Args:
            name: the volume's.
            user: a container's id, or a name for who copies it.
            ledger: records the change.
            is_filling: it is the one who fills it.
            writer: it wants to write; None: it does not.

        Returns:
            The host path to mount from.

        Raises:
            VolumeNotFound: it was removed meanwhile.
            VolumeMountFailed: its device, server or file system type can't be had.
            VolumeLeased: it has one writer at a time, and that is another.

        Leaves behind: a mount on ``_data`` and a lease, if the options ask for them; ``unmount``
            removes both.
        """
        with self._locked(name):
            volume = self.find(name) if is_filling else self.get(name)
            if volume is None:
                raise VolumeNotFound(name)
            driver = self._driver(volume)
            with self._lock:
                is_again = user in self._mounted.get(name, ())
            path = driver.mount(volume, user, ledger, is_again=is_again)
            if driver.needs_mount(volume):
                self._note(name, user)
            if writer is not None and _has_one_writer(volume):
                try:
                    self._leases.take(volume, writer, ledger)
                except BaseException:
                    if not is_again:
                        self.unmount(user, ledger, name)
                    raise
            return path

    def unmount(self, user: str, ledger: Ledger | None = None, name: str = "") -> None:
        """Give back every volume that a container used, or one; harmless when it used none."""
        ledger = ledger or Ledger("engine")
        with self._lock:
            names = [v for v, users in self._mounted.items() if user in users and name in ("", v)]
        for used in names:
            with self._locked(used):
                with self._lock:
                    users = self._mounted.get(used, set())
                    is_ours = user in users
                    users.discard(user)
                    is_last = not users
                volume = self.find(used)
                if volume is not None and is_ours:
                    if _has_one_writer(volume) and self._leases.held_by(volume) == user:
                        self._leases.give_back(volume)
                    self._driver(volume).unmount(volume, user, is_last=is_last, ledger=ledger)

    def restore(self, name: str, user: str) -> None:
        """Note, after a restart of the engine, that a running container uses the volume."""
        volume = self.find(name)
        if volume is not None and self._driver(volume).needs_mount(volume):
            self._note(name, user)

    def _note(self, name: str, user: str) -> None:
        with self._lock:
            self._mounted.setdefault(name, set()).add(user)

    def settle(self) -> None:
        """After a restart, when all users are restored: take away what is mounted for nobody."""
        ledger = Ledger("engine")
        for volume in self.volumes():
            with self._locked(volume.name):  # a container may be starting by now
                with self._lock:
                    users = tuple(self._mounted.get(volume.name, ()))
                if _has_one_writer(volume):
                    is_held = self._leases.held_by(volume) in users
                    (self._leases.adopt if is_held else self._leases.give_back)(volume)
                self._driver(volume).settle(volume, users, ledger)

    def lease(self, name: str) -> Lease | None:
        """Return who writes, or wrote last, to a volume that has one writer at a time.

        None too when the volume is mounted nowhere here, so that nobody can look.
        """
        volume = self.get(name)
        return read(lease_directory(volume)) if _has_one_writer(volume) else None

    def why_lost(self, name: str) -> str:
        """Say how the last writer here lost its lease; empty when it did not."""
        return self._leases.why_lost(self.get(name))

    @property
    def holds_leases(self) -> bool:
        """Say whether there is anything for ``watch_leases``."""
        return bool(self._leases.held)

    def watch_leases(self) -> None:
        """See that the leases that are held are kept."""
        for name, volume in list(self._leases.held.items()):
            with self._locked(name):
                self._leases.watch(volume)


def _has_one_writer(volume: Volume) -> bool:
    return volume.driver == LOCAL and plan_local(volume.options).is_single_writer


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def create_bind_source(path: str, ledger: Ledger) -> None:
    """Make the missing source of a ``-v`` bind mount.

    Raises:
        OSError: a parent is a file, or the file system read-only.
    """
    if not os.path.lexists(path):
        ledger.apply(CreateSourceDirectory(why="-v with a missing source", path=path), None)
