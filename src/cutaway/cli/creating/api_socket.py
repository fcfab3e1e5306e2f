"""``--use-api-socket``: a container that may talk to the engine, with the user's credentials.

Source: docker/cli ``cli/command/container/create.go``.
"""

import json
from io import BytesIO
from typing import Any

from cutaway.cli.command import Context
from cutaway.cli.flags import UsageError
from cutaway.cli.settings.credentials import all_credentials
from cutaway.client.http import quote

_SOCKET = "/var/run/docker.sock"
_CONFIG_DIR = "run/secrets/docker"


def mount_api_socket(context: Context, body: dict[str, Any]) -> bool:
    """Add the engine's socket to the body of a create, where docker's programs look for it.

    Returns:
        Whether credentials are wanted, too: not when DOCKER_CONFIG says that they are elsewhere.

    Raises:
        UsageError: the engine is not on this machine.
    """
    path = context.client.host.path
    if path is None:
        raise UsageError("--use-api-socket needs an engine on a unix socket")
    mount = {"Type": "bind", "Source": path, "Target": _SOCKET, "BindOptions": {}}
    host = body["HostConfig"]
    host["Mounts"] = [*(host["Mounts"] or []), mount]
    if any(text.startswith("DOCKER_CONFIG=") for text in body["Env"]):
        return False
    body["Env"] = [*body["Env"], f"DOCKER_CONFIG=/{_CONFIG_DIR}"]
    return True


def put_credentials(context: Context, container_id: str) -> None:
    """Put a ``config.json`` with the user's credentials into a container, for root only."""
    response = context.client.request(
        "PUT",
        f"/containers/{quote(container_id)}/archive",
        query={"path": "/"},
        body=_archive(_resolved(context)),
        headers={"Content-Type": "application/x-tar"},
    )
    response.close()


def _resolved(context: Context) -> bytes:
    """Return a configuration in which no credential helper is needed any more."""
    import base64

    entries = {}
    for registry, found in all_credentials(context.config).items():
        pair = f"{found['username']}:{found.get('password', '')}".encode()
        entries[registry] = {"auth": base64.b64encode(pair).decode()}
        if "identitytoken" in found:
            entries[registry]["identitytoken"] = found["identitytoken"]
    return json.dumps({"auths": entries}).encode()


def _archive(data: bytes) -> bytes:
    import tarfile

    out = BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        parts = _CONFIG_DIR.split("/")
        for index in range(len(parts)):
            directory = tarfile.TarInfo("/".join(parts[: index + 1]))
            directory.type, directory.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(directory)
        info = tarfile.TarInfo(f"{_CONFIG_DIR}/config.json")
        info.mode, info.size = 0o600, len(data)
        tar.addfile(info, BytesIO(data))
    return out.getvalue()
