"""Ids, names, finding one by another, and the states of a life."""

import random

import pytest

from cutaway.engine.containers.names import ADJECTIVES, SURNAMES, generate_name
from cutaway.engine.ids import (
    find_by_prefix,
    is_id,
    new_id,
    parse_name,
    short_id,
)
from cutaway.engine.lifecycle import Happening, ImpossibleTransition, Status, next_status
from cutaway.errors import Conflict, InvalidParameter


def test_ids_are_64_digits_and_a_short_id_never_reads_as_a_number() -> None:
    for _ in range(200):
        identifier = new_id()
        assert is_id(identifier)
        assert not short_id(identifier).isdecimal()


@pytest.mark.parametrize("name", ["web", "/web", "a.b-c_d", "0x"])
def test_names(name: str) -> None:
    assert parse_name(name) == name.lstrip("/")


@pytest.mark.parametrize("name", ["", "a", "-a", "a b", "a/b", "ü1", "a\n", "..", "a:b"])
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(InvalidParameter, match="Invalid container name"):
        parse_name(name)


def test_a_prefix_must_fit_one() -> None:
    assert find_by_prefix("ab", ["abc", "b"]) == "abc"
    assert find_by_prefix("x", ["abc"]) is None
    assert find_by_prefix("", ["abc"]) is None
    with pytest.raises(InvalidParameter, match="multiple IDs found with provided prefix: a"):
        find_by_prefix("a", ["ab", "ac"])


def test_made_up_names_are_free_and_can_be_names() -> None:
    everything = {f"{a}_{s}" for a in ADJECTIVES for s in SURNAMES}
    name = generate_name(everything, random.Random(1))
    assert name not in everything
    assert parse_name(name) == name
    assert len(set(ADJECTIVES)) == len(ADJECTIVES)
    assert len(set(SURNAMES)) == len(SURNAMES)


def test_a_paused_container_can_end_but_not_start() -> None:
    assert next_status(Status.PAUSED, Happening.EXIT) is Status.EXITED
    with pytest.raises(ImpossibleTransition):
        next_status(Status.PAUSED, Happening.START)
    assert issubclass(ImpossibleTransition, Conflict)


def test_every_status_is_reached_and_left() -> None:
    from cutaway.engine.lifecycle import TRANSITIONS

    assert {status for status, _ in TRANSITIONS} == set(Status)
    assert set(TRANSITIONS.values()) | {Status.CREATED} == set(Status)
