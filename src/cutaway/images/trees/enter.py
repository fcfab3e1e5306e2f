"""How a worker gets into a container's tree: a copy of its mounts, and nothing of the host.

Docker's counterpart: moby ``daemon/containerfs_linux.go``, ``openContainerFS``.
"""

import errno
import os
import stat
from typing import Any

from cutaway import linux
from cutaway.images.layers.confine import enter_mount
from cutaway.images.mount import Mount
from cutaway.images.resolve import is_missing, open_directory_in_root, open_in_root

_PRIVATE = linux.MS.REC | linux.MS.PRIVATE
_CLONE_ONE = linux.OPEN_TREE.CLONE | linux.OPEN_TREE.CLOEXEC
_CLONE_ALL = _CLONE_ONE | linux.OPEN_TREE.AT_RECURSIVE
_CLONE_HELD = _CLONE_ALL | linux.OPEN_TREE.AT_EMPTY_PATH
_LOCKED_DOWN = linux.MOUNT_ATTR.NOSUID | linux.MOUNT_ATTR.NODEV | linux.MOUNT_ATTR.NOEXEC


def enter_tree(tree: dict[str, Any], *, is_read_only: bool, with_submounts: bool = True) -> None:
    """Make a container's root this process's root, in a mount namespace of its own.

    Args:
        tree: ``Tree.to_json()``: a mount namespace's descriptor, or mounts and binds.
        is_read_only: nothing can be written by this process.
        with_submounts: without, only the container's root file system itself is seen.

    Raises:
        KernelError: what could not be joined or mounted.

    Preconditions: one thread; everything that will ever be imported is imported.
    """
    namespace_fd = tree.get("mount_namespace_fd")
    if namespace_fd is not None:
        root = _copy_running(namespace_fd, with_submounts)
    else:
        linux.unshare(linux.CLONE.NEWNS)
        linux.mount(None, "/", None, _PRIVATE)
        root = _mount_stopped(tree, is_read_only, tree["binds"] if with_submounts else [])
    attributes = _LOCKED_DOWN | linux.MOUNT_ATTR.RDONLY if is_read_only else _LOCKED_DOWN
    flags = linux.AT.EMPTY_PATH | linux.AT.RECURSIVE
    linux.mount_setattr(root, "", flags, attr_set=attributes)
    enter_mount(root)


def _copy_running(namespace_fd: int, with_submounts: bool) -> int:
    """Join the container's mounts, copy them, and return its root, attached, by descriptor."""
    linux.setns(namespace_fd, linux.CLONE.NEWNS)
    os.close(namespace_fd)
    # From here on the container can't change what is mounted here, nor we what it has.
    linux.unshare(linux.CLONE.NEWNS)
    linux.mount(None, "/", None, _PRIVATE)
    root = linux.open_tree(linux.AT_FDCWD, "/", _CLONE_ALL if with_submounts else _CLONE_ONE)
    linux.move_mount(root, "", linux.AT_FDCWD, "/", linux.MOVE_MOUNT.F_EMPTY_PATH)
    return root


def _mount_stopped(tree: dict[str, Any], is_read_only: bool, binds: list[Any]) -> int:
    """Mount a stopped container's tree; readers get their own kind, which disturbs no writer."""
    if not is_read_only:
        return _mount_all(tree["mounts"], tree["mount_point"], binds)
    try:
        return _mount_all(tree["reading_mounts"], tree["mount_point"], binds)
    except OSError as error:
        if error.errno != errno.EROFS:
            raise
    # A container that never ran lacks the places of its volumes: make them, then read.
    linux.umount2(tree["mount_point"], linux.MNT.DETACH)
    os.close(_mount_all(tree["mounts"], tree["mount_point"], binds))
    linux.umount2(tree["mount_point"], linux.MNT.DETACH)
    return _mount_all(tree["reading_mounts"], tree["mount_point"], binds)


def _mount_all(mounts: list[Any], target: str, binds: list[Any]) -> int:
    for document in mounts:
        attach(Mount.from_json(document), target)
    root = os.open(target, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for source, destination, is_bind_read_only, subpath in binds:
            source_fd = _open_source(source, subpath)
            if source_fd is not None:
                _attach_bind(root, source_fd, os.fsencode(destination), is_bind_read_only)
    except BaseException:
        os.close(root)
        raise
    return root


def attach(mount: Mount, target: str) -> None:
    """Do one mount of a snapshot, in this process's own mount namespace."""
    if mount.directory is not None:
        os.chdir(mount.directory)
    if mount.fstype == "bind":
        linux.mount(mount.source, target, None, linux.MS.BIND | linux.MS.REC)
        if "ro" in mount.options:
            recursive, read_only = linux.AT.RECURSIVE, linux.MOUNT_ATTR.RDONLY
            linux.mount_setattr(linux.AT_FDCWD, target, recursive, attr_set=read_only)
        return
    flags = linux.MS.RDONLY if "ro" in mount.options else linux.MS(0)
    data = ",".join(option for option in mount.options if option not in ("ro", "rw"))
    linux.mount(mount.source, target, mount.fstype, flags, data)


def _open_source(source: str, subpath: str) -> int | None:
    """Hold a volume, or a part of it; None when it is gone: the image's own is then seen."""
    try:
        source_fd = os.open(source, os.O_PATH | os.O_CLOEXEC)
        if not subpath:
            return source_fd
        try:
            flags = linux.RESOLVE.BENEATH | linux.RESOLVE.NO_MAGICLINKS
            return linux.openat2(source_fd, subpath, os.O_PATH, 0, flags)
        finally:
            os.close(source_fd)
    except OSError as error:
        if is_missing(error):
            return None
        raise


def _attach_bind(root: int, source_fd: int, destination: bytes, is_read_only: bool) -> None:
    """Put a volume where it would be, found inside the root and attached by descriptor.

    The place was chosen by the image and may be a link: the kernel follows it inside the root
    only, and what is mounted on is the file that was found (CVE-2026-42306).
    """
    is_directory = stat.S_ISDIR(os.fstat(source_fd).st_mode)
    try:
        target_fd = _open_or_make(root, destination, is_directory=is_directory)
    except BaseException:
        os.close(source_fd)
        raise
    tree_fd = linux.open_tree(source_fd, "", _CLONE_HELD)
    if is_read_only:
        linux.mount_setattr(
            tree_fd,
            "",
            linux.AT.EMPTY_PATH | linux.AT.RECURSIVE,
            attr_set=linux.MOUNT_ATTR.RDONLY,
        )
    try:
        linux.attach_mount(tree_fd, target_fd)
    except linux.KernelError as error:
        if error.errno != errno.ENOTDIR:  # a file on a directory or the reverse: runc refuses too
            raise
    finally:
        for fd in (tree_fd, source_fd, target_fd):
            os.close(fd)


def _open_or_make(root: int, path: bytes, *, is_directory: bool) -> int:
    """Return the place to mount on; made as the runtime makes it at the first start.

    Every directory is made in the descriptor of its parent, and a component that is a link is
    followed by the kernel inside the root: nothing can be made outside (CVE-2021-30465).
    """
    try:
        return open_in_root(root, path, os.O_PATH)
    except OSError as error:
        if not is_missing(error):
            raise
    components = [part for part in path.split(b"/") if part not in (b"", b".")]
    for depth in range(1, len(components) + 1):
        parent_fd = open_directory_in_root(root, b"/".join(components[: depth - 1]))
        leaf = components[depth - 1]
        is_last = depth == len(components)
        try:
            if is_last and not is_directory:
                flags = os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_WRONLY
                os.close(os.open(leaf, flags, 0o755, dir_fd=parent_fd))
            else:
                os.mkdir(leaf, 0o755, dir_fd=parent_fd)
        except FileExistsError:
            pass
        finally:
            os.close(parent_fd)
    return open_in_root(root, path, os.O_PATH)
