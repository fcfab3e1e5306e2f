"""Why a container could not be made: one error type for whatever failed, wherever it failed.

The maker and the init are other processes; they send the facts as one JSON object over the sync
socket, and the parent raises them as the same type. ``exit_code`` is what ``docker run`` ends with:
127 when the program is not there, 126 when it may not be run, 125 for all else.
"""

import errno as errno_module
import json
from typing import Any

from cutaway.errors import CutawayError

NOT_FOUND_EXIT_CODE = 127
NOT_EXECUTABLE_EXIT_CODE = 126
RUNTIME_EXIT_CODE = 125

# Stages whose messages are whole sentences to the user: dockerd says them without a prefix.
_PLAIN_STAGES = ("plan", "user", "cwd")
_MOUNT_HINT = (
    "Are you trying to mount a directory onto a file (or vice-versa)? Check if the specified host "
    "path exists and is the expected type"
)
_LIMIT_HINTS = {
    errno_module.EINVAL: "the kernel takes no such value for this limit: choose another",
    errno_module.ERANGE: "the kernel takes no such value for this limit: choose another",
    errno_module.ENODEV: "only whole disks have limits: name one, not a part or another device",
}
_CREATE_PREFIX = "OCI runtime create failed: unable to start container process: "
_EXEC_PREFIX = "OCI runtime exec failed: exec failed: unable to start container process: "
_INIT_PREFIX = "error during container init: "


class RuntimeFailure(CutawayError):
    """The container, or a process in it, could not be made; everything done was undone.

    Attributes:
        stage: which part of the preparation: ``plan``, ``mounts``, ``user``, ``exec``, …
        message: what was attempted and why it failed, in runc's words where clients match them.
        call: the system call with its arguments, or empty.
        errno: the kernel's number, or 0.
        hint: what the user can change; often empty.
        exit_code: what the CLI should end with.
        category: name of the error category in ``cutaway.errors``.
        operation: ``create``, or ``exec`` in a container that runs already.
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
        category: str = "System",
        operation: str = "create",
    ) -> None:
        super().__init__(stage, message)
        self.stage = stage
        self.message = message
        self.call = call
        self.errno = errno
        self.hint = hint
        self.exit_code = exit_code
        self.category = category
        self.operation = operation

    def __str__(self) -> str:
        text = self.message
        if self.hint and self.hint not in self.message:  # a KernelError tells its hint itself
            text += f": {self.hint}"
        if self.stage in _PLAIN_STAGES and self.category != "System":
            return text
        if self.operation == "exec":
            text = text.removeprefix(_INIT_PREFIX)
            return (
                f"OCI runtime exec failed: exec failed: unable to start container process: {text}"
            )
        return f"OCI runtime create failed: unable to start container process: {text}"

    def to_json(self) -> dict[str, Any]:
        """Return the facts as the JSON object that ``from_json`` reads."""
        return {
            "stage": self.stage,
            "message": self.message,
            "call": self.call,
            "errno": self.errno,
            "hint": self.hint,
            "exit_code": self.exit_code,
            "category": self.category,
            "operation": self.operation,
        }

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> "RuntimeFailure":
        """Read what ``to_json`` wrote."""
        facts = dict(document)
        return cls(facts.pop("stage"), facts.pop("message"), **facts)

    @classmethod
    def parse(cls, data: bytes) -> "RuntimeFailure":
        """Read what came over the sync socket."""
        return cls.from_json(json.loads(data))

    def __reduce__(self) -> tuple[Any, ...]:
        return RuntimeFailure.from_json, (self.to_json(),)


class MakerLost(RuntimeFailure):
    """The maker was killed before the container was whole."""

    def __init__(self) -> None:
        super().__init__("maker", "the process that makes the container was killed")


def not_a_directory(path: str) -> RuntimeFailure:
    """Return the failure of a working directory that is, or leads through, something else."""
    message = f"Cannot mkdir: {path} is not a directory"
    return RuntimeFailure("cwd", message, errno=errno_module.ENOTDIR, category="InvalidParameter")


def failure_of(stage: str, what: str, error: BaseException) -> RuntimeFailure:
    """Return a step's error as a failure.

    Args:
        stage: the part of the preparation.
        what: the step's own description.
        error: what it raised.
    """
    if isinstance(error, RuntimeFailure):
        return error
    if isinstance(error, CutawayError):
        category = next(c.__name__ for c in type(error).__mro__ if c.__module__ == "cutaway.errors")
        return RuntimeFailure(stage, str(error), category=category)
    number = error.errno or 0 if isinstance(error, OSError) else 0
    hint = getattr(error, "hint", "")
    category = "System"
    is_mismatch = number == errno_module.ENOTDIR or (
        number == errno_module.EINVAL and getattr(error, "call", "").startswith("move_mount")
    )
    if not hint and getattr(error, "call", "").startswith('write("/sys/fs/cgroup/'):
        hint = _LIMIT_HINTS.get(number, "")
    if not hint and stage in ("mounts", "sources") and is_mismatch:
        hint, category = _MOUNT_HINT, "InvalidParameter"
    return RuntimeFailure(
        stage,
        f"{_INIT_PREFIX}{what}: {error}",
        call=getattr(error, "call", ""),
        errno=number,
        hint=hint,
        category=category,
    )
