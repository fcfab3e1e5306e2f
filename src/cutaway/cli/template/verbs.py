"""``printf``: Go's verbs and flags."""

import json
from typing import Any

from cutaway.cli.template.values import (
    ADDRESS,
    GoStr,
    GoStruct,
    is_nil,
    show,
    show_float,
    type_name,
)

_FLAGS = "-+# 0"
_INTEGER = "dboxX"


class Spec:
    """What stands between ``%`` and the verb.

    Attributes:
        flags: of ``-+# 0``.
        width: the least width, or None.
        precision: digits or characters, or None.
        complaints: of a ``*`` whose number is none.
    """

    __slots__ = ("complaints", "flags", "precision", "width")

    def __init__(self) -> None:
        self.flags = ""
        self.width: int | None = None
        self.precision: int | None = None
        self.complaints: list[str] = []

    def padded(self, text: str, *, numeric: bool = False) -> str:
        """Fill to the width; zeros come behind the sign of a number."""
        missing = (self.width or 0) - len(text)
        if missing <= 0:
            return text
        if "-" in self.flags:
            return text + " " * missing
        if "0" in self.flags and numeric:
            sign = text[: len(text) - len(text.lstrip("+- "))]
            return sign + "0" * missing + text[len(sign) :]
        return " " * missing + text


def sprintf(form: str, *values: Any) -> str:
    """Return ``form`` with its verbs filled in, and Go's complaints about what doesn't fit."""
    out: list[str] = []
    queue = list(values)
    place = 0
    while place < len(form):
        start = form.find("%", place)
        out.append(form[place : start if start >= 0 else len(form)])
        if start < 0:
            break
        spec, place = _spec(form, start + 1, queue)
        out += spec.complaints
        verb = form[place : place + 1]
        place += 1
        if not verb:
            out.append("%!(NOVERB)")
        elif verb == "%":
            out.append("%")
        elif not queue:
            out.append(f"%!{verb}(MISSING)")
        else:
            out.append(_format(queue.pop(0), verb, spec))
    if queue:
        extra = ", ".join(f"{type_name(v)}={show(v)}" for v in queue)
        out.append(f"%!(EXTRA {extra})")
    return "".join(out)


def _spec(form: str, place: int, queue: list[Any]) -> tuple[Spec, int]:
    spec = Spec()
    while form[place : place + 1] and form[place] in _FLAGS:
        spec.flags += form[place]
        place += 1
    spec.width, place = _number(form, place, queue, spec=spec, complaint="%!(BADWIDTH)")
    if spec.width is not None and spec.width < 0:
        spec.flags, spec.width = spec.flags + "-", -spec.width
    if form[place : place + 1] == ".":
        precision, place = _number(form, place + 1, queue, spec=spec, complaint="%!(BADPREC)")
        spec.precision = precision or 0
    return spec, place


def _number(
    form: str, place: int, queue: list[Any], *, spec: Spec, complaint: str
) -> tuple[int | None, int]:
    if form[place : place + 1] == "*":
        given = queue.pop(0) if queue else None
        if isinstance(given, int) and not isinstance(given, bool):
            return int(given), place + 1
        spec.complaints.append(complaint)
        return None, place + 1
    end = place
    while form[end : end + 1].isdigit():
        end += 1
    return (int(form[place:end]) if end > place else None), end


def _format(value: Any, verb: str, spec: Spec) -> str:
    if verb == "T":
        return spec.padded(type_name(value))
    if verb == "v":
        return _general(value, spec)
    if is_nil(value):
        return spec.padded(f"%!{verb}({type_name(value)})")
    if isinstance(value, list | tuple):
        return "[" + " ".join(_format(item, verb, spec) for item in value) + "]"
    if isinstance(value, GoStruct):
        return "{" + " ".join(_format(item, verb, spec) for item in value.values()) + "}"
    if isinstance(value, dict):
        keys = sorted(key for key in value if not callable(value[key]))
        pairs = (f"{_format(key, verb, spec)}:{_format(value[key], verb, spec)}" for key in keys)
        return "map[" + " ".join(pairs) + "]"
    text = _scalar(value, verb, spec)
    return text if text is not None else f"%!{verb}({type_name(value)}={show(value)})"


def _general(value: Any, spec: Spec) -> str:
    if "#" in spec.flags:
        return spec.padded(source(value))
    text = show(value, fields="+" in spec.flags)
    if isinstance(value, GoStruct) and value.go_type.startswith("*"):
        text = "&" + text
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if is_number and "+" in spec.flags and not text.startswith("-"):
        text = "+" + text
    if isinstance(value, str) and spec.precision is not None:
        text = text[: spec.precision]
    return spec.padded(text, numeric=is_number)


def source(value: Any) -> str:
    """Write a value as ``%#v`` does: in Go's syntax, pointers inside by their address."""
    name = type_name(value)
    if is_nil(value):
        return "interface {}(nil)" if name == "<nil>" else f"({name})(nil)"
    if isinstance(value, bool | float):
        return show(value)
    if isinstance(value, str):
        return json.dumps(str(value), ensure_ascii=False)
    if isinstance(value, int):
        return f"0x{int(value):x}" if name.startswith("uint") else str(int(value))
    if isinstance(value, GoStruct):
        fields = ", ".join(f"{key}:{_inside(item)}" for key, item in value.items())
        return ("&" if name.startswith("*") else "") + f"{name.lstrip('*')}{{{fields}}}"
    if isinstance(value, dict):
        pairs = ", ".join(f'"{key}":{_inside(value[key])}' for key in sorted(value))
        return f"{name}{{{pairs}}}"
    return f"{name}{{{', '.join(map(_inside, value))}}}"


def _inside(value: Any) -> str:
    name = type_name(value)
    is_pointer = name.startswith("*") and not is_nil(value)
    return f"({name})({ADDRESS})" if is_pointer else source(value)


def _scalar(value: Any, verb: str, spec: Spec) -> str | None:
    if isinstance(value, bool):
        return spec.padded(show(value)) if verb == "t" else None
    if isinstance(value, str):
        return _string(value, verb, spec)
    if isinstance(value, int):
        return _integer(value, verb, spec)
    return _float(value, verb, spec) if isinstance(value, float) else None


def _string(value: str, verb: str, spec: Spec) -> str | None:
    text = show(value) if isinstance(value, GoStr) else value
    if spec.precision is not None:
        text = text[: spec.precision]
    if verb == "s":
        return spec.padded(text)
    if verb == "q":
        return spec.padded(json.dumps(text, ensure_ascii=False))
    if verb in "xX":
        digits = text.encode().hex(" ") if " " in spec.flags else text.encode().hex()
        return spec.padded(digits if verb == "x" else digits.upper())
    return None


def _integer(value: int, verb: str, spec: Spec) -> str | None:
    if verb in _INTEGER:
        text = format(abs(value), verb)
        prefix = {"x": "0x", "X": "0X", "o": "0", "b": "0b"}.get(verb, "")
        text = (prefix if "#" in spec.flags else "") + text.rjust(spec.precision or 0, "0")
        sign = "-" if value < 0 else "+" if "+" in spec.flags else " " if " " in spec.flags else ""
        return spec.padded(sign + text, numeric=True)
    if verb == "c":
        return spec.padded(_character(value))
    if verb == "q":
        return spec.padded(f"'{_character(value)}'")
    if verb == "U":
        return spec.padded(f"U+{value:04X}")
    return None


def _character(value: int) -> str:
    return chr(value) if 0 <= value < 0x110000 else "\ufffd"


def _float(value: float, verb: str, spec: Spec) -> str | None:
    if verb not in "eEfFgG":
        return None
    sign = "+" if "+" in spec.flags else " " if " " in spec.flags else ""
    if verb in "gG" and spec.precision is None:
        text = (sign if value >= 0 else "") + show_float(value)
    else:
        text = format(value, f"{sign}.{6 if spec.precision is None else spec.precision}{verb}")
    return spec.padded(text, numeric=True)
