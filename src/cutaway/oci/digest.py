"""Content identifiers: ``sha256:`` and sixty-four hexadecimal digits."""

import re
from typing import Self

from cutaway.errors import InvalidParameter

_LENGTHS = {"sha256": 64, "sha512": 128}
_FORMAT = re.compile(r"[a-z0-9]+(?:[.+_-][a-z0-9]+)*:[A-Za-z0-9=_-]+")


class Digest(str):
    """A digest that is known to be well formed, so that it may name a file or go into a URL.

    Only ``parse`` makes one from text that comes from outside: a digest used as a path is how
    CVE-2024-3727 wrote outside the store.

    Source: image-spec descriptor.md "Digests".
    """

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Check and return a digest.

        Raises:
            InvalidParameter: not ``algorithm:encoded``, an algorithm other than sha256 and
                sha512, or the wrong number of lower-case hexadecimal digits.
        """
        if not _FORMAT.fullmatch(text):
            raise InvalidParameter("invalid checksum digest format")
        algorithm, _, encoded = text.partition(":")
        length = _LENGTHS.get(algorithm)
        if length is None:
            raise InvalidParameter("unsupported digest algorithm")
        if len(encoded) != length:
            raise InvalidParameter("invalid checksum digest length")
        if not set(encoded) <= set("0123456789abcdef"):
            raise InvalidParameter("invalid checksum digest format")
        return cls(text)

    @property
    def algorithm(self) -> str:
        """``sha256`` or ``sha512``."""
        return self.partition(":")[0]

    @property
    def encoded(self) -> str:
        """The hexadecimal digits: the blob's file name in an image layout."""
        return self.partition(":")[2]

    @property
    def short(self) -> str:
        """The first twelve digits, as Docker's tables show an id."""
        return self.encoded[:12]
