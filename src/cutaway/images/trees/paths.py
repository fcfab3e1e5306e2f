"""Paths as Docker's archive calls mean them: what a trailing ``/`` or ``/.`` says, and links.

``/etc/link`` is the link, ``/etc/link/`` and ``/etc/link/.`` what it points to; the tar of the
latter holds the directory's content under ``.``.

Source: moby daemon/archive_unix.go, pkg/archive/copy.go.
"""

import errno
import os
import stat
from dataclasses import dataclass

from cutaway.errors import InvalidParameter, NotFound
from cutaway.images.resolve import is_missing, open_directory_in_root

_MAX_LINKS = 255
_MAX_PATH = 4095
# Go's os.FileMode bits, which the API's stat header uses.
_GO_TYPES = {
    stat.S_IFDIR: 1 << 31,
    stat.S_IFLNK: 1 << 27,
    stat.S_IFBLK: 1 << 26,
    stat.S_IFCHR: 1 << 26 | 1 << 21,
    stat.S_IFIFO: 1 << 25,
    stat.S_IFSOCK: 1 << 24,
}
_GO_SETUID, _GO_SETGID, _GO_STICKY = 1 << 23, 1 << 22, 1 << 20


@dataclass(frozen=True, slots=True)
class Place:
    """A path taken apart and resolved as far as its parent.

    Attributes:
        directory: absolute in the container, free of links.
        leaf: last component; empty when the path names ``directory`` itself (``/``, ``x/.``).
        name: how the tar calls it: the last component as it was asked for, ``.`` or ``/``.
    """

    directory: bytes
    leaf: bytes
    name: bytes

    @property
    def path(self) -> bytes:
        """The whole path."""
        return self.directory if not self.leaf else self.directory.rstrip(b"/") + b"/" + self.leaf


def locate(root_fd: int, path: bytes) -> Place:
    """Find what a request's path means.

    Raises:
        InvalidParameter: empty, too long, or with a NUL.
        NotFound: a directory on the way is missing.
    """
    if not path or len(path) > _MAX_PATH or b"\0" in path:
        raise InvalidParameter("the path is empty, too long or has a NUL byte in it")
    last = path.rpartition(b"/")[2]
    wants_target = last in (b"", b".", b"..")
    components = _clean(path)
    if not components or wants_target:
        name = (components[-1] if components else b"/") if last != b"." else b"."
        directory = resolve_links(root_fd, b"/" + b"/".join(components), must_exist=True)
        return Place(directory, b"", name)
    parent = resolve_links(root_fd, b"/" + b"/".join(components[:-1]), must_exist=True)
    return Place(parent, components[-1], components[-1])


def resolve_links(root_fd: int, path: bytes, *, must_exist: bool = False) -> bytes:
    """Follow all links of an absolute path inside the root, in text.

    The result is for showing and for naming: it is opened by openat2(2) again, which refuses to
    be led out whatever has changed since.

    Raises:
        NotFound: a component is missing and ``must_exist``; InvalidParameter: too many links.
    """
    pending = [part for part in path.split(b"/") if part][::-1]
    resolved: list[bytes] = []
    links = 0
    while pending:
        part = pending.pop()
        if part == b".":
            continue
        if part == b"..":
            del resolved[-1:]
            continue
        target = _read_link(root_fd, resolved, part, must_exist)
        if target is None:
            resolved.append(part)
            continue
        links += 1
        if links > _MAX_LINKS:
            raise InvalidParameter("too many levels of symbolic links")
        if target.startswith(b"/"):
            resolved.clear()
        pending += [piece for piece in target.split(b"/") if piece][::-1]
    return b"/" + b"/".join(resolved)


def _read_link(root_fd: int, directory: list[bytes], leaf: bytes, must_exist: bool) -> bytes | None:
    try:
        fd = open_directory_in_root(root_fd, b"/".join(directory))
    except OSError as error:
        if is_missing(error) and not must_exist:
            return None
        raise missing(b"/" + b"/".join((*directory, leaf)), error) from None
    try:
        return os.readlink(leaf, dir_fd=fd)
    except OSError as error:
        if error.errno == errno.EINVAL:
            return None  # no link
        if is_missing(error) and not must_exist:
            return None
        raise missing(b"/" + b"/".join((*directory, leaf)), error) from None
    finally:
        os.close(fd)


def missing(path: bytes, error: OSError) -> Exception:
    """Return the error for a path that can't be reached, in Docker's words."""
    if is_missing(error):
        return NotFound(f"Could not find the file {path.decode(errors='replace')} in container")
    return error


def _clean(path: bytes) -> list[bytes]:
    """Split a path; ``..`` is taken away in text and stops at the root, as Docker does."""
    components: list[bytes] = []
    for part in path.split(b"/"):
        if part == b"..":
            del components[-1:]
        elif part not in (b"", b"."):
            components.append(part)
    return components


def go_file_mode(mode: int) -> int:
    """Return a ``st_mode`` as Go's os.FileMode, the number in the API's stat header."""
    result = stat.S_IMODE(mode) & 0o777 | _GO_TYPES.get(stat.S_IFMT(mode), 0)
    if mode & stat.S_ISUID:
        result |= _GO_SETUID
    if mode & stat.S_ISGID:
        result |= _GO_SETGID
    if mode & stat.S_ISVTX:
        result |= _GO_STICKY
    return result
