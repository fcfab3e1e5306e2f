"""What the local driver does at a volume's create, first use, last use and removal."""

import os
import secrets
import shutil
from collections.abc import Collection
from typing import Any

from cutaway import linux
from cutaway.errors import InvalidParameter
from cutaway.linux import storage
from cutaway.steps import Ledger, Step
from cutaway.volumes.errors import ServerUnknown, VolumeMountFailed
from cutaway.volumes.local.options import plan_local
from cutaway.volumes.local.servers import explain_failure, resolve_server
from cutaway.volumes.local.steps import (
    FormatDisk,
    LiftQuota,
    LimitByQuota,
    MountDisk,
    MountVolume,
    UnmountVolume,
)
from cutaway.volumes.volume import Volume

DISK = "disk.ext4"
_SYSTEM_PATH = "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin"
_FIRST_PROJECT = 1 << 20  # below are those that people give out by hand
_LAST_PROJECT = (1 << 31) - 1


def choose_limit(root: str) -> dict[str, Any]:
    """Decide what limits a volume's size on this host.

    Args:
        root: where volumes are.

    Returns:
        Fields of ``Volume``.

    Raises:
        InvalidParameter: nothing can; the sentence says what to install.
    """
    fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if storage.has_project_quotas(fd):
            return {"project": _free_project(fd)}
    finally:
        os.close(fd)
    if find_mkfs() and os.path.exists(storage.LOOP_CONTROL):
        return {"has_disk": True}
    missing = f"{storage.LOOP_CONTROL}" if find_mkfs() else "mkfs.ext4 (package e2fsprogs)"
    raise InvalidParameter(
        f"quota size requested but no quota support: the file system of {root} has no project "
        f"quotas (mount it with prjquota), and for a disk in a file {missing} is missing"
    )


def _free_project(fd: int) -> int:
    while True:
        project = secrets.randbelow(_LAST_PROJECT - _FIRST_PROJECT) + _FIRST_PROJECT
        if not any(storage.project_quota(fd, project)):
            return project


def find_mkfs() -> str | None:
    """Return where mkfs.ext4 is."""
    return shutil.which("mkfs.ext4", path=f"{os.environ.get('PATH', '')}:{_SYSTEM_PATH}")


def plan_creation(volume: Volume, directory: str) -> list[Step[None]]:
    """Decide what makes a volume's directory the limited one that it is to be."""
    if not (volume.project or volume.has_disk):
        return []
    size_bytes = plan_local(volume.options).size_bytes
    if volume.project:
        return [
            LimitByQuota(
                path=f"{directory}/_data",
                project=volume.project,
                size_bytes=size_bytes,
                why=f"volume {volume.name}: size",
            )
        ]
    return [
        FormatDisk(
            path=f"{directory}/{DISK}",
            size_bytes=size_bytes,
            program=find_mkfs() or "mkfs.ext4",
            why=f"volume {volume.name}: size, without project quotas",
        )
    ]


def plan_removal(volume: Volume, root: str) -> list[Step[None]]:
    """Decide what else goes with the volume's files."""
    if not volume.project:
        return []
    return [LiftQuota(why=f"volume rm {volume.name}", path=root, project=volume.project)]


def plan_mount(volume: Volume) -> MountDisk | MountVolume | None:
    """Decide what makes a volume's content available; None: it is there."""
    if volume.has_disk:
        disk = os.path.join(os.path.dirname(volume.mountpoint), DISK)
        return MountDisk(why=f"volume {volume.name}: size", path=disk, target=volume.mountpoint)
    mount = plan_local(volume.options).mount
    if mount is None:
        return None
    return MountVolume(
        why=f"volume {volume.name}: type, o, device",
        device=mount.device,
        target=volume.mountpoint,
        fstype=mount.fstype,
        flags=mount.flags,
        data=mount.data,
    )


def is_mounted(path: str) -> bool:
    """Say whether a directory is the root of a mount; a bind of the same file system is, too."""
    fd = linux.openat2(-100, path, os.O_PATH | os.O_DIRECTORY)
    try:
        return linux.identify(fd).is_mount_root
    finally:
        os.close(fd)


class LocalDriver:
    """Mounts what volumes need mounted, once for all containers. Fits ``VolumeDriver``."""

    def needs_mount(self, volume: Volume) -> bool:
        """Say whether there is anything to mount, or to lease."""
        return plan_mount(volume) is not None or plan_local(volume.options).is_single_writer

    def mount(self, volume: Volume, user: str, ledger: Ledger, *, is_again: bool) -> str:
        """Make a volume's content available; harmless when it is.

        Raises:
            VolumeMountFailed: its device, server or file system type can't be had.
        """
        step = plan_mount(volume)
        if step is None or is_mounted(volume.mountpoint):
            return volume.mountpoint
        try:
            step = resolve_server(step)
            ledger.apply(step, None)
        except ServerUnknown as error:
            raise VolumeMountFailed(volume.name, str(error)) from error
        except OSError as error:
            raise VolumeMountFailed(volume.name, explain_failure(step, error)) from error
        return volume.mountpoint

    def unmount(self, volume: Volume, user: str, *, is_last: bool, ledger: Ledger) -> None:
        """Take away what ``mount`` mounted when its last user has gone."""
        if is_last and is_mounted(volume.mountpoint):
            why = f"last user of {volume.name}"
            ledger.apply(UnmountVolume(why=why, target=volume.mountpoint), None)

    def settle(self, volume: Volume, users: Collection[str], ledger: Ledger) -> None:
        """Take away what an engine that died left mounted for nobody."""
        self.unmount(volume, "", is_last=not users, ledger=ledger)
