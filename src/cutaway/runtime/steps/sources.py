"""Steps that take hold of what is to be mounted: host directories, parts of them, images.

Each leaves a detached mount in ``scope.trees``, which ``AttachBind`` attaches in the container. All
of it by descriptors: between looking and mounting nothing can be exchanged (CVE-2024-23651).
"""

import errno
import os
from dataclasses import dataclass

from cutaway import linux
from cutaway.linux.abi import AT, MNT, MOUNT_ATTR, MS, OPEN_TREE, RESOLVE
from cutaway.oci.runtime_spec import IDMapping
from cutaway.runtime.extensions import RootfsMount
from cutaway.runtime.giving import find_owner, open_user_namespace, plan_swap
from cutaway.runtime.scope import InitScope
from cutaway.steps import Step

_INSIDE = RESOLVE.BENEATH | RESOLVE.NO_MAGICLINKS


def open_subpath(root_fd: int, subpath: str) -> int:
    """Return an O_PATH descriptor of a place inside a directory; links lead nowhere outside.

    Raises:
        KernelError: ENOENT, EXDEV (it leads out of the directory), ELOOP.
    """
    try:
        return linux.openat2(root_fd, subpath, os.O_PATH, 0, _INSIDE)
    except linux.KernelError as error:
        if error.errno == errno.EXDEV:
            error.hint = f"the subpath {subpath!r} leads out of its volume"
        raise


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenBindSource(Step[InitScope]):
    """Take a detached copy of a host directory or file, to be attached in the container later.

    Done while the host's mounts still are as the host has them, so that the copy knows its peers.

    Attributes:
        index: the number by which ``AttachBind`` finds it.
        source: absolute host path.
        is_recursive: with the mounts below it.
        subpath: the part of the source to take.
    """

    index: int
    source: str
    is_recursive: bool
    subpath: str = ""

    def describe(self) -> str:
        """Say what is copied."""
        part = f", the part {self.subpath}" if self.subpath else ""
        kind = "a recursive " if self.is_recursive else "a "
        return f"take {kind}copy of mount {self.source}{part}"

    def shell(self) -> str:
        """Return the mount command's first half."""
        return f"# open_tree({os.path.join(self.source, self.subpath)}, OPEN_TREE_CLONE)"

    def apply(self, scope: InitScope) -> None:
        """Call open_tree(2).

        Raises:
            KernelError: ENOENT (no such source), EINVAL (unbindable), EXDEV (see ``open_subpath``).
        """
        if not self.subpath:
            flags = OPEN_TREE.CLONE | OPEN_TREE.CLOEXEC
            if self.is_recursive:
                flags |= OPEN_TREE.AT_RECURSIVE
            scope.trees[self.index] = linux.open_tree(-100, self.source, flags)
            return
        root = linux.openat2(-100, self.source, os.O_PATH | os.O_DIRECTORY)
        try:
            part = open_subpath(root, self.subpath)
        finally:
            os.close(root)
        try:
            scope.trees[self.index] = linux.open_tree(part, "", linux.bind_flags(self.is_recursive))
        finally:
            os.close(part)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenImageSource(Step[InitScope]):
    """Mount an image where only this namespace sees it, and take the mount off again, to be kept.

    Attributes:
        index: the number by which ``AttachBind`` finds it.
        fstype: ``overlay`` or ``bind``.
        source: a directory for ``bind``.
        options: as the snapshotter returned them.
        directory: where relative paths in the options start, or None.
        mountpoint: any host directory that can be covered here: the bundle's.
        subpath: the part of the image to take.
    """

    index: int
    fstype: str
    source: str
    options: tuple[str, ...]
    directory: str | None
    mountpoint: str
    subpath: str = ""

    def describe(self) -> str:
        """Say what is mounted."""
        part = f", the part {self.subpath}" if self.subpath else ""
        return f"mount an image ({self.fstype}), detached{part}"

    def shell(self) -> str:
        """Return the mount command."""
        place = f"cd {self.directory}; " if self.directory else ""
        kind = "" if self.fstype == "bind" else f"-t {self.fstype} "
        return f"{place}mount {kind}-o '{','.join(self.options)}' {self.source} $IMAGE"

    def apply(self, scope: InitScope) -> None:
        """Mount by mount(2), clone the part that is wanted, unmount.

        Raises:
            KernelError: ENOENT (a layer, or the part, is missing), EXDEV (see ``open_subpath``).

        Preconditions: this mount namespace is cut off from the host's.
        """
        mount = RootfsMount(self.fstype, self.source, self.options, self.directory)
        root = mount_hidden(mount, self.mountpoint)
        try:
            part = open_subpath(root, self.subpath or ".")
            try:
                scope.trees[self.index] = linux.open_tree(part, "", linux.bind_flags(False))
            finally:
                os.close(part)
        finally:
            os.close(root)
            linux.umount2(self.mountpoint, MNT.DETACH)


def mount_hidden(mount: RootfsMount, mountpoint: str) -> int:
    """Mount what a snapshotter described on ``mountpoint``; return its root by descriptor.

    By mount(2), whose one page of data takes longer layer chains than fsconfig(2).
    """
    if mount.directory:
        os.chdir(mount.directory)
    is_read_only = "ro" in mount.options
    if mount.fstype == "bind":
        flags = OPEN_TREE.CLONE | OPEN_TREE.CLOEXEC
        if "rbind" in mount.options:
            flags |= OPEN_TREE.AT_RECURSIVE
        root = linux.open_tree(-100, mount.source, flags)
        if is_read_only:
            linux.mount_setattr(root, "", AT.EMPTY_PATH, attr_set=MOUNT_ATTR.RDONLY)
        target = linux.openat2(-100, mountpoint, os.O_PATH)
        linux.attach_mount(root, target)
        os.close(target)
    else:
        data = ",".join(o for o in mount.options if o not in ("ro", "rw"))
        flag = MS.RDONLY if is_read_only else MS(0)
        linux.mount(mount.source, mountpoint, mount.fstype, flag, data)
        root = linux.openat2(-100, mountpoint, os.O_PATH | os.O_DIRECTORY)
    if mount.directory:
        os.chdir("/")
    return root


@dataclass(frozen=True, slots=True, kw_only=True)
class MapSourceIds(Step[InitScope]):
    """Show the owners of a source's files as others: an id-mapped mount.

    Attributes:
        index: of the source.
        uid_map: (on the disk, shown, count) each; empty: swap the source's owner and the user.
        gid_map: the same for groups.
        is_recursive: the mounts below it too.
        user: Docker's ``user[:group]`` whom the owner is shown as; empty is ``ids``.
        ids: uid and gid when ``user`` is empty.
    """

    index: int
    uid_map: tuple[tuple[int, int, int], ...] = ()
    gid_map: tuple[tuple[int, int, int], ...] = ()
    is_recursive: bool = False
    user: str = ""
    ids: tuple[int, ...] = (0, 0)

    def describe(self) -> str:
        """Say who is shown as whom."""
        if not self.uid_map:
            return f"show the source's owner as {self.user or ':'.join(map(str, self.ids))}"
        ranges = ", ".join(f"{f}-{f + n - 1} as {t}-{t + n - 1}" for f, t, n in self.uid_map)
        return f"show the users {ranges}"

    def shell(self) -> str:
        """Return the mount option."""
        maps = " ".join(f"{f}:{t}:{n}" for f, t, n in self.uid_map)
        return f"mount -o remount,bind,X-mount.idmap='{maps or 'owner:user:1'}' $SOURCE"

    def apply(self, scope: InitScope) -> None:
        """Call mount_setattr(2) with a user namespace that has the maps.

        Raises:
            KernelError: EINVAL (this file system has no id-mapped mounts), EPERM (mapped already).
            InvalidParameter: no such user.
        """
        tree = scope.trees[self.index]
        uids = tuple(IDMapping(*entry) for entry in self.uid_map)
        gids = tuple(IDMapping(*entry) for entry in self.gid_map)
        if not uids:
            uid, gid = find_owner(scope.root_fd, self.user, self.ids)
            owner = os.stat(tree)
            if (owner.st_uid, owner.st_gid) == (uid, gid):
                return
            uids, gids = plan_swap(owner.st_uid, uid), plan_swap(owner.st_gid, gid)
        namespace = open_user_namespace(uids, gids)
        flags = AT.EMPTY_PATH | (AT.RECURSIVE if self.is_recursive else AT(0))
        try:
            linux.mount_setattr(tree, "", flags, attr_set=MOUNT_ATTR.IDMAP, userns_fd=namespace)
        except linux.KernelError as error:
            if error.errno == errno.EINVAL:
                error.hint = "this file system has no id-mapped mounts: use :U instead"
            raise
        finally:
            os.close(namespace)
