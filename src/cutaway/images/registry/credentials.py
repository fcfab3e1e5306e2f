"""Who we are to a registry."""

import base64
import json
from dataclasses import dataclass, field
from typing import Any

from cutaway.errors import InvalidParameter

_HEADER_LIMIT = 64 * 1024


@dataclass(frozen=True, slots=True)
class Credentials:
    """A user's credentials for one registry; never printed.

    Attributes:
        username: for basic authentication and token servers.
        password: a password or an access token.
        identity_token: an OAuth 2 refresh token, used instead of the password.
        registry_token: a bearer token to use as it is.
        server_address: the registry they belong to, as the client says.
    """

    username: str = ""
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)
    registry_token: str = field(default="", repr=False)
    server_address: str = ""

    @property
    def basic_header(self) -> str:
        """The ``Authorization`` value of basic authentication."""
        pair = f"{self.username}:{self.password}".encode()
        return "Basic " + base64.b64encode(pair).decode()


def parse_registry_auth(header: str) -> Credentials | None:
    """Read ``X-Registry-Auth``: base64url of a JSON object.

    Returns:
        None for no or empty credentials.

    Raises:
        InvalidParameter: not base64, not JSON, or a field is no string.
    """
    if not header:
        return None
    if len(header) > _HEADER_LIMIT:
        raise InvalidParameter("invalid X-Registry-Auth header: too long")
    try:
        padded = header + "=" * (-len(header) % 4)
        document = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True) or b"{}")
    except (ValueError, RecursionError):
        raise InvalidParameter("invalid X-Registry-Auth header: invalid JSON") from None
    return credentials_from_json(document)


def credentials_from_json(document: Any) -> Credentials | None:
    """Read Docker's ``AuthConfig`` object; None when it holds nothing.

    Raises:
        InvalidParameter: not an object, or a field is no string.
    """
    if document is None:
        return None
    if not isinstance(document, dict):
        raise InvalidParameter("invalid X-Registry-Auth header: expected an object")
    values = {}
    for name in ("username", "password", "auth", "identitytoken", "registrytoken", "serveraddress"):
        value = document.get(name) or ""
        if not isinstance(value, str):
            raise InvalidParameter(f"invalid X-Registry-Auth header: {name}: expected a string")
        values[name] = value
    username, password = values["username"], values["password"]
    if values["auth"] and not username:
        username, password = _decode_auth(values["auth"])
    found = Credentials(
        username=username,
        password=password,
        identity_token=values["identitytoken"],
        registry_token=values["registrytoken"],
        server_address=values["serveraddress"],
    )
    is_empty = not (username or found.identity_token or found.registry_token)
    return None if is_empty else found


def _decode_auth(auth: str) -> tuple[str, str]:
    try:
        username, colon, password = base64.b64decode(auth, validate=True).decode().partition(":")
    except ValueError:
        colon = ""
    if not colon:
        raise InvalidParameter("invalid auth configuration: expected base64 of user:password")
    return username, password
