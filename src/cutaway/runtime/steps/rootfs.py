"""Steps that put the container's root file system in place, and the host's out of reach."""

import os
from dataclasses import dataclass

from cutaway import linux
from cutaway.linux.abi import MNT, MS
from cutaway.runtime.extensions import RootfsMount
from cutaway.runtime.mount_options import format_propagation
from cutaway.runtime.scope import InitScope
from cutaway.runtime.steps.mounts import set_propagation
from cutaway.runtime.steps.sources import mount_hidden
from cutaway.steps import Step


@dataclass(frozen=True, slots=True, kw_only=True)
class SeparateMounts(Step[InitScope]):
    """Cut this mount namespace from the host's, so that nothing mounted here appears there."""

    def describe(self) -> str:
        """Say what is changed."""
        return "make all mounts private to this namespace"

    def shell(self) -> str:
        """Return the mount command."""
        return "mount --make-rprivate /"

    def apply(self, scope: InitScope) -> None:
        """Call mount(MS_REC | MS_PRIVATE)."""
        linux.mount(None, "/", None, MS.REC | MS.PRIVATE)


@dataclass(frozen=True, slots=True, kw_only=True)
class MountRootfs(Step[InitScope]):
    """Mount the container's root file system where only this namespace sees it.

    Attributes:
        fstype: ``overlay`` or ``bind``.
        source: a directory for ``bind``.
        options: as the snapshotter returned them.
        directory: where relative paths in the options start, or None.
        mountpoint: any host directory that can be covered here: the bundle's.
    """

    fstype: str
    source: str
    options: tuple[str, ...]
    directory: str | None
    mountpoint: str

    def describe(self) -> str:
        """Say what is mounted."""
        return f"mount the root file system ({self.fstype}) on {self.mountpoint}"

    def shell(self) -> str:
        """Return the mount command."""
        options = ",".join(self.options)
        place = f"cd {self.directory}; " if self.directory else ""
        kind = "" if self.fstype == "bind" else f"-t {self.fstype} "
        return f"{place}mount {kind}-o '{options}' {self.source} {self.mountpoint}"

    def apply(self, scope: InitScope) -> None:
        """Mount by mount(2), whose one page of data takes longer layer chains than fsconfig(2).

        Raises:
            KernelError: ENOENT (a layer is missing), EINVAL, ESTALE, EBUSY (upper in use).
        """
        mount = RootfsMount(self.fstype, self.source, self.options, self.directory)
        scope.root_fd = mount_hidden(mount, self.mountpoint)


@dataclass(frozen=True, slots=True, kw_only=True)
class DetachRootfs(Step[InitScope]):
    """Take a detached copy of the finished root: its maker keeps the host's privileges, not us."""

    def describe(self) -> str:
        """Say what is copied."""
        return "take a copy of the root file system for the new user namespace"

    def shell(self) -> str:
        """Return a comment: detached mounts have no command."""
        return "# open_tree(rootfs, OPEN_TREE_CLONE | AT_RECURSIVE)"

    def apply(self, scope: InitScope) -> None:
        """Call open_tree(2) on the root."""
        tree = linux.open_tree(scope.root_fd, "", linux.bind_flags(True))
        os.close(scope.root_fd)
        scope.root_fd = tree


@dataclass(frozen=True, slots=True, kw_only=True)
class AttachRootfs(Step[InitScope]):
    """Attach the detached root over the old one, which ``PivotRoot`` then takes away."""

    def describe(self) -> str:
        """Say where."""
        return "attach the root file system over the host's root, in this namespace"

    def shell(self) -> str:
        """Return a comment: detached mounts have no command."""
        return "# move_mount(rootfs, /)"

    def apply(self, scope: InitScope) -> None:
        """Call move_mount(2)."""
        target = linux.openat2(-100, "/", os.O_PATH | os.O_DIRECTORY)
        linux.attach_mount(scope.root_fd, target)
        os.close(target)


@dataclass(frozen=True, slots=True, kw_only=True)
class SetRootPropagation(Step[InitScope]):
    """Set ``linux.rootfsPropagation`` on the container's root.

    Attributes:
        propagation: MS bits.
    """

    propagation: int

    def describe(self) -> str:
        """Say which."""
        return f"make the root {format_propagation(self.propagation)}"

    def shell(self) -> str:
        """Return the mount command."""
        return f"mount --make-{format_propagation(self.propagation)} /"

    def apply(self, scope: InitScope) -> None:
        """Call mount_setattr(2) on the root."""
        set_propagation(scope.root_fd, self.propagation)


@dataclass(frozen=True, slots=True, kw_only=True)
class PivotRoot(Step[InitScope]):
    """Make the root file system ``/`` and let go of everything of the host's.

    pivot_root(".", ".") puts the old root on top of the new one, where one umount2(2) takes it
    away with all that is below: no directory is needed for it in the image.
    """

    def describe(self) -> str:
        """Say what happens."""
        return "pivot into the root file system and detach the host's"

    def shell(self) -> str:
        """Return the commands."""
        return 'cd "$ROOTFS"; pivot_root . .; umount -l .; cd /'

    def apply(self, scope: InitScope) -> None:
        """Call fchdir, pivot_root, umount2.

        Raises:
            KernelError: EINVAL (the root is not a mount of this namespace).
        """
        os.fchdir(scope.root_fd)
        linux.pivot_root(".", ".")
        linux.umount2(".", MNT.DETACH)
        os.chdir("/")


@dataclass(frozen=True, slots=True, kw_only=True)
class EnterRoot(Step[InitScope]):
    """Make a directory of a joined mount namespace the root: there is nothing to pivot there.

    Attributes:
        path: in that namespace.
    """

    path: str

    def describe(self) -> str:
        """Say which directory."""
        return f"chroot to {self.path}"

    def shell(self) -> str:
        """Return the chroot command."""
        return f"chroot {self.path}"

    def apply(self, scope: InitScope) -> None:
        """Call chroot(2) on the directory held by descriptor."""
        scope.root_fd = linux.openat2(-100, self.path, os.O_PATH | os.O_DIRECTORY)
        os.fchdir(scope.root_fd)
        os.chroot(".")
