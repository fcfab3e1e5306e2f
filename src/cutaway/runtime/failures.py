"""Why a container could not be made: one error type for whatever failed, wherever it failed.

The container's init is another process; it sends the facts as one JSON object over the sync
socket, and the parent raises them as the same type. ``exit_code`` is what ``docker run`` ends with:
127 when the program is not there, 126 when it may not be run, 125 for all else.
"""

import errno as errno_module
from typing import Any

from cutaway.errors import CutawayError, InvalidParameter

NOT_FOUND_EXIT_CODE = 127
NOT_EXECUTABLE_EXIT_CODE = 126
RUNTIME_EXIT_CODE = 125

USER_STAGE = "user"

_MOUNT_HINT = (
    "Are you trying to mount a directory onto a file (or vice-versa)? Check if the specified host "
    "path exists and is the expected type"
)


class RuntimeFailure(CutawayError):
    """The container, or a process in it, could not be made; everything done so far is known.

    Attributes:
        stage: which part of the preparation: ``mounts``, ``user``, ``exec``, …
        call: the system call with its arguments, or empty.
        errno: the kernel's number, or 0.
        message: what was attempted and why it failed, in runc's words where clients match them.
        hint: what the user can change; often empty.
        exit_code: what the CLI should end with.
        operation: ``create``, or ``exec`` in a container that runs already.
        is_request_at_fault: the caller must change something: the API answers 400, not 500.
    """

    def __init__(
        self,
        stage: str,
        message: str,
        *,
        call: str = "",
        errno: int = 0,
        hint: str = "",
        exit_code: int = RUNTIME_EXIT_CODE,
        operation: str = "create",
        is_request_at_fault: bool = False,
    ) -> None:
        super().__init__(stage, message)
        self.stage = stage
        self.message = message
        self.call = call
        self.errno = errno
        self.hint = hint
        self.exit_code = exit_code
        self.operation = operation
        self.is_request_at_fault = is_request_at_fault

    @property
    def category(self) -> str:
        """The error category that fits: ``InvalidParameter`` or ``System``."""
        return "InvalidParameter" if self.is_request_at_fault else "System"

    def __str__(self) -> str:
        if self.stage == USER_STAGE and self.is_request_at_fault:
            return self.message  # "unable to find user …": dockerd says it without a prefix
        prefix = "OCI runtime create failed: unable to start container process: "
        if self.operation == "exec":
            prefix = "OCI runtime exec failed: exec failed: unable to start container process: "
        text = prefix + self.message
        return f"{text}: {self.hint}" if self.hint else text

    def to_json(self) -> dict[str, Any]:
        """Return the facts as the JSON object that ``from_json`` reads."""
        return {
            "stage": self.stage,
            "message": self.message,
            "call": self.call,
            "errno": self.errno,
            "hint": self.hint,
            "exit_code": self.exit_code,
            "operation": self.operation,
            "is_request_at_fault": self.is_request_at_fault,
        }

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> "RuntimeFailure":
        """Read what ``to_json`` wrote."""
        facts = dict(document)
        return cls(facts.pop("stage"), facts.pop("message"), **facts)


def failure_of(stage: str, what: str, error: BaseException) -> RuntimeFailure:
    """Return a step's error as a failure.

    Args:
        stage: the part of the preparation.
        what: the step's own description.
        error: what it raised.
    """
    if isinstance(error, RuntimeFailure):
        return error
    if isinstance(error, InvalidParameter):
        return RuntimeFailure(stage, str(error), is_request_at_fault=True)
    number = error.errno or 0 if isinstance(error, OSError) else 0
    hint = getattr(error, "hint", "")
    if not hint and stage in ("mounts", "sources") and number == errno_module.ENOTDIR:
        hint = _MOUNT_HINT
    message = f"error during container init: {what}: {error}"
    return RuntimeFailure(
        stage,
        message,
        call=getattr(error, "call", ""),
        errno=number,
        hint=hint,
        is_request_at_fault=hint == _MOUNT_HINT,
    )
