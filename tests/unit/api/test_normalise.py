"""JSON as Go reads it, and what is refused."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cutaway import model
from cutaway.api.normalise import StructT, convert, parse_json
from cutaway.errors import InvalidParameter


def decode_json(data: bytes, type_: type[StructT]) -> StructT:
    return convert(parse_json(data), type_)


def test_keys_match_in_any_case_at_any_depth() -> None:
    found = decode_json(
        b'{"cmd":["ls"],"HOSTCONFIG":{"memory":5,"portBindings":{"80/tcp":[{"hostport":"1"}]}}}',
        model.ContainerCreateRequest,
    )
    assert found.cmd == ("ls",)
    assert found.host_config is not None
    assert found.host_config.memory == 5
    assert found.host_config.port_bindings == {"80/tcp": (model.PortBinding(host_port="1"),)}


def test_keys_of_maps_keep_their_case() -> None:
    found = decode_json(b'{"Labels":{"A":"1","a":"2"}}', model.ContainerConfig)
    assert found.labels == {"A": "1", "a": "2"}


@pytest.mark.parametrize("field", msgspec.structs.fields(model.HostConfig), ids=lambda f: f.name)
def test_null_is_taken_for_every_field(field: msgspec.structs.FieldInfo) -> None:
    body = json.dumps({field.encode_name: None}).encode()
    assert decode_json(body, model.HostConfig) == model.HostConfig()


def test_null_inside_lists_and_maps_is_the_zero_value() -> None:
    found = decode_json(
        b'{"Env":[null,"A=1"],"Labels":{"x":null},"ExposedPorts":{"1/tcp":null},'
        b'"HostConfig":{"Mounts":[null],"PortBindings":{"1/tcp":null},"Ulimits":[null]}}',
        model.ContainerCreateRequest,
    )
    assert found.env == ("", "A=1")
    assert found.labels == {"x": ""}
    assert found.exposed_ports == {"1/tcp": {}}
    assert found.host_config == model.HostConfig(
        mounts=(model.Mount(),), port_bindings={"1/tcp": None}, ulimits=(model.Ulimit(),)
    )


def test_a_bare_string_is_a_command_of_one_word() -> None:
    found = decode_json(b'{"Cmd":"ls","Entrypoint":"/x"}', model.ContainerConfig)
    assert (found.cmd, found.entrypoint) == (("ls",), ("/x",))


def test_an_array_of_fixed_length_is_cut_and_filled_as_in_go() -> None:
    assert decode_json(b'{"ConsoleSize":[7]}', model.HostConfig).console_size == (7, 0)
    assert decode_json(b'{"ConsoleSize":[1,2,3]}', model.HostConfig).console_size == (1, 2)


def test_unknown_fields_are_ignored() -> None:
    assert decode_json(b'{"Newer":{"x":[1]}}', model.HostConfig) == model.HostConfig()


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b'{"Tty":"yes"}', "`bool`, got `str` - at `$.Tty`"),
        (b'{"Cmd":[1]}', "`str`, got `int` - at `$.Cmd[0]`"),
        (b'{"a":1,"a":2}', 'the key "a" appears twice'),
        (b'{"HostConfig":{"Privileged":false,"privileged":true}}', '"Privileged" appears twice'),
        (b'{"Cmd":null,"cmd":["x"]}', '"Cmd" appears twice'),
        (b'{"x":NaN}', "NaN is not JSON"),
        (b'{"x":-Infinity}', "-Infinity is not JSON"),
        (b'{"x":1e999}', "out of range"),
        (b'{"Hostname":"\\ud800"}', "half of a surrogate pair"),
        (b'{"Hostname":"\\udc00\\ud800"}', "half of a surrogate pair"),
        (b"[" * 65 + b"]" * 65, "nested deeper than 64"),
        (b"[" * 100_000, "nested deeper than 64"),
        (b'{"StopTimeout":' + b"9" * 5000 + b"}", "too long"),
        (b'{"StopTimeout":9223372036854775808}', "9223372036854775807"),
        (b'{"StopTimeout":1.5}', "`int | null`, got `float`"),
        (b"{} {}", "Extra data"),
        (b"", "Expecting value"),
        (b"\xff", "not UTF-8"),
        (b'"text"', "Expected `object`, got `str`"),
        (b"null", "Expected `object`, got `null`"),
        (b'{"Hostname":"a\nb"}', "control character"),
    ],
)
def test_refused(body: bytes, reason: str) -> None:
    with pytest.raises(InvalidParameter) as caught:
        decode_json(body, model.ContainerCreateRequest)
    assert str(caught.value).startswith("invalid JSON: ")
    assert reason in str(caught.value)


def test_brackets_inside_strings_are_not_depth() -> None:
    body = json.dumps({"Hostname": '[{"' * 200}).encode()
    assert decode_json(body, model.ContainerConfig).hostname == '[{"' * 200


def test_a_whole_surrogate_pair_is_one_character() -> None:
    found = decode_json(b'{"Hostname":"\\ud83d\\ude00"}', model.ContainerConfig)
    assert found.hostname == "\U0001f600"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)
known_names = [f.encode_name for f in msgspec.structs.fields(model.ContainerCreateRequest)]
host_names = [f.encode_name for f in msgspec.structs.fields(model.HostConfig)]


@given(
    st.dictionaries(
        st.sampled_from(known_names).map(str.lower) | st.sampled_from(known_names), json_values
    ),
    st.dictionaries(st.sampled_from(host_names), json_values),
)
def test_any_json_gives_a_document_or_a_refusal(top: dict[str, Any], host: dict[str, Any]) -> None:
    body = json.dumps({**top, "HostConfig": host}).encode()  # NaN and Infinity are Python's own
    try:
        found = decode_json(body, model.ContainerCreateRequest)
    except InvalidParameter:
        return
    assert msgspec.json.decode(msgspec.json.encode(found), type=type(found)) == found


@given(st.binary())
def test_any_bytes_give_a_value_or_a_refusal(data: bytes) -> None:
    try:
        value = parse_json(data)
    except InvalidParameter:
        return
    assert json.loads(data) == value


@given(json_values)
def test_what_is_strict_json_is_read_as_it_is(value: Any) -> None:
    try:
        text = json.dumps(value, allow_nan=False).encode()
    except ValueError:
        return
    try:
        assert parse_json(text) == value
    except InvalidParameter as error:
        assert "surrogate" in str(error) or "deep" in str(error)  # noqa: PT017
