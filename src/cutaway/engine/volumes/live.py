"""``cutaway mount add`` and ``rm``: mounts of a container that runs.

What is changed stays: the container's document says it before the kernel does, so that a crash in
between is made good by the next start; and its bundle says it, so that a restart by the shim, with
no engine there, has the same mounts.
"""

import os
from collections.abc import Sequence
from dataclasses import replace as with_changes

from msgspec.structs import replace

from cutaway.engine.container import Container, ContainerDocument
from cutaway.engine.containers import removal
from cutaway.engine.containers.creation import make_volumes
from cutaway.engine.containers.files import mount_targets
from cutaway.engine.core import Core
from cutaway.engine.lifecycle import Status
from cutaway.engine.starts.planning import add_to_story
from cutaway.engine.starts.starting import write_bundle
from cutaway.engine.volumes import mounting
from cutaway.errors import Conflict, InvalidParameter, NotFound
from cutaway.model import HostConfig
from cutaway.model import MountPoint as MountAnswer
from cutaway.oci.runtime_spec import Mount
from cutaway.runtime.live_mounts import MountChange, change_mounts
from cutaway.steps import Ledger
from cutaway.volumes import MountPoint, parse_binds
from cutaway.volumes.errors import DuplicateMountPoint
from cutaway.volumes.parse import clean_path


async def add_mounts(core: Core, container: Container, binds: Sequence[str]) -> list[MountAnswer]:
    """Mount volumes and host directories, at once and at every start.

    Args:
        core: the engine.
        container: running or not.
        binds: ``SOURCE:DESTINATION[:OPTIONS]`` each, as ``docker run -v`` has them.

    Returns:
        What was added, as inspect tells it.

    Raises:
        InvalidParameter: in Docker's words. Conflict: it would hide another mount, or the container
            is being removed.
    """
    async with container.lock:
        wanted = _check(container, binds)
        points, anonymous = await make_volumes(core, wanted, container.document.chain_id)
        document = container.document
        changed = _with_points(
            replace(
                document,
                host_config=replace(
                    document.host_config, binds=(*(document.host_config.binds or ()), *binds)
                ),
                anonymous_volumes=(*document.anonymous_volumes, *anonymous),
            ),
            (*document.mount_points, *points),
        )
        try:
            await _change(core, container, changed, added=points)
        except BaseException:
            removal.remove_volumes(core, anonymous)
            raise
        return [mounting.describe_mount(point) for point in points]


async def remove_mounts(
    core: Core, container: Container, targets: Sequence[str], *, force: bool
) -> None:
    """Take mounts away, at once and for every start.

    Args:
        core: the engine.
        container: running or not.
        targets: paths in the container.
        force: although files of them are open, or others are mounted below.

    Raises:
        NotFound: nothing that was asked for is mounted there. Conflict: it is in use.
    """
    async with container.lock:
        _check_life(container)
        gone = [_find(container, clean_path(target)) for target in targets]
        names = {point.destination for point in gone}
        document = container.document
        kept = tuple(p for p in document.mount_points if p.destination not in names)
        host = _without(document.host_config, names)
        changed = _with_points(replace(document, host_config=host), kept)
        await _change(core, container, changed, removed=gone, force=force)
        for point in gone:
            mounting.remove_view(container.id, point, core.snapshots)
            if point.name not in {p.name for p in kept}:
                core.volumes.dereference(container.id, point.name)
                await core.in_long_thread(core.volumes.unmount, container.id, None, point.name)


def _check(container: Container, binds: Sequence[str]) -> tuple[MountPoint, ...]:
    if not binds:
        raise InvalidParameter("no mount given: say SOURCE:DESTINATION[:OPTIONS]")
    _check_life(container)
    points = parse_binds(binds, volume_driver=container.host_config.volume_driver)
    taken = {point.destination for point in container.document.mount_points}
    for point in points:
        if point.destination in taken:
            raise DuplicateMountPoint(point.destination)
        below = point.destination.rstrip("/") + "/"
        hidden = sorted(t for t in taken | mount_targets(container) if t.startswith(below))
        if hidden:
            raise Conflict(
                f"a mount at {point.destination} would hide what is mounted at {hidden[0]} of "
                f"container {container.name}: mount it elsewhere, or make the container with it"
            )
    return points


def _check_life(container: Container) -> None:
    if container.state.status in (Status.REMOVING, Status.DEAD):
        raise Conflict(f"container {container.id} is marked for removal: its mounts can't change")


def _find(container: Container, target: str) -> MountPoint:
    for point in container.document.mount_points:
        if point.destination == target:
            return point
    raise NotFound(f"container {container.name} has no mount at {target}")


def _without(host: HostConfig, targets: set[str]) -> HostConfig:
    """Return the request without what asked for mounts at these places."""
    binds = tuple(b for b in host.binds or () if parse_binds((b,))[0].destination not in targets)
    mounts = tuple(m for m in host.mounts or () if clean_path(m.target) not in targets)
    tmpfs = {t: o for t, o in (host.tmpfs or {}).items() if clean_path(t) not in targets}
    return replace(host, binds=binds or None, mounts=mounts or None, tmpfs=tmpfs or None)


def _with_points(document: ContainerDocument, points: tuple[MountPoint, ...]) -> ContainerDocument:
    ordered = sorted(points, key=lambda point: point.destination.split("/"))
    return replace(document, mounts=tuple(point.to_json() for point in ordered))


async def _change(
    core: Core,
    container: Container,
    changed: ContainerDocument,
    *,
    added: Sequence[MountPoint] = (),
    removed: Sequence[MountPoint] = (),
    force: bool = False,
) -> None:
    """Store the new mounts, and make them so in a container that runs; or leave all as it was."""
    before, ledger = container.document, Ledger("engine")
    for point in added:
        if point.name:
            core.volumes.reference(point.name, container.id)
    core.commit(container, document=changed, told=[("update", {})])
    try:
        if container.is_alive:
            await core.in_long_thread(
                _apply, core, container, ledger, added=added, removed=removed, force=force
            )
        elif container.shim is not None:  # which is about to start it again
            await core.in_long_thread(_write_bundle, core, container, ledger)
    except BaseException:
        core.commit(container, document=before)
        kept = {point.name for point in before.mount_points}
        for name in {point.name for point in added} - kept - {""}:
            core.volumes.dereference(container.id, name)
            await core.in_long_thread(core.volumes.unmount, container.id, None, name)
        if container.shim is not None:
            await core.in_long_thread(_write_bundle, core, container, ledger)
        raise
    await add_to_story(container, ledger)


def _write_bundle(core: Core, container: Container, ledger: Ledger) -> tuple[MountPoint, ...]:
    ready = mounting.open_sources(core, container, ledger)
    write_bundle(core, container, ready)
    return ready


def _apply(
    core: Core,
    container: Container,
    ledger: Ledger,
    *,
    added: Sequence[MountPoint],
    removed: Sequence[MountPoint],
    force: bool,
) -> None:
    ready = {p.destination: p for p in _write_bundle(core, container, ledger)}
    # What a new volume starts with is in it by now; a running container's own files are not copied.
    points = [with_changes(ready[point.destination], copy_up=False) for point in added]
    change = MountChange(
        added=tuple(Mount.from_json(point.to_oci()) for point in points),
        removed=tuple(sorted((p.destination for p in removed), reverse=True)),
        force=force,
        user=container.config.user,
    )
    fd = os.open(f"/proc/{container.state.pid}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    try:
        ledger.take(change_mounts(fd, change))
    finally:
        os.close(fd)
