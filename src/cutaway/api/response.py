"""What a handler answers, as values; ``connection.py`` turns them into bytes."""

from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import msgspec

from cutaway.model import ByteStream

JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer: status, headers, body."""

    status: int = 200
    body: bytes = b""
    content_type: str = ""
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Streamed:
    """An answer whose body comes in pieces of any size.

    Attributes:
        chunks: closed (``aclose``) when the client has gone.
        last_words: turns an error that comes after the headers into a last piece; None: the
            connection is cut, so that the client sees that something is missing.
    """

    chunks: ByteStream
    content_type: str
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    last_words: Callable[[Exception], bytes] | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Taken:
    """The connection was hijacked, or the handler wrote the answer itself."""

    status: int = 101


Response: TypeAlias = Answer | Streamed | Taken

_encoder = msgspec.json.Encoder()


def encode(document: Any) -> bytes:
    """Return the document as compact JSON, ended by a line feed as Go does."""
    return _encoder.encode(document) + b"\n"


def json_answer(document: Any, status: int = 200) -> Answer:
    """Answer with one JSON document."""
    return Answer(status, encode(document), JSON)


def no_content() -> Answer:
    """Answer that it is done and there is nothing to say: 204."""
    return Answer(204)


def error_answer(status: int, message: str) -> Answer:
    """Answer with ``{"message": …}``; 304 has no body."""
    if status == 304:
        return Answer(304)
    return Answer(status, encode({"message": message}), JSON)


async def json_lines(documents: AsyncIterator[Any] | Iterable[Any]) -> AsyncIterator[bytes]:
    """Turn documents into pieces of one JSON line each."""
    if isinstance(documents, AsyncIterator):
        try:
            async for document in documents:
                yield encode(document)
        finally:
            close = getattr(documents, "aclose", None)
            if close is not None:
                await close()
    else:
        for document in documents:
            yield encode(document)
