"""Run a build's command: a container without a name in the store's image list, on a given layer.

It is a ``--rm`` container like any other, so a crash in the middle leaves nothing that the sweep
does not know; only its root is the build's snapshot, which the build commits or removes.
"""

import asyncio
import os
import secrets
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgspec

from cutaway import linux
from cutaway.build.solve.executor import ExecMount, Execution, Output
from cutaway.build.solve.work import WORKING_PREFIX
from cutaway.engine import removal
from cutaway.engine.container import Container, ContainerDocument, ContainerState, PendingAttach
from cutaway.engine.core import Core
from cutaway.engine.creation import plan_networks
from cutaway.engine.defaults import complete_host_config
from cutaway.engine.ids import new_id, short_id
from cutaway.engine.names import generate_name
from cutaway.engine.spec.confinement import parse_security_options
from cutaway.engine.spec.merge import complete
from cutaway.engine.starting import start
from cutaway.engine.steps import MountTree
from cutaway.engine.waiting import WaitingFor
from cutaway.errors import InvalidParameter
from cutaway.images.snapshots import Kind, Mount
from cutaway.linux.abi import MNT, RESOLVE
from cutaway.model import ContainerConfig, HostConfig, LogConfig
from cutaway.shim.protocol import Attach
from cutaway.steps import Ledger
from cutaway.volumes import MountKind, MountPoint

_FRAME_HEADER = 8
_NETWORKS = {"default": "default", "none": "none", "host": "host"}


class BuildExecutor:
    """Fits ``build.executor.Executor`` on an engine."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def run(
        self, execution: Execution, *, started: Callable[[str], None], output: Output
    ) -> int:
        """Run a command to its end; see ``Executor.run``."""
        identifier = new_id()
        ledger = Ledger("engine")
        directory = f"{self._core.paths.bundles}/../builds/{identifier}"
        directory = os.path.normpath(directory)
        os.makedirs(directory, mode=0o700)
        try:
            points = await self._core.in_thread(
                _prepare_mounts, execution.mounts, directory, ledger
            )
            container = self._make(identifier, execution, points)
            started(identifier)
            return await self._run(container, output)
        finally:
            await self._core.in_thread(_take_back, ledger, directory)

    def _make(
        self, identifier: str, execution: Execution, points: tuple[MountPoint, ...]
    ) -> Container:
        config = complete(
            ContainerConfig(
                hostname=short_id(identifier),
                user=execution.user,
                env=execution.env,
                cmd=execution.args,
                working_dir=execution.cwd,
                attach_stdout=True,
                attach_stderr=True,
            )
        )
        asked = HostConfig(
            auto_remove=True,
            network_mode=_NETWORKS.get(execution.network, execution.network),
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
        core = self._core
        os.mkdir(core.paths.container(container.id), 0o700)
        with core.store.change() as transaction:
            transaction.insert_container(container.to_row())
        core.containers.add(container)
        ours, theirs = socket.socketpair()
        message = Attach(secrets.token_hex(8), stdin=False, stdout=True, stderr=True)
        container.attaches.append(PendingAttach(message, theirs.detach()))
        reading = asyncio.ensure_future(_read_frames(ours, output))
        try:
            with WaitingFor(container, "not-running") as waiting:
                await start(core, container)
                code = await waiting.waiter.answer
            await reading
            return code
        finally:
            reading.cancel()
            ours.close()
            if container.id in core.containers:
                with suppress(Exception):
                    await core.run_to_end(removal.remove(core, container, force=True, volumes=True))
            await container.cleaned.wait()


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
    if mount.kind == "file":
        _write_file(place, mount)
        source = place
    elif mount.kind == "cache":
        os.chmod(mount.directory, mount.mode)
        os.chown(mount.directory, mount.uid, mount.gid)
        source = _inside(mount.directory, mount.source, make=True)
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
        return _inside(first.source, mount.source, make=False)
    step = MountTree(
        why=f"RUN --mount target={mount.target}",
        target=place,
        fstype=first.fstype,
        source=first.source,
        options=tuple(_absolute(option, first.directory) for option in first.options),
    )
    ledger.apply(step, None)
    return _inside(place, mount.source, make=False)


def _absolute(option: str, directory: str | None) -> str:
    name, equals, value = option.partition("=")
    if not directory or name not in {"lowerdir", "upperdir", "workdir"}:
        return option
    paths = [os.path.join(directory, path) for path in value.split(":")]
    return f"{name}{equals}{':'.join(paths)}"


def _inside(root: str, path: str, *, make: bool) -> str:
    """Return where ``path`` is below ``root`` when links are followed inside it only.

    Raises:
        InvalidParameter: it is not there, or is no place below the root (CVE-2024-1753's class).
    """
    if not path:
        return root
    if make:
        os.makedirs(os.path.join(root, path), exist_ok=True)
    root_fd = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        flags = RESOLVE.IN_ROOT | RESOLVE.NO_MAGICLINKS
        fd = linux.openat2(root_fd, path, os.O_PATH | os.O_CLOEXEC, 0, flags)
    except OSError as error:
        raise InvalidParameter(f"failed to find {path} for the mount: {error}") from None
    finally:
        os.close(root_fd)
    try:
        found = os.readlink(f"/proc/self/fd/{fd}")
    finally:
        os.close(fd)
    if found != root and not found.startswith(f"{root}/"):
        raise InvalidParameter(f"{path} leaves the tree it is mounted from")
    return found


def _take_back(ledger: Ledger, directory: str) -> None:
    ledger.undo_all()
    for entry in os.scandir(directory):
        if entry.is_dir(follow_symlinks=False):
            os.rmdir(entry.path)
        else:
            os.unlink(entry.path)
    os.rmdir(directory)


def sweep_builds(core: Core) -> None:
    """Take away what a build of a dead engine left, mounted and unpacked; called once at start."""
    for snapshot in core.snapshots.walk():
        if snapshot.kind is not Kind.COMMITTED and snapshot.name.startswith(WORKING_PREFIX):
            core.snapshots.remove(snapshot.name)
    root = os.path.normpath(f"{core.paths.bundles}/../builds")
    if not os.path.isdir(root):
        return
    for build in os.scandir(root):
        for entry in os.scandir(build.path):
            if entry.is_dir(follow_symlinks=False):
                if os.path.ismount(entry.path):
                    linux.umount2(entry.path, MNT.DETACH)
                os.rmdir(entry.path)
            else:
                os.unlink(entry.path)
        os.rmdir(build.path)
