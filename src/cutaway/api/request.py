"""One request as a handler sees it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import msgspec

from cutaway.api.limits import JSON_BODY_BYTES
from cutaway.api.normalise import convert, parse_json
from cutaway.api.query import Query
from cutaway.api.response import JSON
from cutaway.api.version import Version
from cutaway.errors import InvalidParameter
from cutaway.model import ByteStream, HijackedConnection, PendingAnswer

StructT = TypeVar("StructT", bound=msgspec.Struct)


class Exchange(Protocol):
    """What a handler may do to its connection beside answering."""

    has_body: bool

    def body(self) -> ByteStream:
        """Read the body piece by piece."""
        ...

    async def read_body(self, limit: int) -> bytes:
        """Read the whole body.

        Raises:
            StatusError: 413, it is longer than ``limit``; 408, it took too long.
        """
        ...

    async def hijack(self, content_type: str) -> HijackedConnection:
        """Answer ``101 UPGRADED`` (or the old raw 200) and give the connection away."""
        ...

    async def take(self, head: bytes) -> HijackedConnection:
        """Send a head of the handler's own and give the connection away."""
        ...

    async def begin_wait(self) -> PendingAnswer | None:
        """Send the headers of an answer whose body is one JSON document that comes later."""
        ...


@dataclass(slots=True)
class Request:
    """One request.

    Attributes:
        path: without version, still percent-encoded.
        version: of the API, from the path or the newest.
        headers: names in lower case; of a repeated one, the first.
        params: the variable parts of the path, decoded.
    """

    method: str
    path: str
    version: Version
    query: Query
    headers: Mapping[str, str]
    exchange: Exchange
    params: dict[str, str]

    @property
    def reference(self) -> str:
        """The object that the path names: id or name."""
        return self.params["name"]

    def below(self, major: int, minor: int) -> bool:
        """Tell whether the client speaks an older version than this one."""
        return self.version < (major, minor)

    async def document(self, type_: type[StructT]) -> StructT:
        """Read the body as one JSON document of the model; an empty body is all defaults.

        Raises:
            InvalidParameter: it is not JSON, of a wrong content type, or of wrong types.
        """
        raw = await self.raw_document()
        return type_() if raw is None else convert(raw, type_)

    async def raw_document(self) -> Any:
        """Read the body as parsed JSON; None when it is empty.

        Raises:
            InvalidParameter: it is not JSON, or of a wrong content type.
        """
        if not self.exchange.has_body:
            return None
        check_json_type(self.headers.get("content-type", ""))
        body = await self.exchange.read_body(JSON_BODY_BYTES)
        return parse_json(body) if body.strip() else None


def check_json_type(content_type: str) -> None:
    """Refuse a body that does not call itself JSON: a web page can send any other without asking.

    Raises:
        InvalidParameter: in dockerd's words.
    """
    if not content_type:
        raise InvalidParameter("malformed Content-Type header (): mime: no media type")
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type != JSON:
        raise InvalidParameter(
            f"unsupported Content-Type header ({content_type}): must be 'application/json'"
        )
