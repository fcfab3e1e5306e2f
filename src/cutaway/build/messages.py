"""The messages of Docker's JSON stream, as a build tells them."""

from typing import Any

Message = dict[str, Any]


def stream(text: str) -> Message:
    """Return a message that prints ``text``."""
    return {"stream": text}


def failure(error: Exception, code: int = 0) -> Message:
    """Return the message that ends a failed build."""
    detail: dict[str, Any] = {"message": str(error)}
    if code:
        detail["code"] = code
    return {"errorDetail": detail, "error": str(error)}
