"""What volumes change on the host, step by step."""

import os
import shlex
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cutaway import linux
from cutaway.files import write_json
from cutaway.linux.abi import MNT, MS
from cutaway.steps import Step


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateVolume(Step[None]):
    """Make a volume's directory with its description, all or nothing."""

    path: str
    document: Mapping[str, Any] = field(default_factory=dict)

    def describe(self) -> str:
        """See ``Step``."""
        return f"create the volume directory {self.path}"

    def shell(self) -> str:
        """See ``Step``."""
        return f"mkdir -p -m 0755 {shlex.quote(self.path)}/_data"

    def apply(self, scope: None) -> None:
        """Build it under a temporary name, then rename: a crash leaves no half a volume.

        Raises:
            OSError: EEXIST or ENOTEMPTY (somebody was first), ENOSPC.
        """
        parent, name = os.path.split(self.path)
        temporary = os.path.join(parent, f".{name}.new")
        shutil.rmtree(temporary, ignore_errors=True)
        os.mkdir(temporary, 0o701)
        try:
            os.mkdir(os.path.join(temporary, "_data"), 0o755)
            os.chmod(os.path.join(temporary, "_data"), 0o755)
            write_json(os.path.join(temporary, "volume.json"), dict(self.document))
            os.rename(temporary, self.path)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise

    def undo(self, scope: None, result: Any) -> None:
        """Remove the directory and all in it."""
        shutil.rmtree(self.path, ignore_errors=True)


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
