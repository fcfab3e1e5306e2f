"""What the confined child in a container's files does; ``worker_template`` makes the child.

The request's ``op`` is one of the keys of ``_OPERATIONS``; ``trees/tree.py``, ``copying.py`` and
``squash.py`` build it. Everything that any of them needs is imported before the process
enters the tree; afterwards imports fail.
"""

import os
import time
from typing import Any

from cutaway import linux
from cutaway.images.layers.confine import (
    READ_TREE_CAPABILITIES,
    WRITE_TREE_CAPABILITIES,
    capability_mask,
    enter_directory,
    enter_mount,
    limit_resources,
    seal,
)
from cutaway.images.mount import Mount
from cutaway.images.trees import copy_operations
from cutaway.images.trees.changes import ChangeKind, find_changes
from cutaway.images.trees.cloning import clone_tree
from cutaway.images.trees.enter import attach, enter_tree
from cutaway.images.trees.merging import merge
from cutaway.images.trees.operations import (
    extract_archive,
    place_of,
    stat_place,
    write_archive,
    write_export,
    write_stdout,
)
from cutaway.images.trees.paths import resolve_links
from cutaway.images.worker_side import Control

# trusted.overlay.opaque can't be read without it. The system calls that make it dangerous are
# all behind the filter, and the only mount is the upper directory, read-only.
_READ_LAYER_CAPABILITIES = READ_TREE_CAPABILITIES | capability_mask(linux.CAP.SYS_ADMIN)
_GATHER_BYTES = 64 * 1024


def serve(control: Control, request: dict[str, Any]) -> Any:
    """Do one operation."""
    return _OPERATIONS[request["op"]](control, request)


def _open_root() -> int:
    return os.open("/", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def _stat(control: Control, request: dict[str, Any]) -> dict[str, Any]:
    enter_tree(request["tree"], is_read_only=True)
    limit_resources()
    seal(READ_TREE_CAPABILITIES)
    root_fd = _open_root()
    return stat_place(root_fd, place_of(root_fd, request))


def _resolve(control: Control, request: dict[str, Any]) -> str:
    enter_tree(request["tree"], is_read_only=True)
    limit_resources()
    seal(READ_TREE_CAPABILITIES)
    directory, _, leaf = os.fsencode(request["path"]).rstrip(b"/").rpartition(b"/")
    parent = resolve_links(_open_root(), directory or b"/")
    return os.fsdecode(parent.rstrip(b"/") + b"/" + leaf)


def _get(control: Control, request: dict[str, Any]) -> None:
    enter_tree(request["tree"], is_read_only=True)
    limit_resources()
    seal(READ_TREE_CAPABILITIES)
    root_fd = _open_root()
    place = place_of(root_fd, request)
    control.send("ready", stat_place(root_fd, place))
    write_archive(root_fd, place)


def _put(control: Control, request: dict[str, Any]) -> int:
    enter_tree(request["tree"], is_read_only=False)
    limit_resources()
    seal(WRITE_TREE_CAPABILITIES)
    return extract_archive(_open_root(), os.fsencode(request["path"]), request)


def _export(control: Control, request: dict[str, Any]) -> int:
    enter_tree(request["tree"], is_read_only=True, with_submounts=False)
    limit_resources()
    seal(READ_TREE_CAPABILITIES)
    control.send("ready", None)
    return write_export(_open_root(), is_layer=False, keeps_holes=request["keeps_holes"])


def _diff(control: Control, request: dict[str, Any]) -> int:
    enter_directory(is_read_only=True)
    limit_resources()
    seal(_READ_LAYER_CAPABILITIES)
    control.send("ready", None)
    return write_export(
        _open_root(),
        is_layer=True,
        latest_mtime=request["latest_mtime"],
        stubs=request["stubs"],
    )


def _changes(control: Control, request: dict[str, Any]) -> None:
    _enter_comparison(request)
    limit_resources()
    seal(READ_TREE_CAPABILITIES)
    upper_fd = os.open("/upper", os.O_RDONLY | os.O_DIRECTORY)
    lower_fd = os.open("/lower", os.O_RDONLY | os.O_DIRECTORY) if request["lower"] else None
    control.send("ready", None)
    lines = bytearray()

    def report(kind: ChangeKind, path: bytes) -> None:
        lines.extend(b"%d%s\0" % (kind, path))
        if len(lines) >= _GATHER_BYTES:
            write_stdout(lines)
            lines.clear()

    find_changes(upper_fd, lower_fd, report)
    write_stdout(lines)


def _enter_comparison(request: dict[str, Any]) -> None:
    """Make a root that holds the upper directory and the layers below it side by side."""
    linux.unshare(linux.CLONE.NEWNS)
    linux.mount(None, "/", None, linux.MS.REC | linux.MS.PRIVATE)
    target = request["mount_point"]
    linux.mount("tmpfs", target, "tmpfs", linux.MS.NOSUID | linux.MS.NODEV, "mode=700,size=64k")
    for name in ("upper", "lower"):
        os.mkdir(f"{target}/{name}")
    attach(Mount("bind", request["upper"], ("rbind",)), f"{target}/upper")
    for document in request["lower"]:
        attach(Mount.from_json(document), f"{target}/lower")
    root = os.open(target, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    locked = linux.MOUNT_ATTR.RDONLY | linux.MOUNT_ATTR.NODEV | linux.MOUNT_ATTR.NOEXEC
    linux.mount_setattr(root, "", linux.AT.EMPTY_PATH | linux.AT.RECURSIVE, attr_set=locked)
    enter_mount(root)


def _copy(control: Control, request: dict[str, Any]) -> int:
    now_ns = time.time_ns()
    origin_fd, root_fd = _enter_pair(request, WRITE_TREE_CAPABILITIES)
    return copy_operations.copy(
        origin_fd,
        root_fd,
        request["copy"],
        floor_bytes=request["floor_bytes"],
        now_ns=now_ns,
        tell_link=lambda *paths: control.send("note", [os.fsdecode(path) for path in paths]),
    )


def _clone(control: Control, request: dict[str, Any]) -> int:
    origin_fd, root_fd = _enter_pair(request, WRITE_TREE_CAPABILITIES)
    return clone_tree(origin_fd, root_fd, request["floor_bytes"])


def _mkdir(control: Control, request: dict[str, Any]) -> bool:
    now_ns = time.time_ns()
    _, root_fd = _enter_pair(request, WRITE_TREE_CAPABILITIES)
    return copy_operations.make_directory(
        root_fd, request["copy"], floor_bytes=request["floor_bytes"], now_ns=now_ns
    )


def _digest(control: Control, request: dict[str, Any]) -> str:
    origin_fd, _ = _enter_pair(request, READ_TREE_CAPABILITIES)
    return copy_operations.digest(origin_fd, request["copy"])


def _squash(control: Control, request: dict[str, Any]) -> None:
    enter_directory(is_read_only=True)
    limit_resources()
    seal(READ_TREE_CAPABILITIES)
    merge(request["layers"], write_stdout, keeps=request["keeps_whiteouts"])


def _enter_pair(request: dict[str, Any], capabilities: int) -> tuple[int, int]:
    """Make a root that holds an origin, read-only, and a destination; return their descriptors."""
    linux.unshare(linux.CLONE.NEWNS)
    linux.mount(None, "/", None, linux.MS.REC | linux.MS.PRIVATE)
    target = request["mount_point"]
    linux.mount("tmpfs", target, "tmpfs", linux.MS.NOSUID | linux.MS.NODEV, "mode=700,size=64k")
    for name in ("origin", "destination"):
        os.mkdir(f"{target}/{name}")
        for document in request[name] or ():
            attach(Mount.from_json(document), f"{target}/{name}")
    locked = linux.MOUNT_ATTR.NOSUID | linux.MOUNT_ATTR.NODEV | linux.MOUNT_ATTR.NOEXEC
    flags = linux.AT.EMPTY_PATH | linux.AT.RECURSIVE
    for name, attributes in (("destination", locked), ("origin", locked | linux.MOUNT_ATTR.RDONLY)):
        if request[name]:
            fd = os.open(f"{target}/{name}", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            linux.mount_setattr(fd, "", flags, attr_set=attributes)
            os.close(fd)
    enter_mount(os.open(target, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC))
    limit_resources()
    seal(capabilities)
    reading = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
    return os.open("/origin", reading), os.open("/destination", reading)


_OPERATIONS = {
    "clone": _clone,
    "copy": _copy,
    "mkdir": _mkdir,
    "digest": _digest,
    "squash": _squash,
    "resolve": _resolve,
    "stat": _stat,
    "get": _get,
    "put": _put,
    "export": _export,
    "diff": _diff,
    "changes": _changes,
}
