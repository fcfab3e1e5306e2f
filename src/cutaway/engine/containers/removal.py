"""``docker rm`` and the end of ``--rm``: what is forgotten when, and what a crash leaves to do.

``docker rm`` marks the container, takes its things away and forgets it last. A ``--rm`` container
is forgotten at its exit, in the same transaction, so that whoever waits is answered at once; its
things are taken away when the shim has cleaned up. ``docker rm`` awaits that clean-up only where
somebody could tell. What must then still be done (anonymous
volumes) is noted in the store; everything else carries the container's id and would be found by
the sweep.
"""

import asyncio
import logging
import os
from contextlib import suppress

import msgspec
from msgspec.structs import replace

from cutaway import linux
from cutaway.engine.container import Container
from cutaway.engine.containers.waiting import exit_of
from cutaway.engine.core import Core, event_attributes
from cutaway.engine.lifecycle import Happening, Status, next_status
from cutaway.engine.volumes.mounting import remove_views
from cutaway.errors import Conflict, CutawayError, NotFound, System
from cutaway.linux.abi import MNT
from cutaway.shim.protocol import Kill, Resume

log = logging.getLogger(__name__)
SIGKILL = 9
GARBAGE = "garbage"
KILL_TIMEOUT_S = 10.0
CLEAN_TIMEOUT_S = 15.0


async def remove(core: Core, container: Container, *, force: bool, volumes: bool) -> None:
    """Remove a container.

    Raises:
        Conflict: it runs and ``force`` is not set, or it is being removed already.
        System: something of it could not be removed; it is ``dead`` and can be removed again.
    """
    status = container.state.status
    if status is Status.REMOVING:
        raise Conflict(f"removal of container {container.name} is already in progress")
    if container.is_alive or status is Status.RESTARTING:
        if not force:
            hint = "stop the container before removing or force remove"
            if status is Status.PAUSED:
                hint = "unpause and then stop the container before removing or force remove"
            raise Conflict(
                f'cannot remove container "{container.name}": container is {status}: {hint}'
            )
        await _kill(core, container)
    async with container.lock:
        if container.id not in core.containers:
            return
        if container.state.status is Status.REMOVING:
            raise Conflict(f"removal of container {container.name} is already in progress")
        if _holds_what_others_use(container):
            await see_clean(core, container)
        await finish(core, container, volumes=volumes)
        if not container.cleaned.is_set():
            core.spawn(see_clean(core, container), f"cleaning up {container.short_id}")


def _holds_what_others_use(container: Container) -> bool:
    """Say whether who removed it may do something that fails until the shim has cleaned up.

    They may unplug or unmount what was mounted in it, or remove the cgroup that they gave it. All
    else is the container's own, nobody finds it any more, and the shim is about to take it away.
    """
    return bool(container.document.mount_points or container.host_config.cgroup_parent)


async def see_clean(core: Core, container: Container) -> None:
    """Wait until the last run's shim has cleaned up; one that hangs is killed and swept after.

    Raises:
        System: something of the container can't be ended.
    """
    try:
        await asyncio.wait_for(container.cleaned.wait(), CLEAN_TIMEOUT_S)
        return
    except TimeoutError:
        log.error("the shim of %s does not finish; killing it", container.short_id)
    if container.shim_pid:
        with suppress(OSError):
            os.kill(container.shim_pid, SIGKILL)
    try:
        await asyncio.wait_for(container.cleaned.wait(), CLEAN_TIMEOUT_S)
    except TimeoutError:
        raise System(
            f"container {container.id} does not end: its shim (process {container.shim_pid}) can't "
            "be killed; look at what it waits for in /proc, then try again"
        ) from None


async def _kill(core: Core, container: Container) -> None:
    ended = exit_of(container)
    if container.shim is not None:
        if container.state.status is Status.PAUSED:
            container.shim.post(Resume())
        container.shim.post(Kill(SIGKILL, origin="remove", by_user=True))
        core.commit(container, told=[("kill", {"signal": str(SIGKILL), "origin": "remove"})])
    await ended.within(KILL_TIMEOUT_S, f"could not kill container {container.id}")


async def finish(core: Core, container: Container, *, volumes: bool) -> None:
    """Take away everything a container has that does not run, then forget it.

    Preconditions: its lock is held. If its shim still cleans up, its bundle goes afterwards.
    """
    if container.state.status is not Status.REMOVING:
        status = next_status(container.state.status, Happening.REMOVE)
        core.commit(container, state=replace(container.state, status=status))
    try:
        core.volumes.dereference(container.id)
        await container.wait_given_back()
        await core.in_thread(_remove_things, core, container, volumes)
    except (OSError, CutawayError) as error:
        dead = replace(container.state, status=Status.DEAD, error=str(error))
        core.commit(container, state=dead)
        raise System(f'cannot remove container "{container.name}": {error}') from error
    forget(core, container, volumes=False)
    answer_removed(container)
    core.empty_trash_soon()


def forget(core: Core, container: Container, *, volumes: bool) -> None:
    """Take the container out of store and memory, and say so.

    Args:
        core: the engine.
        container: whose exit is known.
        volumes: note its anonymous volumes as garbage, for ``discard``.
    """
    with core.bus.telling() as tell, core.store.change() as transaction:
        transaction.delete_container(container.id)
        if volumes and container.document.anonymous_volumes:
            names = msgspec.json.encode(container.document.anonymous_volumes)
            transaction.put_document(GARBAGE, container.id, names)
        tell("container", "destroy", container.id, event_attributes(container, {}))
    core.containers.discard(container)
    core.volumes.dereference(container.id)  # who hears of the end may remove its volumes now


def answer_removed(container: Container) -> None:
    """Tell everybody who still waits: there is nothing more to wait for."""
    for waiter in container.waiters:
        if not waiter.answer.done():
            waiter.answer.set_result(container.state.exit_code)
    for attach in container.attaches:
        os.close(attach.fd)
    container.attaches.clear()


async def discard(core: Core, container: Container) -> None:
    """Take away the things of a forgotten ``--rm`` container, once its shim has cleaned up."""
    await see_clean(core, container)
    answer_removed(container)
    await container.wait_given_back()
    await core.in_thread(_remove_things, core, container, True)
    core.empty_trash_soon()
    if container.document.anonymous_volumes:
        with core.store.change() as transaction:
            transaction.delete_document(GARBAGE, container.id)


def _remove_things(core: Core, container: Container, volumes: bool) -> None:
    with suppress(NotFound):
        core.snapshots.remove(container.id)
    remove_views(container, core.snapshots)
    if volumes:
        remove_volumes(core, container.document.anonymous_volumes)
    with suppress(FileNotFoundError):
        core.trash.throw_away(core.paths.container(container.id))


def remove_volumes(core: Core, names: tuple[str, ...]) -> None:
    """Remove anonymous volumes; one that another container uses by now stays."""
    for name in names:
        try:
            core.volumes.remove(name)
        except (NotFound, Conflict):
            continue
        except OSError as error:
            log.warning("removing the volume %s: %s", name, error)


def unmount_shm(core: Core, container: Container) -> None:
    """Unmount the shared /dev/shm, if there is one."""
    if container.host_config.ipc_mode == "shareable":
        with suppress(OSError):
            linux.umount2(core.paths.shm(container.id), MNT.DETACH)
