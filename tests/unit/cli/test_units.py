"""Sizes and durations as Go's docker/go-units writes them."""

import pytest

from cutaway.cli.units import (
    binary_size,
    human_duration,
    human_size,
    parse_bytes,
    parse_cpus,
    parse_duration_ns,
    parse_rfc3339,
)


@pytest.mark.parametrize(
    ("text", "size"),
    [("64m", 64 << 20), ("1.5GiB", 3 << 29), ("512", 512), ("1kb", 1024), ("2 g", 2 << 30)],
)
def test_parse_bytes(text, size):
    assert parse_bytes(text) == size


@pytest.mark.parametrize("text", ["", "x", "-1m", "1zb", "nan", "1e99p"])
def test_parse_bytes_refuses(text):
    with pytest.raises(ValueError, match="invalid size"):
        parse_bytes(text)


def test_cpus_are_exact_billionths():
    assert parse_cpus("1.5") == 1_500_000_000
    assert parse_cpus("0.000000001") == 1
    with pytest.raises(ValueError, match="too precise"):
        parse_cpus("0.0000000001")


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [("0", 0), ("1h30m", 5400 * 10**9), ("1.5s", 1_500_000_000), ("-2ms", -2_000_000)],
)
def test_parse_duration(text, nanoseconds):
    assert parse_duration_ns(text) == nanoseconds


@pytest.mark.parametrize("text", ["", "5", "s", "1x", ".s"])
def test_parse_duration_refuses(text):
    with pytest.raises(ValueError, match="time: "):
        parse_duration_ns(text)


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0B"), (999, "999B"), (4_270_000, "4.27MB"), (1_000, "1kB"), (123_456_789, "123MB")],
)
def test_human_size(size, text):
    assert human_size(size) == text


def test_binary_size():
    assert binary_size(2_095_944_040) == "1.952GiB"
    assert binary_size(512) == "512B"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "Less than a second"),
        (1, "1 second"),
        (59, "59 seconds"),
        (60, "About a minute"),
        (3600, "About an hour"),
        (47 * 3600, "47 hours"),
        (72 * 3600, "3 days"),
        (15 * 86400, "2 weeks"),
        (65 * 86400, "2 months"),
        (800 * 86400, "2 years"),
    ],
)
def test_human_duration(seconds, text):
    assert human_duration(seconds) == text


def test_times_of_the_engine():
    assert parse_rfc3339("0001-01-01T00:00:00Z") == 0.0
    assert parse_rfc3339("1970-01-01T00:00:01.5Z") == 1.5
    assert parse_rfc3339("1970-01-01T01:00:00+01:00") == 0.0
