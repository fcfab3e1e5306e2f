"""What runs, with which environment and limits: ``process`` of config.json.

Source: moby ``daemon/oci_linux.go`` ``WithCommonOptions``, ``container.CreateDaemonEnvironment``.
"""

from collections.abc import Iterable

from cutaway.engine.configuration.settings import DaemonSettings
from cutaway.engine.spec.intent import ContainerIntent
from cutaway.engine.spec.merge import command_line
from cutaway.engine.spec.namespaces import hostname
from cutaway.model import ExecConfig, HostConfig
from cutaway.oci.runtime_spec import Box, Capabilities, Process, Rlimit, User

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# Docker's default, as umask(1) prints it.
UMASK = 0o022


def plan_process(intent: ContainerIntent) -> Process:
    """Decide argv, environment, terminal, limits and privileges of PID 1."""
    config, host = intent.config, intent.host
    height, width = host.console_size
    return Process(
        cwd=config.working_dir or "/",
        args=command_line(config),
        env=plan_env(
            (*intent.link_variables, *(config.env or ())), hostname(intent), terminal=config.tty
        ),
        terminal=config.tty,
        console_size=Box(height, width) if config.tty and height and width else None,
        user=User(umask=UMASK),
        capabilities=capability_sets(intent.capabilities),
        rlimits=plan_rlimits(host, intent.settings),
        no_new_privileges=intent.no_new_privileges,
        oom_score_adj=host.oom_score_adj,
    )


def plan_env(request: Iterable[str], name: str, *, terminal: bool) -> tuple[str, ...]:
    """Put the container's variables behind Docker's: PATH, HOSTNAME, TERM.

    A later value of a name takes the place of the earlier one; a bare ``NAME`` removes it. HOME
    is set by the runtime, which can read the image's /etc/passwd.
    """
    values = {"PATH": DEFAULT_PATH, "HOSTNAME": name}
    if terminal:
        values["TERM"] = "xterm"
    for entry in request:
        key, separator, value = entry.partition("=")
        if separator:
            values[key] = value
        else:
            values.pop(key, None)
    return tuple(f"{key}={value}" for key, value in values.items())


def plan_rlimits(host: HostConfig, settings: DaemonSettings) -> tuple[Rlimit, ...]:
    """Join the container's ulimits with the daemon's defaults; the container's win."""
    limits = {limit.name: (limit.soft, limit.hard) for limit in settings.default_ulimits}
    limits |= {limit.name: (limit.soft, limit.hard) for limit in host.ulimits or ()}
    return tuple(
        Rlimit(f"RLIMIT_{name.upper()}", hard=_unsigned(hard), soft=_unsigned(soft))
        for name, (soft, hard) in limits.items()
    )


def _unsigned(limit: int) -> int:
    return limit % 2**64  # -1 is RLIM_INFINITY


def capability_sets(names: tuple[str, ...]) -> Capabilities:
    """Return the five sets; inheritable and ambient stay empty (CVE-2022-24769)."""
    return Capabilities(bounding=names, effective=names, permitted=names)


def plan_exec(intent: ContainerIntent, config: ExecConfig, *, privileged: bool) -> Process:
    """Decide the process of ``docker exec``: the container's, changed where the request says so."""
    terminal = config.tty
    height, width = config.console_size or (0, 0)
    env = (*(intent.config.env or ()), *(config.env or ()))
    granted = intent.machine.all_capabilities if privileged else intent.capabilities
    return Process(
        cwd=config.working_dir or intent.config.working_dir or "/",
        args=config.cmd or (),
        env=plan_env(env, hostname(intent), terminal=terminal),
        terminal=terminal,
        console_size=Box(height, width) if terminal and height and width else None,
        user=User(umask=UMASK),
        capabilities=capability_sets(granted),
        rlimits=plan_rlimits(intent.host, intent.settings),
        no_new_privileges=intent.no_new_privileges,
        oom_score_adj=intent.host.oom_score_adj,
    )
