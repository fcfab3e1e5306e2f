"""Which files a COPY names: globs in a hostile tree, and the entries below what they match."""

import difflib
import hashlib
import itertools
import os
import re
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from cutaway.errors import InvalidParameter, NotFound
from cutaway.images.layers.tar_read import Entry
from cutaway.images.layers.tree_tar import TreeTar
from cutaway.images.resolve import open_directory_in_root
from cutaway.images.trees.paths import resolve_links

_MAX_MATCHES = 100_000
_GLOB_CHARACTERS = re.compile(rb"[*?\[\\]")


@dataclass(frozen=True, slots=True)
class Source:
    """One path that a pattern has matched.

    Attributes:
        path: as it was named, relative to the origin's root.
        kept: what of it is kept below the destination with ``--parents``.
        real: the same with every link followed, absolute.
        is_directory: its contents are copied.
    """

    path: bytes
    kept: bytes
    real: bytes
    is_directory: bool


def find_sources(
    root_fd: int, patterns: Iterable[str], keyword: str, *, skip_parents: int = 0
) -> list[Source]:
    """Return what the patterns name, in order.

    Args:
        root_fd: the origin's root.
        patterns: below it.
        keyword: for messages.
        skip_parents: how many leading directories ``--parents`` leaves out.

    Raises:
        InvalidParameter: a path is not there, or no file matches, in Docker's words.
    """
    sources: list[Source] = []
    for text in patterns:
        pattern = os.fsencode(text).strip(b"/")
        if _GLOB_CHARACTERS.search(pattern):
            paths = list(_matches(root_fd, pattern))
        else:
            paths = [pattern]
        sources += [_source(root_fd, path, keyword, skip_parents) for path in paths]
    if not sources:
        raise InvalidParameter(f"{keyword} failed: no source files were specified")
    return sources


def _source(root_fd: int, path: bytes, keyword: str, skip_parents: int) -> Source:
    try:
        real = resolve_links(root_fd, b"/" + path, must_exist=True)
        status = _status(root_fd, real)
    except (NotFound, OSError):
        raise InvalidParameter(
            f"{keyword} failed: file not found in build context or excluded by .dockerignore: "
            f"stat {path.decode(errors='replace')}: file does not exist"
            + _suggestion(root_fd, path)
        ) from None
    kept = b"/".join(path.split(b"/")[skip_parents:])
    return Source(path, kept, real, stat.S_ISDIR(status.st_mode))


def _suggestion(root_fd: int, path: bytes) -> str:
    """Name what is beside a missing file and spelled nearly the same."""
    parent, _, leaf = path.rpartition(b"/")
    names = [name.decode(errors="replace") for name in _list(root_fd, parent)]
    close = difflib.get_close_matches(leaf.decode(errors="replace"), names, n=1)
    if not close:
        return ""
    near = _join(parent, close[0].encode()).decode(errors="replace")
    return f" (did you mean {near}?)"


def _status(root_fd: int, path: bytes) -> os.stat_result:
    parent, _, leaf = path.rpartition(b"/")
    fd = open_directory_in_root(root_fd, parent.lstrip(b"/"))
    try:
        return os.stat(leaf or b".", dir_fd=fd, follow_symlinks=False)
    finally:
        os.close(fd)


def _matches(root_fd: int, pattern: bytes) -> Iterator[bytes]:
    """Yield the paths that a glob matches, sorted; links to directories are followed inside."""
    found = [b""]
    for component in pattern.split(b"/"):
        if not _GLOB_CHARACTERS.search(component):
            found = [_join(path, component) for path in found]
            continue
        if component == b"**":
            found = _bounded(_directories(root_fd, found), pattern)
            continue
        regex = component_regex(component)
        matching = (
            _join(path, leaf)
            for path in found
            for leaf in _list(root_fd, path)
            if regex.fullmatch(leaf)
        )
        found = _bounded(matching, pattern)
    for path in found:
        try:
            resolve_links(root_fd, b"/" + path, must_exist=True)
        except NotFound:
            continue
        yield path


def _bounded(paths: Iterable[bytes], pattern: bytes) -> list[bytes]:
    """Links that lead back up make a handful of names into any number of paths: stop in time."""
    found = list(itertools.islice(paths, _MAX_MATCHES + 1))
    if len(found) > _MAX_MATCHES:
        raise InvalidParameter(f"{_text(pattern)} matches more than {_MAX_MATCHES} files")
    return found


def _directories(root_fd: int, paths: Iterable[bytes]) -> Iterator[bytes]:
    """Yield every path and the directories below it, for ``**``; links are not followed."""
    for path in paths:
        yield path
        for leaf in _list(root_fd, path):
            below = _join(path, leaf)
            if _is_real_directory(root_fd, below):
                yield from _directories(root_fd, (below,))


def _is_real_directory(root_fd: int, path: bytes) -> bool:
    try:
        return stat.S_ISDIR(_status(root_fd, b"/" + path).st_mode)
    except OSError:
        return False


def _join(path: bytes, leaf: bytes) -> bytes:
    return path + b"/" + leaf if path else leaf


def _list(root_fd: int, path: bytes) -> list[bytes]:
    try:
        fd = open_directory_in_root(root_fd, path)
    except OSError:
        return []
    try:
        readable = os.open(b".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=fd)
    finally:
        os.close(fd)
    try:
        return sorted(os.fsencode(name) for name in os.listdir(readable))
    finally:
        os.close(readable)


def component_regex(pattern: bytes) -> re.Pattern[bytes]:
    """Turn one component of a Go glob into a regular expression.

    Raises:
        InvalidParameter: an open ``[`` or a trailing backslash.
    """
    pieces: list[bytes] = [b""]  # what stands between the stars
    index = 0
    while index < len(pattern):
        char = pattern[index : index + 1]
        index += 1
        if char == b"*":
            pieces.append(b"")
        elif char == b"?":
            pieces[-1] += b"[^/]"
        elif char == b"\\" and index < len(pattern):
            pieces[-1] += re.escape(pattern[index : index + 1])
            index += 1
        elif char == b"[":
            end = pattern.find(b"]", index + 1)
            if end < 0:
                raise InvalidParameter(f"syntax error in pattern: {_text(pattern)}")
            members = pattern[index:end].replace(b"&", rb"\&").replace(b"~", rb"\~")
            pieces[-1] += b"[" + members.replace(b"[", rb"\[") + b"]"
            index = end + 1
        elif char == b"\\":
            raise InvalidParameter(f"syntax error in pattern: {_text(pattern)}")
        else:
            pieces[-1] += re.escape(char)
    try:
        return re.compile(_join_stars(pieces), re.DOTALL)
    except re.error:
        raise InvalidParameter(f"syntax error in pattern: {_text(pattern)}") from None


def _join_stars(pieces: list[bytes]) -> bytes:
    """Put stars between pieces so that matching never tries a second place for a piece.

    For all but the last piece the first place that fits is as good as any; the atomic groups say
    so. With plain ``.*`` a name of 255 letters against ``*a*a*a*a*b`` would take years.
    """
    if len(pieces) == 1:
        return pieces[0]
    first, *middle, last = pieces
    return first + b"".join(b"(?>[^/]*?" + piece + b")" for piece in middle) + b"[^/]*" + last


def _text(pattern: bytes) -> str:
    return pattern.decode(errors="replace")


class Excluding:
    """A writer for ``TreeTar`` that leaves entries out by their names below a prefix.

    Args:
        target: takes what is left.
        prefix: of every name; patterns are relative to it.
        regexes: what matches a path, or one of its parents, is left out; one behind ``!`` takes it
            back in. The last that matches decides.
    """

    def __init__(self, target: "EntryTarget", prefix: bytes, regexes: Iterable[str]) -> None:
        self._target = target
        self._prefix = prefix
        self._rules = [
            (regex.startswith("!"), re.compile(regex.removeprefix("!"), re.DOTALL))
            for regex in regexes
        ]

    def add(self, entry: Entry, pieces: Iterable[bytes] = ()) -> None:
        """Hand an entry on, unless it is excluded."""
        name = entry.name.rstrip(b"/")
        relative = os.fsdecode(name.removeprefix(self._prefix).lstrip(b"/"))
        if not self._leaves_out(relative):
            self._target.add(entry, pieces)

    def _leaves_out(self, relative: str) -> bool:
        parts = relative.split("/") if relative else []
        paths = ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]
        is_out = False
        for is_exception, regex in self._rules:
            if is_exception == is_out and any(regex.fullmatch(path) for path in paths):
                is_out = not is_exception
        return is_out


class EntryTarget:
    """What takes entries: the maker of files, or the digest."""

    def add(self, entry: Entry, pieces: Iterable[bytes] = ()) -> None:
        """Take one entry; ``pieces`` is its content."""
        raise NotImplementedError


class Digesting(EntryTarget):
    """Hashes entries: all that a copy would make, times apart."""

    def __init__(self) -> None:
        self._hasher = hashlib.sha256()

    def add(self, entry: Entry, pieces: Iterable[bytes] = ()) -> None:
        """Hash one entry."""
        facts = (entry.name, entry.kind, entry.mode, entry.uid, entry.gid, entry.size, entry.link,
                 entry.device_major, entry.device_minor, sorted(entry.xattrs.items()))  # fmt: skip
        self._hasher.update(repr(facts).encode())
        for piece in pieces:
            self._hasher.update(piece)

    def result(self) -> str:
        """Return the digest of all entries so far."""
        return f"sha256:{self._hasher.hexdigest()}"


def add_source(root_fd: int, source: Source, name: bytes, target: EntryTarget) -> None:
    """Hand all entries of a source to ``target``, under ``name``."""
    archive = TreeTar(target, keeps_links=False)
    if source.is_directory:
        archive.add_tree(root_fd, source.real.lstrip(b"/"), name)
        return
    parent, _, leaf = source.real.rpartition(b"/")
    fd = open_directory_in_root(root_fd, parent.lstrip(b"/"))
    try:
        archive.add_one(fd, leaf, name)
    finally:
        os.close(fd)
