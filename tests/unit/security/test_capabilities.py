import pytest

from cutaway.errors import InvalidParameter
from cutaway.security.capabilities import (
    ALL_CAPABILITIES,
    DEFAULT_CAPABILITIES,
    from_bits,
    normalize,
    plan_capabilities,
    restrict,
    to_bits,
)


def test_default_set_is_dockers_a80425fb() -> None:
    assert to_bits(DEFAULT_CAPABILITIES) == 0xA80425FB
    assert len(DEFAULT_CAPABILITIES) == 14


def test_all_is_every_capability_of_linux_5_9_and_newer() -> None:
    assert to_bits(ALL_CAPABILITIES) == 0x1FFFFFFFFFF


def test_nothing_asked_is_the_default() -> None:
    assert plan_capabilities([], []) == DEFAULT_CAPABILITIES


def test_privileged_is_all_whatever_is_dropped() -> None:
    assert plan_capabilities([], ["ALL"], privileged=True) == ALL_CAPABILITIES


def test_prefix_and_case_are_free() -> None:
    assert plan_capabilities(["net_admin"], ["Cap_Chown"]) == (
        *(c for c in DEFAULT_CAPABILITIES if c != "CAP_CHOWN"),
        "CAP_NET_ADMIN",
    )


def test_an_added_capability_is_named_once() -> None:
    assert plan_capabilities(["CHOWN"], []) == DEFAULT_CAPABILITIES


def test_an_added_capability_wins_over_a_drop_of_the_same() -> None:
    assert set(plan_capabilities(["CHOWN"], ["CHOWN"])) == set(DEFAULT_CAPABILITIES)


def test_drop_all_leaves_the_added_ones() -> None:
    assert plan_capabilities(["SYS_TIME", "CHOWN", "SYS_TIME"], ["ALL"]) == (
        "CAP_SYS_TIME",
        "CAP_CHOWN",
    )


def test_drop_all_alone_leaves_nothing() -> None:
    assert plan_capabilities([], ["all"]) == ()


def test_add_all_keeps_all_but_the_dropped_ones() -> None:
    given = plan_capabilities(["ALL"], ["SYS_ADMIN"])
    assert set(ALL_CAPABILITIES) - set(given) == {"CAP_SYS_ADMIN"}


def test_add_all_wins_over_drop_all() -> None:
    assert plan_capabilities(["ALL"], ["ALL"]) == ALL_CAPABILITIES


@pytest.mark.parametrize(
    ("add", "drop", "text"),
    [
        (["foo"], [], 'invalid CapAdd: unknown capability: "CAP_FOO"'),
        ([], ["CAP_BAR"], 'invalid CapDrop: unknown capability: "CAP_BAR"'),
        ([""], [], 'invalid CapAdd: unknown capability: "CAP_"'),
        (["CAP_ALL"], [], 'invalid CapAdd: unknown capability: "CAP_ALL"'),
    ],
)
def test_an_unknown_capability_is_refused_in_dockers_words(
    add: list[str], drop: list[str], text: str
) -> None:
    with pytest.raises(InvalidParameter) as error:
        plan_capabilities(add, drop)
    assert str(error.value) == text


def test_normalize_keeps_all() -> None:
    assert normalize(["all", "kill"]) == ("ALL", "CAP_KILL")


def test_bits_round_trip() -> None:
    assert set(from_bits(to_bits(DEFAULT_CAPABILITIES))) == set(DEFAULT_CAPABILITIES)


def test_bits_newer_than_the_table_are_left_out() -> None:
    assert from_bits(1 << 63 | 1) == ("CAP_CHOWN",)


def test_to_bits_refuses_a_name_without_prefix() -> None:
    with pytest.raises(InvalidParameter, match='unknown capability: "CHOWN"'):
        to_bits(["CHOWN"])


def test_restrict_separates_what_the_machine_lacks() -> None:
    allowed = to_bits(ALL_CAPABILITIES) & ~to_bits(["CAP_SYS_RESOURCE"])
    assert restrict(["CAP_CHOWN", "CAP_SYS_RESOURCE", "CAP_BPF"], allowed) == (
        ("CAP_CHOWN", "CAP_BPF"),
        ("CAP_SYS_RESOURCE",),
    )
