"""What the shims tell, taken into account: exits, restarts, health, execs, the clean-up's end.

Each event is stored before it is acknowledged; an event that was stored but not acknowledged when
the engine died comes again and changes nothing the second time. A container's last exit is safe on
the disk before it is acknowledged and before anybody who waits is answered (docs/adr/014).
"""

import logging
import os
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from msgspec.structs import replace

from cutaway.engine.container import Container, ContainerState
from cutaway.engine.containers import removal
from cutaway.engine.containers.remains import end_orphan
from cutaway.engine.containers.waiting import CONDITIONS
from cutaway.engine.core import Core, Told
from cutaway.engine.lifecycle import Happening, Status, next_status
from cutaway.engine.running.endings import explain_end
from cutaway.engine.spec.namespaces import shares
from cutaway.engine.starts import cgroup_parents
from cutaway.engine.volumes import mounting
from cutaway.errors import CutawayError, NotFound, System
from cutaway.files import read_json
from cutaway.shim.protocol import Event

log = logging.getLogger(__name__)
SIGKILL_EXIT_CODE = 137


def on_event(core: Core, container: Container, event: Event, fds: tuple[int, ...]) -> None:
    """Account for one event; during a start it waits until that is committed."""
    for fd in fds:
        os.close(fd)
    for queue in (container.early, container.after_exit):
        if queue is not None:
            queue.append(event)
            return
    handler = _HANDLERS.get(event.name)
    if handler is not None:
        handler(core, container, event.facts)
    if container.after_exit is not None:
        container.after_exit.append(event)  # to be acknowledged the second time
        return
    if event.seq:
        container.state = replace(container.state, last_seq=event.seq)
        if container.shim is not None:
            container.shim.acknowledge(event.seq)
    if event.name == "cleaned":
        _let_go(core, container)


def replay_early(core: Core, container: Container) -> None:
    """Account for what came during a start."""
    early, container.early = container.early or [], None
    for event in early:
        on_event(core, container, event, ())


def on_end(core: Core, container: Container) -> None:
    """Account for a shim that has ended; if it did so without telling an exit, it was killed."""
    container.shim, container.shim_pid = None, 0
    account_for_loss(core, container)
    if not container.cleaned.is_set():
        core.spawn(_clean_up(core, container), f"cleaning up {container.short_id}")


def account_for_loss(core: Core, container: Container) -> None:
    """Note the exit of a container that should run but has no shim."""
    if container.is_alive or container.state.status is Status.RESTARTING:
        facts = read_exit(core, container.id)
        if facts is None or _is_older(facts, container):
            log.error("the shim of %s was lost, and its container with it", container.short_id)
            facts = {"exit_code": SIGKILL_EXIT_CODE, "lost": True}
            # RUN is a tmpfs: a bundle that is not there was made before the machine's start.
            facts["machine_ended"] = not os.path.isdir(core.paths.bundle(container.id))
        _exited(core, container, facts)


async def _clean_up(core: Core, container: Container) -> None:
    """Do what the lost shim can't: end its processes; only then may the container start again."""
    try:
        await core.in_thread(end_orphan, core, container)
    finally:
        _let_go(core, container)


def _is_older(facts: dict[str, Any], container: Container) -> bool:
    """Say whether an exit is that of an earlier run: the disk keeps the last one that was told."""
    return int(facts.get("started_ns") or 0) < container.state.started_ns


def read_exit(core: Core, identifier: str) -> dict[str, Any] | None:
    """Return what the shim wrote of an exit, from tmpfs or else from the disk."""
    for directory in (core.paths.bundle(identifier), core.paths.container(identifier)):
        with suppress(OSError, ValueError):
            document = read_json(f"{directory}/exit.json")
            if isinstance(document, dict):
                return document
    return None


def _exited(core: Core, container: Container, facts: dict[str, Any]) -> None:
    if not (container.is_alive or container.state.status is Status.RESTARTING):
        return
    state = exited_state(container.state, facts, memory_limit=container.host_config.memory)
    told = exit_events(container, state)
    if state.status is Status.RESTARTING:
        core.commit(container, state=state, told=told)
        # Docker's `wait` ends at every exit, also when a restart follows.
        _answer_waiters(container, state.exit_code, "not-running", "next-exit")
        return
    removing = container.host_config.auto_remove and not container.keep_after_exit
    with core.bus.telling(), core.store.change():
        core.commit(container, state=state, told=told)
        release_network(core, container)
        if removing:
            removal.forget(core, container, volumes=True)
    if removing:
        _answer_waiters(container, state.exit_code, *CONDITIONS)
        core.spawn(removal.discard(core, container), f"removing {container.short_id}")
    else:
        if container.shim is not None:  # a lost one has nothing more to tell
            container.after_exit = []
        core.spawn(_keep_exit(core, container, state.exit_code), f"the end of {container.id}")


async def _keep_exit(core: Core, container: Container, exit_code: int) -> None:
    """Answer those who wait, and go on, when the exit would survive a power cut."""
    try:
        await core.store.flush()
    except System as error:
        log.error("the exit of %s may not survive a power cut: %s", container.short_id, error)
    _answer_waiters(container, exit_code, "not-running", "next-exit")
    events, container.after_exit = container.after_exit or [], None
    for event in events:
        on_event(core, container, event, ())


def exited_state(
    state: ContainerState, facts: dict[str, Any], *, memory_limit: int = 0
) -> ContainerState:
    """Return the state after an exit."""
    restarting = bool(facts.get("restarting"))
    happening = Happening.AWAIT_RESTART if restarting else Happening.EXIT
    if state.status is Status.RESTARTING:
        status = Status.RESTARTING if restarting else Status.EXITED
    else:
        status = next_status(state.status, happening)
    health = facts.get("health") or {}
    ending = explain_end(facts, memory_limit=memory_limit)
    return replace(
        state,
        status=status,
        pid=0,
        exit_code=int(facts.get("exit_code") or 0),
        restart_count=max(state.restart_count, int(facts.get("restart_count") or 0)),
        oom_killed=bool(facts.get("oom_killed")) or state.oom_killed,
        finished_ns=int(facts.get("exited_ns") or time.time_ns()),
        error=ending.reason if facts.get("lost") else "",
        health="unhealthy" if state.health else "",
        failing_streak=int(health.get("failing_streak") or state.failing_streak),
        health_log=tuple(health.get("log") or ()),
        next_restart_ns=0,
        ending=ending,
    )


def exit_events(container: Container, state: ContainerState) -> list[Told]:
    """Return the events of an exit: ``die``, with how long it ran and who ended it."""
    seconds = max(0, state.finished_ns - state.started_ns) // 1_000_000_000
    attributes = {"exitCode": str(state.exit_code), "execDuration": str(seconds)}
    if state.ending is not None:
        attributes |= {"endedBy": state.ending.by, "reason": state.ending.reason}
        if state.ending.signal:
            attributes["signal"] = str(state.ending.signal)
    oom: list[Told] = [("oom", {})] if state.oom_killed and not container.state.oom_killed else []
    return [*oom, ("die", attributes)]


def release_network(core: Core, container: Container) -> None:
    """Give back addresses, ports and names; the devices go a moment later."""
    container.close_netns()
    if not shares(container.host_config.network_mode):
        tell_networks(core, container, "disconnect")
        with suppress(NotFound):
            core.network.delete_sandbox(container.id)
    mounting.give_back(core, container)


def tell_networks(core: Core, container: Container, action: str) -> None:
    """Publish ``connect`` or ``disconnect`` for each network that the container is in."""
    try:
        endpoints = core.network.sandbox(container.id).endpoints
    except CutawayError:
        return
    for endpoint in endpoints:
        with suppress(CutawayError):
            network = core.network.network(endpoint.network_id)
            attributes = {
                "container": container.id,
                "name": network.name,
                "type": network.driver,
            }
            core.bus.publish("network", action, network.id, attributes)


def _answer_waiters(container: Container, exit_code: int, *conditions: str) -> None:
    for waiter in [w for w in container.waiters if w.condition in conditions]:
        if not waiter.answer.done():
            waiter.answer.set_result(exit_code)


def _started(core: Core, container: Container, facts: dict[str, Any]) -> None:
    # The first start is committed by whoever asked for it; here come those of the policy.
    if container.state.status is not Status.RESTARTING:
        return
    state = replace(
        container.state,
        status=Status.RUNNING,
        pid=int(facts.get("pid") or 0),
        started_ns=int(facts.get("started_ns") or time.time_ns()),
        restart_count=int(facts.get("restart_count") or container.state.restart_count + 1),
        exit_code=0,
        oom_killed=False,
        health="starting" if container.state.health else "",
        failing_streak=0,
        health_log=(),
        next_restart_ns=0,
        ending=None,
    )
    core.commit(container, state=state, told=[("start", {})])


def _restarting(core: Core, container: Container, facts: dict[str, Any]) -> None:
    if container.state.status not in (Status.RUNNING, Status.RESTARTING):
        return
    count = int(facts.get("restart_count") or 0)
    state = replace(
        container.state,
        status=Status.RESTARTING,
        restart_count=count,
        next_restart_ns=int(facts.get("at_ns") or 0),
    )
    core.commit(container, state=state)


def _health_status(core: Core, container: Container, facts: dict[str, Any]) -> None:
    status, streak = str(facts.get("status", "")), int(facts.get("failing_streak") or 0)
    if (status, streak) == (container.state.health, container.state.failing_streak):
        return
    told: list[Told] = []
    if status != container.state.health and status != "starting":
        told.append((f"health_status: {status}", {}))
    state = replace(container.state, health=status, failing_streak=streak)
    core.commit(container, state=state, told=told)


def _oom(core: Core, container: Container, facts: dict[str, Any]) -> None:
    if container.is_alive:
        core.commit(container, state=replace(container.state, oom_killed=True), told=[("oom", {})])


def _signalled(core: Core, container: Container, facts: dict[str, Any]) -> None:
    attributes = {"signal": str(facts.get("signal")), "origin": str(facts.get("origin"))}
    core.commit(container, told=[("kill", attributes)])


def _exec_exited(core: Core, container: Container, facts: dict[str, Any]) -> None:
    process = container.execs.get(str(facts.get("exec_id")))
    if process is None:
        return
    process.running = False
    process.exit_code = int(facts.get("exit_code") or 0)
    attributes = {"execID": process.id, "exitCode": str(process.exit_code)}
    core.commit(container, told=[("exec_die", attributes)])


def _detached(core: Core, container: Container, facts: dict[str, Any]) -> None:
    if facts.get("reason") == "keys":
        core.commit(container, told=[("detach", {})])


def _log_failed(core: Core, container: Container, facts: dict[str, Any]) -> None:
    log.error("the log of %s: %s", container.short_id, facts.get("message"))


def _cleaned(core: Core, container: Container, facts: dict[str, Any]) -> None:
    for failure in facts.get("failures") or ():
        log.warning("cleaning up %s: %s", container.short_id, failure)


def _let_go(core: Core, container: Container) -> None:
    if container.shim is not None:
        container.shim.close()
        container.shim = None
    discard_bundle(core, container)
    core.empty_trash_soon()
    for process in container.execs.values():
        process.running = False
    container.cleaned.set()


def discard_bundle(core: Core, container: Container) -> None:
    """Remove what a run needed: bundle, sockets, the shared /dev/shm, the cgroups above its own."""
    removal.unmount_shm(core, container)
    with suppress(FileNotFoundError):
        core.bundle_trash.throw_away(core.paths.bundle(container.id))
    cgroup_parents.remove_unused(core)


_HANDLERS: dict[str, Callable[[Core, Container, dict[str, Any]], None]] = {
    "started": _started,
    "exited": _exited,
    "restarting": _restarting,
    "health_status": _health_status,
    "oom": _oom,
    "signalled": _signalled,
    "exec_exited": _exec_exited,
    "detached": _detached,
    "log_failed": _log_failed,
    "cleaned": _cleaned,
}
