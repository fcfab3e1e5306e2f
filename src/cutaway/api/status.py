"""The one place where an error's category becomes an HTTP status.

Source: moby ``daemon/server/httpstatus/status.go``.
"""

import os

from cutaway import errors

STATUSES: tuple[tuple[type[errors.CutawayError], int], ...] = (
    (errors.NotFound, 404),
    (errors.InvalidParameter, 400),
    (errors.Conflict, 409),
    (errors.Unauthorized, 401),
    (errors.Unavailable, 503),
    (errors.Forbidden, 403),
    (errors.NotModified, 304),
    (errors.NotImplemented, 501),
    (errors.System, 500),
)


class StatusError(errors.CutawayError):
    """A refusal that belongs to HTTP alone: too large, too slow, page not found."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def status_of(error: BaseException) -> int:
    """Return the HTTP status for an error that a handler raised; 500 for a stranger."""
    if isinstance(error, StatusError):
        return error.status
    for category, status in STATUSES:
        if isinstance(error, category):
            return status
    return 500


def message_of(error: BaseException) -> str:
    """Return the sentence for the client: the first error's text, never a traceback."""
    if isinstance(error, OSError) and type(error).__str__ is OSError.__str__ and error.strerror:
        # As Go says it: "write /path: no space left on device", without Python's "[Errno 28]".
        reason = error.strerror.lower()
        return f"{os.fsdecode(error.filename)}: {reason}" if error.filename else reason
    return str(error) or type(error).__name__
