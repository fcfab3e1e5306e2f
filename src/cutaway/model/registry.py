"""Credentials for a registry, and its answer to a login.

Source: Engine API ``AuthConfig``, ``AuthResponse``; the ``X-Registry-Auth`` header.
"""

from cutaway.model.base import Model, always, named


class AuthConfig(Model):
    """Who the user is at one registry. ``repr`` hides the secrets: it may reach a log.

    Attributes:
        auth: base64 of ``user:password``, as configuration files keep it.
        identity_token: an OAuth2 refresh token instead of a password.
        registry_token: a bearer token to be sent as it is.
    """

    username: str = named("", name="username")
    password: str = named("", name="password")
    auth: str = named("", name="auth")
    email: str = named("", name="email")
    server_address: str = named("", name="serveraddress")
    identity_token: str = named("", name="identitytoken")
    registry_token: str = named("", name="registrytoken")

    def __repr__(self) -> str:
        return f"AuthConfig(username={self.username!r}, server_address={self.server_address!r}, …)"


class AuthResponse(Model):
    """A registry's answer to a login; the token, if any, replaces the password from now on."""

    status: str = always("")
    identity_token: str = always("")
