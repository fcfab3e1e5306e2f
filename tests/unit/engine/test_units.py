"""Texts with units, as Docker reads them."""

import pytest

from cutaway.engine.units import (
    Ulimit,
    format_time,
    parse_bytes,
    parse_duration_ns,
    parse_signal,
    parse_time_ns,
    parse_ulimit,
)
from cutaway.errors import InvalidParameter


@pytest.mark.parametrize(
    ("text", "expected"),
    [("0", 0), ("1024", 1024), ("64m", 64 << 20), ("1.5GiB", 3 << 29), ("2 kB", 2048)],
)
def test_bytes_are_powers_of_1024(text: str, expected: int) -> None:
    assert parse_bytes(text) == expected


@pytest.mark.parametrize("text", ["", "m", "-1", "1x", "1mm"])
def test_other_sizes_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="invalid size"):
        parse_bytes(text)


def test_ulimits() -> None:
    assert parse_ulimit("nofile=10:20") == Ulimit("nofile", 10, 20)
    assert parse_ulimit("core=-1") == Ulimit("core", -1, -1)
    for text in ("nofile", "bogus=1", "nofile=1:2:3", "nofile=x"):
        with pytest.raises(ValueError, match=r".+"):
            parse_ulimit(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1s", 10**9),
        ("1h2m3.5s", 3723_500_000_000),
        ("100ms", 10**8),
        ("0", 0),
        ("-1m", -60 * 10**9),
        ("1µs", 1000),
    ],
)
def test_durations(text: str, expected: int) -> None:
    assert parse_duration_ns(text) == expected


@pytest.mark.parametrize("text", ["", "1", "s", "1s2", "abc"])
def test_other_durations_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="invalid duration"):
        parse_duration_ns(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1136073845", 1136073845 * 10**9),
        ("1136073845.5", 1136073845_500_000_000),
        ("1136073845.000000001", 1136073845_000_000_001),
        ("2006-01-02T15:04:05.999999999Z", 1136214245_999_999_999),
        ("2006-01-02T15:04:05+01:00", 1136210645 * 10**9),
        ("2006-01-02", 1136160000 * 10**9),
        ("10m", 10**18 - 600 * 10**9),
    ],
)
def test_times_of_the_api(text: str, expected: int) -> None:
    assert parse_time_ns(text, now_ns=10**18) == expected


def test_other_times_are_refused() -> None:
    with pytest.raises(InvalidParameter, match='failed to parse value as time or duration: "x"'):
        parse_time_ns("x", now_ns=0)


def test_times_are_written_as_go_writes_them() -> None:
    assert format_time(0) == "0001-01-01T00:00:00Z"
    assert format_time(1136214245_000_000_000) == "2006-01-02T15:04:05Z"
    assert format_time(1136214245_120_000_000) == "2006-01-02T15:04:05.12Z"


@pytest.mark.parametrize(
    ("text", "expected"),
    [("9", 9), ("KILL", 9), ("SIGTERM", 15), ("sigusr1", 10), ("RTMIN+3", 37), ("RTMAX-1", 63)],
)
def test_signals(text: str, expected: int) -> None:
    assert parse_signal(text) == expected


@pytest.mark.parametrize("text", ["0", "65", "FOO", "RTMIN+99", "-1", ""])
def test_other_signals_are_refused(text: str) -> None:
    with pytest.raises(InvalidParameter, match="invalid signal"):
        parse_signal(text)
