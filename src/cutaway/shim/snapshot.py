"""What an engine is told first that has just connected."""

from typing import TYPE_CHECKING, Any

from cutaway.shim.engine_link import describe_error
from cutaway.shim.protocol import Status

if TYPE_CHECKING:
    from cutaway.shim.shim import Shim


def take_snapshot(shim: "Shim") -> dict[str, Any]:
    """Return everything an engine must know that has just come."""
    run = shim.run
    started = run is not None and shim.status in (Status.RUNNING, Status.PAUSED)
    return {
        "container_id": shim.launch.container_id,
        "status": str(Status.RESTARTING if shim.is_made_again else shim.status),
        "pid": run.runtime.pid if run is not None and started else 0,
        "started_ns": run.started_ns if run is not None else 0,
        "exit": shim.last_exit,
        "failure": describe_error(shim.failure) if shim.failure else None,
        "restart_count": shim.restart.count,
        "next_restart_ns": shim.next_restart_ns,
        "restart": shim.policy.to_json(),
        "health": shim.health.tally.to_json() if shim.health else None,
        "execs": shim.execs.snapshot(),
        "last_seq": shim.link.last_seq,
        "cleaned": shim.is_clean,
    }
