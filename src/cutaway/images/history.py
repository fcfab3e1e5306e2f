"""When a tag moved, from what to what, and by what: ``cutaway tag history NAME``."""

import json
import os
from dataclasses import dataclass

from cutaway.oci import Digest, Reference


@dataclass(frozen=True, slots=True)
class TagMove:
    """One change of what a tag means.

    Attributes:
        at: RFC 3339.
        name: the full reference.
        old: the image it named before; None when it is new.
        new: the image it names now; None when it was removed.
        by: ``pull``, ``tag``, ``build``, ``load``, ``import``, ``rmi``, …
    """

    at: str
    name: str
    old: Digest | None
    new: Digest | None
    by: str


class TagHistory:
    """A file of JSON lines, appended to; a torn last line is skipped when reading.

    It informs people and decides nothing, so it is not fsynced.
    """

    def __init__(self, path: str) -> None:
        self._path = path

    def append(
        self, at: str, name: Reference, old: Digest | None, new: Digest | None, *, by: str
    ) -> None:
        """Note one move. A full disk loses the note, not the tag."""
        line = json.dumps({"at": at, "name": str(name), "old": old, "new": new, "by": by})
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        try:
            fd = os.open(self._path, flags, 0o600)
        except OSError:
            return
        try:
            os.write(fd, line.encode() + b"\n")
        except OSError:
            return
        finally:
            os.close(fd)

    def read(self, name: Reference) -> list[TagMove]:
        """Return the moves of one tag, oldest first."""
        moves = []
        try:
            with open(self._path, "rb") as file:
                lines = file.read().splitlines()
        except FileNotFoundError:
            return []
        for line in lines:
            try:
                move = TagMove(**json.loads(line))
            except (ValueError, TypeError):
                continue
            if move.name == str(name):
                moves.append(move)
        return moves
