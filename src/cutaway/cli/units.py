"""Sizes, durations and times as docker reads and prints them.

Source: the Go module ``docker/go-units`` (its results), Go's ``time.ParseDuration``.
"""

import time

_BYTES = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40, "p": 1 << 50}
_SECOND_NS = 1_000_000_000
_DURATIONS_NS = {
    "ns": 1,
    "us": 1000,
    "µs": 1000,
    "ms": 1_000_000,
    "s": _SECOND_NS,
    "m": 60 * _SECOND_NS,
    "h": 3600 * _SECOND_NS,
}


def parse_bytes(text: str) -> int:
    """Read ``64m``, ``1.5GiB``, ``512`` as a number of bytes (powers of 1024).

    Raises:
        ValueError: ``invalid size: 'x'``.
    """
    lowered = text.strip().lower()
    number = lowered.rstrip("bikmgtp ")
    unit = lowered[len(number) :].strip()
    if unit.endswith("ib"):
        unit = unit[:-2]
    elif len(unit) == 2 and unit.endswith("b"):
        unit = unit[:-1]
    try:
        value = float(number) * _BYTES[unit]
    except (ValueError, KeyError):
        raise ValueError(f"invalid size: '{text}'") from None
    if value < 0 or value != value or value > 1 << 63:
        raise ValueError(f"invalid size: '{text}'")
    return int(value)


def parse_cpus(text: str) -> int:
    """Read ``1.5`` as billionths of a CPU.

    Raises:
        ValueError: not a number, or finer than a billionth.
    """
    whole, _, fraction = text.partition(".")
    if not (whole + fraction).isdecimal():
        raise ValueError(f"failed to parse {text} as a rational number")
    if len(fraction) > 9:
        raise ValueError("value is too precise")
    return int(whole or "0") * _SECOND_NS + int(fraction.ljust(9, "0"))


def parse_duration_ns(text: str) -> int:
    """Read Go's duration ``1h30m``, ``1.5s``, ``0`` as nanoseconds.

    Raises:
        ValueError: ``time: invalid duration "x"``.
    """
    if text == "0":
        return 0
    rest = text.removeprefix("-")
    total = 0.0
    while rest:
        number = ""
        while rest[:1].isdecimal() or rest[:1] == ".":
            number, rest = number + rest[0], rest[1:]
        unit = ""
        while rest and not rest[0].isdecimal() and rest[0] != ".":
            unit, rest = unit + rest[0], rest[1:]
        if not number or number == ".":
            raise ValueError(f'time: invalid duration "{text}"')
        if not unit:
            raise ValueError(f'time: missing unit in duration "{text}"')
        if unit not in _DURATIONS_NS:
            raise ValueError(f'time: unknown unit "{unit}" in duration "{text}"')
        total += float(number) * _DURATIONS_NS[unit]
    if not text.removeprefix("-"):
        raise ValueError(f'time: invalid duration "{text}"')
    return int(-total if text.startswith("-") else total)


def _significant(value: float, digits: int) -> str:
    return f"{value:.{digits}g}" if value < 10**digits else str(round(value))


def human_size(size_bytes: float, *, digits: int = 3) -> str:
    """Write a size in powers of 1000: ``4.27MB``, as image and container sizes are printed."""
    units = ["B", "kB", "MB", "GB", "TB", "PB", "EB"]
    index = 0
    while size_bytes >= 1000 and index < len(units) - 1:
        size_bytes /= 1000
        index += 1
    return _significant(size_bytes, digits) + units[index]


def binary_size(size_bytes: float) -> str:
    """Write a size in powers of 1024: ``1.952GiB``, as memory is printed."""
    units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"]
    index = 0
    while size_bytes >= 1024 and index < len(units) - 1:
        size_bytes /= 1024
        index += 1
    return _significant(size_bytes, 4) + units[index]


def human_duration(seconds: float) -> str:
    """Write a duration roughly: ``About a minute``, ``3 weeks``."""
    if seconds < 1:
        return "Less than a second"
    if seconds < 2:
        return "1 second"
    if seconds < 60:
        return f"{int(seconds)} seconds"
    minutes = int(seconds // 60)
    if minutes == 1:
        return "About a minute"
    if minutes < 60:
        return f"{minutes} minutes"
    hours = int(seconds / 3600 + 0.5)
    if hours == 1:
        return "About an hour"
    if hours < 48:
        return f"{hours} hours"
    if hours < 24 * 7 * 2:
        return f"{hours // 24} days"
    if hours < 24 * 30 * 2:
        return f"{hours // 24 // 7} weeks"
    if hours < 24 * 365 * 2:
        return f"{hours // 24 // 30} months"
    return f"{int(seconds // 3600 // 24 // 365)} years"


def human_ago(unix_seconds: float) -> str:
    """Write a past moment as ``2 hours ago``; docker prints ``N/A`` for none."""
    if unix_seconds <= 0:
        return "N/A"
    return human_duration(time.time() - unix_seconds) + " ago"


def parse_rfc3339(text: str) -> float:
    """Read the engine's ``2026-01-02T03:04:05.123456789Z`` as seconds since 1970.

    Returns:
        0.0 for the engine's "never", ``0001-01-01T00:00:00Z``.
    """
    from datetime import datetime

    if not text or text.startswith("0001"):
        return 0.0
    head, _, tail = text.partition(".")
    digits = len(tail) - len(tail.lstrip("0123456789"))
    fraction, zone = tail[:digits], tail[digits:]
    if not fraction:
        return datetime.fromisoformat(text).timestamp()
    return datetime.fromisoformat(head + (zone or "Z")).timestamp() + float("0." + fraction)


def rfc3339(unix_seconds: float) -> str:
    """Write a moment as ``2026-01-02T03:04:05Z``, with this machine's zone."""
    moment = time.localtime(unix_seconds)
    zone = time.strftime("%z", moment)
    offset = "Z" if zone == "+0000" else f"{zone[:3]}:{zone[3:]}"
    return time.strftime("%Y-%m-%dT%H:%M:%S", moment) + offset


def local_time(unix_seconds: float) -> str:
    """Write a moment as docker's CreatedAt: ``2026-01-02 03:04:05 +0000 UTC``."""
    moment = time.localtime(unix_seconds)
    return time.strftime("%Y-%m-%d %H:%M:%S %z %Z", moment)


def go_time(text: str) -> str:
    """Print an RFC 3339 moment as Go's ``time.Time`` does."""
    if not text:
        return "0001-01-01 00:00:00 +0000 UTC"
    moment, zone = (text[:-1], "Z") if text.endswith("Z") else (text[:-6], text[-6:])
    whole, dot, digits = moment.replace("T", " ", 1).partition(".")
    digits = digits.rstrip("0")
    offset = "+0000 UTC" if zone == "Z" else f"{zone.replace(':', '')} {zone.replace(':', '')}"
    return f"{whole}{'.' + digits if digits else ''} {offset}"
