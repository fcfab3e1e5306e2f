"""The device program, run by an eBPF interpreter of the few instructions it uses."""

import struct

import pytest

from cutaway.errors import InvalidParameter
from cutaway.oci.runtime_spec import DeviceRule
from cutaway.security.device_filter import build_device_filter

MKNOD, READ, WRITE = 1, 2, 4
DENY_ALL = DeviceRule(allow=False, access="rwm")


def ask(rules: list[DeviceRule], kind: str, major: int, minor: int, access: int) -> bool:
    """Return whether the program for ``rules`` allows the access."""
    program = build_device_filter(rules)
    code = list(struct.iter_unpack("=BBhi", program))
    context = struct.pack("=III", access << 16 | {"b": 1, "c": 2}[kind], major, minor)
    registers = [0] * 11
    index = 0
    while True:
        operation, packed, jump, value = code[index]
        index += 1
        target, source = packed & 15, packed >> 4
        if operation == 0x61:
            registers[target] = struct.unpack_from("=I", context, jump)[0]
        elif operation == 0xBC:
            registers[target] = registers[source]
        elif operation == 0xB7:
            registers[target] = value
        elif operation == 0x54:
            registers[target] &= value & 0xFFFFFFFF
        elif operation == 0x74:
            registers[target] >>= value
        elif operation == 0x55:
            index += jump if registers[target] != value else 0
        elif operation == 0x15:
            index += jump if registers[target] == value else 0
        else:
            assert operation == 0x95
            return bool(registers[0])


def test_without_rules_everything_is_denied() -> None:
    assert not ask([], "c", 1, 3, READ)


def test_dockers_rules_allow_null_and_deny_a_disk() -> None:
    rules = [
        DENY_ALL,
        DeviceRule(allow=True, type="c", major=1, minor=3, access="rwm"),
        DeviceRule(allow=True, type="c", major=136, access="rwm"),
        DeviceRule(allow=False, type="c", major=10, minor=229, access="rwm"),
    ]
    assert ask(rules, "c", 1, 3, READ | WRITE)
    assert ask(rules, "c", 136, 77, READ | WRITE)
    assert not ask(rules, "c", 10, 229, READ)
    assert not ask(rules, "b", 1, 3, READ)
    assert not ask(rules, "b", 8, 0, READ)
    assert not ask(rules, "c", 1, 4, READ)


def test_the_last_matching_rule_decides_each_kind_of_access() -> None:
    rules = [
        DeviceRule(allow=True, type="a"),
        DeviceRule(allow=False, type="b", access="w"),
        DeviceRule(allow=True, type="b", major=7, access="w"),
    ]
    assert ask(rules, "b", 8, 0, READ)
    assert not ask(rules, "b", 8, 0, READ | WRITE)
    assert ask(rules, "b", 7, 0, READ | WRITE)


def test_two_rules_together_allow_what_neither_allows_alone() -> None:
    rules = [
        DENY_ALL,
        DeviceRule(allow=True, type="c", major=1, minor=3, access="r"),
        DeviceRule(allow=True, type="c", major=1, minor=3, access="w"),
    ]
    assert ask(rules, "c", 1, 3, READ | WRITE)
    assert not ask(rules, "c", 1, 3, READ | MKNOD)


def test_any_device_any_number_is_written_minus_one_too() -> None:
    rules = [DENY_ALL, DeviceRule(allow=True, type="c", major=-1, minor=-1, access="m")]
    assert ask(rules, "c", 240, 9, MKNOD)
    assert not ask(rules, "b", 240, 9, MKNOD)


def test_unbuffered_means_character() -> None:
    assert ask([DeviceRule(allow=True, type="u", major=1)], "c", 1, 3, READ)


def test_rules_before_one_about_everything_cost_nothing() -> None:
    rule = DeviceRule(allow=True, type="c", major=1, minor=3)
    assert len(build_device_filter([rule, DENY_ALL])) == len(build_device_filter([DENY_ALL]))


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        (DeviceRule(allow=True, type="x"), "device type: expected a, b, c or u, got 'x'"),
        (DeviceRule(allow=True, access="rx"), "device access: expected r, w or m, got 'x'"),
        (DeviceRule(allow=True, type="c", major=2**31), "device number: too large: 2147483648"),
    ],
)
def test_a_rule_that_cannot_be_is_refused(rule: DeviceRule, text: str) -> None:
    with pytest.raises(InvalidParameter) as error:
        build_device_filter([rule])
    assert str(error.value) == text


def test_more_rules_than_a_program_holds_are_refused() -> None:
    rules = [DeviceRule(allow=True, type="c", major=major) for major in range(1000)]
    with pytest.raises(InvalidParameter, match="too many device rules"):
        build_device_filter(rules)
