"""How much a directory holds."""

import os
import stat


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
