"""Docker's JSON stream: one message a line, while something long goes on.

pull, push, load, import and build answer with a stream of these. What fails after the stream has
begun is its last message, with ``error`` and ``error_detail``.

Source: Engine API ``BuildInfo``, ``CreateImageInfo``, ``PushImageInfo``; moby ``jsonmessage``.
"""

from typing import Any

from cutaway.model.base import Int64, LowerModel, always, named


class ProgressDetail(LowerModel):
    """How far along; empty when it cannot be known."""

    current: Int64 = 0
    total: Int64 = 0
    start: Int64 = 0
    hide_counts: bool = named(False, name="hidecounts")
    units: str = ""


class ErrorDetail(LowerModel):
    """Why the stream ended early."""

    code: Int64 = 0
    message: str = always("")


class ProgressMessage(LowerModel):
    """One line of the stream.

    Attributes:
        stream: text to print as it is (builds, load).
        status: what goes on: ``Downloading``, ``Pull complete``.
        progress: the bar as text, for clients that draw none.
        id: what ``status`` is about: 12 digits of a layer.
        aux: a value for programs: ``{"ID": "sha256:…"}``.
    """

    stream: str = ""
    status: str = ""
    progress_detail: ProgressDetail | None = named(None, name="progressDetail")
    progress: str = ""
    id: str = ""
    error_detail: ErrorDetail | None = named(None, name="errorDetail")
    error: str = ""
    aux: Any = None
