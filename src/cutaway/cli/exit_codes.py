"""Which exit code an error becomes: 125 the engine, 126 can't be run, 127 not found, 1 otherwise.

Source: docker's reference for ``docker run``, "Exit status".
"""

from cutaway.cli.command import Command
from cutaway.cli.flags import PlainFailure, UnreadableTemplate
from cutaway.client import ApiError
from cutaway.errors import CutawayError

_BAD_TEMPLATE = 64
_NOT_FOUND = ("executable file not found", "no such file or directory")
_NOT_RUNNABLE = ("permission denied", "not a directory", "is a directory", "exec format error")


def exit_code(command: Command, error: CutawayError) -> int:
    """Return the code for ``error``; the command says what its failures are worth in general."""
    if isinstance(error, PlainFailure):
        return 1
    if isinstance(error, UnreadableTemplate):
        return _BAD_TEMPLATE
    if command.failure_code != 125 or not isinstance(error, ApiError):
        return command.failure_code
    return start_failure_code(str(error))


def start_failure_code(message: str) -> int:
    """Return the code for a container that could not be started, by the engine's sentence.

    The runtime's own words are the only thing all engines of this API agree on.
    """
    lowered = message.lower()
    if "exec:" in lowered or "starting container process" in lowered or "exec format" in lowered:
        if any(text in lowered for text in _NOT_FOUND):
            return 127
        if any(text in lowered for text in _NOT_RUNNABLE):
            return 126
    return 125
