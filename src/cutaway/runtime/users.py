"""Who ``www-data:adm`` is, by the container's own ``/etc/passwd`` and ``/etc/group``. Pure.

The files are the image's: every line may be hostile. Nothing of the host's is asked, neither its
files nor its name services, whose libraries would be loaded from the image (CVE-2019-14271).

Source: moby ``sys/user`` GetExecUser; CVE-2024-40635 and CVE-2016-3697 for numbers.
"""

from dataclasses import dataclass

from cutaway.errors import InvalidParameter

MAX_ID = 2**31 - 1
FILE_LIMIT_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class Identity:
    """A user as the kernel wants it.

    Attributes:
        uid: user id.
        gid: primary group.
        groups: supplementary groups, ascending.
        home: home directory, ``/`` when nobody says.
    """

    uid: int
    gid: int
    groups: tuple[int, ...]
    home: str


@dataclass(frozen=True, slots=True)
class _User:
    name: str
    uid: int
    gid: int
    home: str


@dataclass(frozen=True, slots=True)
class _Group:
    name: str
    gid: int
    members: tuple[str, ...]


def find_identity(
    user: str, extra_groups: tuple[str, ...], passwd: bytes, group: bytes
) -> Identity:
    """Return the ids that Docker's ``user[:group]`` means.

    Args:
        user: names or numbers; empty is root. A number needs no entry.
        extra_groups: names or numbers (``--group-add``).
        passwd: content of ``/etc/passwd``, empty if there is none.
        group: content of ``/etc/group``, empty if there is none.

    Raises:
        InvalidParameter: in Docker's words: a name without an entry, a number out of range.
    """
    name, _, group_name = user.partition(":")
    users, groups = _parse_passwd(passwd), _parse_group(group)
    entry = _find_user(name or "0", users)
    if group_name:
        gid = _find_group(group_name, groups)
        supplementary: set[int] = set()
    else:
        gid = entry.gid
        supplementary = {g.gid for g in groups if entry.name and entry.name in g.members}
    for extra in extra_groups:
        supplementary.add(_find_group(extra, groups))
    return Identity(entry.uid, gid, tuple(sorted(supplementary)), entry.home or "/")


def find_home(uid: int, passwd: bytes) -> str:
    """Return the home directory of a user id, ``/`` when it has no entry."""
    entry = next((user for user in _parse_passwd(passwd) if user.uid == uid), None)
    return (entry.home if entry else "") or "/"


def _find_user(name: str, users: list[_User]) -> _User:
    for user in users:
        if user.name == name:
            # "numeric string never looked up as a name first when it would change uid"
            if _is_number(name) and int(name) != user.uid:
                continue
            return user
    if not _is_number(name):
        raise InvalidParameter(f"unable to find user {name}: no matching entries in passwd file")
    uid = _parse_id(name)
    return next((user for user in users if user.uid == uid), _User("", uid, 0, "/"))


def _find_group(name: str, groups: list[_Group]) -> int:
    if _is_number(name):
        return _parse_id(name)
    for group in groups:
        if group.name == name:
            return group.gid
    raise InvalidParameter(f"unable to find group {name}: no matching entries in group file")


def _parse_id(text: str) -> int:
    if len(text) > 10 or int(text) > MAX_ID:
        raise InvalidParameter(f"uids and gids must be in range 0-{MAX_ID}")
    return int(text)


def _parse_passwd(data: bytes) -> list[_User]:
    """Return the well-formed lines, in order; others are skipped as getpwnam(3) does."""
    users = []
    for line in data.decode("utf-8", "surrogateescape").split("\n"):
        fields = line.strip().split(":")
        if len(fields) >= 6 and _is_id(fields[2]) and _is_id(fields[3]):
            users.append(_User(fields[0], int(fields[2]), int(fields[3]), fields[5]))
    return users


def _parse_group(data: bytes) -> list[_Group]:
    groups = []
    for line in data.decode("utf-8", "surrogateescape").split("\n"):
        fields = line.strip().split(":")
        if len(fields) >= 3 and _is_id(fields[2]):
            members = fields[3].split(",") if len(fields) > 3 else []
            groups.append(_Group(fields[0], int(fields[2]), tuple(members)))
    return groups


def _is_id(text: str) -> bool:
    return text.isdigit() and text.isascii() and len(text) <= 10 and int(text) <= MAX_ID


def _is_number(text: str) -> bool:
    return text.isdigit() and text.isascii()
