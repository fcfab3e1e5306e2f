"""What a new engine does first: find the containers of the old one again, and sweep.

The store says what should be; shims and exit files say what is. In order:

1. read the store (a damaged one is rebuilt from the containers' own config.json);
2. connect to every shim that lives, take over its events, and let go those that never started;
3. account for exits that nobody heard of (a shim that left has written what it told nobody into
   state.json), finish removals that were begun;
4. remove everything that carries the id of no container: cgroups, bundles, layers, directories
   (links and firewall elements are the network controller's).
"""

import logging
import os
import shutil
from collections.abc import Iterable
from contextlib import suppress
from functools import partial

import msgspec
from msgspec.structs import replace

from cutaway import linux
from cutaway.cgroups import CgroupLayout, cgroup_directory, probe_cgroup_layout
from cutaway.engine.configuration.settings import instance_name
from cutaway.engine.container import Container, ContainerDocument, ContainerState, Exec
from cutaway.engine.containers import removal
from cutaway.engine.containers.remains import remove_cgroups
from cutaway.engine.core import Core
from cutaway.engine.ids import NameInUse, is_id
from cutaway.engine.lifecycle import Status
from cutaway.engine.links import Link, ShimFailed, ShimLost
from cutaway.engine.running import exits
from cutaway.engine.starts import cgroup_parents
from cutaway.errors import CutawayError, NotFound
from cutaway.files import read_json
from cutaway.images.snapshots import Kind
from cutaway.linux.abi import MNT
from cutaway.model import ExecConfig
from cutaway.shim import protocol
from cutaway.shim.client import ShimClient

log = logging.getLogger(__name__)


def load(core: Core) -> None:
    """Read the containers of the store; rebuild it when it was found damaged."""
    for row in core.store.containers():
        try:
            core.containers.add(Container.from_row(row))
        except msgspec.MsgspecError as error:
            log.error("the record of container %s can't be read: %s", row.id, error)
    if core.store.moved_aside is not None:
        log.error("the database was damaged and moved to %s; rebuilding it", core.store.moved_aside)
        _rebuild(core)
    for container in core.containers:
        for point in container.document.mount_points:
            if point.name:
                core.volumes.reference(point.name, container.id)


def _rebuild(core: Core) -> None:
    for identifier in _ids_in(core.paths.containers):
        path = f"{core.paths.container(identifier)}/config.json"
        try:
            with open(path, "rb") as file:
                document = msgspec.json.decode(file.read(), type=ContainerDocument)
        except (OSError, msgspec.MsgspecError) as error:
            log.error("container %s is lost: %s: %s", identifier, path, error)
            continue
        found = exits.read_exit(core, identifier)
        state = ContainerState()
        if found is not None:
            state = replace(
                exits.exited_state(replace(state, status=Status.RUNNING), found),
                status=Status.EXITED,
            )
        container = Container(document, state)
        container.cleaned.set()
        with suppress(NameInUse), core.store.change() as transaction:
            transaction.insert_container(container.to_row())
            core.containers.add(container)


async def reconnect(core: Core) -> None:
    """Connect to the shims that live."""
    for container in core.containers:
        path = core.paths.shim_socket(container.id)
        try:
            client = ShimClient.connect(path)
        except OSError:
            continue
        container.cleaned.clear()
        container.early = []
        container.shim = Link(
            client,
            partial(exits.on_event, core, container),
            partial(exits.on_end, core, container),
        )
        await _take_over(core, container, container.shim)


def _hear_the_gone(core: Core, container: Container) -> None:
    """Take up the events that a shim told nobody, since no engine was there until it left."""
    try:
        state = read_json(f"{core.paths.bundle(container.id)}/state.json")
        events = [protocol.Event.from_json(event) for event in state["unacknowledged"]]
    except (OSError, ValueError, KeyError, protocol.ProtocolError):
        return
    container.early = [event for event in events if event.seq > container.state.last_seq]
    first = next((event.facts for event in container.early if event.name == "started"), None)
    if first is not None:
        _adopt(core, container, {**first, "status": "running"})


async def _take_over(core: Core, container: Container, link: Link) -> None:
    try:
        hello = protocol.Hello(after_seq=container.state.last_seq)
        snapshot, fds = await link.exchange(hello)
    except (ShimFailed, ShimLost) as error:
        log.warning("the shim of %s does not answer: %s", container.short_id, error)
        container.early = None
        return
    if fds:
        container.netns_fd = fds[0]
        for fd in fds[1:]:
            os.close(fd)
    _restore_execs(container, snapshot.get("execs") or [])
    _adopt(core, container, snapshot)


def _adopt(core: Core, container: Container, snapshot: dict[str, object]) -> None:
    """Join what the store and the shim say of one container."""
    status = str(snapshot["status"])
    runs = status in ("running", "paused", "restarting")
    if runs and not container.is_alive and container.state.status is not Status.RESTARTING:
        # The engine died between letting PID 1 go and noting it.
        state = replace(
            container.state,
            status=Status(status),
            pid=int(str(snapshot.get("pid") or 0)),
            started_ns=int(str(snapshot.get("started_ns") or 0)),
            error="",
        )
        core.commit(container, state=state, told=[("start", {})])
    elif runs and status == "paused" and container.state.status is Status.RUNNING:
        core.commit(container, state=replace(container.state, status=Status.PAUSED))
    elif runs and status == "running" and container.state.status is Status.PAUSED:
        core.commit(container, state=replace(container.state, status=Status.RUNNING))
    elif status in ("launched", "creating", "created") and container.shim is not None:
        log.info("the start of %s was cut off; taking it back", container.short_id)
        container.shim.post(protocol.Delete())


def _restore_execs(container: Container, execs: object) -> None:
    if not isinstance(execs, list):
        return
    for entry in execs:
        identifier = str(entry.get("exec_id", ""))
        code = entry.get("exit_code")
        arguments = tuple(str(a) for a in entry.get("args") or ())
        container.execs[identifier] = Exec(
            id=identifier,
            container_id=container.id,
            config=ExecConfig(cmd=arguments),
            started=True,
            running=bool(entry.get("running")),
            pid=int(entry.get("pid") or 0),
            exit_code=None if code is None else int(code),
        )


def live_namespaces(core: Core) -> dict[str, int | None]:
    """Return the containers that run with their network namespaces, for the network controller."""
    return {
        container.id: container.netns_fd
        for container in core.containers
        if container.shim is not None
        and (container.is_alive or container.state.status is Status.RESTARTING)
    }


async def settle(core: Core) -> None:
    """Account for what happened while no engine was there; needs the network controller."""
    for container in core.containers:
        if container.shim is None:
            _hear_the_gone(core, container)
        if container.early is not None:
            _restore_volumes(core, container)
            exits.replay_early(core, container)
        if container.shim is None and (
            container.is_alive or container.state.status is Status.RESTARTING
        ):
            exits.on_end(core, container)
    # In the background: a plugin that does not answer must not keep the engine from starting.
    core.spawn(core.in_long_thread(core.volumes.settle), "settling volumes")
    await _finish_removals(core)
    await core.in_thread(_discard_garbage, core)
    cgroup_parents.remove_unused(core)


def _restore_volumes(core: Core, container: Container) -> None:
    if container.is_alive or container.state.status is Status.RESTARTING:
        for point in container.document.mount_points:
            if point.name:
                core.volumes.restore(point.name, container.id)


async def _finish_removals(core: Core) -> None:
    for container in core.containers:
        status = container.state.status
        ended = status in (Status.EXITED, Status.CREATED) and container.shim is None
        unfinished = status is Status.REMOVING
        if unfinished or (ended and container.host_config.auto_remove):
            try:
                await removal.finish(core, container, volumes=container.host_config.auto_remove)
            except CutawayError as error:
                log.warning("finishing the removal of %s: %s", container.short_id, error)


def _discard_garbage(core: Core) -> None:
    for identifier, document in core.store.documents(removal.GARBAGE):
        if identifier in core.containers:
            continue
        names = msgspec.json.decode(document, type=tuple[str, ...])
        removal.remove_volumes(core, names)
        with core.store.change() as transaction:
            transaction.delete_document(removal.GARBAGE, identifier)


async def sweep(core: Core) -> None:
    """Remove what carries the id of no container."""
    await core.in_thread(_sweep, core)


def _sweep(core: Core) -> None:
    layout = probe_cgroup_layout()
    orphans = {
        *_ids_in(core.paths.bundles),
        *_ids_in(core.paths.containers),
        *_ids_in_snapshots(core),
        *_ids_in_cgroups(core, layout),
    }
    for identifier in sorted(orphans):
        if identifier not in core.containers:
            log.info("removing what is left of container %s", identifier)
            _remove_orphan(core, layout, identifier)
    for container in core.containers:
        if container.shim is None:
            remove_cgroups(core, layout, container.id)
            exits.discard_bundle(core, container)


def _ids_in(directory: str) -> Iterable[str]:
    try:
        return [name for name in os.listdir(directory) if is_id(name)]
    except FileNotFoundError:
        return ()


def _ids_in_snapshots(core: Core) -> Iterable[str]:
    for snapshot in core.snapshots.walk():
        identifier = snapshot.name.partition(".")[0]  # "ID", or "ID.…" for an image it mounts
        if snapshot.kind is not Kind.COMMITTED and is_id(identifier):
            yield identifier


def _ids_in_cgroups(core: Core, layout: CgroupLayout) -> Iterable[str]:
    # Only below our own parent: another engine may use a --cgroup-parent of somebody's choice.
    parent = f"/{instance_name(core.settings)}"
    for hierarchy in layout.hierarchies:
        yield from _ids_in(cgroup_directory(hierarchy, parent))


def _remove_orphan(core: Core, layout: CgroupLayout, identifier: str) -> None:
    _end_shim(core, identifier)
    remove_cgroups(core, layout, identifier)
    shm = core.paths.shm(identifier)
    if os.path.ismount(shm):
        with suppress(OSError):
            linux.umount2(shm, MNT.DETACH)
    shutil.rmtree(core.paths.bundle(identifier), ignore_errors=True)
    for snapshot in core.snapshots.walk():
        if snapshot.name.partition(".")[0] == identifier:  # its own, or an image that it mounted
            with suppress(NotFound):  # its removal, begun by a shim's last word, may be faster
                core.snapshots.remove(snapshot.name)
    shutil.rmtree(core.paths.container(identifier), ignore_errors=True)


def _end_shim(core: Core, identifier: str) -> None:
    """Let a shim that lives without a container clean up and end."""
    try:
        client = ShimClient.connect(core.paths.shim_socket(identifier))
    except OSError:
        return
    try:
        with suppress(OSError, TimeoutError):
            client.call(protocol.Hello(after_seq=2**31), timeout_s=2)
            client.call(protocol.Delete(), timeout_s=5)
            while not client.at_end and client.read_within(5):
                client.acknowledge(2**31)
    finally:
        client.close()
