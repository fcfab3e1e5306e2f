"""Query parameters that several operations share, and checks that several repeat."""

from cutaway.api.normalise import parse_json
from cutaway.api.query import Query, parse_number
from cutaway.api.router import Param
from cutaway.errors import InvalidParameter

FILTERS = Param("filters")
DETACH_KEYS = Param("detachKeys")
SIGNAL = Param("signal")


def wanted_platform(query: Query) -> str:
    """Return ``platform``: ``os/arch/variant``, or the same as JSON, which newer clients send.

    Raises:
        InvalidParameter: it is neither.
    """
    return platform_text(query.text("platform"))


def platform_text(text: str) -> str:
    """Return a platform as ``os/arch/variant``, also when it comes as JSON.

    Raises:
        InvalidParameter: it is neither.
    """
    if not text.startswith("{"):
        return text
    document = parse_json(text.encode(), "platform")
    parts = [document.get(name) or "" for name in ("os", "architecture", "variant")]
    if not all(isinstance(part, str) for part in parts) or not (parts[0] and parts[1]):
        raise InvalidParameter(f"invalid platform: {text} needs os and architecture")
    return "/".join(part for part in parts if part)


def terminal_size(query: Query) -> tuple[int, int]:
    """Return ``h`` and ``w``.

    Raises:
        InvalidParameter: in dockerd's words.
    """
    sizes = []
    for name, what in (("h", "height"), ("w", "width")):
        text = query.text(name)
        try:
            size = parse_number(text, name)
        except InvalidParameter:
            size = -1
        if not 0 <= size < 2**32:
            raise InvalidParameter(f'invalid resize {what} "{text}": invalid syntax')
        sizes.append(size)
    return sizes[0], sizes[1]
