"""``docker start``: everything between "please run" and "it runs", or nothing left behind.

The order is the point. The shim is asked for first, and prepares itself while addresses are leased
and its bundle is written. While it makes namespaces, cgroups and the root file system, the engine
configures the network from outside, through the namespace's descriptor that the shim sent first
thing. Only then is PID 1 let go.

```
engine    launch ─ sandbox leased, bundle written ─ make ──── join network ─ start ──── running
shim         └ log, socket ┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄ └ netns ┄┄ cgroups, rootfs ┄┄ exec ┘
```
"""

import asyncio
import logging
import os
import shutil
import time
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from typing import Any

import msgspec
from msgspec.structs import replace

from cutaway import model
from cutaway.engine.container import Container
from cutaway.engine.containers import removal
from cutaway.engine.containers.waiting import hand_over_waiters
from cutaway.engine.core import Core
from cutaway.engine.lifecycle import Happening, Status, next_status
from cutaway.engine.links import Link, ShimLost
from cutaway.engine.networking.endpoints import sandbox_request
from cutaway.engine.output.log_settings import log_settings
from cutaway.engine.running import exits
from cutaway.engine.running.healthchecks import plan_health
from cutaway.engine.running.restarts import plan_restart
from cutaway.engine.spec.build import build_spec
from cutaway.engine.spec.namespaces import shares
from cutaway.engine.starts import cgroup_parents
from cutaway.engine.starts.intents import encode_spec, make_extensions, make_intent
from cutaway.engine.starts.steps import MountSharedMemory
from cutaway.engine.units import parse_signal
from cutaway.engine.volumes import mounting
from cutaway.errors import Conflict, CutawayError, InvalidParameter, NotModified
from cutaway.files import write_atomic
from cutaway.network.naming.etcfiles import edit_hosts
from cutaway.shim.protocol import Delete, ExternalRuntime, Launch, Make, Start
from cutaway.steps import Ledger
from cutaway.volumes import MountPoint

log = logging.getLogger(__name__)
MAKE_TIMEOUT_S = 20.0
DEFAULT_STOP_TIMEOUT_S = 10
_ETC_BYTES = 1 << 20
_INITS = ("docker-init", "tini-static")  # statically linked: the image may have no libc


async def start(core: Core, container: Container, *, restart_count: int = 0) -> None:
    """Run a container. Returns once its program has been executed.

    Args:
        core: the engine.
        container: which one.
        restart_count: how often its restart policy has started it by now; a user begins anew.

    Raises:
        NotModified: it runs already. Conflict: it is paused or being removed.
        ShimFailed, ShimLost, InvalidParameter: it can't run; nothing is left of the attempt.
    """
    async with container.lock:
        _check_startable(container)
        await removal.see_clean(core, container)
        _begin_life(core, container, restart_count)
        try:
            await _start(core, container)
        except BaseException as error:
            _record_failure(core, container, error)
            if container.host_config.auto_remove:
                await removal.finish(core, container, volumes=True)
            raise


def _check_startable(container: Container) -> None:
    status = container.state.status
    if status is Status.PAUSED:
        raise Conflict("cannot start a paused container, try unpause instead")
    if status in (Status.RUNNING, Status.RESTARTING):
        raise NotModified(f"container {container.id} is already running")
    if status in (Status.REMOVING, Status.DEAD):
        raise Conflict("container is marked for removal and cannot be started")


def _begin_life(core: Core, container: Container, restart_count: int) -> None:
    """Begin to count anew, on the disk too: the next shim numbers its events from 1 again."""
    state = replace(container.state, restart_count=restart_count, last_seq=0)
    if state != container.state:
        core.commit(container, state=state)


async def _start(core: Core, container: Container) -> None:
    ledger = Ledger("engine")
    try:
        mounts = await mounting.make_ready(core, container, ledger)
        asks_plugins = await _ask_plugins(core, container, ledger)
        os.makedirs(core.paths.bundle(container.id), mode=0o700, exist_ok=True)
        shim = _launch(core, container)
        _prepare(core, container, ledger, mounts)
        netns_fd = container.netns_fd = await _make(container, shim)
        if not shares(container.host_config.network_mode):
            run = core.in_long_thread if asks_plugins else core.in_thread
            await run(core.network.join, container.id, netns_fd, ledger)
        records = tuple(msgspec.to_builtins(record.to_json()) for record in ledger.records())
        if container.shim is None:
            raise ShimLost("the shim has died during the start")
        if container.kept is not None:
            await container.kept
        await container.wait_joined()
        result = await container.shim.request(Start(ledger=records))
    except BaseException:
        await _undo(core, container, ledger)
        raise
    _commit_start(core, container, result)


async def _ask_plugins(core: Core, container: Container, ledger: Ledger) -> bool:
    """Get addresses and endpoints from network plugins; False when no network has one."""
    if shares(container.host_config.network_mode):
        return False
    request = sandbox_request(core, container)
    asks = core.network.asks_plugins(request)
    if asks:
        await core.in_long_thread(core.network.ask_plugins, request, ledger)
    return asks


def _prepare(
    core: Core, container: Container, ledger: Ledger, mounts: tuple[MountPoint, ...]
) -> None:
    """Lease addresses and write the bundle; everything that the shim will read."""
    if container.host_config.ipc_mode == "shareable":
        _mount_shared_memory(core, container, ledger)
    if not shares(container.host_config.network_mode):
        core.network.create_sandbox(sandbox_request(core, container))
    _write_etc(core, container)
    write_bundle(core, container, mounts)
    cgroup_parents.note_missing(core, container)


def write_bundle(core: Core, container: Container, mounts: tuple[MountPoint, ...]) -> None:
    """Write what the shim reads at a start, and again when its restart policy starts the container.

    Args:
        core: the engine.
        container: to be started, or one that runs and whose next start shall be another.
        mounts: its mount points with their sources ready.
    """
    bundle = core.paths.bundle(container.id)
    spec = build_spec(make_intent(core, container, mounts))
    write_atomic(f"{bundle}/config.json", encode_spec(spec), durable=False)
    extensions = msgspec.json.encode(make_extensions(core, container))
    write_atomic(f"{bundle}/rootfs.json", extensions, durable=False)


def _mount_shared_memory(core: Core, container: Container, ledger: Ledger) -> None:
    step = MountSharedMemory(
        why=f"--ipc {container.host_config.ipc_mode}",
        target=core.paths.shm(container.id),
        size_bytes=container.host_config.shm_size,
    )
    ledger.apply(step, None)


def _write_etc(core: Core, container: Container) -> None:
    for name, text in plan_etc(core, container).items():
        path = core.paths.etc(container.id, name)
        write_atomic(path, text.encode(), mode=0o644, durable=False)


def plan_etc(core: Core, container: Container) -> dict[str, str]:
    """Return the texts of hostname, hosts and resolv.conf; only the first for a shared network."""
    hostname = container.config.hostname or container.short_id
    contents = {"hostname": f"{hostname}\n"}
    if not shares(container.host_config.network_mode):
        files = core.network.etc_files(container.id)
        contents = {
            "hostname": files.hostname,
            "hosts": files.hosts,
            "resolv.conf": files.resolv_conf,
        }
    return contents


def rewrite_etc(core: Core, container: Container, before: Mapping[str, str]) -> None:
    """Bring hosts and resolv.conf of a running container up to date, in place.

    They are bind mounts of the files themselves: a new file under the old name would not be seen.
    What users wrote into hosts stays; a resolv.conf that they changed is theirs.

    Args:
        core: the engine.
        container: whose networks have changed.
        before: what ``plan_etc`` said before the change.
    """
    for name, text in plan_etc(core, container).items():
        path = core.paths.etc(container.id, name)
        fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            current = os.pread(fd, _ETC_BYTES, 0).decode("utf-8", "surrogateescape")
            old = before.get(name, "")
            if name == "hosts":
                kept, wanted = old.splitlines(), text.splitlines()
                text = edit_hosts(current, set(kept) - set(wanted), wanted)
            elif current != old:
                continue
            if text != current:
                data = text.encode("utf-8", "surrogateescape")
                os.pwrite(fd, data, 0)
                os.ftruncate(fd, len(data))  # last: ext4 writes out what was emptied before
        finally:
            os.close(fd)


def _launch(core: Core, container: Container) -> Link:
    """Ask for a shim; what it tells waits until the start is committed."""
    container.early = []
    container.shim, answer = core.launcher.launch(
        plan_launch(core, container),
        partial(exits.on_event, core, container),
        partial(exits.on_end, core, container),
    )
    container.cleaned.clear()
    answer.add_done_callback(partial(_note_shim, container))
    return container.shim


async def _make(container: Container, shim: Link) -> int | None:
    """Have the shim make the container; return its namespace's descriptor, if it has its own.

    Raises:
        ShimFailed, ShimLost: it can't.
    """
    made = shim.exchange(Make())
    for attach in container.attaches:  # beside the making, but before the start
        shim.post(attach.message, (attach.fd,))
        os.close(attach.fd)
    container.attaches.clear()
    hand_over_waiters(container)
    try:
        async with asyncio.timeout(MAKE_TIMEOUT_S):
            _, fds = await made
    except TimeoutError:
        raise ShimLost(
            f"the shim of container {container.id} did not answer within "
            f"{MAKE_TIMEOUT_S:.0f} s; the start was taken back"
        ) from None
    return fds[0] if fds else None


def _note_shim(container: Container, answer: "asyncio.Future[Any]") -> None:
    if not answer.cancelled() and answer.exception() is None:
        container.shim_pid = int(answer.result()[0]["pid"])


def plan_launch(core: Core, container: Container) -> Launch:
    """Decide what the launcher and the shim are told of a container."""
    config, host = container.config, container.host_config
    height, width = host.console_size
    is_joined = host.network_mode == "host" or bool(shares(host.network_mode))
    timeout_s = config.stop_timeout
    return Launch(
        container_id=container.id,
        bundle=core.paths.bundle(container.id),
        directory=core.paths.container(container.id),
        stdin_open=config.open_stdin,
        stdin_once=config.stdin_once,
        durable=not host.auto_remove,
        stop_signal=parse_signal(config.stop_signal or "SIGTERM"),
        stop_timeout_s=DEFAULT_STOP_TIMEOUT_S if timeout_s is None else timeout_s,
        console_width=width,
        console_height=height,
        log=log_settings(core, container),
        restart=plan_restart(host.restart_policy, config.labels or {}),
        health=plan_health(core, container),
        runtime=plan_runtime(core, host),
        restart_count=container.state.restart_count,
        network="joined" if is_joined else "own",
        terminal=config.tty,
    )


def plan_runtime(core: Core, host: model.HostConfig) -> ExternalRuntime | None:
    """Decide which program runs the container; None is the built-in runtime.

    Raises:
        InvalidParameter: it shall have an init, and no program for that was found.
    """
    name = host.runtime
    if name in ("", "cutaway"):
        return None
    known = core.settings.runtimes.get(name)
    return ExternalRuntime(
        path=(known.path if known else "") or name,
        root=f"{core.paths.exec_root}/runtime-{name}",
        arguments=known.arguments if known else (),
        init=_find_init(core.settings.init_path) if host.init else "",
    )


def _find_init(named: str) -> str:
    """Return the program that is bind-mounted as PID 1: our own init lives in our own runtime."""
    for name in (named,) if named else _INITS:
        if path := shutil.which(name):
            return path
    raise InvalidParameter(
        f"--init with an external runtime needs {named or ' or '.join(_INITS)} on the host: "
        "install tini, name such a program by the daemon's --init-path, or leave --runtime out"
    )


async def _undo(core: Core, container: Container, ledger: Ledger) -> None:
    """Take back what the engine did; the shim takes back what it did."""
    if container.shim is not None:
        container.shim.post(Delete())
    exits.replay_early(core, container)
    container.close_netns()
    for failure in await core.in_thread(ledger.undo_all):
        log.warning("undoing the start of %s: %s", container.short_id, failure)
    if not shares(container.host_config.network_mode):
        with suppress(CutawayError, OSError):
            core.network.delete_sandbox(container.id)
    mounting.give_back(core, container)
    if container.cleaned.is_set():  # no shim was ever asked for
        exits.discard_bundle(core, container)
        core.empty_trash_soon()


def _commit_start(core: Core, container: Container, result: Mapping[str, int]) -> None:
    state = replace(
        container.state,
        status=next_status(container.state.status, Happening.START),
        pid=int(result["pid"]),
        exit_code=0,
        error="",
        oom_killed=False,
        started_ns=int(result.get("started_ns") or time.time_ns()),
        stopped_by_user=False,
        health="starting" if plan_health(core, container) else "",
        failing_streak=0,
        health_log=(),
        next_restart_ns=0,
        ending=None,
    )
    with core.bus.telling():
        exits.tell_networks(core, container, "connect")
        core.commit(container, state=state, told=[("start", {})])
    exits.replay_early(core, container)
    if container.shim is None:  # it was lost between its answer and this commit
        exits.account_for_loss(core, container)


def _record_failure(core: Core, container: Container, error: BaseException) -> None:
    exit_code = getattr(error, "exit_code", 128)
    state = replace(
        container.state,
        exit_code=exit_code if exit_code in (126, 127) else 128,
        error=str(error),
    )
    core.commit(container, state=state)
