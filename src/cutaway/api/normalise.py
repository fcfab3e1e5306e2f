"""JSON read as Go reads it, and stricter where leniency is an attack.

Go matches keys without regard to case and takes ``null`` anywhere; msgspec does neither. So a pass
driven by the type tables comes between: it renames keys to their spelling in the model, and
replaces ``null`` by what Go would leave in its place.

Refused, because two readers could see two documents: a key twice (also in two cases: an
authorisation plugin might look at the other one), NaN and Infinity, lone surrogates, nesting
deeper than 64, numbers of thousands of digits.

Source: Go ``encoding/json``; CVE-2026-34040 and the project's rules, 1.8 and 3.1.
"""

import json
import math
import types
from collections.abc import Callable
from functools import cache
from typing import Any, NoReturn, TypeAlias, TypeVar, Union, get_args, get_origin

import msgspec

from cutaway.api.limits import JSON_DEPTH
from cutaway.errors import InvalidParameter

StructT = TypeVar("StructT", bound=msgspec.Struct)

Shaper: TypeAlias = Callable[[Any], Any]
"""Brings one JSON value into the shape that msgspec expects; wrong types pass unchanged."""

STRING_OR_LIST = frozenset({"Cmd", "Entrypoint", "Shell"})
"""Fields of Go's type ``strslice.StrSlice``: a bare string is a list of one."""


def parse_json(data: bytes, what: str = "JSON") -> Any:
    """Parse one JSON document strictly.

    Args:
        data: UTF-8.
        what: how to call it in an error.

    Raises:
        InvalidParameter: ``invalid JSON: …`` and why.
    """
    if data.count(b"[") + data.count(b"{") > JSON_DEPTH:
        _check_depth(data, what)
    try:
        document = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_unique,
            parse_constant=_refuse_constant,
            parse_float=_finite,
        )
    except UnicodeDecodeError as error:
        raise InvalidParameter(f"invalid {what}: not UTF-8 at byte {error.start}") from None
    except json.JSONDecodeError as error:
        raise InvalidParameter(
            f"invalid {what}: {error.msg} at line {error.lineno} column {error.colno}"
        ) from None
    except RecursionError:
        raise InvalidParameter(f"invalid {what}: nested too deeply") from None
    except ValueError as error:
        reason = "a number is too long" if "int_max_str" in str(error) else error
        raise InvalidParameter(f"invalid {what}: {reason}") from None
    if b"\\u" in data:
        _check_surrogates(document, what)
    return document


def _check_depth(data: bytes, what: str) -> None:
    depth = 0
    in_string = escaped = False
    for byte in data:
        if in_string:
            if escaped:
                escaped = False
            elif byte == 0x5C:
                escaped = True
            elif byte == 0x22:
                in_string = False
        elif byte == 0x22:
            in_string = True
        elif byte in b"[{":
            depth += 1
            if depth > JSON_DEPTH:
                raise InvalidParameter(f"invalid {what}: nested deeper than {JSON_DEPTH}")
        elif byte in b"]}":
            depth -= 1


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise ValueError(f'the key "{key}" appears twice')
            seen.add(key)
    return document


def _refuse_constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"the number {text} is out of range")
    return number


def _check_surrogates(document: Any, what: str) -> None:
    try:
        json.dumps(document, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        raise InvalidParameter(
            f"invalid {what}: a \\u escape is half of a surrogate pair"
        ) from None


def convert(document: Any, type_: type[StructT]) -> StructT:
    """Read a parsed JSON object into a document of the model.

    Raises:
        InvalidParameter: a field has the wrong type, or a key appears in two spellings.
    """
    try:
        return msgspec.convert(shaper_of(type_)(document), type_)
    except msgspec.ValidationError as error:
        raise InvalidParameter(f"invalid JSON: {error}") from None


@cache
def shaper_of(type_: type[msgspec.Struct]) -> Shaper:
    """Return the function that brings JSON into the shape of ``type_``."""
    by_folded_name: dict[str, tuple[str, Shaper]] = {}
    exact: dict[str, tuple[str, Shaper]] = {}
    for item in msgspec.structs.fields(type_):
        name = item.encode_name
        shaper, _ = _shaper(item.type)
        if name in STRING_OR_LIST:
            shaper = _string_or_list(shaper)
        exact[name] = by_folded_name[name.casefold()] = (name, shaper)

    def shape(value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        shaped: dict[str, Any] = {}
        seen: set[str] = set()
        for key, member in value.items():
            known = exact.get(key) or by_folded_name.get(key.casefold())
            if known is None:
                continue  # newer clients send fields that we do not know: Go ignores them too
            name, shaper = known
            if name in seen:
                raise InvalidParameter(f'invalid JSON: the key "{name}" appears twice')
            seen.add(name)
            if member is not None:  # null leaves Go's zero value, which is our default
                shaped[name] = shaper(member)
        return shaped

    return shape


def _string_or_list(shaper: Shaper) -> Shaper:
    return lambda value: (value,) if isinstance(value, str) else shaper(value)


def _same(value: Any) -> Any:
    return value


def _shaper(type_: Any) -> tuple[Shaper, Any]:
    """Return the shaper of a type, and what null becomes inside a list or map of that type."""
    origin = get_origin(type_)
    if origin in (Union, types.UnionType):
        members = [member for member in get_args(type_) if member is not type(None)]
        return (_shaper(members[0])[0], None) if len(members) == 1 else (_same, None)
    if getattr(type_, "__metadata__", None):
        return _shaper(get_args(type_)[0])
    if origin is dict:
        return _map_shaper(*_shaper(get_args(type_)[1])), {}
    if origin is tuple:
        return _list_shaper(get_args(type_)), ()
    if isinstance(type_, type) and issubclass(type_, msgspec.Struct):
        return shaper_of(type_), {}
    zeros: dict[Any, Any] = {str: "", int: 0, bool: False, float: 0.0, Any: {}}
    return _same, zeros.get(type_)


def _map_shaper(shaper: Shaper, zero: Any) -> Shaper:
    def shape(value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {key: zero if v is None else shaper(v) for key, v in value.items()}

    return shape


def _list_shaper(arguments: tuple[Any, ...]) -> Shaper:
    shaper, zero = _shaper(arguments[0])
    if arguments[-1] is Ellipsis:
        length = None
    else:
        length = len(arguments)  # a Go array: what is missing is zero, what is too much is dropped

    def shape(value: Any) -> Any:
        if not isinstance(value, list):
            return value
        if length is not None:
            value = (value + [None] * length)[:length]
        return [zero if v is None else shaper(v) for v in value]

    return shape
