"""Volumes: directories that outlive containers.

Source: Engine API ``Volume``, ``VolumeCreateRequest``, ``VolumeListResponse``.
"""

from typing import Any

from cutaway.model.base import Int64, Model, always


class VolumeUsage(Model):
    """A volume's size in bytes and how many containers use it; -1: not known."""

    size: Int64 = always(-1)
    ref_count: Int64 = always(-1)


class Volume(Model):
    """A volume.

    Attributes:
        created_at: RFC 3339, in seconds.
        mountpoint: the directory on the host.
        status: the driver's own words.
        usage_data: only in ``/system/df``.
    """

    created_at: str = ""
    driver: str = always("local")
    labels: dict[str, str] | None = always(None)
    mountpoint: str = always("")
    name: str = always("")
    options: dict[str, str] | None = always(None)
    scope: str = always("local")
    status: dict[str, Any] | None = None
    usage_data: VolumeUsage | None = None


class VolumeCreateRequest(Model):
    """The body of ``POST /volumes/create``; an empty name asks for a made-up one.

    Attributes:
        cluster_volume_spec: swarm's; refused outside one.
    """

    name: str = ""
    driver: str = ""
    driver_opts: dict[str, str] | None = None
    labels: dict[str, str] | None = None
    cluster_volume_spec: dict[str, Any] | None = None


class VolumeList(Model):
    """All volumes, and what could not be listed."""

    volumes: tuple[Volume, ...] = always(())
    warnings: tuple[str, ...] | None = always(None)


class VolumePruneReport(Model):
    """Names of the volumes that ``docker volume prune`` removed, and the bytes that freed."""

    volumes_deleted: tuple[str, ...] | None = always(None)
    space_reclaimed: Int64 = always(0)


class VolumeCopy(Model):
    """What a clone or snapshot of a volume became. Not Docker's.

    Attributes:
        name: of the new volume, or ``VOLUME@SNAPSHOT``.
        entries: files and directories copied.
        writers: containers that could write meanwhile: the copy is a mixture of moments.
    """

    name: str = always("")
    entries: Int64 = always(0)
    writers: tuple[str, ...] = always(())
