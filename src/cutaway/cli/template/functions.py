"""The functions of templates: Go's own and docker's."""

from collections.abc import Callable, Iterable
from typing import Any

from cutaway.cli.template.errors import Misfit
from cutaway.cli.template.values import (
    MISSING,
    GoBool,
    GoList,
    GoMap,
    GoStruct,
    go_json,
    is_nil,
    is_true,
    show,
    type_name,
)
from cutaway.cli.template.verbs import sprintf


def _index(value: Any, *keys: Any) -> Any:
    for key in keys:
        if is_nil(value):
            raise Misfit("index of untyped nil" if value is None else "index of nil pointer")
        if isinstance(value, dict) and not isinstance(value, GoStruct):
            if not isinstance(key, str):
                raise Misfit(f"value has type {type_name(key)}; should be string")
            value = value.get(key, value.zero if isinstance(value, GoMap) else MISSING)
        elif isinstance(value, list | tuple | str):
            if not isinstance(key, int) or isinstance(key, bool):
                raise Misfit(f"cannot index slice/array with type {type_name(key)}")
            data = value.encode() if isinstance(value, str) else value
            if not 0 <= key < len(data):
                raise Misfit(f"index out of range: {key}")
            value = data[key]
        else:
            raise Misfit(f"can't index item of type {type_name(value)}")
    return value


def _slice(value: Any, *bounds: Any) -> Any:
    if not isinstance(value, str | list | tuple):
        raise Misfit(f"can't slice item of type {type_name(value)}")
    data = value.encode() if isinstance(value, str) else value
    if len(bounds) > (2 if isinstance(value, str) else 3):
        raise Misfit(f"too many slice indexes: {len(bounds)}")
    for bound in bounds:
        if not fits(bound, "int"):
            raise Misfit(f"cannot index slice/array with type {type_name(bound)}")
        if not 0 <= bound <= len(data):
            raise Misfit(f"index out of range: {bound}")
    start = bounds[0] if bounds else 0
    end = bounds[1] if len(bounds) > 1 else len(data)
    if start > end:
        raise Misfit(f"invalid slice index: {start} > {end}")
    return (
        data[start:end].decode("utf-8", "replace") if isinstance(data, bytes) else data[start:end]
    )


def _length(value: Any) -> int:
    if is_nil(value):
        raise Misfit("len of nil pointer")
    if isinstance(value, str):
        return len(value.encode())
    if isinstance(value, dict | list | tuple) and not isinstance(value, GoStruct):
        return len(value)
    raise Misfit(f"len of type {type_name(value)}")


def _kind(value: Any) -> str:
    """Return what a value may be compared with: values of the same kind."""
    if isinstance(value, bool | GoBool):
        return "bool"
    if isinstance(value, int):
        return "int"
    return "float" if isinstance(value, float) else "string" if isinstance(value, str) else ""


def _equal(first: Any, *others: Any) -> bool:
    if not others:
        raise Misfit("missing argument for comparison")
    for other in others:
        if is_nil(first) or is_nil(other):
            if is_nil(first) and is_nil(other):
                return True
            continue
        for value in (first, other):
            if isinstance(value, dict | list):
                raise Misfit(f"non-comparable type {show(value)}: {type_name(value)}")
        if _kind(first) != _kind(other):
            raise Misfit("incompatible types for comparison")
        if first == other:
            return True
    return False


def _ordered(check: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def compare(left: Any, right: Any) -> bool:
        for value in (left, right):
            if _kind(value) in {"", "bool"}:
                raise Misfit("invalid type for comparison")
        if _kind(left) != _kind(right):
            raise Misfit("incompatible types for comparison")
        return check(left, right)

    return compare


def _print(*values: Any) -> str:
    """Go's Sprint: a space between two values of which neither is a string."""
    out = ""
    for index, value in enumerate(values):
        both = index and not isinstance(value, str) and not isinstance(values[index - 1], str)
        out += (" " if both else "") + show(value)
    return out


def _println(*values: Any) -> str:
    return " ".join(map(show, values)) + "\n"


def _joined_text(values: tuple[Any, ...]) -> str:
    return values[0] if len(values) == 1 and isinstance(values[0], str) else _print(*values)


_HTML = {"\0": "�", '"': "&#34;", "'": "&#39;", "&": "&amp;", "<": "&lt;", ">": "&gt;"}


def _html(*values: Any) -> str:
    return "".join(_HTML.get(char, char) for char in _joined_text(values))


def _urlquery(*values: Any) -> str:
    from cutaway.client.http import quote

    text = quote(_joined_text(values)).replace("/", "%2F").replace(":", "%3A")
    return text.replace(",", "%2C").replace("%20", "+")


def _js(*values: Any) -> str:
    escapes = {
        "\\": "\\\\", "'": "\\'", '"': '\\"', "<": "\\u003C", ">": "\\u003E", "&": "\\u0026",
        "=": "\\u003D",
    }  # fmt: skip
    return "".join(
        escapes.get(char) or (char if char.isprintable() else f"\\u{ord(char):04X}")
        for char in _joined_text(values)
    )


def _title(text: str) -> str:
    return "".join(
        char.upper() if not index or not (text[index - 1].isalnum() or text[index - 1] in "_'")
        else char
        for index, char in enumerate(text)
    )  # fmt: skip


def typed_list(items: Iterable[str]) -> GoList:
    """Return a ``[]string``."""
    found = GoList(items)
    found.go_type = "[]string"
    return found


def _pad(text: str, before: int, after: int) -> str:
    return " " * before + text + " " * after if text else text


def _truncate(text: str, length: int) -> str:
    data = text.encode()
    if length < 0:
        raise Misfit("runtime error: slice bounds out of range")
    return text if len(data) < length else data[:length].decode("utf-8", "replace")


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "json": go_json,
    "split": lambda text, separator: typed_list(text.split(separator) if separator else text),
    "join": lambda items, separator: separator.join(items),
    "lower": lambda text: text.lower(),
    "upper": lambda text: text.upper(),
    "title": _title,
    "truncate": _truncate,
    "pad": _pad,
    "println": _println,
    "print": _print,
    "printf": sprintf,
    "len": _length,
    "index": _index,
    "slice": _slice,
    "not": lambda value: not is_true(value),
    "eq": _equal,
    "ne": lambda left, right: not _equal(left, right),
    "lt": _ordered(lambda left, right: left < right),
    "le": _ordered(lambda left, right: left <= right),
    "gt": _ordered(lambda left, right: left > right),
    "ge": _ordered(lambda left, right: left >= right),
    "html": _html,
    "js": _js,
    "urlquery": _urlquery,
}

# These stop at the first argument that decides, so the evaluator does them itself.
SHORT_CIRCUITS = frozenset({"and", "or"})

# In the heading of a table the functions of docker leave a column's title as it is.
HEADING_FUNCTIONS = {
    name: (lambda text, *_: text)
    for name in ("json", "title", "lower", "upper", "truncate", "split", "join")
}

# What a function takes, ``reflect.Value`` when any type will do; and the least, if it takes more.
PARAMETERS: dict[str, tuple[str, ...]] = {
    "json": ("interface {}",),
    "split": ("string", "string"),
    "join": ("[]string", "string"),
    "lower": ("string",),
    "upper": ("string",),
    "title": ("string",),
    "truncate": ("string", "int"),
    "pad": ("string", "int", "int"),
    "printf": ("string",),
    "len": ("reflect.Value",),
    "not": ("reflect.Value",),
    **dict.fromkeys(("ne", "lt", "le", "gt", "ge"), ("reflect.Value", "reflect.Value")),
}
AT_LEAST = {"printf": 1, "index": 1, "slice": 1, "eq": 1, "and": 1, "or": 1}


def fits(value: Any, go_type: str) -> bool:
    """Tell whether a value can be given for a parameter of a type."""
    if go_type == "string":
        return isinstance(value, str) and type_name(value) == "string"
    if go_type == "int":
        return isinstance(value, int) and not isinstance(value, bool)
    if go_type == "[]string":
        return isinstance(value, list) and type_name(value) in {"[]string", "strslice.StrSlice"}
    return True
