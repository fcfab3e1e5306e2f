"""PAX extended headers: ``length key=value`` lines, bounded and checked.

Source: POSIX pax "pax Extended Header".
"""

from collections.abc import Iterable

from cutaway.images.layers.errors import BadLayer

XATTR_PREFIX = b"SCHILY.xattr."
_NANOSECONDS = 1_000_000_000
_TIME_LIMIT_S = 1 << 62


def parse_records(data: bytes) -> dict[bytes, bytes]:
    """Read the records of one extended header; a later record of a key overrides an earlier one.

    Raises:
        BadLayer: a record's length does not fit its text, or a key or path holds a NUL.
    """
    records: dict[bytes, bytes] = {}
    position = 0
    while position < len(data):
        space = data.find(b" ", position, position + 20)
        digits = data[position:space] if space >= 0 else b""
        if not digits.isdigit():
            raise BadLayer("layer is damaged: a PAX record does not start with its length")
        end = position + int(digits)
        if end <= space + 1 or end > len(data) or data[end - 1] != 0x0A:
            raise BadLayer("layer is damaged: a PAX record's length does not match its text")
        key, equals, value = data[space + 1 : end - 1].partition(b"=")
        if not equals or not key or b"\0" in key:
            raise BadLayer("layer is damaged: a PAX record is not key=value")
        records[key] = value
        position = end
    return records


def format_records(records: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Write records in the order given; the inverse of ``parse_records``."""
    lines = []
    for key, value in records:
        body = b" " + key + b"=" + value + b"\n"
        length = len(body)
        while length != len(body) + len(str(length)):
            length = len(body) + len(str(length))
        lines.append(b"%d%s" % (length, body))
    return b"".join(lines)


def parse_integer(value: bytes, key: str) -> int:
    """Read a decimal number that may not be negative, of at most 20 digits.

    Raises:
        BadLayer: anything else.
    """
    if not value.isdigit() or len(value) > 20:
        raise BadLayer(f"layer is damaged: PAX {key} is {value[:40]!r}, not a number")
    return int(value)


def parse_time_ns(value: bytes) -> int:
    """Read seconds with a decimal fraction exactly: ``-1.5`` is -1500000000 ns.

    Digits beyond the ninth are cut, as Go does.

    Raises:
        BadLayer: not such a number.
    """
    whole, _, fraction = value.partition(b".")
    is_negative = whole.startswith(b"-")
    digits = whole[1:] if is_negative else whole
    if not digits.isdigit() or len(digits) > 19 or (fraction and not fraction.isdigit()):
        raise BadLayer(f"layer is damaged: PAX mtime is {value[:40]!r}, not a time")
    seconds = int(digits)
    if seconds > _TIME_LIMIT_S:
        raise BadLayer(f"layer is damaged: PAX mtime {value[:40]!r} is out of range")
    nanoseconds = seconds * _NANOSECONDS + int(fraction[:9].ljust(9, b"0") or b"0")
    return -nanoseconds if is_negative else nanoseconds


def format_time(time_ns: int) -> bytes:
    """Write a time in nanoseconds as PAX does, without trailing zeros."""
    sign = b"-" if time_ns < 0 else b""
    seconds, nanoseconds = divmod(abs(time_ns), _NANOSECONDS)
    text = b"%s%d.%09d" % (sign, seconds, nanoseconds)
    return text.rstrip(b"0").rstrip(b".")
