"""Leaving room on the disk: images are the one thing here that strangers size."""

import os

from cutaway.images.layers.errors import DiskFloor

_FLOOR_BYTES = 1 << 30


def free_space_floor(path: str) -> int:
    """Return how many bytes must stay free: a twentieth of the file system, at most 1 GiB."""
    state = os.statvfs(path)
    return min(_FLOOR_BYTES, state.f_blocks * state.f_frsize // 20)


class DiskGuard:
    """Stops an unpacking before the disk is so full that the engine itself can't go on.

    Args:
        fd: any descriptor on the file system.
        floor_bytes: free space to leave, for an unprivileged writer.
    """

    _CHECK_EVERY = 32 << 20
    _ENTRY_COST = 4096

    def __init__(self, fd: int, floor_bytes: int) -> None:
        self._fd = fd
        self._floor_bytes = floor_bytes
        self._unchecked = self._CHECK_EVERY

    def spend(self, size: int) -> None:
        """Account for one entry of ``size`` bytes, or for one piece of it.

        Raises:
            DiskFloor: the floor is reached.
        """
        self._unchecked += size + self._ENTRY_COST
        if self._unchecked < self._CHECK_EVERY:
            return
        self._unchecked = 0
        state = os.fstatvfs(self._fd)
        free = state.f_bavail * state.f_frsize
        if free < self._floor_bytes or (state.f_files and state.f_favail < 1000):
            raise DiskFloor(
                f"no space left on device: {free >> 20} MiB and {state.f_favail} inodes are free, "
                f"{self._floor_bytes >> 20} MiB must stay free; remove images or enlarge the disk"
            )
