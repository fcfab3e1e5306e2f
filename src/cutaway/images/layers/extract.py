"""Apply a layer's entries to a directory: the part that faces the attacker.

Rules, in the order in which they are applied to every entry:

1. The name is split into components; ``..`` is resolved in text; a name that climbs out is refused.
2. The parent directory is opened by openat2(2) with the layer's directory as the root: links on
   the way are followed, inside the root only. What follows uses that descriptor.
3. The last component is never followed: it is created exclusively, or what has its name is
   removed first (a directory stays when a directory comes).
4. Attributes are set by descriptor, or without following; owner before mode before times, since
   chown(2) clears set-id bits and file capabilities, and writing changes the time.
5. Only ``user.*`` and ``security.capability`` attributes pass. ``trusted.overlay.*`` from an
   archive would redirect a directory anywhere in the layers below.

Source: image-spec layer.md; moby pkg/archive and containerd pkg/archive for behaviour.
"""

import errno
import os
import stat
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeAlias

from cutaway import linux
from cutaway.errors import InvalidParameter
from cutaway.images.layers import tar_header as tar
from cutaway.images.layers import whiteout
from cutaway.images.layers.attributes import (
    SPECIAL_BITS,
    explain,
    is_whiteout,
    mode_of,
    set_by_name,
    set_xattrs,
    show,
)
from cutaway.images.layers.disk_guard import DiskGuard
from cutaway.images.layers.errors import BadLayer
from cutaway.images.layers.file_content import FileContent
from cutaway.images.layers.tar_read import Entry
from cutaway.images.layers.tree_removal import remove_tree
from cutaway.images.resolve import IN_ROOT, is_missing, open_directory_in_root, split_path

_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NOCTTY
_READ_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_MAX_MAJOR, _MAX_MINOR = (1 << 12) - 1, (1 << 20) - 1
_CACHED_DIRECTORIES = 64
_IMPLICIT_MODE = 0o755
_NODE_TYPES = {tar.CHARACTER: stat.S_IFCHR, tar.BLOCK: stat.S_IFBLK, tar.FIFO: stat.S_IFIFO}

Pieces: TypeAlias = Iterable[bytes | memoryview]
"""A file's stored data; a ``FileContent`` is copied within the kernel."""


@dataclass(slots=True)
class Extracted:
    """What a layer turned out to be.

    Attributes:
        entries: files, directories, links and whiteouts made.
        size_bytes: data written into files.
        declares_root: the layer has an entry for the root directory itself.
        hides_parent: an opaque mark at the root: nothing of the layers below shows.
    """

    entries: int = 0
    size_bytes: int = 0
    declares_root: bool = False
    hides_parent: bool = False


@dataclass(frozen=True, slots=True)
class Policy:
    """In what a layer's tar differs from one that a user copies into a container.

    Attributes:
        applies_whiteouts: ``.wh.NAME`` deletes; without, it is a file like others.
        keeps_kinds: refuse to replace a directory by something else, or the reverse.
        owner: (uid, gid) of everything made, whatever the tar says; None: as it says.
        base: directory that entries are relative to, as components below the root.
    """

    applies_whiteouts: bool = True
    keeps_kinds: bool = False
    owner: tuple[int, int] | None = None
    base: tuple[bytes, ...] = ()


class Extractor:
    """Writes the entries of one tar into the directory ``root_fd``.

    Args:
        root_fd: the layer's directory, open for reading; the process's umask must be 0.
        mark_opaque: sets ``trusted.overlay.opaque`` on the directory of a descriptor; a confined
            worker has no right to, and hands the descriptor to its parent.
        note_implicit: is told the path of each directory that had to be made without an entry.
        guard: stops when the disk fills.
        policy: a layer's by default.
    """

    def __init__(
        self,
        root_fd: int,
        *,
        mark_opaque: Callable[[int], None],
        note_implicit: Callable[[bytes], None],
        guard: DiskGuard,
        policy: Policy | None = None,
    ) -> None:
        self.result = Extracted()
        self._root_fd = root_fd
        self._mark_opaque = mark_opaque
        self._note_implicit = note_implicit
        self._guard = guard
        self._policy = policy or Policy()
        self._parents: dict[bytes, int] = {}
        self._retired = -1
        self._times: dict[bytes, int] = {}

    def apply(self, entry: Entry, pieces: Pieces) -> None:
        """Make one entry.

        Args:
            entry: as read; its name is not trusted.
            pieces: the stored data of a regular file, or the open file to copy; unread for others.

        Raises:
            BadLayer: the entry is hostile or makes no sense.
            System: the host can't take it: no space, or a device that it may not make.
        """
        components = split_path(entry.name)
        if components is None:
            raise BadLayer(f"layer entry {show(entry.name)} leaves the root directory: refused")
        self._guard.spend(0)
        self.result.entries += 1
        policy = self._policy
        if policy.owner is not None:
            entry.uid, entry.gid = policy.owner
        try:
            if not components:
                self._apply_root(entry)
                return
            leaf = components.pop()
            parent = b"/".join((*policy.base, *components))
            if leaf.startswith(whiteout.PREFIX) and policy.applies_whiteouts:
                self._apply_whiteout(parent, leaf)
            else:
                self._make(entry, parent, leaf, pieces)
        except OSError as error:
            raise explain(error, entry) from error

    def finish(self) -> None:
        """Set the times of directories, which making their entries changed; close descriptors."""
        for path, mtime_ns in self._times.items():
            try:
                fd = self._open_real_directory(path)
            except OSError as error:
                if is_missing(error) or error.errno == errno.ELOOP:
                    continue  # replaced by a later entry
                raise
            try:
                os.utime(fd, ns=(mtime_ns, mtime_ns))
            finally:
                os.close(fd)
        self._forget_parents()
        self._close_retired()

    def _apply_root(self, entry: Entry) -> None:
        if entry.kind != tar.DIRECTORY:
            raise BadLayer(f"layer entry {show(entry.name)} would replace the root directory")
        self.result.declares_root = True
        base = b"/".join(self._policy.base)
        fd = self._open_real_directory(base)
        try:
            self._set_directory(fd, entry)
        finally:
            os.close(fd)
        self._times[base] = entry.mtime_ns

    def _apply_whiteout(self, parent: bytes, leaf: bytes) -> None:
        parent_fd = self._parent(parent)
        if leaf == whiteout.OPAQUE_NAME:
            if not parent:
                self.result.hides_parent = True
            else:
                self._make_opaque(parent_fd, b".")
            return
        name = whiteout.parse_whiteout(leaf)
        if name is None:
            return
        # "Whiteout files MUST only apply to resources in lower/parent layers": what this layer
        # has under the name stays, and if a directory, starts empty.
        kind = mode_of(parent_fd, name)
        if kind is None:
            os.mknod(name, stat.S_IFCHR, os.makedev(0, 0), dir_fd=parent_fd)
        elif stat.S_ISDIR(kind):
            self._make_opaque(parent_fd, name)

    def _make(self, entry: Entry, parent: bytes, leaf: bytes, pieces: Pieces) -> None:
        parent_fd = self._parent(parent)
        match entry.kind:
            case tar.REGULAR:
                self._make_file(entry, parent_fd, leaf, pieces)
            case tar.DIRECTORY:
                self._make_directory(entry, parent_fd, leaf)
                self._times[b"/".join((parent, leaf))] = entry.mtime_ns
            case tar.SYMLINK:
                if not entry.link:
                    raise BadLayer(f"layer's symbolic link {show(entry.name)} has no target")
                self._exclusively(
                    parent_fd, leaf, lambda: os.symlink(entry.link, leaf, dir_fd=parent_fd)
                )
                set_by_name(entry, parent_fd, leaf)
            case tar.HARD_LINK:
                self._make_hard_link(entry, parent_fd, leaf)
            case tar.CHARACTER | tar.BLOCK | tar.FIFO:
                self._make_node(entry, parent_fd, leaf)
            case _:
                raise BadLayer(
                    f"layer entry {show(entry.name)} has the unknown type {entry.kind!r}"
                )

    def _make_file(self, entry: Entry, parent_fd: int, leaf: bytes, pieces: Pieces) -> None:
        mode = entry.mode & 0o777
        fd = self._exclusively(
            parent_fd, leaf, lambda: os.open(leaf, _NEW_FILE, mode, dir_fd=parent_fd)
        )
        try:
            if isinstance(pieces, FileContent):
                pieces.copy_to(fd, self._spend)
            elif entry.sparse is not None:
                self._write_sparse(fd, entry, pieces)
            else:
                for piece in pieces:
                    self._write(fd, piece)
            os.fchown(fd, entry.uid, entry.gid)
            if entry.xattrs:
                set_xattrs(fd, entry)
            if entry.mode & SPECIAL_BITS:
                os.fchmod(fd, entry.mode)
            os.utime(fd, ns=(entry.mtime_ns, entry.mtime_ns))
        finally:
            os.close(fd)

    def _spend(self, size: int) -> None:
        self._guard.spend(size)
        self.result.size_bytes += size

    def _write(self, fd: int, piece: bytes | memoryview) -> None:
        size = len(piece)
        self._spend(size)
        written = os.write(fd, piece)
        while written < size:
            written += os.write(fd, piece[written:])

    def _write_sparse(self, fd: int, entry: Entry, pieces: Pieces) -> None:
        """Write each stored segment at its place and leave the holes to ftruncate(2)."""
        segments = iter(entry.sparse or ())
        offset = left = 0
        for piece in pieces:
            while piece:
                while not left:
                    offset, left = next(segments)
                    os.lseek(fd, offset, os.SEEK_SET)
                part = piece[:left]
                self._write(fd, part)
                left -= len(part)
                piece = piece[len(part) :]
        os.ftruncate(fd, entry.size)

    def _make_directory(self, entry: Entry, parent_fd: int, leaf: bytes) -> None:
        try:
            os.mkdir(leaf, entry.mode, dir_fd=parent_fd)
        except FileExistsError:
            self._replace_by_directory(parent_fd, leaf)
        else:
            if not (entry.xattrs or entry.mode & SPECIAL_BITS):
                os.chown(leaf, entry.uid, entry.gid, dir_fd=parent_fd, follow_symlinks=False)
                return
        fd = os.open(leaf, _READ_DIRECTORY, dir_fd=parent_fd)
        try:
            self._set_directory(fd, entry)
        finally:
            os.close(fd)

    def _replace_by_directory(self, parent_fd: int, leaf: bytes) -> None:
        """Make sure ``leaf`` is a directory; where a whiteout was, one that starts empty."""
        status = os.stat(leaf, dir_fd=parent_fd, follow_symlinks=False)
        if stat.S_ISDIR(status.st_mode):
            return
        if self._policy.keeps_kinds:
            raise InvalidParameter(f"cannot overwrite non-directory {show(leaf)} with directory")
        os.unlink(leaf, dir_fd=parent_fd)
        self._forget_parents(in_use=parent_fd)
        os.mkdir(leaf, 0o700, dir_fd=parent_fd)
        if is_whiteout(status):
            self._make_opaque(parent_fd, leaf)

    def _set_directory(self, fd: int, entry: Entry) -> None:
        os.fchown(fd, entry.uid, entry.gid)
        if entry.xattrs:
            set_xattrs(fd, entry)
        os.fchmod(fd, entry.mode)

    def _make_hard_link(self, entry: Entry, parent_fd: int, leaf: bytes) -> None:
        target = split_path(entry.link)
        if not target:
            raise BadLayer(
                f"layer's hard link {show(entry.name)} points to {show(entry.link)}: refused"
            )
        name = target.pop()
        directory = b"/".join((*self._policy.base, *target))
        target_fd = open_directory_in_root(self._root_fd, directory)
        try:
            self._exclusively(
                parent_fd,
                leaf,
                lambda: os.link(
                    name, leaf, src_dir_fd=target_fd, dst_dir_fd=parent_fd, follow_symlinks=False
                ),
            )
        finally:
            os.close(target_fd)

    def _make_node(self, entry: Entry, parent_fd: int, leaf: bytes) -> None:
        device = 0
        if entry.kind != tar.FIFO:
            if entry.device_major > _MAX_MAJOR or entry.device_minor > _MAX_MINOR:
                raise BadLayer(f"layer's device {show(entry.name)} has an impossible number")
            device = os.makedev(entry.device_major, entry.device_minor)
        mode = entry.mode | _NODE_TYPES[entry.kind]
        self._exclusively(parent_fd, leaf, lambda: os.mknod(leaf, mode, device, dir_fd=parent_fd))
        set_by_name(entry, parent_fd, leaf)

    def _exclusively(self, parent_fd: int, leaf: bytes, make: Callable[[], "int | None"]) -> int:
        """Make something new called ``leaf``; what has the name is removed, never written to."""
        try:
            return make() or 0
        except FileExistsError:
            pass
        self._remove(parent_fd, leaf)
        return make() or 0

    def _remove(self, parent_fd: int, leaf: bytes) -> None:
        status = os.stat(leaf, dir_fd=parent_fd, follow_symlinks=False)
        if stat.S_ISDIR(status.st_mode):
            if self._policy.keeps_kinds:
                raise InvalidParameter(f"cannot overwrite directory {show(leaf)} by non-directory")
            remove_tree(parent_fd, leaf)
        else:
            os.unlink(leaf, dir_fd=parent_fd)
        # Descriptors kept by path may now name what is no longer there.
        self._forget_parents(in_use=parent_fd)

    def _make_opaque(self, parent_fd: int, name: bytes) -> None:
        fd = os.open(name, _READ_DIRECTORY, dir_fd=parent_fd)
        try:
            self._mark_opaque(fd)
        finally:
            os.close(fd)

    def _parent(self, path: bytes) -> int:
        """Return a descriptor of the directory at ``path``, made if it is not there."""
        self._close_retired()
        fd = self._parents.get(path)
        if fd is not None:
            return fd
        try:
            fd = open_directory_in_root(self._root_fd, path)
        except OSError as error:
            if not is_missing(error):
                raise
            fd = self._make_parents(path)
        if len(self._parents) >= _CACHED_DIRECTORIES:
            self._forget_parents()
        self._parents[path] = fd
        return fd

    def _make_parents(self, path: bytes) -> int:
        """Make the directories on the way to ``path`` that have no entry of their own."""
        components = path.split(b"/")
        fd = open_directory_in_root(self._root_fd, b"")
        for depth, component in enumerate(components, 1):
            prefix = b"/".join(components[:depth])
            try:
                child = open_directory_in_root(self._root_fd, prefix)
            except OSError as error:
                if not is_missing(error):
                    raise
                self._make_implicit(fd, component, prefix)
                child = open_directory_in_root(self._root_fd, prefix)
            os.close(fd)
            fd = child
        return fd

    def _make_implicit(self, parent_fd: int, component: bytes, path: bytes) -> None:
        try:
            os.mkdir(component, _IMPLICIT_MODE, dir_fd=parent_fd)
        except FileExistsError:
            status = os.stat(component, dir_fd=parent_fd, follow_symlinks=False)
            if not is_whiteout(status):
                raise BadLayer(
                    f"layer has entries below {show(path)}, which is not a directory"
                ) from None
            self._replace_by_directory(parent_fd, component)
            os.chmod(component, _IMPLICIT_MODE, dir_fd=parent_fd)
        self._note_implicit(path)

    def _open_real_directory(self, path: bytes) -> int:
        """Open the directory that an entry of this layer made, for setting its time."""
        return linux.openat2(self._root_fd, path or b".", _READ_DIRECTORY, 0, IN_ROOT)

    def _forget_parents(self, in_use: int = -1) -> None:
        """Close the descriptors kept by path; ``in_use`` stays open until the next entry."""
        for fd in self._parents.values():
            if fd == in_use:
                self._retired = fd
            else:
                os.close(fd)
        self._parents.clear()

    def _close_retired(self) -> None:
        if self._retired >= 0:
            os.close(self._retired)
            self._retired = -1
