"""Handlers' short ways to answer in the client's version."""

from collections.abc import AsyncIterator
from typing import Any

from cutaway.api.request import Request
from cutaway.api.response import JSON, Answer, Streamed, encode, json_answer
from cutaway.api.status import message_of
from cutaway.api.versions.answers import adapt
from cutaway.errors import CutawayError
from cutaway.model import ErrorDetail, ProgressMessage


def document_answer(request: Request, document: Any, status: int = 200) -> Answer:
    """Answer with a document, or a list of documents, as the client's version has them."""
    return json_answer(adapt(document, request.version), status)


def progress_answer(messages: AsyncIterator[ProgressMessage]) -> Streamed:
    """Answer with Docker's JSON stream; an error on the way becomes its last line."""
    return Streamed(_ProgressLines(messages), JSON, last_words=error_line)


async def begun_progress_answer(messages: AsyncIterator[ProgressMessage]) -> Streamed:
    """Answer like ``progress_answer``, but what fails before the first message is raised."""
    lines = _ProgressLines(messages)
    await lines.begin()
    return Streamed(lines, JSON, last_words=error_line)


class _ProgressLines:
    """The lines of a JSON stream; closing them closes the messages, begun or not."""

    def __init__(self, messages: AsyncIterator[ProgressMessage]) -> None:
        self._messages = messages
        self._first: ProgressMessage | None = None

    async def begin(self) -> None:
        """Wait for the first message."""
        self._first = await anext(self._messages, None)

    def __aiter__(self) -> "_ProgressLines":
        return self

    async def __anext__(self) -> bytes:
        message, self._first = self._first or await anext(self._messages), None
        # dockerd ends these lines by CR LF, and some clients split at just that.
        return encode(message)[:-1] + b"\r\n"

    async def aclose(self) -> None:
        close = getattr(self._messages, "aclose", None)
        if close is not None:
            await close()


def error_line(error: Exception) -> bytes:
    """Return an error as the last line of a JSON stream."""
    is_told = isinstance(error, CutawayError | OSError)
    text = message_of(error) if is_told else f"internal error: {error}"
    message = ProgressMessage(error=text, error_detail=ErrorDetail(message=text))
    return encode(message)[:-1] + b"\r\n"
