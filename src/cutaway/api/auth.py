"""Credentials in headers, ``X-Registry-Auth`` and ``X-Registry-Config``; and one command's trust.

Base64 (URL alphabet, padding optional) of JSON. For a pull or push it is not an error if they can't
be read, "to increase compatibility": the registry will say that it wants some.

Ours beside Docker's: ``X-Registry-TLS-Verify: 0`` accepts any certificate, ``X-Registry-CA`` is
one more trusted issuer, as base64 (URL alphabet) of PEM text.

Source: moby ``api/pkg/authconfig``.
"""

import base64
import binascii
from collections.abc import Mapping

from cutaway.api.normalise import convert, parse_json
from cutaway.errors import InvalidParameter
from cutaway.model import AuthConfig, RegistryTrust


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


def parse_trust(headers: Mapping[str, str]) -> RegistryTrust:
    """Read what one command says about certificates.

    Raises:
        InvalidParameter: unreadable. Unlike credentials, trust is never guessed.
    """
    verify = headers.get("x-registry-tls-verify", "1")
    if verify not in ("0", "1"):
        raise InvalidParameter(f"invalid X-Registry-TLS-Verify header {verify!r}: say 0 or 1")
    text = headers.get("x-registry-ca", "")
    try:
        ca = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        return RegistryTrust(tls_verify=verify == "1", ca=ca.decode("ascii"))
    except ValueError:
        raise InvalidParameter("invalid X-Registry-CA header: expected PEM in base64") from None


def _decode(header: str) -> object:
    if not header:
        return None
    text = header.replace("+", "-").replace("/", "_")
    try:
        data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        return parse_json(data) if data.strip() else None
    except (binascii.Error, ValueError, InvalidParameter):
        return None
