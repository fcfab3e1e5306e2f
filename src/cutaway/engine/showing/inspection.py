"""``docker inspect`` and ``docker ps``: a container in Docker's words."""

import time
from collections.abc import Iterator, Sequence
from contextlib import suppress

import msgspec

from cutaway.engine.container import Container
from cutaway.engine.containers.removal import SIGKILL
from cutaway.engine.core import Core
from cutaway.engine.lifecycle import Status
from cutaway.engine.links import ShimFailed, ShimLost
from cutaway.engine.networking import endpoints
from cutaway.engine.running.endings import Ending, name_signal
from cutaway.engine.spec.merge import command_line
from cutaway.engine.starts.starting import DEFAULT_STOP_TIMEOUT_S
from cutaway.engine.units import format_time, parse_signal
from cutaway.engine.volumes import mounting
from cutaway.errors import CutawayError
from cutaway.images.store import ImageStore
from cutaway.linux import handles_signal
from cutaway.model import (
    ContainerInspect,
    ContainerState,
    ContainerSummary,
    DriverData,
    EndedBy,
    Health,
    HealthcheckResult,
    HealthSummary,
    HostConfigSummary,
    MountPoint,
    NetworkSettingsSummary,
    PortMap,
    PortSummary,
)
from cutaway.shim import protocol

STORAGE_DRIVER = "overlay2"
_MINUTE, _HOUR, _DAY = 60, 3600, 86400


async def inspect(core: Core, container: Container, *, size: bool) -> ContainerInspect:
    """Tell all about a container."""
    document, host = container.document, container.host_config
    path, *arguments = command_line(container.config) or ("",)
    size_rw, size_root = await sizes(core, container) if size else (None, None)
    etc = core.paths
    return ContainerInspect(
        id=container.id,
        created=format_time(document.created_ns),
        path=path,
        args=tuple(arguments),
        state=await describe_state(container),
        image=document.image_id,
        resolv_conf_path=etc.etc(container.id, "resolv.conf"),
        hostname_path=etc.etc(container.id, "hostname"),
        hosts_path=etc.etc(container.id, "hosts"),
        log_path=etc.log(container.id) if host.log_config.type == "json-file" else "",
        name=f"/{container.name}",
        restart_count=container.state.restart_count,
        driver=STORAGE_DRIVER,
        platform=document.platform,
        exec_ids=tuple(e.id for e in container.execs.values() if e.running) or None,
        host_config=host,
        graph_driver=describe_layer(core, container),
        size_rw=size_rw,
        size_root_fs=size_root,
        mounts=describe_mounts(container),
        config=container.config,
        network_settings=endpoints.describe_networks(core, container),
    )


async def describe_state(container: Container) -> ContainerState:
    """Return the state; the health check's results are asked of the shim."""
    state = container.state
    alive = container.is_alive
    return ContainerState(
        status=str(state.status),
        running=alive or state.status is Status.RESTARTING,
        paused=state.status is Status.PAUSED,
        restarting=state.status is Status.RESTARTING,
        oom_killed=state.oom_killed,
        dead=state.status is Status.DEAD,
        pid=state.pid if alive else 0,
        exit_code=state.exit_code,
        error=state.error,
        started_at=format_time(state.started_ns),
        finished_at=format_time(state.finished_ns),
        health=await _health(container),
        next_restart_at=format_time(state.next_restart_ns) if state.next_restart_ns else "",
        ended_by=describe_ending(state.ending),
        warnings=tuple(state_warnings(container)) or None,
    )


def state_warnings(container: Container) -> Iterator[str]:
    """Yield what a user should know of a running container.

    The first process of a PID namespace is not ended by a signal that it does not handle.
    """
    host = container.host_config
    # Our own init (--init) waits for every signal, and forwards it.
    if not container.is_alive or host.init or host.pid_mode not in ("", "private"):
        return
    number = parse_signal(container.config.stop_signal or "SIGTERM")
    with suppress(OSError):
        if number != SIGKILL and not handles_signal(container.state.pid, number):
            timeout_s = container.config.stop_timeout
            seconds = DEFAULT_STOP_TIMEOUT_S if timeout_s is None else timeout_s
            yield (
                f"PID 1 does not handle {name_signal(number)}: a stop waits its whole timeout "
                f"({seconds} s unless told otherwise) and then kills it; "
                "give it a handler, or --init, or another --stop-signal"
            )


def describe_ending(ending: Ending | None) -> EndedBy | None:
    """Return who ended the last run."""
    if ending is None:
        return None
    return EndedBy(by=ending.by, signal=ending.signal_name, reason=ending.reason)


async def _health(container: Container) -> Health | None:
    state = container.state
    if not state.health:
        return None
    status, streak, results = state.health, state.failing_streak, state.health_log
    if container.shim is not None and container.is_alive:
        with suppress(ShimFailed, ShimLost):  # it is ending just now: what is stored will do
            known = await container.shim.request(protocol.Health())
            status = str(known.get("status") or status)
            streak = int(known.get("failing_streak") or 0)
            results = tuple(known.get("log") or ())
    log = tuple(msgspec.convert(result, HealthcheckResult) for result in results)
    return Health(
        status=status, failing_streak=streak, log=log if log or state.started_ns else None
    )


def describe_layer(core: Core, container: Container) -> DriverData:
    """Return the four directories of the container's overlay, as Docker names them."""
    names = {"lowerdir": "LowerDir", "upperdir": "UpperDir", "workdir": "WorkDir"}
    data = {"MergedDir": f"{core.paths.bundle(container.id)}/rootfs"}
    mounts = core.snapshots.mounts(container.id) if container.id in core.snapshots else ()
    for mount in mounts:
        for option in mount.options:
            name, _, value = option.partition("=")
            if name in names:
                data[names[name]] = value
    return DriverData(name=STORAGE_DRIVER, data=data)


def describe_mounts(container: Container) -> tuple[MountPoint, ...]:
    """Return the mounts; those of ``--tmpfs`` are told in the HostConfig only."""
    named_tmpfs = container.host_config.tmpfs or {}
    return tuple(
        mounting.describe_mount(point)
        for point in container.document.mount_points
        if point.destination not in named_tmpfs
    )


async def sizes(core: Core, container: Container) -> tuple[int, int]:
    """Return the bytes of the container's own layer, and of all its layers."""
    if container.id not in core.snapshots:
        return 0, 0

    def measure() -> tuple[int, int]:
        own = core.snapshots.usage(container.id).size_bytes
        below = sum(
            core.snapshots.usage(name).size_bytes
            for name in core.snapshots.chain(container.id)
            if name != container.id
        )
        return own, own + below

    return await core.in_thread(measure)


async def summarise(core: Core, container: Container, *, size: bool) -> ContainerSummary:
    """Return the container's line in the list."""
    document, state = container.document, container.state
    sandbox = endpoints.find_sandbox(core, container)
    ports = endpoints.describe_ports(container, sandbox) if container.is_alive else {}
    size_rw, size_root = await sizes(core, container) if size else (None, None)
    # An untouched layer's 0 is left out, as Docker does in lists.
    size_rw = size_rw or None
    return ContainerSummary(
        id=container.id,
        names=(f"/{container.name}",),
        image=shown_image(core.images, container),
        image_id=document.image_id,
        command=_shown_command(command_line(container.config)),
        created=document.created_ns // 1_000_000_000,
        ports=summarise_ports(ports),
        size_rw=size_rw,
        size_root_fs=size_root,
        labels=dict(container.config.labels or {}),
        state=str(state.status),
        status=describe_status(container, time.time_ns()),
        host_config=HostConfigSummary(
            network_mode=container.host_config.network_mode,
            annotations=container.host_config.annotations,
        ),
        network_settings=NetworkSettingsSummary(
            networks=endpoints.describe_endpoints(core, container, sandbox)
        ),
        mounts=describe_mounts(container),
        health=HealthSummary(status=state.health, failing_streak=state.failing_streak)
        if state.health
        else None,
    )


def _shown_command(words: Sequence[str]) -> str:
    program, *arguments = words or ("",)
    return " ".join([program, *(f"'{a}'" if " " in a else a for a in arguments)])


def shown_image(images: ImageStore, container: Container) -> str:
    """Return the image as the user wrote it, or its id when that name has moved on."""
    written = container.document.image
    try:
        found = images.find(written)
    except CutawayError:
        return container.document.image_id
    return written if str(found.id) == container.document.image_id else container.document.image_id


def summarise_ports(ports: PortMap) -> tuple[PortSummary, ...]:
    """Return one entry for each exposed port and each place where it is published."""
    entries: list[PortSummary] = []
    for key, bindings in ports.items():
        number, _, protocol = key.partition("/")
        private = int(number)
        if not bindings:
            entries.append(PortSummary(private_port=private, type=protocol))
        for binding in bindings or ():
            entries.append(
                PortSummary(
                    ip=binding.host_ip,
                    private_port=private,
                    public_port=int(binding.host_port),
                    type=protocol,
                )
            )
    return tuple(entries)


def describe_status(container: Container, now_ns: int) -> str:
    """Return ``docker ps``'s STATUS: ``Up 3 minutes (healthy)``, ``Exited (137) 2 hours ago``."""
    state = container.state
    up_s = (now_ns - state.started_ns) / 1e9
    ago_s = (now_ns - state.finished_ns) / 1e9
    match state.status:
        case Status.RUNNING:
            health = {"starting": " (health: starting)", "": ""}.get(
                state.health, f" ({state.health})"
            )
            return f"Up {human_duration(up_s)}{health}"
        case Status.PAUSED:
            return f"Up {human_duration(up_s)} (Paused)"
        case Status.RESTARTING:
            status = f"Restarting ({state.exit_code}) {human_duration(ago_s)} ago"
            left_s = (state.next_restart_ns - now_ns) / 1e9
            return f"{status}, again in {human_duration(left_s)}" if left_s >= 1 else status
        case Status.EXITED:
            return f"Exited ({state.exit_code}) {human_duration(ago_s)} ago"
        case Status.REMOVING:
            return "Removal In Progress"
        case Status.DEAD:
            return "Dead"
    return "Created"


def human_duration(seconds: float) -> str:
    """Say a length of time as Docker does: ``Less than a second``, ``3 minutes``, ``2 weeks``."""
    whole = int(seconds)
    if whole < 1:
        return "Less than a second"
    if whole == 1:
        return "1 second"
    if whole < _MINUTE:
        return f"{whole} seconds"
    minutes = whole // _MINUTE
    if minutes == 1:
        return "About a minute"
    if minutes < 60:
        return f"{minutes} minutes"
    hours = int(seconds / _HOUR + 0.5)
    if hours == 1:
        return "About an hour"
    if hours < 48:
        return f"{hours} hours"
    days = hours // 24
    if hours < 24 * 7 * 2:
        return f"{days} days"
    if hours < 24 * 30 * 2:
        return f"{days // 7} weeks"
    if hours < 24 * 365 * 2:
        return f"{days // 30} months"
    return f"{int(seconds / _DAY / 365)} years"
