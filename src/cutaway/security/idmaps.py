"""Id maps: which host users and groups those of a user namespace are.

Source: user_namespaces(7) "User and group ID mappings"; subuid(5).
"""

from collections.abc import Sequence

from cutaway.errors import InvalidParameter
from cutaway.oci.runtime_spec import IDMapping

_MAX_LINES = 340
_MAX_ID = 2**32 - 1  # (uid_t) -1 means "no change" and is never mapped


def validate_map(mappings: Sequence[IDMapping], field: str = "uidMappings") -> None:
    """Refuse what the kernel would answer with a bare EINVAL.

    Raises:
        InvalidParameter: empty, more than 340 lines, a size of 0, an id beyond 2**32-2, or two
            lines that overlap inside or outside; the message names the line.
    """
    if not 0 < len(mappings) <= _MAX_LINES:
        raise InvalidParameter(f"{field}: expected 1 to {_MAX_LINES} lines, got {len(mappings)}")
    for index, line in enumerate(mappings):
        where = f"{field}[{index}]"
        if line.size == 0:
            raise InvalidParameter(f"{where}: the size is 0")
        if max(line.container_id, line.host_id) + line.size > _MAX_ID:
            raise InvalidParameter(f"{where}: ids go to {_MAX_ID - 1}")
        for earlier in mappings[:index]:
            if _overlap(line.container_id, earlier.container_id, line.size, earlier.size):
                raise InvalidParameter(f"{where}: overlaps an earlier line inside the container")
            if _overlap(line.host_id, earlier.host_id, line.size, earlier.size):
                raise InvalidParameter(f"{where}: overlaps an earlier line on the host")


def _overlap(first: int, second: int, first_size: int, second_size: int) -> bool:
    return first < second + second_size and second < first + first_size


def format_map(mappings: Sequence[IDMapping]) -> bytes:
    """Return what is written, in one write(2), to ``/proc/PID/uid_map``."""
    lines = (f"{line.container_id} {line.host_id} {line.size}\n" for line in mappings)
    return "".join(lines).encode()


def parse_map(text: str) -> tuple[IDMapping, ...]:
    """Read ``/proc/PID/uid_map``."""
    rows = (line.split() for line in text.splitlines())
    return tuple(IDMapping(int(inside), int(outside), int(size)) for inside, outside, size in rows)


def to_host(mappings: Sequence[IDMapping], container_id: int) -> int | None:
    """Return the host's id of a container's id, None when it has none."""
    for line in mappings:
        if 0 <= container_id - line.container_id < line.size:
            return line.host_id + container_id - line.container_id
    return None


def to_container(mappings: Sequence[IDMapping], host_id: int) -> int | None:
    """Return the container's id of a host's id, None when it has none."""
    for line in mappings:
        if 0 <= host_id - line.host_id < line.size:
            return line.container_id + host_id - line.host_id
    return None


def parse_subordinate_ids(text: str, name: str, number: int) -> tuple[tuple[int, int], ...]:
    """Return the ``(first host id, count)`` ranges that ``/etc/subuid`` gives a user.

    Args:
        text: the file's content.
        name: the user's name.
        number: the user's id; a line may have either.

    Raises:
        InvalidParameter: a line of this user is malformed.
    """
    ranges = []
    for line in text.splitlines():
        owner, *fields = line.strip().split(":")
        if owner not in (name, str(number)):
            continue
        if len(fields) != 2 or not all(field.isdecimal() for field in fields):
            raise InvalidParameter(f"malformed subordinate id line: {line!r}")
        ranges.append((int(fields[0]), int(fields[1])))
    return tuple(ranges)


def plan_map(ranges: Sequence[tuple[int, int]]) -> tuple[IDMapping, ...]:
    """Lay host ranges side by side from container id 0 on, as ``--userns-remap`` does.

    Raises:
        InvalidParameter: as ``validate_map``.
    """
    mappings, next_id = [], 0
    for host_id, size in ranges:
        mappings.append(IDMapping(next_id, host_id, size))
        next_id += size
    validate_map(mappings)
    return tuple(mappings)
