"""``--secret`` and ``--ssh``: what a build borrows from the user, lent in a session."""

import base64
import os
from collections.abc import Iterable
from typing import Any

from cutaway.cli.flags import UsageError


def read_secrets(texts: Iterable[str]) -> dict[str, str]:
    """Read ``id=ID[,src=FILE|,env=NAME]``; returns content in base64 by id.

    Raises:
        UsageError: no id, an unknown key, or nothing to read.
    """
    found = {}
    for text in texts:
        fields = dict(part.partition("=")[::2] for part in text.split(","))
        identity = fields.pop("id", "")
        kind = fields.pop("type", "file")
        path = fields.pop("src", "") or fields.pop("source", "")
        variable = fields.pop("env", identity if kind == "env" else "")
        if fields or kind not in {"file", "env"} or not (identity or path):
            raise UsageError(f"invalid secret {text!r}: it is id=ID,src=FILE or id=ID,env=NAME")
        identity = identity or os.path.basename(path)
        found[identity] = base64.b64encode(_content(identity, path, variable)).decode()
    return found


def _content(identity: str, path: str, variable: str) -> bytes:
    if not path and (variable or identity in os.environ):
        name = variable or identity
        if name not in os.environ:
            raise UsageError(f"secret {identity}: the variable {name} is not set")
        return os.environb[os.fsencode(name)]
    try:
        with open(path or identity, "rb") as file:
            return file.read()
    except OSError as error:
        raise UsageError(f"secret {identity}: {path or identity}: {error.strerror}") from None


def read_agents(texts: Iterable[str]) -> dict[str, str]:
    """Read ``default`` or ``ID=SOCKET``; returns sockets of agents by id.

    Raises:
        UsageError: no agent runs, or the path is no socket.
    """
    found = {}
    for text in texts:
        identity, _, path = text.partition("=")
        path = os.path.abspath(path or os.environ.get("SSH_AUTH_SOCK", "") or "/nowhere")
        if not os.path.exists(path):
            raise UsageError(
                f"--ssh {identity}: there is no agent: start one (eval $(ssh-agent)) or name its "
                "socket, --ssh ID=SOCKET"
            )
        found[identity or "default"] = path
    return found


def open_session(client: Any, secrets: list[str], agents: list[str]) -> str | None:
    """Lend what the flags name to the next build; returns the session's id, None for nothing."""
    body = {"secrets": read_secrets(secrets), "agents": read_agents(agents)}
    if not any(body.values()):
        return None
    return str(client.post("/cutaway/build/sessions", body)["Id"])
