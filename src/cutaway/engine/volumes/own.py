"""The volume operations that Docker has not. Fits ``api``'s ``OwnVolumeBackend``."""

from collections.abc import Mapping, Sequence

from cutaway.engine.core import Core
from cutaway.engine.showing import file_origin
from cutaway.engine.volumes import copies, live
from cutaway.engine.volumes.service import describe_volume
from cutaway.model import ByteStream, FileOrigin, MountPoint, Volume, VolumeCopy


class OwnVolumeService:
    """Mounts of running containers, origins of files, and what is done with whole volumes."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def add_mounts(self, reference: str, binds: Sequence[str]) -> Sequence[MountPoint]:
        """Mount volumes and host directories in a container."""
        container = self._core.containers.find(reference)
        return await self._core.run_to_end(live.add_mounts(self._core, container, binds))

    async def remove_mounts(self, reference: str, targets: Sequence[str], *, force: bool) -> None:
        """Take mounts away from a container."""
        container = self._core.containers.find(reference)
        change = live.remove_mounts(self._core, container, targets, force=force)
        await self._core.run_to_end(change)

    async def find_origin(self, reference: str, path: str) -> FileOrigin:
        """Say where a file of a container comes from."""
        container = self._core.containers.find(reference)
        return await file_origin.find_origin(self._core, container, path)

    async def export(self, name: str) -> ByteStream:
        """Read a volume as a tar."""
        return await copies.export(self._core, name)

    async def import_tar(self, name: str, body: ByteStream, options: Mapping[str, str]) -> Volume:
        """Make a new volume of a tar."""
        return describe_volume(await copies.import_tar(self._core, name, body, options))

    async def clone(self, name: str, new_name: str, *, pause: bool) -> VolumeCopy:
        """Make a new volume with what another one has."""
        copying = copies.clone(self._core, name, new_name, pause=pause)
        return await self._core.run_to_end(copying)

    async def snapshot(self, name: str, snapshot: str, *, pause: bool) -> VolumeCopy:
        """Keep what a volume has now."""
        copying = copies.snapshot(self._core, name, snapshot, pause=pause)
        return await self._core.run_to_end(copying)
