"""Moments as users write them: ``42m`` ago, a date, seconds since 1970."""

import time

from cutaway.cli.flags import UsageError
from cutaway.cli.units import parse_duration_ns


def parse_moment(text: str, *, flag: str) -> str:
    """Return ``SECONDS.NANOSECONDS`` since 1970, as the API's since and until take it.

    Args:
        flag: ``since`` or ``until``, for the error; empty where docker doesn't name it.
        text: a Go duration (that long ago), an RFC 3339 date or time (local without a zone), or a
            number of seconds.

    Raises:
        UsageError: none of these.
    """
    try:
        moment_ns = time.time_ns() - parse_duration_ns(text)
    except ValueError:
        pass
    else:
        if text != "0":
            return f"{moment_ns // 10**9}.{moment_ns % 10**9:09d}"
    whole, _, fraction = text.partition(".")
    if whole.isdecimal() and (fraction.isdecimal() or not fraction):
        return f"{whole}.{fraction.ljust(9, '0')[:9]}"
    return _date(text, flag)


def _date(text: str, flag: str) -> str:
    from datetime import datetime

    head, dot, tail = text.partition(".")
    digits = ""
    if dot:
        digits = tail[: len(tail) - len(tail.lstrip("0123456789"))]
    try:
        moment = datetime.fromisoformat(head + tail[len(digits) :])
    except ValueError:
        which = f'invalid value for "{flag}": ' if flag else ""
        raise UsageError(f'{which}failed to parse value as time or duration: "{text}"') from None
    return f"{int(moment.timestamp())}.{digits.ljust(9, '0')[:9]}"
