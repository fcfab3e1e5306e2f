"""``RUN --mount=type=…,…``: from text to a ``MountSpec``.

Source: Dockerfile reference, "RUN --mount".
"""

import re
from typing import Any

from cutaway.build.errors import suggestion
from cutaway.build.graph import MountSpec
from cutaway.errors import InvalidParameter

_KINDS = ("bind", "cache", "tmpfs", "secret", "ssh")
_SHARING = ("shared", "private", "locked")
_KEYS = {
    "type": "kind", "target": "target", "dst": "target", "destination": "target",
    "source": "source", "src": "source", "from": "from_", "id": "identifier",
    "sharing": "sharing", "required": "required", "mode": "mode", "uid": "uid", "gid": "gid",
    "size": "size_bytes", "env": "env", "readonly": "read_only", "ro": "read_only",
    "rw": "writable", "readwrite": "writable",
}  # fmt: skip
_ALLOWED = {
    "bind": {"source", "from_", "read_only", "writable"},
    "cache": {"source", "from_", "identifier", "sharing", "read_only", "writable",
              "mode", "uid", "gid"},
    "tmpfs": {"size_bytes"},
    "secret": {"identifier", "required", "mode", "uid", "gid", "env", "source"},
    "ssh": {"identifier", "required", "mode", "uid", "gid"},
}  # fmt: skip
_SIZES = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


def _fields(text: str) -> list[tuple[str, str | None]]:
    pairs = []
    for field in text.split(","):
        key, equals, value = field.strip().partition("=")
        pairs.append((key.lower(), value if equals else None))
    return pairs


def mount_origin(text: str) -> str:
    """Return the stage or image that a mount takes its content from, or nothing."""
    return next((value or "" for key, value in _fields(text) if key == "from"), "")


def parse_run_mount(text: str) -> MountSpec:
    """Read one ``--mount`` value whose variables are expanded.

    Returns:
        The mount with its target as written, and no origin yet: see ``mount_origin``.

    Raises:
        InvalidParameter: an unknown type or key, a value that doesn't fit, a missing target, or a
            cache id that is a path.
    """
    values: dict[str, Any] = {"kind": "bind", "target": ""}
    for key, value in _fields(text):
        name = _KEYS.get(key)
        if name is None:
            raise InvalidParameter(
                f"unexpected key '{key}' in '{text}'{suggestion(key, list(_KEYS))}"
            )
        values[name] = _value(name, value, text)
    kind = values["kind"]
    if kind not in _KINDS:
        raise InvalidParameter(f'unsupported mount type "{kind}"{suggestion(kind, list(_KINDS))}')
    for name in values:
        if name not in {"kind", "target"} and name not in _ALLOWED[kind]:
            raise InvalidParameter(f"unexpected key '{name.rstrip('_')}' for mount type '{kind}'")
    writable = values.pop("writable", None)
    if writable is not None:
        values["read_only"] = not writable
    elif kind != "bind" and "read_only" not in values:
        values["read_only"] = False
    values.pop("from_", None)
    mount = MountSpec(**values)
    _check(mount, text)
    return mount


def _check(mount: MountSpec, text: str) -> None:
    if not mount.target and mount.kind not in {"secret", "ssh"}:
        raise InvalidParameter(f"invalid mount '{text}': target is required")
    if mount.kind == "secret" and not (mount.identifier or mount.target or mount.source):
        raise InvalidParameter(f"invalid mount '{text}': a secret needs an id or a target")
    if mount.sharing not in _SHARING:
        raise InvalidParameter(f'unsupported sharing value "{mount.sharing}"')
    # The id names a directory of the cache: nothing of it may be a path (CVE-2024-23651's class).
    if not re.fullmatch(r"[^\0]*", mount.identifier) or len(mount.identifier) > 1024:
        raise InvalidParameter(f"invalid cache id in '{text}'")


def _value(name: str, value: str | None, text: str) -> object:
    if name in {"required", "read_only", "writable"}:
        if value is None or value.lower() in {"true", "1"}:
            return True
        if value.lower() in {"false", "0"}:
            return False
        raise InvalidParameter(f"invalid value for {name}: {value}")
    if value is None:
        raise InvalidParameter(f"invalid field '{name.rstrip('_')}' in '{text}': must be key=value")
    try:
        if name == "mode":
            return int(value, 8)
        if name in {"uid", "gid"}:
            return _identity(value)
        if name == "size_bytes":
            number = value.lower().rstrip("bkmg")
            return int(number) * _SIZES[value.lower()[len(number) :][:1]]
    except (ValueError, KeyError):
        raise InvalidParameter(f"invalid value for {name}: {value}") from None
    return value


def _identity(value: str) -> int:
    number = int(value)
    if not 0 <= number < 1 << 31:
        raise ValueError(value)
    return number
