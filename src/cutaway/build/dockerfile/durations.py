"""Go's durations (``30s``, ``1m30s``), as HEALTHCHECK's flags take them."""

import re

_UNITS_NS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}
_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)")


def parse_duration_ns(text: str) -> int:
    """Return nanoseconds.

    Raises:
        ValueError: ``time: invalid duration "x"``.
    """
    if text == "0":
        return 0
    total, index = 0.0, 0
    while index < len(text):
        match = _PART.match(text, index)
        if match is None:
            raise ValueError(f'time: invalid duration "{text}"')
        total += float(match.group(1)) * _UNITS_NS[match.group(2)]
        index = match.end()
    if not text:
        raise ValueError('time: invalid duration ""')
    return int(total)
