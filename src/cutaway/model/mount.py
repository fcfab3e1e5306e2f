"""Mounts: what ``--mount`` asks for and what a container finally has.

``Mount`` is the request (long syntax); ``HostConfig.binds`` holds the short one. ``MountPoint`` is
the answer in inspect, whichever way it was asked.

Source: Engine API ``Mount``, ``MountPoint``.
"""

from cutaway.model.base import Int64, Model, Uint32, always, named


class BindOptions(Model):
    """Options of a mount of type ``bind``.

    Attributes:
        propagation: ``private rprivate shared rshared slave rslave``; empty: rprivate.
        non_recursive: bind this mount only, not what is mounted below it.
        create_mountpoint: make the missing source directory, as ``-v`` does.
        read_only_non_recursive: read-only at the top, mounts below stay writable.
        read_only_force_recursive: fail where the kernel can't make all below read-only.
    """

    propagation: str = ""
    non_recursive: bool = False
    create_mountpoint: bool = False
    read_only_non_recursive: bool = False
    read_only_force_recursive: bool = False


class MountDriver(Model):
    """A volume driver with its options, for a volume that is made on the way."""

    name: str = ""
    options: dict[str, str] | None = None


class VolumeOptions(Model):
    """Options of a mount of type ``volume``.

    Attributes:
        no_copy: do not fill an empty volume with the image's files.
        subpath: mount this path inside the volume; it must exist and stay inside.
    """

    no_copy: bool = False
    labels: dict[str, str] | None = None
    subpath: str = ""
    driver_config: MountDriver | None = None


class ImageOptions(Model):
    """Options of a mount of type ``image``."""

    subpath: str = ""


class TmpfsOptions(Model):
    """Options of a mount of type ``tmpfs``.

    Attributes:
        size_bytes: 0: unlimited (half the memory, as the kernel has it).
        mode: permission bits of its root; 0: 1777.
        options: pairs or single words, passed to mount(8)'s ``-o``.
    """

    size_bytes: Int64 = 0
    mode: Uint32 = 0
    options: tuple[tuple[str, ...], ...] | None = None


class Mount(Model):
    """One mount in the long syntax (``--mount type=…,source=…,target=…``).

    Attributes:
        type: ``bind volume tmpfs image cluster npipe``; the last two are refused here.
        source: host path (bind), volume name, or image reference; empty for an anonymous volume.
        target: absolute container path.
        consistency: for Docker Desktop; accepted and without meaning on Linux.
    """

    type: str = ""
    source: str = ""
    target: str = ""
    read_only: bool = False
    consistency: str = ""
    bind_options: BindOptions | None = None
    volume_options: VolumeOptions | None = None
    image_options: ImageOptions | None = None
    tmpfs_options: TmpfsOptions | None = None


class MountPoint(Model):
    """A mount that a container has, as inspect and ps tell it.

    Attributes:
        name: the volume's name; left out for binds.
        source: the host path.
        driver: the volume's driver; left out for binds.
        mode: the option text of the short syntax, such as ``ro,z``.
    """

    type: str = ""
    name: str = ""
    source: str = always("")
    destination: str = always("")
    driver: str = ""
    mode: str = always("")
    read_write: bool = always(False, name="RW")
    propagation: str = always("")


class FilesystemChange(Model):
    """One path that differs from the image (``docker diff``).

    Attributes:
        kind: 0 modified, 1 added, 2 deleted.
    """

    path: str = always("")
    kind: int = always(0)


class PathStat(Model):
    """What a path in a container is (``HEAD …/archive``): lower-case names, base64 in a header.

    Attributes:
        mode: Go's os.FileMode bits (directory 1<<31, symlink 1<<27, …), not stat(2)'s.
        mtime: RFC 3339 with nanoseconds.
        link_target: where a symlink points, resolved in the container's root.
    """

    name: str = always("", name="name")
    size: Int64 = always(0, name="size")
    mode: Uint32 = always(0, name="mode")
    mtime: str = always("", name="mtime")
    link_target: str = always("", name="linkTarget")


class DriverData(Model):
    """The storage driver's own words about a layer: for overlay, its four directories."""

    data: dict[str, str] | None = always(None)
    name: str = always("")


class RootFSSnapshot(Model):
    """The snapshot behind a container's root, by its snapshotter's name (since API 1.52)."""

    name: str = always("")


class RootFSStorage(Model):
    """How a container's root is stored (since API 1.52)."""

    snapshot: RootFSSnapshot | None = None


class Storage(Model):
    """How a container's files are stored (since API 1.52); older versions read ``GraphDriver``."""

    root_fs: RootFSStorage | None = named(None, name="RootFS")
