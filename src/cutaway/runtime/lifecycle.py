"""The states of a container and what leads from one to the next, as one table.

A container's status changes only by an *event*; what a caller may ask (an *operation*) depends
only on the status. Everything here is pure; ``container.py`` calls it.

::

            create()          PREPARED              STARTED              EXITED
    (none) ────────▶ creating ────────▶  created  ──────────▶  running ─────────▶ stopped
                        │                   │                                        ▲
                        └───────────────────┴───────────── EXITED ───────────────────┘

Docker's further statuses (paused, restarting, exited, dead) are the engine's.

Source: runtime-spec runtime.md "State", "Lifecycle", "Operations".
"""

from enum import StrEnum

from cutaway.errors import Conflict


class Status(StrEnum):
    """Where a container is in its life."""

    CREATING = "creating"
    CREATED = "created"
    RUNNING = "running"
    STOPPED = "stopped"


class Event(StrEnum):
    """What happened to its first process."""

    PREPARED = "prepared"
    STARTED = "started"
    EXITED = "exited"


class Operation(StrEnum):
    """What a caller may ask."""

    START = "start"
    KILL = "kill"
    EXEC = "exec"
    PAUSE = "pause"
    UPDATE = "update"
    DELETE = "delete"


TRANSITIONS: dict[tuple[Status, Event], Status] = {
    (Status.CREATING, Event.PREPARED): Status.CREATED,
    (Status.CREATED, Event.STARTED): Status.RUNNING,
    (Status.CREATING, Event.EXITED): Status.STOPPED,
    (Status.CREATED, Event.EXITED): Status.STOPPED,
    (Status.RUNNING, Event.EXITED): Status.STOPPED,
}

# "Attempting to start a container that is not created MUST have no effect … and MUST generate an
# error", the same for kill ("neither created nor running") and delete ("not stopped").
ALLOWED: dict[Operation, frozenset[Status]] = {
    Operation.START: frozenset({Status.CREATED}),
    Operation.KILL: frozenset({Status.CREATED, Status.RUNNING}),
    Operation.EXEC: frozenset({Status.CREATED, Status.RUNNING}),
    Operation.PAUSE: frozenset({Status.CREATED, Status.RUNNING}),
    Operation.UPDATE: frozenset({Status.CREATED, Status.RUNNING}),
    Operation.DELETE: frozenset({Status.STOPPED}),
}

# runc's words, which its callers look for.
_REFUSALS: dict[tuple[Operation, Status], str] = {
    (Operation.START, Status.RUNNING): "cannot start an already running container",
    (Operation.START, Status.STOPPED): "cannot start a container that has stopped",
    (Operation.KILL, Status.STOPPED): "container not running",
    (Operation.EXEC, Status.STOPPED): "cannot exec in a stopped container",
}


class WrongStatus(Conflict):
    """An operation that the container's status does not allow.

    Attributes:
        operation: what was asked.
        status: what the container is.
    """

    def __init__(self, container_id: str, operation: Operation, status: Status) -> None:
        self.container_id = container_id
        self.operation = operation
        self.status = status
        refusal = _REFUSALS.get((operation, status))
        super().__init__(refusal or f"cannot {operation} container {container_id}: it is {status}")


def next_status(status: Status, event: Event) -> Status:
    """Return the status after an event.

    Raises:
        ValueError: the event can't happen now: a mistake in the program, not in its input.
    """
    try:
        return TRANSITIONS[status, event]
    except KeyError:
        raise ValueError(f"a container that is {status} can't be {event}") from None


def check_operation(container_id: str, operation: Operation, status: Status) -> None:
    """Refuse an operation that the status does not allow.

    Raises:
        WrongStatus: with runc's words.
    """
    if status not in ALLOWED[operation]:
        raise WrongStatus(container_id, operation, status)
