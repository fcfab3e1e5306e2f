"""The directory of snapshots as a table: read once at start, changed by links afterwards."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import quote, unquote

from cutaway.errors import Conflict, InvalidParameter, NotFound


class Kind(StrEnum):
    """What a snapshot is; containerd's words."""

    COMMITTED = "committed"
    ACTIVE = "active"
    VIEW = "view"


DIRECTORIES = {Kind.COMMITTED: "committed", Kind.ACTIVE: "active", Kind.VIEW: "views"}
PARENT_LINK = "parent"
HIDES_PARENT = "hides-parent"
VOLATILE = "volatile"
_NAME_LIMIT = 200
_FILE_NAME_LIMIT = 250


@dataclass(frozen=True, slots=True)
class SnapshotInfo:
    """One snapshot.

    Attributes:
        name: of a committed one, or the key of an active one or a view.
        kind: which of these.
        parent: name of the committed snapshot below, or None.
    """

    name: str
    kind: Kind
    parent: str | None


@dataclass(frozen=True, slots=True)
class Record:
    """A snapshot as its directory says.

    Attributes:
        number: the directory's name.
        name: name or key.
        kind: committed, active or view.
        parent: number of the snapshot below, or None.
        hides_parent: nothing of the layers below shows through.
        is_volatile: mounted without fsync.
    """

    number: int
    name: str
    kind: Kind
    parent: int | None
    hides_parent: bool = False
    is_volatile: bool = False

    @property
    def link(self) -> str:
        """The path, relative to the root, of the link that gives the snapshot its name."""
        name = quote(self.name, safe=":")
        # "." and ".." are no file names, and quote() leaves dots alone.
        escaped = f"%2E{name[1:]}" if name.startswith(".") else name
        return f"{DIRECTORIES[self.kind]}/{escaped}"


class SnapshotNotFound(NotFound):
    """No snapshot has this name or key."""

    def __init__(self, name: str) -> None:
        super().__init__(f"snapshot {name} does not exist: not found")
        self.name = name


class Index:
    """All snapshots by name; not thread-safe, its owner locks."""

    def __init__(self) -> None:
        self.by_name: dict[str, Record] = {}
        self.by_number: dict[int, Record] = {}
        self._children: dict[int, int] = {}
        self._last = 0

    def get(self, name: str) -> Record:
        """Return a snapshot.

        Raises:
            SnapshotNotFound: there is none of this name or key.
        """
        record = self.by_name.get(name)
        if record is None:
            raise SnapshotNotFound(name)
        return record

    def get_parent(self, name: str) -> Record:
        """Return the committed snapshot to build on.

        Raises:
            SnapshotNotFound, Conflict: missing, or not committed.
        """
        record = self.get(name)
        if record.kind is not Kind.COMMITTED:
            raise Conflict(
                f"snapshot {name} is {record.kind}: only a committed one can be a parent"
            )
        return record

    def check_free(self, name: str) -> None:
        """Refuse a name that is taken, or can't be a file's name.

        Raises:
            Conflict: it is taken. InvalidParameter: empty, or too long.
        """
        if not 0 < len(name) <= _NAME_LIMIT or len(quote(name, safe="")) > _FILE_NAME_LIMIT:
            raise InvalidParameter(f"a snapshot can't be called {name[:100]!r}")
        if name in self.by_name:
            raise Conflict(f"snapshot {name} exists already")

    def next_number(self) -> int:
        """Return a number that no snapshot has had since the start."""
        self._last += 1
        return self._last

    def add(self, record: Record) -> None:
        """Remember a snapshot that now exists."""
        self.by_name[record.name] = record
        self.by_number[record.number] = record
        self._last = max(self._last, record.number)
        if record.parent is not None:
            self._children[record.parent] = self._children.get(record.parent, 0) + 1

    def discard(self, record: Record) -> None:
        """Forget a snapshot that is no more."""
        del self.by_name[record.name]
        del self.by_number[record.number]
        if record.parent is not None:
            self._children[record.parent] -= 1

    def has_children(self, record: Record) -> bool:
        """Whether another snapshot is stacked on this one."""
        return self._children.get(record.number, 0) > 0

    def chain(self, record: Record) -> list[Record]:
        """Return the snapshots below ``record``, topmost first, hidden ones too."""
        chain = []
        parent = record.parent
        while parent is not None:
            below = self.by_number[parent]
            chain.append(below)
            parent = below.parent
        return chain

    def visible(self, records: Iterable[Record]) -> list[Record]:
        """Return the leading part of a chain down to a layer that hides all below it."""
        shown = []
        for record in records:
            shown.append(record)
            if record.hides_parent:
                break
        return shown

    def info(self, record: Record) -> SnapshotInfo:
        """Return what the outside sees of a record."""
        parent = None if record.parent is None else self.by_number[record.parent].name
        return SnapshotInfo(record.name, record.kind, parent)


def read_index(root: str) -> tuple[Index, list[str]]:
    """Read the table from the directory.

    Returns:
        The index, and the paths relative to ``root`` of what belongs to no snapshot: directories
        without a name, names without a directory. Their owner throws them away.
    """
    found: dict[int, Record] = {}
    rubbish: list[str] = []
    for kind, directory in DIRECTORIES.items():
        for entry in os.scandir(f"{root}/{directory}"):
            record = _read_record(root, kind, entry)
            if record is None or record.number in found:
                rubbish.append(f"{directory}/{entry.name}")
            else:
                found[record.number] = record
    _drop_orphans(found, rubbish)
    numbers = {entry.name for entry in os.scandir(root) if entry.name.isdigit()}
    rubbish += sorted(numbers - {str(number) for number in found})
    index = Index()
    for record in found.values():
        index.add(record)
    for number in numbers:
        index._last = max(index._last, int(number))
    return index, rubbish


def _read_record(root: str, kind: Kind, entry: "os.DirEntry[str]") -> Record | None:
    try:
        number = int(os.readlink(entry.path).rpartition("/")[2])
        directory = f"{root}/{number}"
        os.stat(f"{directory}/fs")
    except (OSError, ValueError):
        return None
    try:
        parent: int | None = int(os.readlink(f"{directory}/{PARENT_LINK}").rpartition("/")[2])
    except FileNotFoundError:
        parent = None
    return Record(
        number=number,
        name=unquote(entry.name),
        kind=kind,
        parent=parent,
        hides_parent=os.path.exists(f"{directory}/{HIDES_PARENT}"),
        is_volatile=os.path.exists(f"{directory}/{VOLATILE}"),
    )


def _drop_orphans(found: dict[int, Record], rubbish: list[str]) -> None:
    """Take away snapshots whose parent is gone, and those on top of these."""
    while orphans := [r for r in found.values() if r.parent is not None and r.parent not in found]:
        for record in orphans:
            del found[record.number]
            rubbish.append(record.link)
