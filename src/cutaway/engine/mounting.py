"""A container's mounts: gathered from the request, its volumes made, their sources looked up."""

import os
from collections.abc import Callable, Iterable
from dataclasses import replace

from cutaway import model
from cutaway.engine.container import Container, ContainerTable
from cutaway.errors import InvalidParameter
from cutaway.errors import NotImplemented as Unsupported
from cutaway.images.resolve import INSIDE_NO_LINKS
from cutaway.images.store import ImageStore
from cutaway.linux import KernelError, openat2
from cutaway.model import ContainerConfig, HostConfig, Mount
from cutaway.model import MountPoint as MountAnswer
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
    for point in points:
        if point.kind is MountKind.IMAGE:
            images.resolve(point.source)
        if point.kind is MountKind.VOLUME:
            volume = volumes.create(
                point.name,
                driver=point.driver or "local",
                options=point.driver_options,
                labels=point.labels,
            )
            if not point.name:
                anonymous.append(volume.name)
            point = replace(point, name=volume.name, driver=volume.driver, source=volume.mountpoint)
        complete.append(point)
    return tuple(complete), tuple(anonymous)


def open_sources(
    container: Container, volumes: VolumeStore, ledger: Ledger
) -> tuple[MountPoint, ...]:
    """Make every source ready to be mounted, in the moment of the start.

    Returns:
        The points with the host paths to mount from.

    Raises:
        InvalidParameter: a bind's source is gone, or a subpath leaves its volume.
    """
    ready: list[MountPoint] = []
    for point in container.document.mount_points:
        if point.kind is MountKind.VOLUME:
            source = volumes.mount(point.name, container.id, ledger)
            if point.subpath:
                source = _subpath(source, point.subpath)
            point = replace(point, source=source)
        elif point.kind is MountKind.BIND:
            _prepare_bind(point, ledger)
        elif point.kind is MountKind.IMAGE:
            raise Unsupported(f"mount {point.destination}: mounting images is not supported yet")
        ready.append(point)
    return tuple(ready)


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


def _subpath(volume: str, subpath: str) -> str:
    """Check that a subpath exists inside the volume and crosses no link (CVE-2024-23651)."""
    root_fd = os.open(volume, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fd = openat2(root_fd, subpath, os.O_PATH | os.O_CLOEXEC, 0, INSIDE_NO_LINKS)
    except KernelError as error:
        raise InvalidParameter(
            f'cannot access path {volume}/{subpath}: subpath "{subpath}": {error}'
        ) from error
    finally:
        os.close(root_fd)
    os.close(fd)
    return f"{volume}/{subpath}"


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
