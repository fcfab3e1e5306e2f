"""Image references: ``[domain/]path[:tag][@digest]``, and Docker's familiar short forms.

``nginx`` means ``docker.io/library/nginx``; what a user typed is normalised once, here, and shown
again in its familiar form. The grammar is that of distribution/reference:

    reference       := name [ ":" tag ] [ "@" digest ]
    name            := [domain "/"] path-component ["/" path-component]*
    domain          := host [":" port-number]
    host            := domain-name | IPv4 | "[" IPv6 "]"
    path-component  := alpha-numeric [separator alpha-numeric]*
    separator       := "_" | "." | "__" | "-"*
    tag             := [A-Za-z0-9_][A-Za-z0-9_.-]{0,127}
"""

import re
from dataclasses import dataclass, replace
from typing import Self

from cutaway.errors import InvalidParameter
from cutaway.oci.digest import Digest

DEFAULT_DOMAIN = "docker.io"
LEGACY_DOMAIN = "index.docker.io"
OFFICIAL_PREFIX = "library/"
DEFAULT_TAG = "latest"
MAX_PATH_LENGTH = 255

_DOMAIN_COMPONENT = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_DOMAIN_NAME = rf"{_DOMAIN_COMPONENT}(?:\.{_DOMAIN_COMPONENT})*"
_IPV6 = r"\[(?:[a-fA-F0-9:]+)\]"
_DOMAIN = rf"(?:{_DOMAIN_NAME}|{_IPV6})(?::[0-9]+)?"
_PATH_COMPONENT = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_PATH = rf"{_PATH_COMPONENT}(?:/{_PATH_COMPONENT})*"
_TAG = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"
_DIGEST = r"[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}"
_REFERENCE = re.compile(rf"(?:({_DOMAIN})/)?({_PATH})(?::({_TAG}))?(?:@({_DIGEST}))?")
_TAG_ALONE = re.compile(_TAG)
_HEX_ID = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Reference:
    """A normalised name of an image, with a tag, a digest, both or neither.

    Attributes:
        domain: the registry, with its port: ``docker.io``, ``127.0.0.1:5000``.
        path: the repository: ``library/nginx``.
        tag: None when none was given.
        digest: None when none was given.
    """

    domain: str
    path: str
    tag: str | None = None
    digest: Digest | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what a user typed or a client sent.

        Raises:
            InvalidParameter: in Docker's words: ``invalid reference format``, …
        """
        if _HEX_ID.fullmatch(text):
            raise InvalidParameter(
                f"invalid repository name ({text}), cannot specify 64-byte hexadecimal strings"
            )
        domain, remainder = _split_domain(text)
        remote = remainder.partition(":")[0]
        if remote.partition("@")[0] != remote.partition("@")[0].lower():
            raise InvalidParameter(
                f"invalid reference format: repository name ({remote}) must be lowercase"
            )
        match = _REFERENCE.fullmatch(f"{domain}/{remainder}")
        if match is None or not match[1]:
            raise InvalidParameter("invalid reference format")
        if len(match[2]) > MAX_PATH_LENGTH:
            raise InvalidParameter(
                f"repository name must not be more than {MAX_PATH_LENGTH} characters"
            )
        digest = Digest.parse(match[4]) if match[4] else None
        return cls(domain=match[1], path=match[2], tag=match[3], digest=digest)

    @property
    def name(self) -> str:
        """Domain and path: ``docker.io/library/nginx``."""
        return f"{self.domain}/{self.path}"

    @property
    def familiar_name(self) -> str:
        """The name as Docker shows it: ``nginx``, ``user/app``, ``ghcr.io/org/app``."""
        # "docker.io/a.b/c" must keep its domain: "a.b/c" would mean another registry.
        if self.domain != DEFAULT_DOMAIN or _is_host(self.path.partition("/")[0]):
            return self.name
        short = self.path.removeprefix(OFFICIAL_PREFIX)
        # "library/a/b" must keep its prefix: "a/b" would mean another repository; and so must what
        # would be taken for an image's id without it.
        return self.path if "/" in short or _HEX_ID.fullmatch(short) else short

    @property
    def familiar(self) -> str:
        """The whole reference as Docker shows it: ``nginx:latest``."""
        return self.familiar_name + self._suffix()

    @property
    def is_name_only(self) -> bool:
        """Neither tag nor digest was given."""
        return self.tag is None and self.digest is None

    def with_tag(self, tag: str) -> Self:
        """Return the same name with ``tag`` and no digest.

        Raises:
            InvalidParameter: ``invalid tag format``.
        """
        if not _TAG_ALONE.fullmatch(tag):
            raise InvalidParameter("invalid tag format")
        return replace(self, tag=tag, digest=None)

    def with_digest(self, digest: Digest) -> Self:
        """Return the same name with ``digest`` and no tag."""
        return replace(self, tag=None, digest=digest)

    def with_default_tag(self) -> Self:
        """Return the reference, with ``latest`` when it has neither tag nor digest."""
        return replace(self, tag=DEFAULT_TAG) if self.is_name_only else self

    def __str__(self) -> str:
        return self.name + self._suffix()

    def _suffix(self) -> str:
        tag = f":{self.tag}" if self.tag is not None else ""
        digest = f"@{self.digest}" if self.digest is not None else ""
        return tag + digest


def _split_domain(text: str) -> tuple[str, str]:
    first, slash, rest = text.partition("/")
    if slash and _is_host(first):
        domain, remainder = first, rest
    else:
        domain, remainder = DEFAULT_DOMAIN, text
    if domain == LEGACY_DOMAIN:
        domain = DEFAULT_DOMAIN
    if domain == DEFAULT_DOMAIN and "/" not in remainder:
        remainder = OFFICIAL_PREFIX + remainder
    return domain, remainder


def _is_host(component: str) -> bool:
    """Say whether a name's first component is a registry and not a part of the path.

    It has a dot or a port, is ``localhost``, or has capitals, which no path may have.
    """
    has_capitals = component != component.lower()
    return "." in component or ":" in component or component == "localhost" or has_capitals
