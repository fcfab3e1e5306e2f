"""The JSON codec: errors name the path, unknown fields are dropped, null is absent."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import pytest

from cutaway.errors import InvalidParameter
from cutaway.oci import Digest, JsonObject, encode_document, parse_document
from cutaway.oci.codec import Uint32

SHA = "sha256:" + "0" * 64


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True, slots=True)
class Inner(JsonObject):
    number: Uint32
    digest: Digest | None = None


@dataclass(frozen=True, slots=True)
class Outer(JsonObject):
    name: str
    is_on: bool = False
    inner: Inner | None = None
    many: tuple[Inner, ...] = ()
    table: dict[str, str] = field(default_factory=dict)
    limit: Uint32 | None = None
    colour: Colour | None = None
    other: Any = None
    odd: int = field(default=0, metadata={"json": "ODD"})


WHOLE = {
    "name": "n",
    "isOn": True,
    "inner": {"number": 1, "digest": SHA},
    "many": [{"number": 2}],
    "table": {"a": "b"},
    "limit": 0,
    "colour": "red",
    "other": {"x": [1]},
    "ODD": 7,
}


def test_every_kind_of_field_reads_and_writes():
    value = Outer.from_json(WHOLE)

    assert value == Outer(
        name="n",
        is_on=True,
        inner=Inner(1, Digest(SHA)),
        many=(Inner(2),),
        table={"a": "b"},
        limit=0,
        colour=Colour.RED,
        other={"x": [1]},
        odd=7,
    )
    assert value.to_json() == WHOLE
    assert type(value.to_json()["colour"]) is str


def test_null_and_unknown_fields_are_absent():
    document = {"name": "n", "isOn": None, "inner": None, "table": {"k": None}, "future": {}}

    assert Outer.from_json(document) == Outer("n")
    assert Outer("n").to_json() == {"name": "n"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": None}, "name: required, but missing"),
        ({"name": 1}, "name: expected a string, got 1"),
        ({"isOn": "yes"}, "isOn: expected true or false, got 'yes'"),
        ({"isOn": 1}, "isOn: expected true or false, got 1"),
        ({"inner": []}, "inner: expected an object, got []"),
        ({"inner": {"number": True}}, "inner.number: expected an integer, got True"),
        ({"inner": {"number": 1.0}}, "inner.number: expected an integer, got 1.0"),
        (
            {"inner": {"number": -1}},
            "inner.number: expected an integer from 0 to 4294967295, got -1",
        ),
        ({"inner": {}}, "inner.number: required, but missing"),
        ({"inner": {"number": 1, "digest": 5}}, "inner.digest: expected a string, got 5"),
        (
            {"inner": {"number": 1, "digest": "x"}},
            "inner.digest: invalid checksum digest format",
        ),
        ({"many": {}}, "many: expected an array, got {}"),
        ({"many": [{"number": 1}, 2]}, "many[1]: expected an object, got 2"),
        ({"table": {"a": 1}}, "table.a: expected a string, got 1"),
        ({"table": []}, "table: expected an object, got []"),
        ({"limit": 2**32}, "limit: expected an integer from 0 to 4294967295, got 4294967296"),
        ({"colour": "green"}, "colour: expected one of red, blue, got 'green'"),
        ({"colour": 3}, "colour: expected one of red, blue, got 3"),
        ({"ODD": "x" * 100}, "ODD: expected an integer, got '" + "x" * 56 + "..."),
    ],
)
def test_a_wrong_field_is_named_by_its_path(change, message):
    with pytest.raises(InvalidParameter) as caught:
        Outer.from_json(WHOLE | change)

    assert str(caught.value) == message


def test_a_document_that_is_no_object_is_refused():
    with pytest.raises(InvalidParameter, match=r"^document: expected an object, got \[\]$"):
        Outer.from_json([])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not a JSON document"),
        (b"{", "not a JSON document"),
        (b"\xff", "not a JSON document"),
        (b'{"a": NaN}', "NaN is not a JSON number"),
        (b'{"a": Infinity}', "Infinity is not a JSON number"),
        (b'{"a": 1, "b": 2, "a": 3}', "the key 'a' occurs twice"),
        (b'{"a": "\\ud800"}', "not a JSON document"),
        (b"[" * 200_000, "nested too deeply"),
        (b"1" * 5000, "not a JSON document"),
    ],
)
def test_what_readers_of_json_disagree_about_is_refused(data, message):
    with pytest.raises(InvalidParameter, match=f"manifest: .*{message}|{message}"):
        parse_document(data, "manifest")


def test_documents_are_written_compact():
    assert encode_document({"a": [1, "ü"]}) == '{"a":[1,"ü"]}'.encode()
