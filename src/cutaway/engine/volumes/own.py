"""The volume operations that Docker has not. Fits ``api``'s ``OwnVolumeBackend``."""

from collections.abc import Sequence

from cutaway.engine.core import Core
from cutaway.engine.volumes import live
from cutaway.model import MountPoint


class OwnVolumeService:
    """Mounts of running containers, and what is done with volumes as a whole."""

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
