"""A container's state: its status, its last exit, its health.

Source: Engine API ``ContainerState``, ``Health``, ``HealthcheckResult``, ``ContainerWaitResponse``.
"""

from cutaway.model.base import ZERO_TIME, Int64, Model, always


class HealthcheckResult(Model):
    """One health check that ran: at most 4096 bytes of its output are kept."""

    start: str = always(ZERO_TIME)
    end: str = always(ZERO_TIME)
    exit_code: Int64 = always(0)
    output: str = always("")


class Health(Model):
    """What the last health checks found.

    Attributes:
        status: ``none starting healthy unhealthy``.
        log: the last five, oldest first.
    """

    status: str = always("none")
    failing_streak: Int64 = always(0)
    log: tuple[HealthcheckResult, ...] | None = always(None)


class HealthSummary(Model):
    """Health as the list of containers tells it (since API 1.52)."""

    status: str = always("none")
    failing_streak: Int64 = always(0)


class EndedBy(Model):
    """Who ended a container's last run; dockerd does not tell.

    Attributes:
        by: ``program`` (by itself), ``user`` (docker kill), ``stop``, ``remove``, ``engine``,
            ``health``, ``oom-killer``, ``shim``, ``machine``, or ``other`` (a process of the
            container or host).
        signal: ``SIGTERM``; empty without one.
        reason: a sentence.
    """

    by: str = always("")
    signal: str = ""
    reason: str = always("")


class ContainerState(Model):
    """Where a container is in its life; the booleans repeat ``status`` for old clients.

    Attributes:
        status: ``created running paused restarting removing exited dead``.
        pid: of the container's PID 1 in the host's PID namespace; 0 unless running.
        exit_code: of the last run; 128 + signal number if a signal ended it.
        error: why the last start failed, else empty.
        next_restart_at: when the restart policy tries again (not in dockerd's answer).
        warnings: what a user should know of it (not in dockerd's answer).
        ended_by: who ended the last run (not in dockerd's answer).
        started_at, finished_at: RFC 3339 with nanoseconds, UTC; ``ZERO_TIME`` when never.
    """

    status: str = always("created")
    running: bool = always(False)
    paused: bool = always(False)
    restarting: bool = always(False)
    oom_killed: bool = always(False, name="OOMKilled")
    dead: bool = always(False)
    pid: Int64 = always(0)
    exit_code: Int64 = always(0)
    error: str = always("")
    started_at: str = always(ZERO_TIME)
    finished_at: str = always(ZERO_TIME)
    health: Health | None = None
    next_restart_at: str = ""
    ended_by: EndedBy | None = None
    warnings: tuple[str, ...] | None = None


class WaitExitError(Model):
    """Why waiting ended without an exit."""

    message: str = ""


class ContainerWaitResponse(Model):
    """How a container exited: the answer of wait."""

    status_code: Int64 = always(0)
    error: WaitExitError | None = None
