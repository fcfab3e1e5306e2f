"""How containers are named: ids, short ids, names, and finding one by any of them."""

import re
import secrets
from collections.abc import Iterable

from cutaway.errors import Conflict, InvalidParameter, NotFound

SHORT_ID_LENGTH = 12
_ID = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")
NAME_CHARACTERS = "[a-zA-Z0-9][a-zA-Z0-9_.-]"


class NoSuchContainer(NotFound):
    """No container has this name, id or id prefix."""

    def __init__(self, reference: str) -> None:
        super().__init__(f"No such container: {reference}")
        self.reference = reference


class NameInUse(Conflict):
    """Another container has the name."""

    def __init__(self, name: str, holder_id: str) -> None:
        super().__init__(
            f'Conflict. The container name "/{name}" is already in use by container "{holder_id}". '
            "You have to remove (or rename) that container to be able to reuse that name."
        )
        self.name = name
        self.holder_id = holder_id


def new_id() -> str:
    """Return a fresh container id: 64 hex digits whose first 12 are not all decimal.

    A short id that reads as a number would be taken for one as a hostname; Docker excludes it too.
    """
    while True:
        identifier = secrets.token_hex(32)
        if not identifier[:SHORT_ID_LENGTH].isdecimal():
            return identifier


def short_id(identifier: str) -> str:
    """Return the 12 digits that people see."""
    return identifier[:SHORT_ID_LENGTH]


def is_id(text: str) -> bool:
    """Say whether ``text`` is a full container id."""
    return _ID.fullmatch(text) is not None


def parse_name(text: str) -> str:
    """Check a container name and return it without the leading slash that Docker tolerates.

    Raises:
        InvalidParameter: characters outside ``[a-zA-Z0-9][a-zA-Z0-9_.-]+``.
    """
    name = text.removeprefix("/")
    if not _NAME.fullmatch(name):
        raise InvalidParameter(
            f"Invalid container name ({text}), only {NAME_CHARACTERS} are allowed"
        )
    return name


def find_by_prefix(prefix: str, identifiers: Iterable[str]) -> str | None:
    """Return the one id that starts with ``prefix``, or None when there is none.

    Raises:
        InvalidParameter: several start with it.
    """
    if not prefix:
        return None
    matches = [identifier for identifier in identifiers if identifier.startswith(prefix)]
    if len(matches) > 1:
        raise InvalidParameter(f"multiple IDs found with provided prefix: {prefix}")
    return matches[0] if matches else None
