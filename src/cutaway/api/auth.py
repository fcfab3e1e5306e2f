"""Credentials in headers: ``X-Registry-Auth`` and ``X-Registry-Config``.

Base64 (URL alphabet, padding optional) of JSON. For a pull or push it is not an error if they can't
be read, "to increase compatibility": the registry will say that it wants some.

Source: moby ``api/pkg/authconfig``.
"""

import base64
import binascii

from cutaway.api.normalise import convert, parse_json
from cutaway.errors import InvalidParameter
from cutaway.model import AuthConfig


def parse_auth(header: str) -> AuthConfig | None:
    """Read ``X-Registry-Auth``; None when it is absent, empty or unreadable."""
    document = _decode(header)
    if not isinstance(document, dict) or not document:
        return None
    try:
        return convert(document, AuthConfig)
    except InvalidParameter:
        return None


def parse_auth_configs(header: str) -> dict[str, AuthConfig]:
    """Read ``X-Registry-Config``: credentials by registry; what is unreadable is left out."""
    document = _decode(header)
    if not isinstance(document, dict):
        return {}
    found = {}
    for host, entry in document.items():
        try:
            found[host] = convert(entry, AuthConfig)
        except InvalidParameter:
            continue
    return found


def _decode(header: str) -> object:
    if not header:
        return None
    text = header.replace("+", "-").replace("/", "_")
    try:
        data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        return parse_json(data) if data.strip() else None
    except (binascii.Error, ValueError, InvalidParameter):
        return None
