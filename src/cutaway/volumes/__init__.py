"""Volumes: data that stays when the container goes, and what else is mounted into one.

The problem: what a container writes is thrown away with it. Data that must stay lives outside:
in a *volume* (a directory the engine keeps under a name), in a *bind mount* (a path of the host),
or, when it must not stay even for a restart, in a *tmpfs*.

The model: ``-v`` and ``--mount`` are two spellings of one thing, the *mount point*.
``parse_binds`` and ``parse_mounts`` turn both into ``MountPoint`` values or Docker's error texts;
``merge_mount_points`` joins them with the image's ``VOLUME`` entries and ``--volumes-from``. The
``VolumeStore`` keeps the volumes: a directory each, with a small JSON document. What a mount point
means for the runtime is ``MountPoint.to_oci``.

Words: *driver* (who makes volumes: ``local``, or a plug-in), *anonymous volume* (its name is 64
hex digits), *copy-up* (a new volume starts with what the image has at that place), *propagation*
(whether mounts made later on one side appear on the other).

Read ``mountpoint.py``, ``parse.py``, ``volume.py``, ``catalogue.py``,
``store.py``, ``driver.py``, then ``local/``, ``leases/`` and ``remote.py`` (plugins).

Docker's counterpart: ``volume/`` of moby.
"""

from cutaway.volumes.mountpoint import MountKind, MountPoint
from cutaway.volumes.parse import (
    BindOptions,
    MountRequest,
    TmpfsOptions,
    VolumeOptions,
    merge_mount_points,
    parse_binds,
    parse_mounts,
    parse_tmpfs,
    parse_volumes_from,
)
from cutaway.volumes.store import VolumeStore
from cutaway.volumes.volume import Volume

__all__ = [
    "BindOptions",
    "MountKind",
    "MountPoint",
    "MountRequest",
    "TmpfsOptions",
    "Volume",
    "VolumeOptions",
    "VolumeStore",
    "merge_mount_points",
    "parse_binds",
    "parse_mounts",
    "parse_tmpfs",
    "parse_volumes_from",
]
