"""What the engine itself changes on the host, step by step."""

import os
import stat
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from cutaway import linux
from cutaway.images.resolve import make_directories_in_root, open_in_root
from cutaway.linux.abi import MNT, MS
from cutaway.steps import Step


@dataclass(frozen=True, slots=True, kw_only=True)
class MountSharedMemory(Step[None]):
    """Mount the /dev/shm that a container shares with others (``--ipc shareable``).

    It must be on the host, because a namespace's own tmpfs can't be mounted in another.
    """

    target: str
    size_bytes: int

    def describe(self) -> str:
        """See ``Step``."""
        return f"mount a tmpfs of {self.size_bytes} bytes at {self.target}"

    def shell(self) -> str:
        """See ``Step``."""
        options = f"nosuid,nodev,noexec,mode=1777,size={self.size_bytes}"
        return f"mkdir -p {self.target} && mount -t tmpfs -o {options} shm {self.target}"

    def apply(self, scope: None) -> None:
        """Make the directory and mount(2)."""
        os.makedirs(self.target, mode=0o700, exist_ok=True)
        if os.path.ismount(self.target):
            return
        flags = MS.NOSUID | MS.NODEV | MS.NOEXEC
        linux.mount("shm", self.target, "tmpfs", flags, f"mode=1777,size={self.size_bytes}")

    def undo(self, scope: None, result: Any) -> None:
        """Unmount it; what is still open in it lives on."""
        linux.umount2(self.target, MNT.DETACH)


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveCgroupParent(Step[None]):
    """Remove a cgroup that was made above a container's, when nothing is in it any more."""

    path: str

    def describe(self) -> str:
        """See ``Step``."""
        return f"remove the cgroup {self.path}"

    def shell(self) -> str:
        """See ``Step``."""
        return f"rmdir {self.path}"

    def apply(self, scope: None) -> None:
        """Remove it; fine when it is gone.

        Raises:
            OSError: EBUSY: it has processes, or other cgroups below it.
        """
        with suppress(FileNotFoundError):
            os.rmdir(self.path)


@dataclass(frozen=True, slots=True, kw_only=True)
class BindInside(Step[None]):
    """Bind a path of a tree that somebody else filled to a place of our own, for a build step.

    The path is walked by the kernel inside the tree and what is found is bound by its descriptor:
    a link that is exchanged meanwhile leads nowhere else (CVE-2024-23651).
    """

    root: str
    path: str
    target: str
    makes_directories: bool = False

    def describe(self) -> str:
        """See ``Step``."""
        return f"bind {self.path} in {self.root} to {self.target}"

    def shell(self) -> str:
        """See ``Step``."""
        return f"mkdir -p {self.target} && mount --bind {self.root}/{self.path} {self.target}"

    def apply(self, scope: None) -> None:
        """Find the path, make a place for it, mount(2).

        Raises:
            KernelError: ENOENT: it is not there; ELOOP.
        """
        root_fd = os.open(self.root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            if self.makes_directories:
                make_directories_in_root(root_fd, os.fsencode(self.path))
            fd = open_in_root(root_fd, os.fsencode(self.path), os.O_PATH | os.O_CLOEXEC)
        finally:
            os.close(root_fd)
        try:
            if stat.S_ISDIR(os.fstat(fd).st_mode):
                os.mkdir(self.target, 0o700)
            else:
                os.close(os.open(self.target, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
            linux.mount(f"/proc/self/fd/{fd}", self.target, "", MS.BIND, "")
        finally:
            os.close(fd)

    def undo(self, scope: None, result: Any) -> None:
        """Unmount it and remove its place."""
        linux.umount2(self.target, MNT.DETACH)
        if os.path.isdir(self.target):
            os.rmdir(self.target)
        else:
            os.unlink(self.target)


@dataclass(frozen=True, slots=True, kw_only=True)
class MountTree(Step[None]):
    """Mount a snapshot's overlay on the host, for a build step that binds a part of it.

    A bind needs a path, and a tree of several layers has one only where it is mounted.
    """

    target: str
    fstype: str
    source: str
    options: tuple[str, ...]

    def describe(self) -> str:
        """See ``Step``."""
        return f"mount a {self.fstype} at {self.target}"

    def shell(self) -> str:
        """See ``Step``."""
        options = ",".join(self.options)
        command = f"mount -t {self.fstype} -o {options} {self.source} {self.target}"
        return f"mkdir -p {self.target} && {command}"

    def apply(self, scope: None) -> None:
        """Make the directory and mount(2)."""
        os.makedirs(self.target, mode=0o700, exist_ok=True)
        linux.mount(self.source, self.target, self.fstype, MS.NODEV, ",".join(self.options))

    def undo(self, scope: None, result: Any) -> None:
        """Unmount it and remove its directory."""
        linux.umount2(self.target, MNT.DETACH)
        os.rmdir(self.target)
