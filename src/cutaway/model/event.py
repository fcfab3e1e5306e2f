"""Events: what happened, to whom, when.

Source: Engine API ``EventMessage``; ``docker events``.
"""

from cutaway.model.base import Int64, Model, always, named


class EventActor(Model):
    """Whom it happened to; ``attributes`` are its labels and facts such as ``name``, ``image``."""

    id: str = always("", name="ID")
    attributes: dict[str, str] | None = always(None)


class EventMessage(Model):
    """One event.

    Attributes:
        status, id, origin: what API versions below 1.22 read for containers and images; still
            written up to 1.51.
        type: ``container image network volume daemon builder plugin …``.
        action: such as ``start``, ``die``, ``health_status: healthy``, ``exec_start: sh``.
        time: seconds since the epoch; ``time_nano``: the same moment in nanoseconds.
    """

    status: str = named("", name="status")
    id: str = named("", name="id")
    origin: str = named("", name="from")
    type: str = always("")
    action: str = always("")
    actor: EventActor = always(EventActor())
    scope: str = named("", name="scope")
    time: Int64 = named(0, name="time")
    time_nano: Int64 = named(0, name="timeNano")
