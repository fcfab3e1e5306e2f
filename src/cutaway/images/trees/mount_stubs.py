"""What a command's mounts leave in its layer: the empty places that were made to mount on.

Whoever mounts makes what is missing on the way to the target. Once the command has ended, these
places are nobody's, and a layer should not have them.

Source: BuildKit's cleaner of mount stubs; CVE-2024-23652, of one that followed a link out.
"""

import os
import stat
from collections.abc import Iterable

from cutaway import linux
from cutaway.images.resolve import INSIDE_NO_LINKS
from cutaway.images.snapshots import Snapshots
from cutaway.images.trees.tree import Tree, resolve_path

# Every container has these; of the rest only builds of commands with --mount know.
_ALWAYS = ("etc/hostname", "etc/hosts", "etc/resolv.conf")
_OF_EVERY_COPY = ("trusted.overlay.origin", "trusted.overlay.impure")
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def remove_mount_stubs(snapshots: Snapshots, key: str, targets: Iterable[str]) -> None:
    """Remove what mounting has made in an active snapshot, and the directories made for it.

    What is not empty stays, and what was there before the command: of that, only an empty copy
    in the snapshot that is like the original goes. A command that changed nothing leaves nothing.

    Args:
        snapshots: that have it.
        key: of the active snapshot, which was empty before the command.
        targets: where else the command had something mounted; absolute.

    Preconditions: it is not mounted any more.
    """
    tree = Tree.of_snapshot(snapshots, key)
    resolved = (resolve_path(tree, target).strip("/") for target in targets)
    upper, lowers = snapshots.directory(key), snapshots.lower_directories(key)
    for path in sorted({*_ALWAYS, *resolved}, key=len, reverse=True):  # what is inside first
        while path and _remove_empty(upper, path):
            path = path.rpartition("/")[0]
            below = (_attributes(lower, path) for lower in lowers)
            original = next(filter(None, below), None)
            if original is not None and original != _attributes(upper, path):
                break


def _open(root: str, path: str) -> int | None:
    """Open a directory of a tree that somebody else filled; None if there is none."""
    root_fd = os.open(root, _DIRECTORY)
    try:
        return linux.openat2(root_fd, path or ".", _DIRECTORY, 0, INSIDE_NO_LINKS)
    except OSError:
        return None
    finally:
        os.close(root_fd)


def _remove_empty(root: str, path: str) -> bool:
    """Remove an empty file or directory; False if it is anything else, or not there."""
    directory, _, leaf = path.rpartition("/")
    fd = _open(root, directory)
    if fd is None:
        return False
    try:
        status = os.stat(leaf, dir_fd=fd, follow_symlinks=False)
        if stat.S_ISDIR(status.st_mode):
            os.rmdir(leaf, dir_fd=fd)
        elif stat.S_ISREG(status.st_mode) and not status.st_size:
            os.unlink(leaf, dir_fd=fd)
        else:
            return False
    except OSError:  # ENOENT, ENOTEMPTY
        return False
    finally:
        os.close(fd)
    return True


def _attributes(root: str, path: str) -> tuple[int, int, int, dict[str, bytes]] | None:
    """Return what a directory is like, its times apart; None if it is not there."""
    fd = _open(root, path)
    if fd is None:
        return None
    try:
        status = os.fstat(fd)
        names = [name for name in os.listxattr(fd) if name not in _OF_EVERY_COPY]
        xattrs = {name: os.getxattr(fd, name) for name in names}
        return status.st_mode, status.st_uid, status.st_gid, xattrs
    finally:
        os.close(fd)
