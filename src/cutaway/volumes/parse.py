"""``-v`` and ``--mount`` to mount points, with Docker's rules and Docker's error texts.

Pure but for one question to the host, asked through ``path_exists``: whether a bind's source is
there, which Docker answers when the container is created.

Source: moby ``volume/mounts/linux_parser.go`` and ``validate.go`` (behaviour; written anew).
"""

import os
import posixpath
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from cutaway.errors import InvalidParameter
from cutaway.volumes.errors import (
    DuplicateMountPoint,
    InvalidMount,
    InvalidVolumeSpecification,
)
from cutaway.volumes.local.options import check_volume_name
from cutaway.volumes.mountpoint import PROPAGATIONS, MountKind, MountPoint, parse_id_ranges

_ACCESS = ("rw", "ro")
_RELABEL = ("z", "Z")
_COPY = ("nocopy",)
_CONSISTENCY = ("consistent", "cached", "delegated")
_IDMAP = ("idmap",)
_CHOWN = ("U",)
_CLASSES = (_ACCESS, _RELABEL, PROPAGATIONS, _COPY, _CONSISTENCY, _IDMAP, _CHOWN)

# tmpfs(5) options that take a value, and the flags mount(8) knows for it.
_TMPFS_VALUES = ("size", "nr_blocks", "nr_inodes", "mode", "uid", "gid", "mpol", "huge")
_TMPFS_FLAGS = frozenset(
    ("defaults", "ro", "rw", "suid", "nosuid", "dev", "nodev", "exec", "noexec", "sync", "async")
    + ("dirsync", "remount", "atime", "noatime", "diratime", "nodiratime", "relatime")
    + ("norelatime", "strictatime", "nostrictatime", "inode32", "inode64")
    + PROPAGATIONS
)


@dataclass(frozen=True, slots=True, kw_only=True)
class BindOptions:
    """``BindOptions`` of the API."""

    propagation: str = ""
    non_recursive: bool = False
    create_mountpoint: bool = False
    read_only_non_recursive: bool = False
    read_only_force_recursive: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeOptions:
    """``VolumeOptions`` of the API, and ``ImageOptions`` (only ``subpath``)."""

    no_copy: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)
    driver_name: str = ""
    driver_options: Mapping[str, str] = field(default_factory=dict)
    subpath: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TmpfsOptions:
    """``TmpfsOptions`` of the API.

    Attributes:
        size_bytes: 0 means half the memory, the kernel's default.
        mode: permission bits; 0 means 1777.
        options: pairs or single words, as the API has them.
    """

    size_bytes: int = 0
    mode: int = 0
    options: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class MountRequest:
    """One entry of ``HostConfig.Mounts``."""

    type: str
    source: str = ""
    target: str = ""
    read_only: bool = False
    bind: BindOptions | None = None
    volume: VolumeOptions | None = None
    tmpfs: TmpfsOptions | None = None
    image: VolumeOptions | None = None


def parse_binds(
    binds: Iterable[str], *, volume_driver: str = "", default_propagation: str = "rprivate"
) -> tuple[MountPoint, ...]:
    """Read ``HostConfig.Binds``: ``[source:]destination[:mode]``.

    Args:
        binds: as the API has them.
        volume_driver: ``HostConfig.VolumeDriver``.
        default_propagation: when the mode names none.

    Raises:
        InvalidVolumeSpecification: it says nothing, or nothing that can work.
        InvalidParameter: an unknown mode.
        DuplicateMountPoint: two of them want one place.
    """
    points = tuple(_parse_bind(text, volume_driver, default_propagation) for text in binds)
    _refuse_duplicates(points)
    return points


def _parse_bind(text: str, volume_driver: str, default_propagation: str) -> MountPoint:
    source, destination, mode = _split_bind(text)
    words = _parse_mode(mode)
    kind = MountKind.BIND if source.startswith("/") else MountKind.VOLUME
    propagation = next((w for w in words if w in PROPAGATIONS), "")
    try:
        _check_destination(kind, destination)
        if kind is MountKind.VOLUME:
            if source:
                check_volume_name(source)
            if propagation:
                raise InvalidMount(kind, f"invalid propagation mode: {propagation}")
        elif "nocopy" in words:
            raise InvalidMount(kind, "the nocopy option is for volumes")
    except InvalidParameter as error:
        raise InvalidVolumeSpecification(text, str(error)) from None
    is_bind = kind is MountKind.BIND
    return MountPoint(
        kind=kind,
        destination=clean_path(destination),
        source=clean_path(source) if is_bind else "",
        name="" if is_bind else source,
        driver="" if is_bind else volume_driver,
        read_write="ro" not in words,
        mode=mode,
        propagation=(propagation or default_propagation) if is_bind else "",
        create_source=is_bind,
        copy_up=not is_bind and "nocopy" not in words,
        id_mapped="idmap" in words,
        id_ranges=_parse_idmap(mode),
        chown="U" in words,
        relabel=next((w for w in words if w in _RELABEL), ""),
    )


def _split_bind(text: str) -> tuple[str, str, str]:
    parts = text.split(":")
    if len(parts) > 3 or not parts[0]:
        raise InvalidVolumeSpecification(text)
    if len(parts) == 1:
        return "", parts[0], ""
    if len(parts) == 2:
        # "/data:ro" is a destination and a mode; an anonymous volume has no mode.
        if parts[1] and _is_mode(parts[1]):
            raise InvalidVolumeSpecification(text)
        return parts[0], parts[1], ""
    return parts[0], parts[1], parts[2]


def _is_mode(text: str) -> bool:
    words = [_kind_of(word) for word in text.split(",")]
    known = all(any(word in group for group in _CLASSES) for word in words)
    return known and all(sum(w in group for w in words) <= 1 for group in _CLASSES)


def _parse_mode(text: str) -> list[str]:
    if not text:
        return []
    if not _is_mode(text):
        raise InvalidParameter(f"invalid mode: {text}")
    return [_kind_of(word) for word in text.split(",")]


def _kind_of(word: str) -> str:
    """Return the word itself, but for ``idmap=…`` its name."""
    return "idmap" if word.startswith("idmap=") else word


def _parse_idmap(mode: str) -> str:
    ranges = next((w[6:] for w in mode.split(",") if w.startswith("idmap=")), "")
    if ranges:
        parse_id_ranges(ranges)
    return ranges


def parse_mounts(
    mounts: Iterable[MountRequest],
    *,
    path_exists: Callable[[str], bool] = os.path.exists,
    default_propagation: str = "rprivate",
) -> tuple[MountPoint, ...]:
    """Read ``HostConfig.Mounts``.

    Args:
        mounts: in the API's order.
        path_exists: answers for the host.
        default_propagation: of bind mounts that name none.

    Raises:
        InvalidMount: with the type and Docker's reason.
        DuplicateMountPoint: two of them want one place.
    """
    points = []
    for mount in mounts:
        parser = _PARSERS.get(mount.type)
        if parser is None:
            raise InvalidMount(mount.type, "mount type unknown")
        if not mount.target:
            raise InvalidMount(mount.type, "field Target must not be empty")
        _check_destination(mount.type, mount.target)
        point = parser(replace(mount, target=clean_path(mount.target)))
        if point.kind is MountKind.BIND:
            if not point.create_source and not path_exists(point.source):
                raise InvalidMount(mount.type, f"bind source path does not exist: {point.source}")
            point = replace(point, propagation=point.propagation or default_propagation)
        points.append(point)
    _refuse_duplicates(points)
    return tuple(points)


def clean_path(path: str) -> str:
    """Return an absolute path without dots, doubled or trailing slashes."""
    return "/" + posixpath.normpath(path).lstrip("/")


def _check_destination(kind: str, destination: str) -> None:
    if not destination.startswith("/"):
        raise InvalidMount(kind, f"invalid mount path: '{destination}' mount path must be absolute")
    if clean_path(destination) == "/":
        raise InvalidMount(kind, "invalid specification: destination can't be '/'")


def _refuse_fields(mount: MountRequest, *names: str) -> None:
    for name in names:
        if getattr(mount, name) is not None:
            raise InvalidMount(
                mount.type, f"field {name.capitalize()}Options must not be specified"
            )


def _parse_bind_mount(mount: MountRequest) -> MountPoint:
    _refuse_fields(mount, "volume", "image", "tmpfs")
    if not mount.source:
        raise InvalidMount(mount.type, "field Source must not be empty")
    if not mount.source.startswith("/"):
        raise InvalidMount(
            mount.type, f"invalid mount path: '{mount.source}' mount path must be absolute"
        )
    options = mount.bind or BindOptions()
    _check_bind_options(mount, options)
    return MountPoint(
        kind=MountKind.BIND,
        destination=mount.target,
        source=clean_path(mount.source),
        read_write=not mount.read_only,
        propagation=options.propagation,
        non_recursive=options.non_recursive,
        read_only_non_recursive=options.read_only_non_recursive,
        read_only_force_recursive=options.read_only_force_recursive,
        create_source=options.create_mountpoint,
    )


def _check_bind_options(mount: MountRequest, options: BindOptions) -> None:
    problem = ""
    if options.propagation and options.propagation not in PROPAGATIONS:
        problem = f"invalid propagation mode: {options.propagation}"
    elif options.read_only_non_recursive and not mount.read_only:
        problem = "mount source is recursively writable: set ReadOnly with ReadOnlyNonRecursive"
    elif options.read_only_force_recursive and not mount.read_only:
        problem = "mount source is writable: set ReadOnly with ReadOnlyForceRecursive"
    elif options.read_only_force_recursive and options.read_only_non_recursive:
        problem = "ReadOnlyForceRecursive and ReadOnlyNonRecursive contradict each other"
    elif options.read_only_force_recursive and options.non_recursive:
        problem = "ReadOnlyForceRecursive and NonRecursive contradict each other"
    elif options.read_only_force_recursive and options.propagation not in ("", "rprivate"):
        problem = "ReadOnlyForceRecursive needs the propagation rprivate"
    if problem:
        raise InvalidMount(mount.type, problem)


def _parse_volume_mount(mount: MountRequest) -> MountPoint:
    _refuse_fields(mount, "bind", "image", "tmpfs")
    options = mount.volume or VolumeOptions()
    if not mount.source and mount.read_only:
        raise InvalidMount(mount.type, "must not set ReadOnly mode when using anonymous volumes")
    if mount.source:
        try:
            check_volume_name(mount.source)
        except InvalidParameter as error:
            raise InvalidMount(mount.type, str(error)) from None
    _check_subpath(mount, options.subpath)
    if options.subpath and not mount.source:
        raise InvalidMount(mount.type, "must not set Subpath when using anonymous volumes")
    return MountPoint(
        kind=MountKind.VOLUME,
        destination=mount.target,
        name=mount.source,
        driver=options.driver_name,
        read_write=not mount.read_only,
        copy_up=not options.no_copy and not options.subpath,
        subpath=options.subpath,
        labels=dict(options.labels),
        driver_options=dict(options.driver_options),
    )


def _check_subpath(mount: MountRequest, subpath: str) -> None:
    # The path is opened below the volume with RESOLVE_IN_ROOT at start; this catches what can
    # never be meant.
    if subpath.startswith("/") or ".." in subpath.split("/"):
        raise InvalidMount(
            mount.type,
            f"invalid volume specification: subpath {subpath!r} must be a relative "
            "path within the volume",
        )


def _parse_tmpfs_mount(mount: MountRequest) -> MountPoint:
    _refuse_fields(mount, "bind", "volume", "image")
    if mount.source:
        raise InvalidMount(mount.type, "field Source must not be specified")
    options = mount.tmpfs or TmpfsOptions()
    if options.size_bytes < 0 or not 0 <= options.mode <= 0o7777:
        raise InvalidMount(mount.type, "invalid tmpfs size or mode")
    words = ["noexec", "nosuid", "nodev"]
    for pair in options.options:
        word = "=".join(pair)
        _check_tmpfs_option(word, mount.type)
        opposite = {"exec": "noexec", "suid": "nosuid", "dev": "nodev"}.get(word)
        words = [w for w in words if w not in (opposite, word)] + [word]
    if options.mode:
        words.append(f"mode={options.mode:o}")
    if options.size_bytes:
        words.append(f"size={options.size_bytes}")
    return MountPoint(
        kind=MountKind.TMPFS,
        destination=mount.target,
        read_write=not mount.read_only,
        tmpfs_options=tuple(words),
    )


def _parse_image_mount(mount: MountRequest) -> MountPoint:
    _refuse_fields(mount, "bind", "volume", "tmpfs")
    if not mount.source:
        raise InvalidMount(mount.type, "field Source must not be empty")
    options = mount.image or VolumeOptions()
    _check_subpath(mount, options.subpath)
    return MountPoint(
        kind=MountKind.IMAGE,
        destination=mount.target,
        source=mount.source,
        read_write=False,
        subpath=options.subpath,
    )


_PARSERS: Mapping[str, Callable[[MountRequest], MountPoint]] = {
    "bind": _parse_bind_mount,
    "volume": _parse_volume_mount,
    "tmpfs": _parse_tmpfs_mount,
    "image": _parse_image_mount,
}


def _check_tmpfs_option(word: str, kind: str = "tmpfs") -> None:
    name, equals, _ = word.partition("=")
    if (equals and name not in _TMPFS_VALUES) or (not equals and name not in _TMPFS_FLAGS):
        raise InvalidMount(kind, f"invalid tmpfs option {word!r}")


def parse_tmpfs(tmpfs: Mapping[str, str]) -> tuple[MountPoint, ...]:
    """Read ``HostConfig.Tmpfs``: destination to ``size=64k,exec``.

    Raises:
        InvalidMount: a destination or an option that tmpfs(5) does not have.
    """
    points = []
    for destination, text in tmpfs.items():
        _check_destination("tmpfs", destination)
        words = [w for w in text.split(",") if w]
        for word in words:
            _check_tmpfs_option(word)
        defaults = [
            safe
            for safe, opposite in (("noexec", "exec"), ("nosuid", "suid"), ("nodev", "dev"))
            if opposite not in words and safe not in words
        ]
        points.append(
            MountPoint(
                kind=MountKind.TMPFS,
                destination=clean_path(destination),
                read_write="ro" not in words,
                tmpfs_options=(*defaults, *words),
            )
        )
    return tuple(points)


def parse_volumes_from(texts: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """Read ``HostConfig.VolumesFrom``: ``container[:mode]``.

    Returns:
        (container, mode), mode ``rw`` unless said otherwise.

    Raises:
        InvalidParameter: in Docker's words.
    """
    found = []
    for text in texts:
        container, colon, mode = text.partition(":")
        if not container:
            raise InvalidParameter("volumes-from specification cannot be an empty string")
        words = mode.split(",") if colon else ["rw"]
        if not _is_mode(",".join(words)) or any(w in ("nocopy", *PROPAGATIONS) for w in words):
            raise InvalidParameter(f"invalid mode: {mode}")
        found.append((container, ",".join(words)))
    return tuple(found)


def _refuse_duplicates(points: Sequence[MountPoint]) -> None:
    seen: set[str] = set()
    for point in points:
        if point.destination in seen:
            raise DuplicateMountPoint(point.destination)
        seen.add(point.destination)


def merge_mount_points(
    *,
    inherited: Iterable[tuple[MountPoint, str]] = (),
    binds: Sequence[MountPoint] = (),
    mounts: Sequence[MountPoint] = (),
    tmpfs: Sequence[MountPoint] = (),
    image_volumes: Iterable[str] = (),
    volume_driver: str = "",
) -> tuple[MountPoint, ...]:
    """Join all that ask for mounts into one list; the most explicit wins.

    Args:
        inherited: (mount point of another container, mode) from ``--volumes-from``.
        binds: of ``-v``.
        mounts: of ``--mount``.
        tmpfs: of ``--tmpfs``.
        image_volumes: ``Config.Volumes``: places that get an anonymous volume if nobody else
            mounts there.
        volume_driver: ``HostConfig.VolumeDriver``, of these anonymous volumes.

    Returns:
        In the order to be mounted: a place above another comes first.

    Raises:
        DuplicateMountPoint: ``-v``, ``--mount`` and ``--tmpfs`` name one place twice.
    """
    chosen: dict[str, MountPoint] = {}
    for point, mode in inherited:
        read_write = point.read_write and "ro" not in mode.split(",")
        chosen[point.destination] = replace(
            point, read_write=read_write, copy_up=False, from_image=False
        )
    explicit: set[str] = set()
    for point in (*binds, *mounts, *tmpfs):
        if point.destination in explicit:
            raise DuplicateMountPoint(point.destination)
        explicit.add(point.destination)
        chosen[point.destination] = point
    for destination in image_volumes:
        _check_destination("volume", destination)
        clean = clean_path(destination)
        if clean not in chosen:
            chosen[clean] = MountPoint(
                kind=MountKind.VOLUME,
                destination=clean,
                driver=volume_driver,
                copy_up=True,
                from_image=True,
            )
    return tuple(sorted(chosen.values(), key=lambda p: p.destination.split("/")))
