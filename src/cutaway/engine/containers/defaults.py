"""What Docker fills into a HostConfig before it is kept, so that ``inspect`` shows it.

Source: moby ``daemon/daemon_unix.go`` ``adaptContainerSettings``.
"""

from msgspec.structs import replace

from cutaway.engine.configuration.settings import DaemonSettings
from cutaway.engine.spec.confinement import Confinement
from cutaway.engine.spec.intent import Machine
from cutaway.model import HostConfig, LogConfig, RestartPolicy
from cutaway.security.paths import MASKED_PATHS, READONLY_PATHS

_MINIMUM_SHARES = 2
_MAXIMUM_SHARES = 262144


def complete_host_config(
    host: HostConfig, settings: DaemonSettings, machine: Machine, confinement: Confinement
) -> HostConfig:
    """Return the HostConfig with every open choice made; the request must have been checked."""
    shares = host.cpu_shares
    if shares:
        shares = min(max(shares, _MINIMUM_SHARES), _MAXIMUM_SHARES)
    swap = host.memory_swap
    if host.memory > 0 and swap == 0:
        swap = host.memory * 2
    masked, read_only = host.masked_paths, host.readonly_paths
    if host.privileged or confinement.bare_system_paths:
        masked = read_only = None if host.privileged else ()
    elif masked is None:
        masked = MASKED_PATHS
    if read_only is None and not host.privileged:
        read_only = READONLY_PATHS
    return replace(
        host,
        cpu_shares=shares,
        memory_swap=swap,
        oom_kill_disable=bool(host.oom_kill_disable),
        shm_size=host.shm_size or settings.default_shm_size,
        ipc_mode=host.ipc_mode or settings.default_ipc_mode,
        cgroupns_mode=host.cgroupns_mode or _cgroup_namespace(host, settings, machine),
        network_mode="bridge" if host.network_mode in ("", "default") else host.network_mode,
        pid_mode="" if host.pid_mode == "private" else host.pid_mode,
        masked_paths=masked,
        readonly_paths=read_only,
        runtime=host.runtime or settings.default_runtime,
        restart_policy=RestartPolicy(
            name=host.restart_policy.name or "no",
            maximum_retry_count=host.restart_policy.maximum_retry_count,
        ),
        log_config=LogConfig(
            type=host.log_config.type or settings.log_driver,
            config=_log_options(host.log_config, settings),
        ),
        init=settings.init or None if host.init is None else host.init,
    )


def _cgroup_namespace(host: HostConfig, settings: DaemonSettings, machine: Machine) -> str:
    if settings.default_cgroupns_mode:
        return settings.default_cgroupns_mode
    # Private is Docker's default on cgroup v2, where the mount would show the whole tree.
    return "private" if machine.unified_cgroups and not host.privileged else "host"


def _log_options(config: LogConfig, settings: DaemonSettings) -> dict[str, str]:
    # The daemon's options belong to the daemon's driver.
    if config.type in ("", settings.log_driver):
        return {**settings.log_opts, **(config.config or {})}
    return dict(config.config or {})
