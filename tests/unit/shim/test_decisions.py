"""The pure parts of the shim: detach keys, restart policies, the health tally."""

import pytest

from cutaway.errors import InvalidParameter
from cutaway.shim.health import HealthTally
from cutaway.shim.io.detach import DetachFilter, parse_detach_keys
from cutaway.shim.protocol import HealthCheck, RestartPolicy
from cutaway.shim.restart import RestartState, decide_restart


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("", b""),
        ("ctrl-p,ctrl-q", b"\x10\x11"),
        ("CTRL-A,x", b"\x01x"),
        ("ctrl-@,ctrl-[,ctrl-\\,ctrl-],ctrl-^,ctrl-_", b"\x00\x1b\x1c\x1d\x1e\x1f"),
    ],
)
def test_detach_keys_are_named_as_docker_names_them(text, keys):
    assert parse_detach_keys(text) == keys


@pytest.mark.parametrize("text", ["ctrl-", "ctrl-1", "xy", "ä", "ctrl-p,,q"])
def test_a_wrong_detach_key_is_named(text):
    with pytest.raises(InvalidParameter, match="Unknown character"):
        parse_detach_keys(text)


@pytest.mark.parametrize(
    ("pieces", "expected", "detached"),
    [
        ([b"abc"], b"abc", False),
        ([b"ab\x10\x11cd"], b"ab", True),
        ([b"ab\x10", b"\x11"], b"ab", True),
        ([b"ab\x10", b"x"], b"ab\x10x", False),
        ([b"\x10\x10", b"\x11"], b"\x10", True),
        ([b"\x10", b"\x10", b"z"], b"\x10\x10z", False),
    ],
)
def test_the_sequence_is_found_however_it_arrives(pieces, expected, detached):
    keys = DetachFilter(b"\x10\x11")
    results = [keys.feed(piece) for piece in pieces]
    assert b"".join(text for text, _ in results) == expected
    assert results[-1][1] is detached


def decide(name, state=RestartState(), **facts):  # noqa: B008 - a frozen value
    maximum = facts.pop("maximum_retries", 0)
    facts = {"exit_code": 1, "ran_ms": 5, "stopped_by_user": False, "unhealthy": False} | facts
    return decide_restart(RestartPolicy(name, maximum), state, **facts)


def test_policies_decide_by_exit_code():
    assert decide("no") is None
    assert decide("on-failure", exit_code=0) is None
    assert decide("on-failure") == RestartState(1, 100)
    assert decide("always", exit_code=0) == RestartState(1, 100)
    assert decide("unless-stopped", exit_code=0) == RestartState(1, 100)
    assert decide("on-unhealthy", exit_code=0) is None
    assert decide("on-unhealthy", exit_code=0, unhealthy=True) == RestartState(1, 100)


@pytest.mark.parametrize("name", ["always", "unless-stopped", "on-failure", "on-unhealthy"])
def test_a_user_who_stops_is_obeyed(name):
    assert decide(name, stopped_by_user=True) is None


def test_the_pause_doubles_to_a_minute_and_falls_back_after_ten_seconds():
    state = RestartState()
    pauses = []
    for _ in range(12):
        state = decide("always", state)
        pauses.append(state.delay_ms)
    assert pauses[:5] == [100, 200, 400, 800, 1600]
    assert pauses[-1] == 60_000
    assert decide("always", state, ran_ms=10_000) == RestartState(13, 100)


def test_retries_are_counted():
    assert decide("on-failure", RestartState(2, 100), maximum_retries=3) == RestartState(3, 200)
    assert decide("on-failure", RestartState(3, 100), maximum_retries=3) is None
    assert decide("always", RestartState(3, 100), maximum_retries=3) is not None


def result(code: int) -> dict:
    return {"Start": "", "End": "", "ExitCode": code, "Output": ""}


def test_failures_in_the_start_period_do_not_count_until_the_first_success():
    tally = HealthTally(HealthCheck({}, retries=2, start_period_ns=100))
    for _ in range(5):
        assert not tally.add(result(1), age_ns=50)
    assert (tally.status, tally.failing_streak) == ("starting", 0)
    assert tally.next_interval_ns(50) == HealthCheck({}).start_interval_ns
    assert tally.add(result(0), age_ns=60)
    assert tally.next_interval_ns(70) == HealthCheck({}).interval_ns
    assert not tally.add(result(1), age_ns=70)
    assert tally.add(result(1), age_ns=80)
    assert (tally.status, tally.failing_streak) == ("unhealthy", 2)
    assert len(tally.log) == 5
    assert tally.add(result(0), age_ns=90)
    assert (tally.status, tally.failing_streak) == ("healthy", 0)
