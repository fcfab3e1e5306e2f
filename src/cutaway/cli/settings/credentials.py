"""Registry credentials from ``config.json`` and credential helpers, as docker keeps them.

Source: docker/cli ``config.json`` ("auths", "credsStore", "credHelpers");
docker-credential-helpers protocol.
"""

import base64
import json
from typing import Any

from cutaway.cli.settings.config_file import load_config
from cutaway.errors import InvalidParameter

DOCKER_HUB = "https://index.docker.io/v1/"


def registry_of(reference: str) -> str:
    """Return the key under which credentials for an image's registry are kept."""
    first, slash, _ = reference.partition("/")
    is_host = slash and ("." in first or ":" in first or first == "localhost")
    if not is_host or first in {"docker.io", "index.docker.io"}:
        return DOCKER_HUB
    return first


def credentials_for(registry: str, config: dict[str, Any]) -> dict[str, str]:
    """Find the credentials for a registry; empty when there are none.

    Returns:
        AuthConfig of the Engine API: ``username``, ``password`` or ``identitytoken``,
        ``serveraddress``.
    """
    helper = config.get("credHelpers", {}).get(registry) or config.get("credsStore")
    if helper:
        found = call_helper(helper, "get", registry)
        if found is not None:
            entry = json.loads(found)
            name = entry.get("Username", "")
            key = "identitytoken" if name == "<token>" else "password"
            user = "" if name == "<token>" else name
            return {"username": user, key: entry.get("Secret", ""), "serveraddress": registry}
    entry = config.get("auths", {}).get(registry) or {}
    if entry.get("auth"):
        user, _, password = base64.b64decode(entry["auth"]).decode().partition(":")
        answer = {"username": user, "password": password, "serveraddress": registry}
        if entry.get("identitytoken"):
            answer["identitytoken"] = entry["identitytoken"]
        return answer
    return {}


def all_credentials(config: dict[str, Any]) -> dict[str, dict[str, str]]:
    """Find the credentials for every registry that the configuration or its helper knows."""
    registries = {*config.get("auths", {}), *config.get("credHelpers", {})}
    if store := config.get("credsStore"):
        registries |= json.loads(call_helper(store, "list", "") or "{}").keys()
    found = {registry: credentials_for(registry, config) for registry in sorted(registries)}
    return {registry: auth for registry, auth in found.items() if auth}


def call_helper(helper: str, action: str, data: str) -> str | None:
    """Run ``docker-credential-HELPER ACTION`` with ``data`` on its stdin.

    Returns:
        What it printed, or None when it has no such credentials.

    Raises:
        InvalidParameter: the helper is not installed or failed.
    """
    import subprocess

    program = f"docker-credential-{helper}"
    try:
        done = subprocess.run(
            [program, action], input=data, capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        raise InvalidParameter(
            f"error getting credentials: {program}: executable file not found in $PATH"
        ) from None
    if done.returncode == 0:
        return done.stdout
    if "credentials not found" in done.stdout:
        return None
    raise InvalidParameter(f"error getting credentials: {done.stdout or done.stderr}".strip())


def auth_header(reference: str, config_dir: str) -> dict[str, str]:
    """Return the ``X-Registry-Auth`` header for an image's registry."""
    config = load_config(config_dir)
    return encode_auth(credentials_for(registry_of(reference), config))


TRUST_FLAGS = """
    --ca string       Trust certificates signed by the CA in this PEM file, too, for this command
    --tls-verify      Refuse a registry whose certificate does not verify (default true)
"""


def trust_headers(tls_verify: bool, ca_path: str) -> dict[str, str]:
    """Say to the engine which certificates this one command trusts.

    Raises:
        OSError: the file of the CA can't be read.
    """
    headers = {} if tls_verify else {"X-Registry-TLS-Verify": "0"}
    if ca_path:
        with open(ca_path, "rb") as file:
            headers["X-Registry-CA"] = base64.urlsafe_b64encode(file.read()).decode()
    return headers


def encode_auth(auth: dict[str, str]) -> dict[str, str]:
    """Encode an AuthConfig as the ``X-Registry-Auth`` header."""
    data = json.dumps(auth).encode()
    return {"X-Registry-Auth": base64.urlsafe_b64encode(data).decode()}
