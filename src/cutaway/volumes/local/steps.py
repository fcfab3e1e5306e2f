"""What local volumes change on the host, step by step."""

import contextlib
import errno
import os
import shlex
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from cutaway import linux
from cutaway.files import write_json
from cutaway.linux import storage
from cutaway.linux.abi import MNT, MS
from cutaway.steps import Step

_MKFS_S = 300


@contextlib.contextmanager
def _opened(path: str) -> Iterator[int]:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)


@dataclass(frozen=True, slots=True, kw_only=True)
class MakeVolume(Step[None]):
    """Make a volume's directory with its description, where nobody sees it yet.

    Attributes:
        path: a temporary name beside the final one.
        document: says what the volume is.
    """

    path: str
    document: Mapping[str, Any] = field(default_factory=dict)

    def describe(self) -> str:
        """See ``Step``."""
        return f"make the directory {self.path}"

    def shell(self) -> str:
        """See ``Step``."""
        return f"mkdir -p -m 0755 {shlex.quote(self.path)}/_data"

    def apply(self, scope: None) -> None:
        """Make both directories and write volume.json.

        Raises:
            OSError: ENOSPC.
        """
        shutil.rmtree(self.path, ignore_errors=True)
        os.mkdir(self.path, 0o701)
        os.mkdir(os.path.join(self.path, "_data"), 0o755)
        os.chmod(os.path.join(self.path, "_data"), 0o755)
        write_json(os.path.join(self.path, "volume.json"), dict(self.document))

    def undo(self, scope: None, result: Any) -> None:
        """Remove the directory and all in it."""
        shutil.rmtree(self.path, ignore_errors=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishVolume(Step[None]):
    """Give a volume that is whole its name: a crash leaves all of it, or nothing."""

    temporary: str
    path: str

    def describe(self) -> str:
        """See ``Step``."""
        return f"create the volume {self.path}"

    def shell(self) -> str:
        """See ``Step``."""
        return f"mv -T {shlex.quote(self.temporary)} {shlex.quote(self.path)}"

    def apply(self, scope: None) -> None:
        """Rename.

        Raises:
            OSError: EEXIST or ENOTEMPTY (somebody was first).
        """
        os.rename(self.temporary, self.path)


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitByQuota(Step[None]):
    """Make a directory a project of the file system, and limit that.

    Attributes:
        path: the directory.
        project: a number that no other directory has.
        size_bytes: the limit.
    """

    path: str
    project: int
    size_bytes: int

    def describe(self) -> str:
        """See ``Step``."""
        return f"limit {self.path} to {self.size_bytes} bytes by project quota {self.project}"

    def shell(self) -> str:
        """See ``Step``."""
        kib, path = -(-self.size_bytes // 1024), shlex.quote(self.path)
        return (
            f"setquota -P {self.project} {kib} {kib} 0 0 -a && chattr +P -p {self.project} {path}"
        )

    def apply(self, scope: None) -> None:
        """Set the limit first: nothing is ever in the project without one."""
        with _opened(self.path) as fd:
            storage.limit_project(fd, self.project, self.size_bytes)
            storage.set_project(fd, self.project)

    def undo(self, scope: None, result: Any) -> None:
        """Lift the limit."""
        LiftQuota(why="undo", path=os.path.dirname(self.path), project=self.project).apply(scope)


@dataclass(frozen=True, slots=True, kw_only=True)
class LiftQuota(Step[None]):
    """Forget the limit of a project that is being deleted.

    Attributes:
        path: any directory on the file system.
        project: its number.
    """

    path: str
    project: int

    def describe(self) -> str:
        """See ``Step``."""
        return f"forget the project quota {self.project}"

    def shell(self) -> str:
        """See ``Step``."""
        return f"setquota -P {self.project} 0 0 0 0 -a"

    def apply(self, scope: None) -> None:
        """Set a limit of 0, which is none; fine when quotas are off by now."""
        with _opened(self.path) as fd:
            if storage.has_project_quotas(fd):
                storage.limit_project(fd, self.project, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class FormatDisk(Step[None]):
    """Make a file that is a disk: as large as the volume may become, taking room as it fills.

    Attributes:
        path: of the file.
        size_bytes: its size.
        program: mkfs.ext4.
    """

    path: str
    size_bytes: int
    program: str

    def describe(self) -> str:
        """See ``Step``."""
        return f"make the file system {self.path} of {self.size_bytes} bytes"

    def shell(self) -> str:
        """See ``Step``."""
        path = shlex.quote(self.path)
        return f"truncate -s {self.size_bytes} {path} && mkfs.ext4 -q -m 0 {path}"

    def apply(self, scope: None) -> None:
        """Run mkfs.ext4 on a sparse file.

        Raises:
            OSError: it failed; with its last words.
        """
        with open(self.path, "xb") as file:
            file.truncate(self.size_bytes)
        words = (self.program, "-q", "-F", "-m", "0", "-E", "nodiscard", self.path)
        done = subprocess.run(words, check=False, capture_output=True, text=True, timeout=_MKFS_S)
        if done.returncode:
            reason = done.stderr.strip().rpartition("\n")[2] or f"status {done.returncode}"
            raise OSError(errno.EIO, f"{self.program}: {reason}", self.path)

    def undo(self, scope: None, result: Any) -> None:
        """Remove the file."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)


@dataclass(frozen=True, slots=True, kw_only=True)
class MountDisk(Step[None]):
    """Mount a file that is a disk; the loop device goes with the last mount of it.

    Attributes:
        path: of the file.
        target: the directory that becomes its root.
    """

    path: str
    target: str

    def describe(self) -> str:
        """See ``Step``."""
        return f"mount the file system {self.path} on {self.target}"

    def shell(self) -> str:
        """See ``Step``."""
        return f"mount -o loop {shlex.quote(self.path)} {shlex.quote(self.target)}"

    def apply(self, scope: None) -> None:
        """Attach the file to a loop device and mount that."""
        with open(self.path, "r+b") as file:
            device, fd = storage.attach_loop(file.fileno(), self.path)
        try:
            linux.mount(device, self.target, "ext4", MS.NODEV, "")
        finally:
            os.close(fd)
        with contextlib.suppress(OSError):  # a volume begins empty; fsck makes it when it needs it
            os.rmdir(os.path.join(self.target, "lost+found"))

    def undo(self, scope: None, result: Any) -> None:
        """Unmount it."""
        UnmountVolume(why="undo", target=self.target).apply(scope)


@dataclass(frozen=True, slots=True, kw_only=True)
class DiscardVolume(Step[None]):
    """Take a volume out of sight; its data is deleted by ``EmptyTrash``."""

    path: str
    trash: str

    def describe(self) -> str:
        """See ``Step``."""
        return f"discard the volume {self.path}"

    def shell(self) -> str:
        """See ``Step``."""
        return f"mv {shlex.quote(self.path)} {shlex.quote(self.trash)}"

    def apply(self, scope: None) -> None:
        """One rename, so that a crash leaves the volume whole or gone."""
        os.makedirs(os.path.dirname(self.trash), mode=0o700, exist_ok=True)
        os.rename(self.path, self.trash)

    def undo(self, scope: None, result: Any) -> None:
        """Bring it back."""
        os.rename(self.trash, self.path)


@dataclass(frozen=True, slots=True, kw_only=True)
class EmptyTrash(Step[None]):
    """Delete discarded data; symlinks in it are never followed (rmtree works by descriptors)."""

    path: str

    def describe(self) -> str:
        """See ``Step``."""
        return f"delete {self.path}"

    def shell(self) -> str:
        """See ``Step``."""
        return f"rm -rf {shlex.quote(self.path)}"

    def apply(self, scope: None) -> None:
        """Delete everything below; a file that another process removes meanwhile is no error."""
        shutil.rmtree(self.path, ignore_errors=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateSourceDirectory(Step[None]):
    """Make the missing source of a bind mount, as ``-v`` has always done."""

    path: str

    def describe(self) -> str:
        """See ``Step``."""
        return f"create the directory {self.path}"

    def shell(self) -> str:
        """See ``Step``."""
        return f"mkdir -p {shlex.quote(self.path)}"

    def apply(self, scope: None) -> None:
        """Make the directory and its parents, mode 0755; fine when it is there."""
        if not os.path.lexists(self.path):
            os.makedirs(self.path, mode=0o755, exist_ok=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class MountVolume(Step[None]):
    """Mount a volume's own file system on its directory."""

    device: str
    target: str
    fstype: str
    flags: int
    data: str

    def describe(self) -> str:
        """See ``Step``."""
        return f"mount {self.device} ({self.fstype or 'bind'}) on {self.target}"

    def shell(self) -> str:
        """See ``Step``."""
        kind = f"-t {shlex.quote(self.fstype)} " if self.fstype else "--bind "
        options = f"-o {shlex.quote(self.data)} " if self.data else ""
        return f"mount {kind}{options}{shlex.quote(self.device)} {shlex.quote(self.target)}"

    def apply(self, scope: None) -> None:
        """One mount(2); a bind takes a second one for its other flags, which the first ignores."""
        flags = MS(self.flags)
        linux.mount(self.device, self.target, self.fstype or None, flags, self.data)
        extra = flags & ~(MS.BIND | MS.REC)
        if flags & MS.BIND and extra:
            linux.mount(None, self.target, None, extra | MS.BIND | MS.REMOUNT, "")

    def undo(self, scope: None, result: Any) -> None:
        """Unmount; it goes away when the last user has closed it."""
        UnmountVolume(why="undo", target=self.target).apply(scope)


@dataclass(frozen=True, slots=True, kw_only=True)
class UnmountVolume(Step[None]):
    """Unmount a volume's own file system when no container uses it any more."""

    target: str

    def describe(self) -> str:
        """See ``Step``."""
        return f"unmount {self.target}"

    def shell(self) -> str:
        """See ``Step``."""
        return f"umount -l {shlex.quote(self.target)}"

    def apply(self, scope: None) -> None:
        """Detach the mount."""
        linux.umount2(self.target, MNT.DETACH)
