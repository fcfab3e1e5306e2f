"""What a client lends to its next build: secrets and SSH agents, kept in memory only.

A client opens a session, gets an id, and names it in ``POST /build``. The build takes the session:
nobody else can, and what nobody takes is forgotten after a minute. Nothing of it reaches a disk, an
image or a log.

Docker's counterpart: BuildKit's session, which calls back to the client over gRPC.
"""

import asyncio
import base64
import binascii
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field

from cutaway.errors import InvalidParameter, NotFound
from cutaway.model import BuildSession

KEPT_S = 60.0
MAX_SECRET_BYTES = 500 * 1024  # as BuildKit


@dataclass(frozen=True, slots=True)
class Lent:
    """A session's content.

    Attributes:
        secrets: content by id.
        agents: path of an agent's socket on this machine by id.
    """

    secrets: Mapping[str, bytes] = field(default_factory=dict)
    agents: Mapping[str, str] = field(default_factory=dict)


class Sessions:
    """The sessions that no build has taken yet."""

    def __init__(self) -> None:
        self._open: dict[str, Lent] = {}

    def open(self, request: BuildSession) -> str:
        """Keep what a client lends; returns the session's id.

        Raises:
            InvalidParameter: a secret that is no base64 or too large, a path that is not absolute.
        """
        given = {name: _decode(name, text) for name, text in request.secrets.items()}
        for name, path in request.agents.items():
            if not path.startswith("/"):
                raise InvalidParameter(f"invalid path of SSH agent {name}: {path}")
        identifier = secrets.token_hex(16)
        self._open[identifier] = Lent(given, dict(request.agents))
        asyncio.get_running_loop().call_later(KEPT_S, self._open.pop, identifier, None)
        return identifier

    def take(self, identifier: str) -> Lent:
        """Return a session's content, and forget the session.

        Raises:
            NotFound: there is no such session any more.
        """
        if not identifier:
            return Lent()
        lent = self._open.pop(identifier, None)
        if lent is None:
            raise NotFound(f"no such build session: {identifier}")
        return lent


def _decode(name: str, text: str) -> bytes:
    try:
        content = base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        raise InvalidParameter(f"secret {name} is not base64") from None
    if len(content) > MAX_SECRET_BYTES:
        raise InvalidParameter(f"invalid secret {name}: larger than {MAX_SECRET_BYTES} bytes")
    return content
