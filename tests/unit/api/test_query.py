"""Query parameters and filters."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cutaway.api.filters import one_boolean, parse_filters
from cutaway.api.query import Query, parse_query, parse_timestamp_ns
from cutaway.errors import InvalidParameter


def test_names_and_values_are_unescaped_once() -> None:
    assert parse_query("a=1&a=2&b=%2541+x&c") == {"a": ["1", "2"], "b": ["%41 x"], "c": [""]}


@pytest.mark.parametrize("text", ["a=%", "a=%4", "a=%zz", "a=1;b=2", "a=%ff"])
def test_bad_queries_are_refused(text: str) -> None:
    with pytest.raises(InvalidParameter):
        parse_query(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [("1", True), ("true", True), ("x", True), ("", False), ("0", False), ("No", False),
     ("none", False), (" FALSE ", False)],
)  # fmt: skip
def test_booleans_as_docker_has_them(text: str, value: bool) -> None:
    assert Query({"a": [text]}).flag("a") is value


def test_an_absent_boolean_is_its_default() -> None:
    assert Query({}).flag("rm", default=True) is True


@pytest.mark.parametrize("text", ["x", "1.0", "0x1", "9223372036854775808", "1" * 400, "--1", "١"])
def test_bad_numbers_are_refused_by_name(text: str) -> None:
    with pytest.raises(InvalidParameter, match="invalid value for limit"):
        Query({"limit": [text]}).number("limit")


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [("", None), ("0", 0), ("1", 10**9), ("1.5", 1_500_000_000), ("1.000000001", 1_000_000_001),
     ("-1", -(10**9)), ("1.0000000019", 1_000_000_001)],
)  # fmt: skip
def test_timestamps(text: str, nanoseconds: int | None) -> None:
    assert parse_timestamp_ns(text, "since") == nanoseconds


@pytest.mark.parametrize("text", ["x", "1.x", "99999999999999", "1.-5"])
def test_bad_timestamps_are_refused_by_name(text: str) -> None:
    with pytest.raises(InvalidParameter, match="since"):
        parse_timestamp_ns(text, "since")


@pytest.mark.parametrize("text", ['{"label":["a","b"]}', '{"label":{"a":true,"b":true}}'])
def test_filters_in_both_forms(text: str) -> None:
    assert parse_filters(text, ["label"]) == {"label": ("a", "b")}


@pytest.mark.parametrize("text", ["", "null", "{}", '{"label":[]}', '{"label":{}}'])
def test_no_filter(text: str) -> None:
    assert parse_filters(text, ["label"]) == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"foo":["x"]}', "invalid filter 'foo'"),
        ("[]", "invalid filter"),
        ('{"label":"x"}', "invalid filter 'label'"),
        ('{"label":[1]}', "invalid filter 'label'"),
        ('{"label":{"a":"yes"}}', "invalid filter 'label'"),
        ("{", "invalid filters"),
    ],
)
def test_invalid_filters_say_which(text: str, message: str) -> None:
    with pytest.raises(InvalidParameter) as caught:
        parse_filters(text, ["label"])
    assert str(caught.value).startswith(message)


def test_a_boolean_filter_must_be_one() -> None:
    assert one_boolean({"dangling": ("True",)}, "dangling", default=False) is True
    assert one_boolean({}, "dangling", default=True) is True
    with pytest.raises(InvalidParameter, match=r"invalid filter 'dangling=\[maybe\]'"):
        one_boolean({"dangling": ("maybe",)}, "dangling", default=False)
    with pytest.raises(InvalidParameter):
        one_boolean({"dangling": ("true", "false")}, "dangling", default=False)


@given(st.text())
def test_any_text_is_filters_or_refused(text: str) -> None:
    try:
        found = parse_filters(text, ["label"])
    except InvalidParameter:
        return
    assert all(isinstance(v, tuple) for v in found.values())


@given(st.dictionaries(st.just("label"), st.lists(st.text(), unique=True, min_size=1)))
def test_filters_round_trip(filters: dict[str, list[str]]) -> None:
    expected = {name: tuple(values) for name, values in filters.items()}
    assert parse_filters(json.dumps(filters), ["label"]) == expected


@given(st.text())
def test_any_query_is_read_or_refused(text: str) -> None:
    try:
        parse_query(text)
    except InvalidParameter:
        return
