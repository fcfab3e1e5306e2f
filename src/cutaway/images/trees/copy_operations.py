"""What the sealed worker does for COPY, ADD and WORKDIR, with two roots by descriptor."""

import os
import re
import stat
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

from cutaway.errors import InvalidParameter, NotFound
from cutaway.images.layers import tar_header as tar
from cutaway.images.layers.attributes import show
from cutaway.images.layers.compression import DecompressedStream
from cutaway.images.layers.disk_guard import DiskGuard
from cutaway.images.layers.errors import BadLayer
from cutaway.images.layers.extract import Extractor, Policy
from cutaway.images.layers.file_content import FileContent
from cutaway.images.layers.tar_read import Entry, TarReader
from cutaway.images.resolve import (
    is_missing,
    open_directory_in_root,
    open_in_root,
    split_path,
)
from cutaway.images.trees.copy_sources import (
    Digesting,
    EntryTarget,
    Excluding,
    Source,
    add_source,
    find_sources,
)
from cutaway.images.trees.linking import LinkOffers, Tell
from cutaway.images.trees.paths import resolve_links

_MAX_ID = (1 << 31) - 1
_MAX_TABLE_BYTES = 16 << 20
_DIRECTORY_MODE = 0o755
_OCTAL = re.compile(r"0?[0-7]{1,4}")
_SYMBOLIC = re.compile(r"([ugoa]*)([-+=])([rwxXst]*)")
_READ_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class Making(EntryTarget):
    """Makes entries in the destination, with a copy's owner, mode and times."""

    def __init__(
        self,
        root_fd: int,
        *,
        owner: tuple[int, int] | None,
        change_mode: Callable[[int, bool], int],
        epoch: int | None,
        floor_bytes: int,
        links: LinkOffers | None = None,
    ) -> None:
        self._root_fd = root_fd
        self._owner = owner
        self._change_mode = change_mode
        self._latest_ns = None if epoch is None else epoch * 10**9
        self._links = links
        self.extractor = Extractor(
            root_fd,
            mark_opaque=lambda fd: None,
            note_implicit=lambda path: None,
            guard=DiskGuard(root_fd, floor_bytes),
            policy=Policy(applies_whiteouts=False),
        )

    def add(self, entry: Entry, pieces: Iterable[bytes] = ()) -> None:
        """Make one entry; a directory that is there keeps what it is."""
        if entry.kind == tar.DIRECTORY and is_directory(self._root_fd, entry.name):
            return
        found = _attributes(entry)
        if self._owner is not None:
            entry.uid, entry.gid = self._owner
        if entry.kind != tar.SYMLINK:
            entry.mode = self._change_mode(entry.mode, entry.kind == tar.DIRECTORY)
        self._limit_time(entry)
        mark = self._offer(entry, pieces) if _attributes(entry) == found else b""
        self.make(entry, (mark,) if mark else pieces)

    def _offer(self, entry: Entry, pieces: Iterable[bytes]) -> bytes:
        if self._links is None or not isinstance(pieces, FileContent):
            return b""
        return self._links.offer(entry.name, pieces)

    def make(self, entry: Entry, pieces: Iterable[bytes | memoryview] = ()) -> None:
        """Make an entry as it is, but for times later than the epoch."""
        self._limit_time(entry)
        entry.stored_size = entry.size if entry.sparse is None else entry.stored_size
        self.extractor.apply(entry, pieces)

    def _limit_time(self, entry: Entry) -> None:
        if self._latest_ns is not None:
            entry.mtime_ns = min(entry.mtime_ns, self._latest_ns)

    def make_directories(self, path: bytes, now_ns: int) -> bool:
        """Make a directory and its parents where they are missing; True if any was.

        Raises:
            InvalidParameter: something on the way is no directory.
        """
        made = False
        parts = [part for part in path.split(b"/") if part]
        for count in range(1, len(parts) + 1):
            name = b"/".join(parts[:count])
            if is_directory(self._root_fd, name):
                continue
            if exists(self._root_fd, name):
                raise InvalidParameter(f"{os.fsdecode(path)}: not a directory")
            uid, gid = self._owner or (0, 0)
            entry = Entry(name, tar.DIRECTORY, _DIRECTORY_MODE, uid, gid, mtime_ns=now_ns)
            self.make(entry)
            made = True
        return made


def _attributes(entry: Entry) -> tuple[int, int, int, int]:
    return entry.uid, entry.gid, entry.mode, entry.mtime_ns


def is_directory(root_fd: int, path: bytes) -> bool:
    """Whether a path is a directory, links followed inside the root."""
    try:
        os.close(open_directory_in_root(root_fd, path.strip(b"/")))
    except OSError as error:
        if is_missing(error):
            return False
        raise
    return True


def exists(root_fd: int, path: bytes) -> bool:
    """Whether anything is at a path, links followed inside the root."""
    try:
        os.close(open_in_root(root_fd, path.strip(b"/"), os.O_PATH | os.O_CLOEXEC))
    except OSError as error:
        if is_missing(error):
            return False
        raise
    return True


def copy(
    origin_fd: int,
    root_fd: int,
    request: dict[str, Any],
    *,
    floor_bytes: int,
    now_ns: int,
    tell_link: Tell,
) -> int:
    """Copy what a request names; returns the entries made."""
    owner = look_up_owner(root_fd, request["owner"]) if request["owner"] else None
    links = LinkOffers(root_fd, tell_link) if request["links"] else None
    target = Making(
        root_fd,
        owner=owner or (0, 0),
        change_mode=parse_mode(request["mode"]),
        epoch=request["epoch"],
        floor_bytes=floor_bytes,
        links=links,
    )
    destination = os.fsencode(request["destination"])
    place = resolve_links(root_fd, b"/" + destination.strip(b"/"))
    for source in _sources(origin_fd, request):
        may_unpack = request["unpack"] and not source.is_directory
        if may_unpack and _unpack(origin_fd, source, place, target, owner=owner, now_ns=now_ns):
            continue
        name = _name_of(source, place, request, root_fd)
        target.make_directories(name if source.is_directory else name.rpartition(b"/")[0], now_ns)
        if links is not None:
            links.begin(name.lstrip(b"/"), source.real)
        excluding = Excluding(target, name.lstrip(b"/"), request["exclude_regexes"])
        add_source(origin_fd, source, name.lstrip(b"/"), excluding)  # type: ignore[arg-type]
    target.extractor.finish()
    return target.extractor.result.entries


def _sources(origin_fd: int, request: dict[str, Any]) -> list[Source]:
    return find_sources(
        origin_fd, request["patterns"], request["keyword"], skip_parents=request["skip_parents"]
    )


def _name_of(source: Source, place: bytes, request: dict[str, Any], root_fd: int) -> bytes:
    """Return the absolute path that a source becomes."""
    into_directory = request["destination"].endswith("/") or is_directory(root_fd, place)
    if request["keeps_parents"]:
        return place.rstrip(b"/") + b"/" + source.kept
    if source.is_directory or not into_directory:
        return place
    leaf = source.path.rpartition(b"/")[2] or source.real.rpartition(b"/")[2]
    return place.rstrip(b"/") + b"/" + leaf


def _unpack(
    origin_fd: int,
    source: Source,
    place: bytes,
    target: Making,
    *,
    owner: tuple[int, int] | None,
    now_ns: int,
) -> bool:
    """Extract a source that is an archive below ``place``; False if it is none."""
    fd = open_in_root(origin_fd, source.real.lstrip(b"/"), _READ_FILE)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return False
        reader = TarReader(DecompressedStream(lambda size: os.read(fd, size)).read_chunk)
        entries = iter(reader)
        try:
            first = next(entries, None)
        except BadLayer:
            return False
        if first is None:
            return False
        target.make_directories(place, now_ns)
        base = place.strip(b"/")
        entry: Entry | None = first
        while entry is not None:
            _place_unpacked(entry, base, owner)
            target.make(entry, reader.pieces())
            entry = next(entries, None)
        reader.drain()
        return True
    finally:
        os.close(fd)


def _place_unpacked(entry: Entry, base: bytes, owner: tuple[int, int] | None) -> None:
    entry.name = _below(base, entry.name)
    if entry.kind == tar.HARD_LINK:
        entry.link = _below(base, entry.link)
    if owner is not None:
        entry.uid, entry.gid = owner


def _below(base: bytes, name: bytes) -> bytes:
    components = split_path(name)
    if components is None:
        raise BadLayer(f"archive entry {show(name)} leaves the destination: refused")
    return b"/".join([base, *components] if base else components)


def digest(origin_fd: int, request: dict[str, Any]) -> str:
    """Return the digest of what a request names."""
    digesting = Digesting()
    for source in _sources(origin_fd, request):
        name = b"" if source.is_directory else source.path.rpartition(b"/")[2]
        if request["keeps_parents"]:
            name = source.kept
        excluding = Excluding(digesting, name, request["exclude_regexes"])
        add_source(origin_fd, source, name, excluding)  # type: ignore[arg-type]
    return digesting.result()


def make_directory(root_fd: int, request: dict[str, Any], *, floor_bytes: int, now_ns: int) -> bool:
    """Make the directory that a request names."""
    target = Making(
        root_fd,
        owner=_known_owner(root_fd, request["owner"]),
        change_mode=parse_mode(""),
        epoch=request["epoch"],
        floor_bytes=floor_bytes,
    )
    path = resolve_links(root_fd, b"/" + os.fsencode(request["destination"]).strip(b"/"))
    made = target.make_directories(path, now_ns)
    target.extractor.finish()
    return made


def _known_owner(root_fd: int, text: str) -> tuple[int, int]:
    """Read ``USER[:GROUP]``; who is not known is nobody in particular, as for BuildKit."""
    for known in (text, text.partition(":")[0]):
        with suppress(InvalidParameter):
            return look_up_owner(root_fd, known)
    return 0, 0


def parse_mode(text: str) -> Callable[[int, bool], int]:
    """Read ``--chmod``; returns what makes a new mode of (old mode, is a directory).

    Raises:
        InvalidParameter: neither octal nor symbolic.
    """
    if not text:
        return lambda mode, _: mode
    if _OCTAL.fullmatch(text):
        fixed = int(text, 8)
        return lambda _, __: fixed
    matches = [_SYMBOLIC.fullmatch(clause) for clause in text.split(",")]
    clauses = [match.groups() for match in matches if match is not None]
    if len(clauses) != len(matches):
        raise InvalidParameter(f"invalid chmod parameter: {text!r}: neither 0755 nor u+x,go-w")

    def change(mode: int, is_directory: bool) -> int:
        for who, operator, letters in clauses:
            mode = _symbolic(mode, who, operator, letters, is_directory=is_directory)
        return mode

    return change


_PERMISSIONS = {"r": 0o444, "w": 0o222, "x": 0o111}
_WHO = {"u": 0o4700, "g": 0o2070, "o": 0o1007}


def _symbolic(mode: int, who: str, operator: str, letters: str, *, is_directory: bool) -> int:
    people = "ugo" if not who or "a" in who else who
    mask = sum(_WHO[person] for person in set(people))
    bits = 0
    for letter in letters:
        if letter == "X":
            bits |= 0o111 if is_directory or mode & 0o111 else 0
        elif letter == "s":
            bits |= 0o6000
        elif letter == "t":
            bits |= 0o1000
        else:
            bits |= _PERMISSIONS[letter]
    bits &= mask
    if operator == "=":
        return (mode & ~mask) | bits
    return mode | bits if operator == "+" else mode & ~bits


def look_up_owner(root_fd: int, text: str) -> tuple[int, int]:
    """Read ``USER[:GROUP]`` against the destination's own tables.

    Raises:
        InvalidParameter: no such user or group, in Docker's words.
    """
    user, colon, group = text.partition(":")
    uid = _number(user) if user else 0
    gid = uid
    if uid is None:
        found = _find(root_fd, b"etc/passwd", user)
        if found is None:
            raise InvalidParameter(
                "unable to convert uid/gid chown string to host mapping: can't find uid for user "
                f"{user}: no such user: {user}"
            )
        uid, gid = found[2], found[3]
    if colon:
        gid = _number(group)
        if gid is None:
            entry = _find(root_fd, b"etc/group", group)
            if entry is None:
                raise InvalidParameter(
                    "unable to convert uid/gid chown string to host mapping: can't find gid for "
                    f"group {group}: no such group: {group}"
                )
            gid = entry[2]
    return uid, uid if gid is None else gid


def _number(text: str) -> int | None:
    if not text.isdecimal():
        return None
    if int(text) > _MAX_ID:
        raise InvalidParameter(f"uids and gids must be in range 0-{_MAX_ID}, not {text}")
    return int(text)


def _find(root_fd: int, table: bytes, name: str) -> tuple[Any, Any, int, int] | None:
    try:
        fd = open_in_root(root_fd, table, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, NotFound):
        return None
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return None
        text = os.read(fd, _MAX_TABLE_BYTES).decode("utf-8", "replace")
    finally:
        os.close(fd)
    for line in text.splitlines():
        fields = line.split(":")
        if fields[0] == name and len(fields) > 2 and fields[2].isdecimal():
            last = fields[3] if len(fields) > 3 and fields[3].isdecimal() else "0"
            return name, None, int(fields[2]), int(last)
    return None
