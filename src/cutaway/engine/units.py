"""Texts with units, as Docker reads them: sizes, durations, ulimits, times and signals."""

import re
import signal
from dataclasses import dataclass
from datetime import UTC, datetime

from cutaway.errors import InvalidParameter

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s?([kmgtpKMGTP]?)(?:i?[bB])?")
_SIZE_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5}
_DURATION = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)")
_DURATION_NS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "μs": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}
_TIMESTAMP = re.compile(
    r"(\d{4}-\d\d-\d\d)(?:T(\d\d(?::\d\d(?::\d\d(?:\.\d{1,9})?)?)?))?(Z|[+-]\d\d:?\d\d)?"
)
NANOSECONDS = 1_000_000_000

# getrlimit(2)'s names and numbers on Linux.
ULIMIT_NAMES = {
    "cpu": 0,
    "fsize": 1,
    "data": 2,
    "stack": 3,
    "core": 4,
    "rss": 5,
    "nproc": 6,
    "nofile": 7,
    "memlock": 8,
    "as": 9,
    "locks": 10,
    "sigpending": 11,
    "msgqueue": 12,
    "nice": 13,
    "rtprio": 14,
    "rttime": 15,
}


@dataclass(frozen=True, slots=True)
class Ulimit:
    """A soft and a hard resource limit; -1 is unlimited."""

    name: str
    soft: int
    hard: int


def parse_bytes(text: str) -> int:
    """Read ``64m``, ``1.5GiB``, ``1024`` as a number of bytes, in powers of 1024.

    Raises:
        ValueError: any other shape.
    """
    match = _SIZE.fullmatch(text)
    if not match:
        raise ValueError(f"invalid size: '{text}'")
    return int(float(match[1]) * 1024 ** _SIZE_POWERS[match[2].lower()])


def parse_ulimit(text: str) -> Ulimit:
    """Read ``nofile=1024:2048`` or ``nofile=1024``.

    Raises:
        ValueError: an unknown name, no number, or the soft limit above the hard one.
    """
    name, separator, limits = text.partition("=")
    if not separator:
        raise ValueError(f"invalid ulimit argument: {text}")
    if name not in ULIMIT_NAMES:
        raise ValueError(f"invalid ulimit type: {name}")
    parts = limits.split(":")
    if len(parts) > 2:
        raise ValueError(
            f"too many limit value arguments - {limits}, can only have up to two, `soft[:hard]`"
        )
    soft = int(parts[0])
    hard = int(parts[1]) if len(parts) == 2 else soft
    check_ulimit(Ulimit(name, soft, hard))
    return Ulimit(name, soft, hard)


def check_ulimit(limit: Ulimit) -> None:
    """Refuse an unknown limit, or one whose soft value is above the hard one.

    Raises:
        ValueError: with Docker's sentence.
    """
    if limit.name not in ULIMIT_NAMES:
        raise ValueError(f"invalid ulimit type: {limit.name}")
    unlimited = -1
    if limit.hard != unlimited and (limit.soft == unlimited or limit.soft > limit.hard):
        raise ValueError(
            "ulimit soft limit must be less than or equal to hard limit: "
            f"{limit.soft} > {limit.hard}"
        )


def parse_duration_ns(text: str) -> int:
    """Read Go's durations, ``1h2m3.5s``, as nanoseconds.

    Raises:
        ValueError: any other shape.
    """
    negative = text.startswith("-")
    body = text.lstrip("+-")
    if body == "0":
        return 0
    total, position = 0.0, 0
    for match in _DURATION.finditer(body):
        if match.start() != position:
            break
        total += float(match[1]) * _DURATION_NS[match[2]]
        position = match.end()
    if not body or position != len(body):
        raise ValueError(f'time: invalid duration "{text}"')
    return -int(total) if negative else int(total)


def parse_time_ns(text: str, *, now_ns: int) -> int:
    """Read the API's times: seconds with a fraction, RFC 3339 or a part of it, or an age (``10m``).

    Returns:
        Nanoseconds since the epoch.

    Raises:
        InvalidParameter: any other shape.
    """
    if re.fullmatch(r"-?\d+(\.\d{1,9})?", text):
        seconds, _, fraction = text.partition(".")
        return int(seconds) * NANOSECONDS + int((fraction or "0").ljust(9, "0"))
    match = _TIMESTAMP.fullmatch(text)
    try:
        if match:
            return _timestamp_ns(match[1], match[2] or "00", match[3] or "Z")
        return now_ns - parse_duration_ns(text)
    except ValueError:
        raise InvalidParameter(f'failed to parse value as time or duration: "{text}"') from None


def _timestamp_ns(day: str, clock: str, zone: str) -> int:
    whole, _, fraction = clock.partition(".")
    whole += ":00" * (2 - whole.count(":"))
    moment = datetime.fromisoformat(f"{day}T{whole}{zone}")
    return int(moment.timestamp()) * NANOSECONDS + int(fraction.ljust(9, "0") or "0")


def format_time(nanoseconds: int) -> str:
    """Write a moment as Go's RFC3339Nano in UTC; 0 is Go's zero time."""
    if not nanoseconds:
        return "0001-01-01T00:00:00Z"
    seconds, rest = divmod(nanoseconds, NANOSECONDS)
    text = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    fraction = f"{rest:09d}".rstrip("0")
    return f"{text}.{fraction}Z" if fraction else f"{text}Z"


def parse_signal(text: str) -> int:
    """Read ``9``, ``KILL``, ``SIGKILL`` or ``RTMIN+3`` as a signal's number.

    Raises:
        InvalidParameter: no such signal on Linux.
    """
    if text.isdecimal():
        number = int(text)
        if 0 < number <= 64:
            return number
        raise InvalidParameter(f"invalid signal: {text}")
    name = text.upper().removeprefix("SIG")
    base, sign, offset = name.partition("+") if "+" in name else name.partition("-")
    known = {"RTMIN": 34, "RTMAX": 64, "POLL": 29, "CLD": 17, "IOT": 6, "STKFLT": 16, "UNUSED": 31}
    value = known.get(base)
    if value is None and "SIG" + base in signal.Signals.__members__ and not sign:
        return int(signal.Signals["SIG" + base])
    if value is None or (sign and not offset.isdecimal()):
        raise InvalidParameter(f"invalid signal: {text}")
    if sign:
        value += int(offset) if sign == "+" else -int(offset)
    if not 0 < value <= 64:
        raise InvalidParameter(f"invalid signal: {text}")
    return value
