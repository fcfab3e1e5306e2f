"""When an ended container is started again: Docker's restart policies. Pure.

Source: Docker "Start containers automatically", moby daemon restartmanager.
"""

from dataclasses import dataclass

from cutaway.shim.protocol import RestartPolicy


@dataclass(frozen=True, slots=True)
class RestartState:
    """What earlier runs left behind.

    Attributes:
        count: restarts so far by the policy.
        delay_ms: the last pause; 0 before the first.
    """

    count: int = 0
    delay_ms: int = 0


def decide_restart(
    policy: RestartPolicy,
    state: RestartState,
    *,
    exit_code: int,
    ran_ms: int,
    stopped_by_user: bool,
    unhealthy: bool,
) -> RestartState | None:
    """Return the state of the next run, whose ``delay_ms`` is the pause before it; None: no run.

    Args:
        policy: the container's.
        state: what earlier runs left.
        exit_code: of PID 1; 0 is success.
        ran_ms: how long the run lasted; long enough, and the pauses start small again.
        stopped_by_user: ``docker stop`` or ``kill`` ended it: no policy overrules that.
        unhealthy: the shim ended it because its health check failed.
    """
    if stopped_by_user:
        return None
    match policy.name:
        case "always" | "unless-stopped":
            wanted = True
        case "on-failure":
            wanted = exit_code != 0
        case "on-unhealthy":
            wanted = unhealthy or exit_code != 0
        case _:
            wanted = False
    counted = policy.name in ("on-failure", "on-unhealthy")
    if counted and policy.maximum_retries and state.count >= policy.maximum_retries:
        wanted = False
    if not wanted:
        return None
    last_ms = 0 if ran_ms >= policy.reset_after_ms else state.delay_ms
    delay_ms = min(last_ms * 2, policy.maximum_delay_ms) if last_ms else policy.delay_ms
    return RestartState(state.count + 1, delay_ms)
