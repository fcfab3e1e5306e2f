"""A container's mounts: gathered from the request, its volumes made, their sources looked up."""

import errno
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

from cutaway import model
from cutaway.engine.container import Container, ContainerTable
from cutaway.engine.core import Core
from cutaway.engine.spec.build import cgroup_path
from cutaway.engine.system.machine import read_engine_id
from cutaway.errors import InvalidParameter, NotFound
from cutaway.images.mount import Mount as SnapshotMount
from cutaway.images.snapshots import Snapshots
from cutaway.images.store import ImageStore
from cutaway.linux import KernelError
from cutaway.model import ContainerConfig, HostConfig, Mount
from cutaway.model import MountPoint as MountAnswer
from cutaway.oci import Digest
from cutaway.runtime.steps.sources import open_subpath
from cutaway.steps import Ledger
from cutaway.volumes import (
    BindOptions,
    MountKind,
    MountPoint,
    MountRequest,
    TmpfsOptions,
    VolumeOptions,
    VolumeStore,
    merge_mount_points,
    parse_binds,
    parse_mounts,
    parse_tmpfs,
    parse_volumes_from,
)
from cutaway.volumes.leases.book import Writer
from cutaway.volumes.leases.lease import Claim
from cutaway.volumes.store import create_bind_source


def plan_mount_points(
    config: ContainerConfig,
    host: HostConfig,
    containers: ContainerTable,
    *,
    path_exists: Callable[[str], bool] = os.path.exists,
) -> tuple[MountPoint, ...]:
    """Join everything that asks for a mount into one list.

    Raises:
        InvalidParameter: in Docker's words. NoSuchContainer: of ``--volumes-from``.
    """
    inherited: list[tuple[MountPoint, str]] = []
    for reference, mode in parse_volumes_from(host.volumes_from or ()):
        other = containers.find(reference)
        inherited += [(point, mode) for point in other.document.mount_points]
    return merge_mount_points(
        inherited=inherited,
        binds=parse_binds(host.binds or (), volume_driver=host.volume_driver),
        mounts=parse_mounts((_request(m) for m in host.mounts or ()), path_exists=path_exists),
        tmpfs=parse_tmpfs(host.tmpfs or {}),
        image_volumes=config.volumes or (),
        volume_driver=host.volume_driver,
    )


def _request(mount: Mount) -> MountRequest:
    return MountRequest(
        type=mount.type,
        source=mount.source,
        target=mount.target,
        read_only=mount.read_only,
        bind=_bind_options(mount.bind_options),
        volume=_volume_options(mount.volume_options),
        tmpfs=_tmpfs_options(mount.tmpfs_options),
        image=VolumeOptions(subpath=mount.image_options.subpath) if mount.image_options else None,
    )


def _bind_options(asked: model.BindOptions | None) -> BindOptions | None:
    if asked is None:
        return None
    return BindOptions(
        propagation=asked.propagation,
        non_recursive=asked.non_recursive,
        create_mountpoint=asked.create_mountpoint,
        read_only_non_recursive=asked.read_only_non_recursive,
        read_only_force_recursive=asked.read_only_force_recursive,
    )


def _volume_options(asked: model.VolumeOptions | None) -> VolumeOptions | None:
    if asked is None:
        return None
    driver = asked.driver_config or model.MountDriver()
    return VolumeOptions(
        no_copy=asked.no_copy,
        labels=asked.labels or {},
        driver_name=driver.name,
        driver_options=driver.options or {},
        subpath=asked.subpath,
    )


def _tmpfs_options(asked: model.TmpfsOptions | None) -> TmpfsOptions | None:
    if asked is None:
        return None
    return TmpfsOptions(size_bytes=asked.size_bytes, mode=asked.mode, options=asked.options or ())


def make_volumes(
    points: Iterable[MountPoint], volumes: VolumeStore, images: ImageStore
) -> tuple[tuple[MountPoint, ...], tuple[str, ...]]:
    """Make the volumes that are missing and fill in where each one is.

    Returns:
        The points, complete, and the names of the anonymous volumes that were made.

    Leaves behind: the volumes; ``remove_volumes`` takes the anonymous ones back.
    """
    complete: list[MountPoint] = []
    anonymous: list[str] = []
    try:
        for point in points:
            complete.append(_complete(point, volumes, images))
            if point.kind is MountKind.VOLUME and not point.name:
                anonymous.append(complete[-1].name)
    except BaseException:
        for name in anonymous:
            volumes.remove(name)
        raise
    return tuple(complete), tuple(anonymous)


def _complete(point: MountPoint, volumes: VolumeStore, images: ImageStore) -> MountPoint:
    if point.kind is MountKind.IMAGE:
        return replace(point, image_id=str(images.resolve(point.source).id))
    if point.kind is not MountKind.VOLUME:
        return point
    volume = volumes.create(
        point.name,
        driver=point.driver,
        options=point.driver_options,
        labels=point.labels,
    )
    return replace(point, name=volume.name, driver=volume.driver, source=volume.mountpoint)


async def make_ready(core: Core, container: Container, ledger: Ledger) -> tuple[MountPoint, ...]:
    """Do ``open_sources``; in a thread when a volume must be mounted, which may take its time."""
    await container.wait_given_back()  # the same volumes, for the same user
    points = container.document.mount_points
    if any(point.name and core.volumes.needs_mount(point.name) for point in points):
        return await core.in_long_thread(open_sources, core, container, ledger)
    return open_sources(core, container, ledger)


def give_back(core: Core, container: Container) -> None:
    """Let go of the volumes that a container used; what takes time is done in the background."""
    if core.volumes.is_used_by(container.id):
        work = core.in_long_thread(core.volumes.unmount, container.id)
        container.giving_back = core.spawn(work, f"giving back volumes of {container.short_id}")


def describe_writer(core: Core, container: Container) -> Writer:
    """Say who a container is to those with whom it shares a volume, and how it is stopped."""
    return Writer(
        claim=Claim(
            host=core.machine.hostname,
            engine=read_engine_id(core.paths.engine_id) or "",
            container=container.id,
            name=container.name,
        ),
        cgroup=cgroup_path(container.id, container.host_config, core.settings),
        bundle=core.paths.bundle(container.id),
    )


def open_sources(core: Core, container: Container, ledger: Ledger) -> tuple[MountPoint, ...]:
    """Make every source ready to be mounted, in the moment of the start.

    Returns:
        The points with the host paths to mount from.

    Raises:
        InvalidParameter: a bind's source is gone, or a subpath leaves its volume.
        VolumeLeased: a volume has one writer at a time, and that is another container.
    """
    ready: list[MountPoint] = []
    for point in container.document.mount_points:
        if point.kind is MountKind.VOLUME:
            writer = None
            if point.read_write and core.volumes.has_one_writer(point.name):
                writer = describe_writer(core, container)
            source = core.volumes.mount(point.name, container.id, ledger, writer=writer)
            if point.subpath:
                _check_subpath(source, point.subpath)
            point = replace(point, source=source)
        elif point.kind is MountKind.BIND:
            _prepare_bind(point, ledger)
        ready.append(point)
    return tuple(ready)


@contextmanager
def lent_sources(core: Core, container: Container) -> Iterator[tuple[MountPoint, ...]]:
    """Have the volumes of a container that does not run mounted for who looks into it.

    What another container alone may write to is lent read-only.

    Raises:
        VolumeMountFailed: a volume can't be had.
    """
    user, ledger = f"lent.{os.urandom(4).hex()}", Ledger("engine")
    lent: list[MountPoint] = []
    try:
        for point in container.document.mount_points:
            if point.kind is MountKind.VOLUME:
                source = core.volumes.mount(point.name, user, ledger)
                lease = core.volumes.lease(point.name)
                read_write = point.read_write and not (lease and lease.is_live)
                point = replace(point, source=source, read_write=read_write)
            lent.append(point)
        yield tuple(lent)
    finally:
        core.volumes.unmount(user, ledger)


def _prepare_bind(point: MountPoint, ledger: Ledger) -> None:
    if point.create_source:
        try:
            create_bind_source(point.source, ledger)
        except OSError as error:
            raise InvalidParameter(
                f"error while creating mount source path '{point.source}': {error}"
            ) from error
    elif not os.path.exists(point.source):
        raise InvalidParameter(
            f'invalid mount config for type "bind": bind source path does not exist: {point.source}'
        )


def _check_subpath(volume: str, subpath: str) -> None:
    """Say early, in Docker's words, what the runtime would find when it takes the part by fd."""
    root_fd = os.open(volume, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.close(open_subpath(root_fd, subpath))
    except KernelError as error:
        reason = os.strerror(error.errno or 0).lower()
        if error.errno == errno.EXDEV:
            reason = "it leads out of the volume"
        raise InvalidParameter(f"cannot access path {volume}/{subpath}: {reason}") from error
    finally:
        os.close(root_fd)


# An image that is mounted has a view of its own in the snapshotter: its layers stay as long as the
# container, whatever happens to the image.


def view_key(container_id: str, destination: str) -> str:
    """Return the snapshot key of the image mounted at a place of a container."""
    return f"{container_id}.{hashlib.sha256(destination.encode()).hexdigest()[:12]}"


def prepare_views(container: Container, images: ImageStore, snapshots: Snapshots) -> None:
    """Make the views of the images that a new container mounts.

    Raises:
        NotFound: an image was removed a moment ago.

    Leaves behind: the views; ``remove_views`` takes them away.
    """
    for point in container.document.mount_points:
        if point.kind is MountKind.IMAGE:
            chain_id = images.get(Digest(point.image_id)).chain_id
            snapshots.view(view_key(container.id, point.destination), chain_id)


def remove_views(container: Container, snapshots: Snapshots) -> None:
    """Let go of the images that a container mounts."""
    for point in container.document.mount_points:
        remove_view(container.id, point, snapshots)


def remove_view(container_id: str, point: MountPoint, snapshots: Snapshots) -> None:
    """Let go of the image that is mounted at one place, if it is one."""
    if point.kind is MountKind.IMAGE:
        with suppress(NotFound):
            snapshots.remove(view_key(container_id, point.destination))


def image_mounts(
    container: Container, images: ImageStore, snapshots: Snapshots
) -> dict[str, SnapshotMount]:
    """Return what to mount for each image mount, by destination; also before it has a view."""
    found = {}
    for point in container.document.mount_points:
        if point.kind is not MountKind.IMAGE:
            continue
        key = view_key(container.id, point.destination)
        if key in snapshots:
            (mount,) = snapshots.mounts(key)
        else:
            (mount,) = snapshots.reading_mounts(str(images.resolve(point.source).chain_id))
        found[point.destination] = mount
    return found


def describe_mount(point: MountPoint) -> MountAnswer:
    """Return the mount as ``inspect`` and ``ps`` tell it."""
    named = point.kind is MountKind.VOLUME
    return MountAnswer(
        type=str(point.kind),
        name=point.name if named else "",
        source=point.source,
        destination=point.destination,
        driver=point.driver if named else "",
        mode=point.mode or ("z" if named else ""),  # Docker's default for volumes
        read_write=point.read_write,
        propagation=point.propagation,
    )
