"""Whose a mounted directory is: given to the container's user, by chown or by an id map.

A directory of the host belongs to somebody there; the program in the container is somebody else,
and can't write. ``:U`` chowns the directory for good. ``:idmap`` changes nothing on the disk: the
mount shows the owner as the container's user, and what the user writes belongs to the owner.
"""

import os
import stat

from cutaway import linux
from cutaway.linux.abi import AT, CLONE, RESOLVE
from cutaway.oci.runtime_spec import IDMapping
from cutaway.runtime.in_root import read_file_in_root
from cutaway.runtime.users import FILE_LIMIT_BYTES, find_identity

_MAX_ID = 2**32 - 1  # (uid_t)-1 means "leave it": no id of anybody
_SINGLE = RESOLVE.BENEATH | RESOLVE.NO_SYMLINKS | RESOLVE.NO_XDEV


def find_owner(root_fd: int, user: str, ids: tuple[int, ...]) -> tuple[int, int]:
    """Return the uid and gid of the container's user.

    Args:
        root_fd: the container's root, whose ``/etc/passwd`` says.
        user: Docker's ``user[:group]``; empty: ``ids`` are the answer.
        ids: uid and gid of config.json.

    Raises:
        InvalidParameter: no such user or group, in Docker's words.
    """
    if not user:
        return ids[0], ids[1]
    passwd = read_file_in_root(root_fd, "/etc/passwd", FILE_LIMIT_BYTES) or b""
    group = read_file_in_root(root_fd, "/etc/group", FILE_LIMIT_BYTES) or b""
    found = find_identity(user, (), passwd, group)
    return found.uid, found.gid


def give_tree(tree_fd: int, uid: int, gid: int) -> None:
    """Chown a directory or file and all below it; other file systems are not entered.

    Args:
        tree_fd: O_PATH descriptor; links are chowned, never followed.
        uid: new owner.
        gid: new group.
    """
    linux.fchownat(tree_fd, "", uid, gid, AT.EMPTY_PATH)
    if not stat.S_ISDIR(linux.identify(tree_fd).mode):
        return
    directory = linux.openat2(tree_fd, ".", os.O_RDONLY | os.O_DIRECTORY)
    try:
        _give_entries(directory, uid, gid)
    finally:
        os.close(directory)


def _give_entries(directory: int, uid: int, gid: int) -> None:
    with os.scandir(directory) as entries:
        found = [(entry.name, entry.stat(follow_symlinks=False)) for entry in entries]
    for name, status in found:
        if (status.st_uid, status.st_gid) != (uid, gid):
            linux.fchownat(directory, name, uid, gid, AT.SYMLINK_NOFOLLOW)
        if stat.S_ISDIR(status.st_mode):
            try:
                inner = linux.openat2(directory, name, os.O_RDONLY | os.O_DIRECTORY, 0, _SINGLE)
            except linux.KernelError:  # another file system, or exchanged for a link just now
                continue
            try:
                _give_entries(inner, uid, gid)
            finally:
                os.close(inner)


def plan_swap(first: int, second: int) -> tuple[IDMapping, ...]:
    """Return the id map that shows ``first`` as ``second`` and the reverse, all others as they are.

    Nothing is lost by it: every id is shown as exactly one.
    """
    low, high = sorted((first, second))
    if low == high:
        return (IDMapping(0, 0, _MAX_ID),)
    ranges = (
        IDMapping(0, 0, low),
        IDMapping(low, high, 1),
        IDMapping(low + 1, low + 1, high - low - 1),
        IDMapping(high, low, 1),
        IDMapping(high + 1, high + 1, _MAX_ID - high - 1),
    )
    return tuple(mapping for mapping in ranges if mapping.size > 0)


def open_user_namespace(
    uid_mappings: tuple[IDMapping, ...], gid_mappings: tuple[IDMapping, ...]
) -> int:
    """Return a user namespace with these maps, made for nothing but its maps.

    Raises:
        KernelError: EINVAL (the maps overlap), EPERM.

    Leaves behind: the namespace, as long as the descriptor or a mount holds it.
    """
    read_end, write_end = os.pipe2(os.O_CLOEXEC)
    pid, pidfd = linux.clone3(CLONE.NEWUSER)
    if pid == 0:
        os.close(write_end)
        os.read(read_end, 1)  # ends when the parent has what it wants
        os._exit(0)
    try:
        _write_map(f"/proc/{pid}/uid_map", uid_mappings)
        _write_map(f"/proc/{pid}/gid_map", gid_mappings)
        return linux.openat2(-100, f"/proc/{pid}/ns/user", os.O_RDONLY)
    finally:
        os.close(read_end)
        os.close(write_end)
        linux.waitid_pidfd(pidfd)
        os.close(pidfd)


def _write_map(path: str, mappings: tuple[IDMapping, ...]) -> None:
    text = "".join(f"{m.container_id} {m.host_id} {m.size}\n" for m in mappings)
    try:
        with open(path, "wb", buffering=0) as file:
            file.write(text.encode())
    except OSError as error:
        raise linux.kernel_error(error.errno or 0, "write", path, text) from None
