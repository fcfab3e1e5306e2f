"""API versions: which are served, and how one is chosen by a request's path.

Source: moby ``daemon/server/middleware/version.go``.
"""

from typing import NamedTuple

from cutaway.errors import InvalidParameter


class Version(NamedTuple):
    """An API version; compares as numbers, so 1.9 < 1.24."""

    major: int
    minor: int

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}"


MINIMUM = Version(1, 24)
NEWEST = Version(1, 56)


def parse_version(text: str) -> Version:
    """Read ``1.41``.

    Raises:
        InvalidParameter: it is none, or not served; in dockerd's words, which clients match.
    """
    major, _, minor = text.partition(".")
    if not (major.isascii() and major.isdigit() and minor.isascii() and minor.isdigit()):
        raise InvalidParameter(f"invalid API version {text}: must be formatted <major>.<minor>")
    if len(text) > 9:
        raise InvalidParameter(f"invalid API version {text}: too long")
    version = Version(int(major), int(minor))
    if version < MINIMUM:
        raise InvalidParameter(
            f"client version {text} is too old. Minimum supported API version is {MINIMUM}, "
            "please upgrade your client to a newer version"
        )
    if version > NEWEST:
        raise InvalidParameter(
            f"client version {text} is too new. Maximum supported API version is {NEWEST}"
        )
    return version


def split_version(path: str) -> tuple[Version | None, str]:
    """Split ``/v1.41/containers/json`` into its version, if it has one, and the rest."""
    if not path.startswith("/v") or len(path) < 3 or not path[2].isdigit():
        return None, path
    text, slash, rest = path[2:].partition("/")
    if not slash:
        return None, path
    return parse_version(text), "/" + rest
