"""Paths inside a container's root, resolved by the kernel and held by descriptors.

An image, or another container that shares a volume, may put a symbolic link anywhere and exchange
it at any moment (CVE-2018-15664, CVE-2021-30465, CVE-2024-45310 and ten more). So a container's
path is never joined to a host path and never resolved twice: ``openat2(RESOLVE_IN_ROOT)`` walks it
once, links and ``..`` staying inside, and what follows acts on the descriptor it returned.
"""

import errno
import os

from cutaway import linux
from cutaway.linux.abi import RESOLVE

_IN_ROOT = RESOLVE.IN_ROOT | RESOLVE.NO_MAGICLINKS
_IN_ROOT_NO_LINKS = RESOLVE.IN_ROOT | RESOLVE.NO_SYMLINKS
_BENEATH_NO_LINKS = RESOLVE.BENEATH | RESOLVE.NO_SYMLINKS
_MAX_LINKS = 40
_CHUNK_BYTES = 65536  # a buffer of the limit would be mapped and unmapped for each small file


def open_in_root(root_fd: int, path: str, flags: int = os.O_PATH, *, links: bool = True) -> int:
    """Open ``path`` as a process whose root is ``root_fd`` would.

    Args:
        root_fd: the container's root.
        path: absolute or not, the same.
        flags: ``os.O_…``.
        links: False refuses symbolic links anywhere on the way (ELOOP).

    Raises:
        KernelError: ENOENT, ENOTDIR, ELOOP, EACCES.
    """
    return linux.openat2(root_fd, path, flags, 0, _IN_ROOT if links else _IN_ROOT_NO_LINKS)


def make_directory_in_root(
    root_fd: int, path: str, *, mode: int = 0o755, links: bool = True
) -> int:
    """Open a directory below ``root_fd``, making what is missing of its path: ``mkdir -p``.

    A link that points to nothing is followed and its target made, as a path the image meant.

    Returns:
        An O_PATH descriptor of the directory.

    Raises:
        KernelError: ENOTDIR (a file is in the way), ELOOP, EROFS, ENOSPC.
    """
    return _make_directories(root_fd, _split(path), mode, links, budget=_MAX_LINKS)


def _make_directories(
    root_fd: int, parts: list[str], mode: int, links: bool, *, budget: int
) -> int:
    """Open the path, or else its parent in the same way and make the last part in that."""
    path = "/" + "/".join(parts)
    flags = os.O_PATH | os.O_DIRECTORY
    try:
        return open_in_root(root_fd, path, flags, links=links)
    except linux.KernelError as error:
        if error.errno != errno.ENOENT:
            raise
    parent = _make_directories(root_fd, parts[:-1], mode, links, budget=budget)
    try:
        if parts[-1] == "..":  # nothing to make: what it goes back from is there by now
            return open_in_root(root_fd, path, flags, links=links)
        return _make_child(root_fd, parent, path, mode, links=links, budget=budget)
    finally:
        os.close(parent)


def _make_child(
    root_fd: int, parent: int, prefix: str, mode: int, *, links: bool, budget: int
) -> int:
    name = prefix.rpartition("/")[2]
    try:
        os.mkdir(name, mode, dir_fd=parent)
    except FileExistsError:
        if not links or budget == 0:
            raise linux.kernel_error(errno.ELOOP, "mkdirat", parent, prefix) from None
        target = _read_link(parent, name)
        if target is not None:  # a link to nothing: make what it means
            base = "" if target.startswith("/") else prefix.rpartition("/")[0]
            parts = _split(f"{base}/{target}")
            return _make_directories(root_fd, parts, mode, links, budget=budget - 1)
    except OSError as error:
        raise linux.kernel_error(error.errno or 0, "mkdirat", parent, prefix) from None
    flags = os.O_PATH | os.O_DIRECTORY
    # relative to the parent that is held, and without links: it is what was made, or it fails
    return linux.openat2(parent, name, flags, 0, _BENEATH_NO_LINKS)


def make_file_in_root(root_fd: int, path: str, *, mode: int = 0o755) -> int:
    """Open a file below ``root_fd``, making an empty one (and its directories) if it is missing.

    Returns:
        An O_PATH descriptor of whatever is there: a file, or what the image has in its place.
    """
    for _ in range(_MAX_LINKS):
        try:
            return open_in_root(root_fd, path)
        except linux.KernelError as error:
            if error.errno != errno.ENOENT:
                raise
        directory, _, name = path.rstrip("/").rpartition("/")
        parent = make_directory_in_root(root_fd, directory or "/")
        try:
            flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
            os.close(os.open(name, flags, mode, dir_fd=parent))
            return linux.openat2(parent, name, os.O_PATH | os.O_NOFOLLOW, 0, RESOLVE.BENEATH)
        except FileExistsError:
            target = _read_link(parent, name)
            if target is not None:
                path = target if target.startswith("/") else f"{directory}/{target}"
        except OSError as error:
            if isinstance(error, linux.KernelError):
                raise
            raise linux.kernel_error(error.errno or 0, "openat", parent, path) from None
        finally:
            os.close(parent)
    raise linux.kernel_error(errno.ELOOP, "openat2", root_fd, path)


def path_in_root(root_fd: int, fd: int, proc_fd: int | None = None) -> str:
    """Return where the file that ``fd`` holds is, as seen from the root.

    Args:
        root_fd: the root.
        fd: of a file below it.
        proc_fd: a procfs that no container can have faked; None: ``/proc`` is the host's, as it is
            before pivot_root(2).
    """
    proc = "/proc" if proc_fd is None else "."  # dir_fd means nothing to an absolute path
    root, path = (os.readlink(f"{proc}/self/fd/{n}", dir_fd=proc_fd) for n in (root_fd, fd))
    return path if root == "/" else path.removeprefix(root) or "/"


def read_file_in_root(root_fd: int, path: str, limit: int) -> bytes | None:
    """Return a small regular file of the container's root, or None if there is none.

    Args:
        root_fd: the container's root.
        path: in the container.
        limit: at most so many bytes are read; an image must not make us read gigabytes.
    """
    try:
        fd = open_in_root(root_fd, path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    except linux.KernelError:
        return None
    try:
        identity = linux.identify(fd)
        if identity.mode & 0o170000 != 0o100000:  # a fifo or device never ends
            return None
        data = b""
        while len(data) < limit and (chunk := os.read(fd, min(_CHUNK_BYTES, limit - len(data)))):
            data += chunk
        return data
    finally:
        os.close(fd)


def _read_link(parent: int, name: str) -> str | None:
    """Return what a link says; None when it is none any more: somebody was quicker."""
    try:
        return os.readlink(name, dir_fd=parent)
    except OSError:
        return None


def _split(path: str) -> list[str]:
    return [part for part in path.split("/") if part not in ("", ".")]
