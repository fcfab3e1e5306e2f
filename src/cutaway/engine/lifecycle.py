"""What a container can be, and what may happen to it then: one enum, one table.

Docker keeps five booleans (running, paused, restarting, removal in progress, dead) and derives the
status from them. Here the status is the state, and the booleans of the API are derived from it.

```
            start            pause
 CREATED ──────────▶ RUNNING ◀────▶ PAUSED
    │                 │   ▲            │
    │            exit │   │ start      │ exit
    │                 ▼   │            ▼
    │               EXITED ◀───────────┘
    │                 │  ▲▼ restart policy: RESTARTING ──▶ RUNNING
    └────remove───────┴──────────▶ REMOVING ──▶ (gone)  or  DEAD, to be removed again
```
"""

from enum import StrEnum

from cutaway.errors import Conflict


class Status(StrEnum):
    """Docker's word for where a container is in its life."""

    CREATED = "created"
    RUNNING = "running"
    PAUSED = "paused"
    RESTARTING = "restarting"
    REMOVING = "removing"
    EXITED = "exited"
    DEAD = "dead"


class Happening(StrEnum):
    """What moves a container from one status to another."""

    START = "start"
    EXIT = "exit"
    PAUSE = "pause"
    UNPAUSE = "unpause"
    AWAIT_RESTART = "await restart"
    REMOVE = "remove"
    REMOVE_FAILED = "remove failed"


TRANSITIONS: dict[tuple[Status, Happening], Status] = {
    (Status.CREATED, Happening.START): Status.RUNNING,
    (Status.EXITED, Happening.START): Status.RUNNING,
    (Status.RESTARTING, Happening.START): Status.RUNNING,
    (Status.RUNNING, Happening.EXIT): Status.EXITED,
    (Status.PAUSED, Happening.EXIT): Status.EXITED,
    (Status.RESTARTING, Happening.EXIT): Status.EXITED,
    (Status.RUNNING, Happening.PAUSE): Status.PAUSED,
    (Status.PAUSED, Happening.UNPAUSE): Status.RUNNING,
    (Status.RUNNING, Happening.AWAIT_RESTART): Status.RESTARTING,
    (Status.PAUSED, Happening.AWAIT_RESTART): Status.RESTARTING,
    (Status.EXITED, Happening.AWAIT_RESTART): Status.RESTARTING,
    (Status.CREATED, Happening.REMOVE): Status.REMOVING,
    (Status.EXITED, Happening.REMOVE): Status.REMOVING,
    (Status.DEAD, Happening.REMOVE): Status.REMOVING,
    (Status.REMOVING, Happening.REMOVE_FAILED): Status.DEAD,
}

ALIVE = frozenset({Status.RUNNING, Status.PAUSED})


class ImpossibleTransition(Conflict):
    """The container's status does not allow what was asked."""

    def __init__(self, status: Status, happening: Happening) -> None:
        super().__init__(f"a container that is {status} cannot {happening}")
        self.status = status
        self.happening = happening


def next_status(status: Status, happening: Happening) -> Status:
    """Return the status after ``happening``.

    Raises:
        ImpossibleTransition: the table has no such line.
    """
    try:
        return TRANSITIONS[(status, happening)]
    except KeyError:
        raise ImpossibleTransition(status, happening) from None
