"""Run a build's command: a container without a name in the store's image list, on a given layer.

It is a ``--rm`` container like any other, so a crash in the middle leaves nothing that the sweep
does not know; only its root is the build's snapshot, which the build commits or removes.
"""

import asyncio
import os
import secrets
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any

import msgspec

from cutaway import linux
from cutaway.build.solve.blocking import run_to_end
from cutaway.build.solve.command import WORKING_PREFIX
from cutaway.build.solve.executor import ExecMount, Execution, Output
from cutaway.engine.building.agents import agent_socket
from cutaway.engine.container import Container, ContainerDocument, ContainerState, PendingAttach
from cutaway.engine.containers import removal
from cutaway.engine.containers.creation import plan_networks
from cutaway.engine.containers.defaults import complete_host_config
from cutaway.engine.containers.names import generate_name
from cutaway.engine.containers.waiting import WaitingFor
from cutaway.engine.core import Core
from cutaway.engine.ids import new_id, short_id
from cutaway.engine.spec.confinement import parse_security_options
from cutaway.engine.spec.merge import complete
from cutaway.engine.starts.starting import start
from cutaway.engine.starts.steps import BindInside, MountTree
from cutaway.errors import Conflict, InvalidParameter
from cutaway.images.snapshots import Kind, Mount
from cutaway.linux.abi import MNT
from cutaway.model import ContainerConfig, HostConfig, LogConfig
from cutaway.shim.protocol import Attach
from cutaway.steps import Ledger
from cutaway.volumes import MountKind, MountPoint

_FRAME_HEADER = 8


class BuildExecutor:
    """Fits ``build.executor.Executor`` on an engine."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def run(
        self, execution: Execution, *, started: Callable[[str], None], output: Output
    ) -> int:
        """Run a command to its end; see ``Executor.run``."""
        identifier = new_id()
        async with self._mounted(identifier, execution) as points:
            config = _config(identifier, execution)
            container = self._make(identifier, execution, points, config)
            started(identifier)
            return await self._run(container, output)

    async def open_shell(self, execution: Execution, *, offered: Callable[[str], None]) -> None:
        """Make a container with a shell for somebody to start; see ``Executor.open_shell``."""
        identifier = new_id()
        async with self._mounted(identifier, execution) as points:
            shell = msgspec.structs.replace(
                _config(identifier, execution), cmd=(_shell_of(execution),), tty=True,
                open_stdin=True, stdin_once=True,
            )  # fmt: skip
            container = self._make(identifier, execution, points, shell)
            async with self._registered(container):
                with WaitingFor(container, "next-exit") as waiting:
                    offered(identifier)
                    await waiting.waiter.answer

    @asynccontextmanager
    async def _mounted(
        self, identifier: str, execution: Execution
    ) -> AsyncIterator[tuple[MountPoint, ...]]:
        """Have everything that a command mounts in one place of the host until the block ends."""
        ledger = Ledger("engine")
        directory = f"{self._core.paths.builds}/{identifier}"
        os.makedirs(directory, mode=0o700)
        try:
            async with AsyncExitStack() as sockets:
                for number, mount in enumerate(execution.mounts):
                    if mount.kind == "agent":
                        place = agent_socket(f"{directory}/{number}", mount)
                        await sockets.enter_async_context(place)
                yield await run_to_end(_prepare_mounts, execution.mounts, directory, ledger)
        finally:
            await run_to_end(_take_back, ledger, directory)

    def _make(
        self,
        identifier: str,
        execution: Execution,
        points: tuple[MountPoint, ...],
        config: ContainerConfig,
    ) -> Container:
        asked = HostConfig(
            auto_remove=True,
            network_mode=execution.network,
            privileged=execution.is_privileged,
            extra_hosts=execution.extra_hosts or None,
            log_config=LogConfig(type="none"),
        )
        limits: dict[str, Any] = {k: v for k, v in execution.limits.items() if v}
        asked = msgspec.structs.replace(asked, **limits)
        settings, machine = self._core.settings, self._core.machine
        confinement = parse_security_options(
            asked.security_opt or (), settings, privileged=asked.privileged
        )
        host = complete_host_config(asked, settings, machine, confinement)
        document = ContainerDocument(
            id=identifier,
            name=generate_name(self._core.containers.names),
            created_ns=time.time_ns(),
            image="",
            image_id="",
            chain_id="",
            config=config,
            host_config=host,
            networks=plan_networks(host, {}),
            mounts=tuple(point.to_json() for point in points),
        )
        container = Container(document, ContainerState())
        container.root_mounts = self._core.snapshots.mounts(execution.snapshot_key)
        container.cleaned.set()
        return container

    async def _run(self, container: Container, output: Output) -> int:
        async with self._registered(container):
            return await self._run_registered(container, output)

    @asynccontextmanager
    async def _registered(self, container: Container) -> AsyncIterator[None]:
        """Have the container in the engine's table until the block ends."""
        core = self._core
        os.mkdir(core.paths.container(container.id), 0o700)
        with core.store.change() as transaction:
            transaction.insert_container(_without_secrets(container).to_row())
        core.containers.add(container)
        try:
            yield
        finally:
            if container.id in core.containers:
                with suppress(Conflict):  # somebody else removes it already
                    await core.run_to_end(removal.remove(core, container, force=True, volumes=True))
            await container.cleaned.wait()

    async def _run_registered(self, container: Container, output: Output) -> int:
        ours, theirs = socket.socketpair()
        message = Attach(secrets.token_hex(8), stdin=False, stdout=True, stderr=True)
        container.attaches.append(PendingAttach(message, theirs.detach()))
        reading = asyncio.ensure_future(_read_frames(ours, output))
        try:
            with WaitingFor(container, "not-running") as waiting:
                await start(self._core, container)
                code = await waiting.waiter.answer
            await reading
            return code
        finally:
            reading.cancel()
            ours.close()


def _without_secrets(container: Container) -> Container:
    """Return what is stored of a build's container: a secret may be among its variables.

    An engine that finds it at its start removes it and needs none of them.
    """
    document = container.document
    config = msgspec.structs.replace(document.config, env=())
    return Container(msgspec.structs.replace(document, config=config), container.state)


def _config(identifier: str, execution: Execution) -> ContainerConfig:
    config = ContainerConfig(
        hostname=short_id(identifier),
        user=execution.user,
        env=execution.env,
        cmd=execution.args,
        working_dir=execution.cwd,
        attach_stdout=True,
        attach_stderr=True,
    )
    return complete(config)


def _shell_of(execution: Execution) -> str:
    """Return the shell that ran the command, or the one that every image has if any."""
    first = execution.args[0]
    return first if os.path.basename(first) in {"sh", "bash", "ash", "dash", "zsh"} else "/bin/sh"


async def _read_frames(connection: socket.socket, output: Output) -> None:
    """Take Docker's stream frames apart until the shim closes its side."""
    connection.setblocking(False)
    loop = asyncio.get_running_loop()
    buffer = bytearray()
    while data := await loop.sock_recv(connection, 1 << 16):
        buffer += data
        while len(buffer) >= _FRAME_HEADER:
            end = _FRAME_HEADER + int.from_bytes(buffer[4:8], "big")
            if len(buffer) < end:
                break
            output(buffer[0], bytes(buffer[_FRAME_HEADER:end]))
            del buffer[:end]


def _prepare_mounts(
    mounts: tuple[ExecMount, ...], directory: str, ledger: Ledger
) -> tuple[MountPoint, ...]:
    return tuple(
        _prepare(mount, f"{directory}/{number}", ledger) for number, mount in enumerate(mounts)
    )


def _prepare(mount: ExecMount, place: str, ledger: Ledger) -> MountPoint:
    if mount.kind == "tmpfs":
        size = (f"size={mount.size_bytes}",) if mount.size_bytes else ()
        return MountPoint(kind=MountKind.TMPFS, destination=mount.target, tmpfs_options=size)
    if mount.kind == "agent":
        source = place
    elif mount.kind == "file":
        _write_file(place, mount)
        source = place
    elif mount.kind == "cache":
        source = _inside(mount.directory, place, mount, ledger)
    else:
        source = _tree_path(mount.tree, place, mount, ledger)
    return MountPoint(
        kind=MountKind.BIND,
        destination=mount.target,
        source=source,
        read_write=not mount.read_only,
        propagation="rprivate",
    )


def _write_file(path: str, mount: ExecMount) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(mount.content)
        os.fchown(file.fileno(), mount.uid, mount.gid)
        os.fchmod(file.fileno(), mount.mode)


def _tree_path(tree: tuple[Mount, ...], place: str, mount: ExecMount, ledger: Ledger) -> str:
    first = tree[0]
    if first.fstype == "bind":
        return _inside(first.source, place, mount, ledger)
    step = MountTree(
        why=f"RUN --mount target={mount.target}",
        target=place,
        fstype=first.fstype,
        source=first.source,
        options=tuple(_absolute(option, first.directory) for option in first.options),
    )
    ledger.apply(step, None)
    return _inside(place, f"{place}-inside", mount, ledger)


def _absolute(option: str, directory: str | None) -> str:
    name, equals, value = option.partition("=")
    if not directory or name not in {"lowerdir", "upperdir", "workdir"}:
        return option
    paths = [os.path.join(directory, path) for path in value.split(":")]
    return f"{name}{equals}{':'.join(paths)}"


def _inside(root: str, place: str, mount: ExecMount, ledger: Ledger) -> str:
    """Return where the mount's source below ``root`` is to be had: ``root``, or bound to ``place``.

    Raises:
        InvalidParameter: it is not there.
    """
    if not mount.source:
        return root
    step = BindInside(
        why=f"RUN --mount target={mount.target}",
        root=root,
        path=mount.source,
        target=place,
        makes_directories=mount.kind == "cache",
    )
    try:
        ledger.apply(step, None)
    except OSError as error:
        raise InvalidParameter(
            f"failed to find {mount.source} for the mount of {mount.target}: {error.strerror}"
        ) from None
    return place


def _take_back(ledger: Ledger, directory: str) -> None:
    ledger.undo_all()
    _remove_places(directory)


def sweep_builds(core: Core) -> None:
    """Take away what a build of a dead engine left, mounted and unpacked; called once at start."""
    for snapshot in core.snapshots.walk():
        if snapshot.kind is not Kind.COMMITTED and snapshot.name.startswith(WORKING_PREFIX):
            core.snapshots.remove(snapshot.name)
    if os.path.isdir(core.paths.builds):
        for build in os.scandir(core.paths.builds):
            _remove_places(build.path)


def _remove_places(directory: str) -> None:
    """Remove a command's directory; what is bound from a tree goes before the tree."""
    for entry in sorted(os.scandir(directory), key=lambda e: e.name, reverse=True):
        with suppress(OSError):  # EINVAL: nothing is mounted there
            linux.umount2(entry.path, MNT.DETACH)
        if entry.is_dir(follow_symlinks=False):
            os.rmdir(entry.path)
        else:
            os.unlink(entry.path)
    os.rmdir(directory)
