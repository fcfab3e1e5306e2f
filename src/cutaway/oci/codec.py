"""JSON documents as frozen dataclasses: one reader and one writer for every OCI type.

A class that inherits ``JsonObject`` states its fields once, as a dataclass; the annotations are
the schema. The rules, in order:

1. A field's JSON name is its name in camelCase, unless ``metadata={"json": name}`` says another.
2. ``null`` is the same as absent, as in Go; an absent field takes its default; a field without a
   default is required.
3. Unknown fields are dropped: specifications grow, and "runtimes MUST NOT generate an error" for
   properties they don't know (runtime-spec config.md "Extensibility").
4. A wrong type is an ``InvalidParameter`` that names the path: ``linux.resources.memory.limit``.
5. The writer omits a field that has its default.

Annotations understood: ``str int float bool``, ``Annotated[int, range(...)]`` (see ``Uint32``), a
``str`` subclass with ``parse`` (``Digest``), a ``StrEnum``, another ``JsonObject``,
``tuple[X, ...]``, ``dict[str, X]``, ``X | None`` and ``Any``.
"""

import json
from collections.abc import Callable
from dataclasses import MISSING, fields
from enum import Enum
from typing import Annotated, Any, NoReturn, Self, TypeAlias, Union

from cutaway.errors import InvalidParameter

Int32 = Annotated[int, range(-(2**31), 2**31)]
Int64 = Annotated[int, range(-(2**63), 2**63)]
Uint16 = Annotated[int, range(2**16)]
Uint32 = Annotated[int, range(2**32)]
Uint64 = Annotated[int, range(2**64)]

Reader: TypeAlias = Callable[[Any, str], Any]

_SCALARS: dict[type, str] = {str: "a string", bool: "true or false", int: "an integer"}
_UNIONS = (type(int | None), Union)  # "int | None" and "Uint32 | None" differ at run time
_PLANS: dict[type, tuple[tuple[str, str, Reader, Any], ...]] = {}


class JsonObject:
    """Base of the dataclasses that are JSON objects; gives them ``from_json`` and ``to_json``."""

    __slots__ = ()

    @classmethod
    def from_json(cls, document: Any, path: str = "") -> Self:
        """Read a decoded JSON object.

        Args:
            document: what ``parse_document`` or ``json.loads`` returned.
            path: where the object lies in its document; leads the error texts.

        Raises:
            InvalidParameter: not an object, a required field is absent, or a value has the wrong
                type or is out of range; the message starts with the field's path.
        """
        if not isinstance(document, dict):
            _refuse(path, "an object", document)
        plan = _PLANS.get(cls) or _compile(cls)
        prefix = f"{path}." if path else ""
        values: dict[str, Any] = {}
        for name, json_name, reader, default in plan:
            value = document.get(json_name)
            if value is not None:
                values[name] = reader(value, prefix + json_name)
            elif default is MISSING:
                raise InvalidParameter(f"{prefix}{json_name}: required, but missing")
        instance = cls(**values)
        instance.validate(path)
        return instance

    def validate(self, path: str) -> None:
        """Check what the fields' types can't say; called by ``from_json``.

        Raises:
            InvalidParameter: a rule of the specification is broken.
        """

    def to_json(self) -> dict[str, Any]:
        """Return the object as JSON values, without the fields that have their defaults."""
        document: dict[str, Any] = {}
        for name, json_name, _, default in _PLANS.get(type(self)) or _compile(type(self)):
            value = getattr(self, name)
            if default is MISSING or value != default:
                document[json_name] = _to_json(value)
        return document


def parse_document(data: bytes, what: str) -> Any:
    """Decode one JSON document from outside, refusing what JSON's readers disagree about.

    Args:
        data: UTF-8 text; its length is bounded by the caller.
        what: named in errors: ``manifest``.

    Raises:
        InvalidParameter: not JSON, a key twice in one object, NaN or Infinity, a lone surrogate,
            or nested too deeply.
    """
    try:
        document = json.loads(
            data.decode(), object_pairs_hook=_unique_keys, parse_constant=_refuse_constant
        )
        json.dumps(document, ensure_ascii=False).encode()
    except RecursionError:
        raise InvalidParameter(f"{what}: nested too deeply") from None
    except ValueError as error:
        raise InvalidParameter(f"{what}: not a JSON document: {error}") from None
    return document


def encode_document(document: Any) -> bytes:
    """Return the compact UTF-8 JSON text of a document, keys in the order given."""
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice!r} occurs twice")
    return result


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _refuse(path: str, expected: str, value: Any) -> NoReturn:
    shown = repr(value)
    if len(shown) > 60:
        shown = shown[:57] + "..."
    raise InvalidParameter(f"{path or 'document'}: expected {expected}, got {shown}")


def _compile(cls: type) -> tuple[tuple[str, str, Reader, Any], ...]:
    plan = []
    for f in fields(cls):
        default = f.default_factory() if f.default_factory is not MISSING else f.default
        json_name = f.metadata.get("json") or _camel_case(f.name)
        plan.append((f.name, json_name, _reader_of(f.type), default))
    _PLANS[cls] = tuple(plan)
    return _PLANS[cls]


def _camel_case(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def _reader_of(annotation: Any) -> Reader:
    bounds = getattr(annotation, "__metadata__", None)
    if bounds is not None:
        return _bounded_reader(bounds[0])
    origin = getattr(annotation, "__origin__", type(annotation))
    if origin in _UNIONS:
        (inner,) = (a for a in annotation.__args__ if a is not type(None))
        return _reader_of(inner)
    if origin is tuple:
        return _array_reader(_reader_of(annotation.__args__[0]))
    if origin is dict:
        return _map_reader(_reader_of(annotation.__args__[1]))
    if annotation is Any:
        return lambda value, path: value
    return _class_reader(annotation)


def _class_reader(cls: type) -> Reader:
    if issubclass(cls, JsonObject):
        return cls.from_json
    if issubclass(cls, Enum):
        return _enum_reader(cls)
    if cls is str:
        return _read_string
    if cls in _SCALARS:
        return _scalar_reader(cls, _SCALARS[cls])
    return _parsed_reader(cls)


def _scalar_reader(scalar: type, expected: str) -> Reader:
    def read(value: Any, path: str) -> Any:
        if type(value) is not scalar:
            _refuse(path, expected, value)
        return value

    return read


_read_string = _scalar_reader(str, _SCALARS[str])


def _bounded_reader(bounds: range) -> Reader:
    def read(value: Any, path: str) -> Any:
        if type(value) is not int:
            _refuse(path, "an integer", value)
        if value not in bounds:
            _refuse(path, f"an integer from {bounds.start} to {bounds.stop - 1}", value)
        return value

    return read


def _enum_reader(enum: type[Enum]) -> Reader:
    values = {member.value: member for member in enum}

    def read(value: Any, path: str) -> Any:
        member = values.get(value) if isinstance(value, str) else None
        if member is None:
            _refuse(path, "one of " + ", ".join(values), value)
        return member

    return read


def _parsed_reader(parsed: Any) -> Reader:
    def read(value: Any, path: str) -> Any:
        if not isinstance(value, str):
            _refuse(path, "a string", value)
        try:
            return parsed.parse(value)
        except InvalidParameter as error:
            raise InvalidParameter(f"{path}: {error}") from None

    return read


def _array_reader(item: Reader) -> Reader:
    def read(value: Any, path: str) -> Any:
        if not isinstance(value, list):
            _refuse(path, "an array", value)
        if item is _read_string and set(map(type, value)) == {str}:
            return tuple(value)  # a seccomp profile names hundreds of calls
        return tuple(item(v, f"{path}[{i}]") for i, v in enumerate(value))

    return read


def _map_reader(item: Reader) -> Reader:
    def read(value: Any, path: str) -> Any:
        if not isinstance(value, dict):
            _refuse(path, "an object", value)
        return {key: item(v, f"{path}.{key}") for key, v in value.items() if v is not None}

    return read


def _to_json(value: Any) -> Any:
    if isinstance(value, JsonObject):
        return value.to_json()
    if isinstance(value, tuple):
        if set(map(type, value)) == {str}:
            return list(value)
        return [_to_json(item) for item in value]
    if isinstance(value, dict):
        return {key: _to_json(item) for key, item in value.items()}
    if isinstance(value, str):
        return str(value)
    return value
