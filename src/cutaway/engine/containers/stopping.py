"""Ending and holding a container: stop, restart, kill, pause, unpause, resize."""

import logging

from msgspec.structs import replace

from cutaway.engine.container import Container
from cutaway.engine.containers.waiting import exit_of
from cutaway.engine.core import Core, Told
from cutaway.engine.lifecycle import Happening, Status, next_status
from cutaway.engine.links import Link
from cutaway.engine.starts import starting
from cutaway.engine.units import parse_signal
from cutaway.errors import Conflict, InvalidParameter, NotModified, System
from cutaway.shim.protocol import Kill, Pause, Resize, Resume, Stop

log = logging.getLogger(__name__)
# After its own timeout a stop has sent SIGKILL; only a process in uninterruptible sleep is left.
GRACE_S = 30.0
STOP_SIGNALS = frozenset({15, 9})


class NotRunning(Conflict):
    """The container has no process to act on."""

    def __init__(self, identifier: str) -> None:
        super().__init__(f"container {identifier} is not running")


def live_shim(container: Container) -> Link:
    """Return the shim of a container that runs.

    Raises:
        NotRunning: it does not.
    """
    if container.shim is None or not container.is_alive:
        raise NotRunning(container.id)
    return container.shim


async def stop(
    core: Core, container: Container, *, signal: str = "", timeout_s: int | None = None
) -> None:
    """Stop a container; see ``ContainerBackend.stop``.

    Raises:
        NotModified: it does not run.
    """
    number = parse_signal(signal) if signal else None
    restarting = container.state.status is Status.RESTARTING
    if not (container.is_alive or restarting):
        raise NotModified(f"container {container.id} is not running")
    if container.shim is None:
        raise System(f"container {container.id}: its shim is gone")
    await _stop(core, container, container.shim, number=number, timeout_s=timeout_s)
    if container.id in core.containers:
        core.commit(container, told=[("stop", {})])


async def _stop(
    core: Core,
    container: Container,
    shim: Link,
    *,
    number: int | None,
    timeout_s: int | None,
) -> None:
    own = container.config.stop_timeout
    patience = timeout_s if timeout_s is not None else own
    if patience is None:
        patience = starting.DEFAULT_STOP_TIMEOUT_S
    sent = number or parse_signal(container.config.stop_signal or "SIGTERM")
    ended = exit_of(container)
    try:
        if container.state.status is Status.PAUSED:
            await shim.request(Resume())
        state = replace(container.state, stopped_by_user=True)
        core.commit(container, state=state, told=[_kill_event(sent, "stop")])
        shim.post(Stop(signal=number, timeout_s=float(patience)))
        limit = None if patience < 0 else patience + GRACE_S
        await ended.within(limit, f"cannot stop container: {container.id}: it did not end")
    finally:
        ended.leave()


def _kill_event(signal: int, origin: str) -> Told:
    return "kill", {"signal": str(signal), "origin": origin}


async def restart(
    core: Core, container: Container, *, signal: str = "", timeout_s: int | None = None
) -> None:
    """Stop a container if it runs, then start it; a ``--rm`` container survives that."""
    container.keep_after_exit = True
    try:
        try:
            await stop(core, container, signal=signal, timeout_s=timeout_s)
        except NotModified:
            log.debug("restart of %s, which does not run", container.short_id)
        await starting.start(core, container)
    finally:
        container.keep_after_exit = False
    core.commit(container, told=[("restart", {})])


async def kill(core: Core, container: Container, reference: str, signal: str) -> None:
    """Send a signal to PID 1.

    Raises:
        Conflict: it does not run. InvalidParameter: no such signal.
    """
    try:
        number = parse_signal(signal or "SIGKILL")
    except InvalidParameter as error:
        raise InvalidParameter(f"cannot kill container: {reference}: {error}") from None
    if container.state.status is Status.RESTARTING and container.shim is not None:
        await stop(core, container, timeout_s=0)
        return
    try:
        shim = live_shim(container)
    except NotRunning as error:
        raise Conflict(f"cannot kill container: {reference}: {error}") from None
    own = parse_signal(container.config.stop_signal or "SIGTERM")
    ends = number in STOP_SIGNALS or number == own
    ended = exit_of(container)
    try:
        await shim.request(Kill(number, origin="user", by_user=ends))
        state = replace(container.state, stopped_by_user=True) if ends else None
        core.commit(container, state=state, told=[_kill_event(number, "user")])
        if number == 9:
            if container.state.status is Status.PAUSED:
                shim.post(Resume())
            # Docker answers once the container is seen to have ended.
            await ended.within(GRACE_S, f"cannot kill container: {reference}: it did not end")
    finally:
        ended.leave()


async def pause(core: Core, container: Container) -> None:
    """Freeze every process.

    Raises:
        Conflict: it does not run, or is frozen.
    """
    async with container.lock:
        if container.state.status is Status.PAUSED:
            raise Conflict(f"Container {container.id} is already paused")
        await live_shim(container).request(Pause())
        status = next_status(container.state.status, Happening.PAUSE)
        core.commit(container, state=replace(container.state, status=status), told=[("pause", {})])


async def unpause(core: Core, container: Container) -> None:
    """Let every process go on.

    Raises:
        Conflict: it is not frozen.
    """
    async with container.lock:
        if container.state.status is not Status.PAUSED:
            raise Conflict(f"Container {container.id} is not paused")
        await live_shim(container).request(Resume())
        status = next_status(container.state.status, Happening.UNPAUSE)
        core.commit(
            container, state=replace(container.state, status=status), told=[("unpause", {})]
        )


async def resize(core: Core, container: Container, *, height: int, width: int) -> None:
    """Set the terminal's size.

    Raises:
        Conflict: it does not run. InvalidParameter: it has no terminal, or no such size.
    """
    if not (0 <= height < 2**16 and 0 <= width < 2**16):
        raise InvalidParameter(f"invalid terminal size: {height} x {width}")
    shim = live_shim(container)
    if container.config.tty:
        await shim.request(Resize(width=width, height=height))
    core.commit(container, told=[("resize", {"height": str(height), "width": str(width)})])
