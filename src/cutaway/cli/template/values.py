"""Values as Go has them: JSON's, and those to which ``types.py`` gave a Go type."""

import json
from typing import Any

ADDRESS = "0xc000010000"  # a pointer inside a value prints as an address, never the same twice


class Missing:
    """What a map answers for a key it does not have: prints as ``<no value>``."""

    def __str__(self) -> str:
        return "<no value>"


MISSING = Missing()


class GoNil:
    """A nil pointer of a type."""

    def __init__(self, go_type: str) -> None:
        self.go_type = go_type

    def __bool__(self) -> bool:
        return False


class GoStr(str):
    """A string of a named type; ``shown`` is how it prints when that differs."""

    go_type = "string"
    shown: str | None = None


class GoBool(int):
    """What a pointer to a bool points to."""

    go_type = "*bool"


class GoInt(int):
    """An integer of a sized or named type."""

    go_type = "int"


class GoList(list[Any]):
    """A slice or array."""

    go_type = "[]interface {}"


class GoMap(dict[str, Any]):
    """A map; ``zero`` is what an absent key gives."""

    go_type = "map[string]interface {}"
    zero: Any = MISSING


class GoStruct(dict[str, Any]):
    """A struct: its fields by Go's names, in Go's order.

    Attributes:
        go_type: begins with a star for a pointer to one.
        raw: the JSON object it was read from.
        embedded: names of the fields whose own fields are also this struct's.
    """

    go_type = "struct {}"
    raw: dict[str, Any]
    embedded: tuple[str, ...] = ()

    def field(self, name: str) -> Any:
        """Return a field, also of an embedded struct; MISSING when there is none."""
        if name in self:
            return self[name]
        for inner in self.embedded:
            found = self[inner].field(name) if isinstance(self[inner], GoStruct) else MISSING
            if found is not MISSING:
                return found
        return MISSING


class Row(dict[str, Any]):
    """One line of a list as templates see it; values that can be called take arguments."""

    def __init__(self, fields: dict[str, Any], go_type: str) -> None:
        super().__init__({k: GoNil("*v1.Platform") if v is None else v for k, v in fields.items()})
        self.go_type = go_type


_NAMES = {
    bool: "bool",
    str: "string",
    int: "int",
    float: "float64",
    list: "[]interface {}",
    dict: "map[string]interface {}",
    type(None): "<nil>",
    Missing: "<nil>",
}


def type_name(value: Any) -> str:
    """Return a value's Go type, as ``%T`` prints it."""
    named = getattr(value, "go_type", None)
    return str(named) if named else _NAMES.get(type(value), type(value).__name__)


def is_nil(value: Any) -> bool:
    """Tell whether there is no value at all."""
    return value is None or value is MISSING or isinstance(value, GoNil)


def is_true(value: Any) -> bool:
    """Go's truth: not false, 0, empty or nil; a struct is always true."""
    return isinstance(value, GoStruct) or (not is_nil(value) and bool(value))


def to_text(value: Any) -> str:
    """Print a value as a template does: ``%v``, but for nothing at all."""
    if value is None or value is MISSING:
        return "<no value>"
    return show(value)


def show(value: Any, *, depth: int = 0, fields: bool = False) -> str:
    """Print a value as ``%v`` does, or with ``fields`` as ``%+v``.

    Args:
        value: any.
        depth: how deep inside another value it stands; a pointer prints as an address there.
        fields: name the fields of structs.
    """
    if is_nil(value):
        return "<nil>"
    if isinstance(value, bool | GoBool):
        return ADDRESS if depth and isinstance(value, GoBool) else str(bool(value)).lower()
    if isinstance(value, float):
        return show_float(value)
    if isinstance(value, GoStr) and value.shown is not None:
        return value.shown
    if isinstance(value, GoStruct):
        if depth and value.go_type.startswith("*"):
            return ADDRESS
        parts = [
            (f"{name}:" if fields else "") + show(inner, depth=depth + 1, fields=fields)
            for name, inner in value.items()
        ]
        return "{" + " ".join(parts) + "}"
    if depth and type_name(value).startswith("*"):
        return ADDRESS
    if isinstance(value, dict):
        parts = [
            f"{key}:{show(value[key], depth=depth + 1, fields=fields)}"
            for key in sorted(value)
            if not callable(value[key])
        ]
        return "map[" + " ".join(parts) + "]"
    if isinstance(value, list | tuple):
        return "[" + " ".join(show(v, depth=depth + 1, fields=fields) for v in value) + "]"
    return str(value)


def show_float(value: float) -> str:
    """Print a float as ``%v`` does: shortest, with an exponent below 1e-4 and from 1e21."""
    text = repr(value)
    if "inf" in text or "nan" in text:
        return {"inf": "+Inf", "-inf": "-Inf"}.get(text, "NaN")
    if value and not 1e-4 <= abs(value) < 1e21:
        mantissa, _, exponent = f"{value!r}".partition("e")
        if exponent:
            return f"{mantissa.removesuffix('.0')}e{exponent[0]}{exponent[1:].rjust(2, '0')}"
    if "e" in text:
        text = f"{value:.20f}".rstrip("0") if abs(value) < 1 else f"{value:.0f}"
    return text.removesuffix(".0")


def plain(value: Any) -> Any:
    """Return a value as what ``json`` writes: maps in order of their keys, structs in Go's."""
    if isinstance(value, GoStruct):
        keys = {key.lower(): key for key in value.raw}
        known = {keys.pop(name.lower()): name for name in _all_names(value) if name.lower() in keys}
        return {
            key: None if value.raw[key] is None else plain(value.field(name))
            for key, name in known.items()
        } | {key: value.raw[key] for key in keys.values()}
    if isinstance(value, dict):
        return {key: plain(value[key]) for key in sorted(value) if not callable(value[key])}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    if isinstance(value, GoBool):
        return bool(value)
    return None if is_nil(value) else value


def _all_names(value: GoStruct) -> list[str]:
    names = []
    for name, inner in value.items():
        is_embedded = name in value.embedded and isinstance(inner, GoStruct)
        names += _all_names(inner) if is_embedded else [name]
    return list(dict.fromkeys(names))


def go_json(value: Any) -> str:
    """Write JSON as docker's ``json`` does; a row's strings have ``<``, ``>``, ``&`` escaped."""
    text = json.dumps(plain(value), separators=(",", ":"), ensure_ascii=False)
    if isinstance(value, Row):
        text = text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    return text
