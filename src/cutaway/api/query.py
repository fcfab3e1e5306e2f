"""Query parameters as Docker reads them: Go's parsing, Docker's idea of a boolean.

Source: moby ``daemon/server/httputils/form.go``.
"""

from collections.abc import Mapping
from urllib.parse import unquote_to_bytes

from cutaway.errors import InvalidParameter

FALSE_WORDS = frozenset({"", "0", "no", "false", "none"})


def unescape(text: str, *, plus: bool) -> str:
    """Undo percent-encoding once; with ``plus``, ``+`` is a space.

    Raises:
        InvalidParameter: a ``%`` without two hex digits, or bytes that are not UTF-8.
    """
    if plus and "+" in text:
        text = text.replace("+", " ")
    if "%" not in text:
        return text
    for piece in text.split("%")[1:]:
        digits = piece[:2]
        if len(digits) < 2 or not all(c in "0123456789abcdefABCDEF" for c in digits):
            raise InvalidParameter(f'invalid URL escape "%{digits}"')
    try:
        return unquote_to_bytes(text).decode()
    except UnicodeDecodeError:
        raise InvalidParameter("the URL is not UTF-8 after unescaping") from None


def parse_query(text: str) -> dict[str, list[str]]:
    """Split the part of a URL behind ``?`` into names and their values, in order.

    Raises:
        InvalidParameter: a bad escape, or the ``;`` that Go refuses.
    """
    found: dict[str, list[str]] = {}
    if not text:
        return found
    for pair in text.split("&"):
        if not pair:
            continue
        if ";" in pair:
            raise InvalidParameter("invalid semicolon separator in query")
        name, _, value = pair.partition("=")
        found.setdefault(unescape(name, plus=True), []).append(unescape(value, plus=True))
    return found


class Query:
    """The parameters of one request, read by type. Where a name is repeated the first counts."""

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[str, list[str]]) -> None:
        self._values = values

    def text(self, name: str, default: str = "") -> str:
        """Return the value, or ``default`` when the parameter is absent."""
        values = self._values.get(name)
        return values[0] if values else default

    def has(self, name: str) -> bool:
        """Tell whether the parameter was given, perhaps empty."""
        return name in self._values

    def texts(self, name: str) -> tuple[str, ...]:
        """Return all values of a repeatable parameter."""
        return tuple(self._values.get(name, ()))

    def flag(self, name: str, *, default: bool = False) -> bool:
        """Read a boolean: all but empty, ``0 no false none`` is true; absent is ``default``."""
        values = self._values.get(name)
        if not values:
            return default
        return values[0].strip().lower() not in FALSE_WORDS

    def number(self, name: str, *, default: int = 0) -> int:
        """Read a whole number; absent or empty is ``default``.

        Raises:
            InvalidParameter: it is none, or does not fit 64 bits.
        """
        text = self.text(name)
        if not text:
            return default
        return parse_number(text, name)

    def optional_number(self, name: str) -> int | None:
        """Read a whole number; absent or empty is None."""
        text = self.text(name)
        return parse_number(text, name) if text else None


def parse_number(text: str, name: str) -> int:
    """Read a decimal number of at most 64 bits, as Go's ParseInt does.

    Raises:
        InvalidParameter: names ``name``, the parameter.
    """
    digits = text[1:] if text[:1] in "+-" else text
    if not (digits.isascii() and digits.isdigit()):
        raise InvalidParameter(f'invalid value for {name}: "{text}" is not a whole number')
    if len(digits) > 20 or not -(2**63) <= int(text) < 2**63:
        raise InvalidParameter(f'invalid value for {name}: "{text}" is out of range')
    return int(text)


def parse_timestamp_ns(text: str, name: str) -> int | None:
    """Read ``seconds[.nanoseconds]`` since the epoch; empty is None.

    Docker pads the fraction on the right: ``1.5`` is one second and a half.

    Raises:
        InvalidParameter: names ``name``, the parameter.
    """
    if not text:
        return None
    seconds, _, fraction = text.partition(".")
    if fraction and not (fraction.isascii() and fraction.isdigit()):
        raise InvalidParameter(f'invalid value for {name}: "{text}" is not a timestamp')
    whole = parse_number(seconds, name)
    if abs(whole) > 2**63 // 10**9:
        raise InvalidParameter(f'invalid value for {name}: "{text}" is out of range')
    nanoseconds = int((fraction + "000000000")[:9])
    return whole * 1_000_000_000 + (-nanoseconds if seconds.startswith("-") else nanoseconds)
