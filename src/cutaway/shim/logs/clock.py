"""Times as Go writes and reads them: RFC 3339 with up to nine digits, no trailing zeros."""

import time

_SECOND_NS = 1_000_000_000


class StampCache:
    """Formats times; the date part is made once a second."""

    def __init__(self) -> None:
        self._second = -1
        self._date = b""

    def format(self, time_ns: int) -> bytes:
        """Return ``2026-01-02T03:04:05.000000006Z``: UTC, trailing zeros of the fraction cut."""
        second, fraction = divmod(time_ns, _SECOND_NS)
        if second != self._second:
            self._date = b"%04d-%02d-%02dT%02d:%02d:%02d" % time.gmtime(second)[:6]
            self._second = second
        if not fraction:
            return self._date + b"Z"
        return self._date + (b".%09d" % fraction).rstrip(b"0") + b"Z"


def format_rfc3339_nano(time_ns: int) -> bytes:
    """Return one time as Go's time.RFC3339Nano in UTC."""
    return StampCache().format(time_ns)


def format_fixed(time_ns: int) -> bytes:
    """Return a time as ``docker logs --timestamps`` prints it: always nine digits."""
    second, fraction = divmod(time_ns, _SECOND_NS)
    return b"%04d-%02d-%02dT%02d:%02d:%02d.%09dZ" % (*time.gmtime(second)[:6], fraction)


def parse_stamp(stamp: bytes) -> int:
    """Return the nanoseconds since 1970 of an RFC 3339 time in UTC (as the logs hold it).

    Raises:
        ValueError: it is none.
    """
    if len(stamp) < 20 or stamp[10:11] != b"T" or stamp[-1:] != b"Z":
        raise ValueError(f"not an RFC 3339 time in UTC: {stamp!r}")
    days = _days_since_1970(int(stamp[:4]), int(stamp[5:7]), int(stamp[8:10]))
    seconds = days * 86400 + int(stamp[11:13]) * 3600 + int(stamp[14:16]) * 60 + int(stamp[17:19])
    fraction = stamp[20:-1]
    nanoseconds = int(fraction.ljust(9, b"0")[:9]) if fraction else 0
    return seconds * _SECOND_NS + nanoseconds


def _days_since_1970(year: int, month: int, day: int) -> int:
    """Count days in the Gregorian calendar; years start in March so that leap days come last."""
    if month <= 2:
        year -= 1
        month += 12
    leap_days = year // 4 - year // 100 + year // 400
    return 365 * year + leap_days + (153 * month - 457) // 5 + day - 719469
