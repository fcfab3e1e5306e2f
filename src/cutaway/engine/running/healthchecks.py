"""Health checks: HEALTHCHECK and ``--health-*`` to what the shim runs."""

from cutaway.engine.container import Container
from cutaway.engine.core import Core
from cutaway.engine.running.processes import exec_process
from cutaway.model import ExecConfig, HealthConfig
from cutaway.shim.protocol import HealthCheck

DEFAULT_INTERVAL_NS = 30_000_000_000
DEFAULT_TIMEOUT_NS = 30_000_000_000
DEFAULT_START_INTERVAL_NS = 5_000_000_000
DEFAULT_RETRIES = 3
DEFAULT_SHELL = ("/bin/sh", "-c")


def health_command(check: HealthConfig | None, shell: tuple[str, ...]) -> tuple[str, ...]:
    """Return the program to run, or nothing when there is no check."""
    if check is None or not check.test or check.test[0] == "NONE":
        return ()
    kind, *words = check.test
    if kind == "CMD-SHELL":
        return (*shell, *words)
    return tuple(words)


def plan_health(core: Core, container: Container) -> HealthCheck | None:
    """Decide the health check; None when the container has none."""
    check = container.config.healthcheck
    command = health_command(check, container.config.shell or DEFAULT_SHELL)
    if not command or check is None:
        return None
    process = exec_process(core, container, ExecConfig(cmd=command))
    return HealthCheck(
        process=process.to_json(),
        interval_ns=check.interval or DEFAULT_INTERVAL_NS,
        timeout_ns=check.timeout or DEFAULT_TIMEOUT_NS,
        start_period_ns=check.start_period,
        start_interval_ns=check.start_interval or DEFAULT_START_INTERVAL_NS,
        retries=check.retries or DEFAULT_RETRIES,
    )
