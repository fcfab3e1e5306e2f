"""Steps that take paths of the finished root away from the container."""

import errno
import os
import stat
from dataclasses import dataclass

from cutaway import linux
from cutaway.linux.abi import AT, MOUNT_ATTR
from cutaway.runtime.in_root import open_in_root
from cutaway.runtime.scope import InitScope
from cutaway.runtime.steps.mounts import (
    create_filesystem,
)
from cutaway.steps import Step

_MASK_OPTIONS = ("ro", "nr_blocks=1", "nr_inodes=1")


def _open_if_there(scope: InitScope, path: str) -> int | None:
    """Open a path; None when the container has no such thing, which then needs no hiding."""
    try:
        return open_in_root(scope.root_fd, path)
    except linux.KernelError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            return None
        raise


@dataclass(frozen=True, slots=True, kw_only=True)
class MakeReadonly(Step[InitScope]):
    """Let the container read, not write, a path: ``linux.readonlyPaths``."""

    path: str

    def describe(self) -> str:
        """Say which."""
        return f"make {self.path} read-only"

    def shell(self) -> str:
        """Return the mount commands."""
        path = f'"$ROOTFS"{self.path}'
        change = f"mount --rbind {path} {path}; mount -o remount,bind,ro {path}"
        return f"if [ -e {path} ]; then {change}; fi"

    def apply(self, scope: InitScope) -> None:
        """Put a read-only copy of what the path holds over it."""
        target = _open_if_there(scope, self.path)
        if target is None:
            return
        tree = linux.open_tree(target, "", linux.bind_flags(True))
        linux.mount_setattr(tree, "", AT.EMPTY_PATH, attr_set=MOUNT_ATTR.RDONLY)
        linux.attach_mount(tree, target)
        os.close(tree)
        os.close(target)


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskPath(Step[InitScope]):
    """Hide a path: a directory behind an empty one, a file behind ``/dev/null``.

    A mask that can't be made is an error, never a path left open (CVE-2025-31133).
    """

    path: str

    def describe(self) -> str:
        """Say which."""
        return f"mask {self.path}"

    def shell(self) -> str:
        """Return the mount commands."""
        path = f'"$ROOTFS"{self.path}'
        return (
            f"if [ -d {path} ]; then mount -t tmpfs -o ro tmpfs {path}; "
            f"elif [ -e {path} ]; then mount --bind /dev/null {path}; fi"
        )

    def apply(self, scope: InitScope) -> None:
        """Attach a copy of the empty directory, or of the checked null device, by descriptors."""
        target = _open_if_there(scope, self.path)
        if target is None:
            return
        if stat.S_ISDIR(linux.identify(target).mode):
            self._mask_directory(scope, target)
        else:
            tree = linux.open_tree(scope.null_fd, "", linux.bind_flags(False))
            linux.attach_mount(tree, target)
            os.close(tree)
        os.close(target)

    def _mask_directory(self, scope: InitScope, target: int) -> None:
        """Attach one empty file system on the first directory, copies of it on the others.

        A superblock for each would cost more than all else here. The first is attached itself
        because kernels before 6.15 copy only what is attached.
        """
        if scope.mask_tree < 0:
            scope.mask_tree = create_filesystem("tmpfs", "tmpfs", _MASK_OPTIONS, MOUNT_ATTR.RDONLY)
            linux.attach_mount(scope.mask_tree, target)
            return
        tree = linux.open_tree(scope.mask_tree, "", linux.bind_flags(False))
        linux.attach_mount(tree, target)
        os.close(tree)
