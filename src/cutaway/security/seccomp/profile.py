"""Docker's profile: rules with conditions on capabilities, kernel and architecture, resolved.

Source: moby ``profiles/seccomp/seccomp_linux.go`` (setupSeccomp) and its ``default.json``, which
is shipped beside this file unchanged.
"""

import json
import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, cast

from cutaway.errors import InvalidParameter
from cutaway.oci.runtime_spec import Seccomp, SeccompArch

_DEFAULT_PATH = os.path.join(os.path.dirname(__file__), "default.json")

# The names that profiles use (Go's) for what uname(2) calls a machine.
_PROFILE_NAMES = {"x86_64": "amd64", "aarch64": "arm64"}
_SECCOMP_NAMES = {"x86_64": SeccompArch.X86_64, "aarch64": SeccompArch.AARCH64}

KernelVersion = tuple[int, int]
_COPIED = ("defaultAction", "defaultErrnoRet", "flags", "listenerPath", "listenerMetadata")
_COPIED_FROM_RULE = ("action", "errnoRet", "args")


@dataclass(frozen=True, slots=True)
class _Situation:
    """What a profile's conditions are about; ``architecture`` is named as profiles do."""

    capabilities: Collection[str]
    architecture: str
    kernel: KernelVersion


@cache
def default_profile() -> dict[str, Any]:
    """Return Docker's default profile; the one and the same dict each time, not to be changed."""
    with open(_DEFAULT_PATH, encoding="utf-8") as file:
        return cast(dict[str, Any], json.load(file))


def parse_kernel_version(text: str) -> KernelVersion:
    """Return ``(6, 1)`` of uname(2)'s ``6.1.0-13-amd64`` or a profile's ``4.8``.

    Raises:
        InvalidParameter: it does not begin with two numbers.
    """
    major, _, rest = text.partition(".")
    digits = len(rest) - len(rest.lstrip("0123456789"))
    if not major.isdecimal() or not digits:
        raise InvalidParameter(f"not a kernel version: {text!r}")
    return int(major), int(rest[:digits])


def resolve_profile(
    profile: dict[str, Any],
    capabilities: Collection[str],
    *,
    machine: str = "x86_64",
    kernel: KernelVersion = (6, 1),
) -> Seccomp:
    """Apply a profile's conditions for one container on one machine.

    Args:
        profile: decoded JSON in Docker's form; ``default_profile`` or a user's own.
        capabilities: the container's bounding set, ``CAP_X`` each.
        machine: uname(2)'s.
        kernel: what the machine runs.

    Raises:
        InvalidParameter: not a profile; the message names the field, or is Docker's text.
    """
    document = _expect(profile, dict, "seccomp profile")
    resolved = {key: document[key] for key in _COPIED if document.get(key) is not None}
    resolved["architectures"] = _architectures(document, machine)
    situation = _Situation(capabilities, _PROFILE_NAMES.get(machine, machine), kernel)
    rules = []
    for index, rule in enumerate(_list(document, "syscalls", "seccomp profile")):
        where = f"syscalls[{index}]"
        _expect(rule, dict, where)
        names = _names(rule, where)
        if _applies(rule, where, situation):
            copied = {key: rule[key] for key in _COPIED_FROM_RULE if rule.get(key) is not None}
            rules.append({"names": names, **copied})
    resolved["syscalls"] = rules
    return Seccomp.from_json(resolved, "seccomp profile")


def _expect(value: Any, kind: type, where: str) -> Any:
    if not isinstance(value, kind):
        raise InvalidParameter(f"{where}: not {'an object' if kind is dict else 'a list'}")
    return value


def _list(owner: dict[str, Any], key: str, where: str) -> list[Any]:
    value = owner.get(key)
    return [] if value is None else _expect(value, list, f"{where}.{key}")


def _architectures(document: dict[str, Any], machine: str) -> list[Any]:
    flat = _list(document, "architectures", "seccomp profile")
    mapped = _list(document, "archMap", "seccomp profile")
    if flat and mapped:
        raise InvalidParameter(
            "'architectures' and 'archMap' were specified in the seccomp profile, "
            "use either 'architectures' or 'archMap'"
        )
    native = _SECCOMP_NAMES.get(machine)
    for index, entry in enumerate(mapped):
        where = f"archMap[{index}]"
        if _expect(entry, dict, where).get("architecture") == native:
            return [native, *_list(entry, "subArchitectures", where)]
    return flat


def _names(rule: dict[str, Any], where: str) -> list[Any]:
    names = _list(rule, "names", where)
    single = rule.get("name")
    if single and names:
        raise InvalidParameter(
            "'name' and 'names' were specified in the seccomp profile, use either 'name' or 'names'"
        )
    return [single] if single else names


def _applies(rule: dict[str, Any], where: str, situation: _Situation) -> bool:
    """Whether a rule's ``includes`` all hold and none of its ``excludes`` does."""
    excluded = _conditions(rule, "excludes", where, situation)
    included = _conditions(rule, "includes", where, situation)
    return not any(excluded) and all(included)


def _conditions(
    rule: dict[str, Any], key: str, where: str, situation: _Situation
) -> Iterator[bool]:
    """Yield for each condition that is stated whether it holds."""
    stated = rule.get(key)
    if stated is None:
        return
    where = f"{where}.{key}"
    _expect(stated, dict, where)
    for capability in _list(stated, "caps", where):
        yield capability in situation.capabilities
    architectures = _list(stated, "arches", where)
    if architectures:
        yield situation.architecture in architectures
    minimum = stated.get("minKernel")
    if minimum:
        yield situation.kernel >= parse_kernel_version(str(minimum))
