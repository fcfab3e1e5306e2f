"""A mount point: one place in a container where something from outside is mounted.

Docker's counterpart: ``volume/mounts.MountPoint``.
"""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from cutaway.errors import InvalidParameter


class MountKind(StrEnum):
    """Where a mount's content comes from."""

    BIND = "bind"
    VOLUME = "volume"
    TMPFS = "tmpfs"
    IMAGE = "image"


_RANGE = re.compile(r"([0-9]{1,9})-([0-9]{1,9})-([1-9][0-9]{0,8})")
PROPAGATIONS = ("private", "rprivate", "shared", "rshared", "slave", "rslave")


@dataclass(frozen=True, slots=True, kw_only=True)
class MountPoint:
    """One mount, as the engine keeps it and ``inspect`` shows it.

    Attributes:
        kind: see ``MountKind``.
        destination: absolute, clean path in the container.
        source: host path of a bind; host path of a volume's data once it is known (the engine
            fills it in from ``Volume.mountpoint``); reference of an image; empty for tmpfs.
        name: the volume's; empty in a request for an anonymous one, and for other kinds.
        driver: the volume's driver, ``local`` unless it was said otherwise; empty: not said.
        read_write: the container may write.
        mode: what stood after the last colon of ``-v``: ``ro,z``.
        propagation: one of ``PROPAGATIONS``; empty for other kinds than bind.
        non_recursive: don't take the mounts below the source along.
        read_only_non_recursive: mounts below the source stay writable although this is not.
        read_only_force_recursive: fail if they can't be made read-only.
        create_source: make the source directory if it is missing (``-v`` does, ``--mount`` does
            not).
        copy_up: fill an empty volume with what the image has at ``destination``.
        subpath: the part of the volume or image to mount.
        id_mapped: show the source's owner as the container's user, and the reverse (``:idmap``);
            nothing is changed on the disk.
        id_ranges: show these ids instead: ``uids=0-1000-10;gids=0-1000-10``, each triple a first
            id on the disk, the first one shown, and how many (``:idmap=…``).
        chown: give the source to the container's user, for good (``:U``).
        relabel: ``z`` or ``Z``; without SELinux it has nothing to do.
        labels: of a volume that is made for this mount.
        driver_options: the same.
        tmpfs_options: mount data and flags, ``size=65536k``, ``noexec``.
        from_image: the image's ``VOLUME`` asked for it, not the user.
        image_id: of an image mount: what its reference meant when the container was made.
    """

    kind: MountKind
    destination: str
    source: str = ""
    name: str = ""
    driver: str = ""
    read_write: bool = True
    mode: str = ""
    propagation: str = ""
    non_recursive: bool = False
    read_only_non_recursive: bool = False
    read_only_force_recursive: bool = False
    create_source: bool = False
    copy_up: bool = False
    subpath: str = ""
    id_mapped: bool = False
    id_ranges: str = ""
    chown: bool = False
    relabel: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    driver_options: Mapping[str, str] = field(default_factory=dict)
    tmpfs_options: tuple[str, ...] = ()
    from_image: bool = False
    image_id: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the record that ``from_json`` reads."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "MountPoint":
        """Read what ``to_json`` wrote."""
        values = dict(document)
        values["kind"] = MountKind(values["kind"])
        values["tmpfs_options"] = tuple(values.get("tmpfs_options", ()))
        return cls(**values)

    def to_oci(self) -> dict[str, Any]:
        """Return the ``mounts`` entry of the runtime's config.json."""
        if self.kind is MountKind.TMPFS:
            options = list(self.tmpfs_options or ("noexec", "nosuid", "nodev"))
            if not self.read_write and "ro" not in options:
                options.append("ro")
            return {
                "destination": self.destination,
                "type": "tmpfs",
                "source": "tmpfs",
                "options": options,
            }
        options = ["bind" if self.non_recursive else "rbind"]
        options.append("rw" if self.read_write else self._read_only_option())
        options.append(self.propagation or "rprivate")
        if self.copy_up:
            options.append("copy-up")
        if self.chown:
            options.append("chown")
        if self.subpath:
            options.append(f"subpath={self.subpath}")
        if self.id_mapped and not self.id_ranges:
            options.append("idmap-owner")
        entry: dict[str, Any] = {
            "destination": self.destination,
            "type": "bind",
            "source": self.source,
            "options": options,
        }
        if self.id_ranges:
            options.append("idmap" if self.non_recursive else "ridmap")
            entry["uidMappings"], entry["gidMappings"] = parse_id_ranges(self.id_ranges)
        return entry

    def _read_only_option(self) -> str:
        # Docker 25: read-only means recursively where the kernel can (5.12), which is everywhere
        # we run; ``rro`` is the runtime-spec's word for it.
        return "ro" if self.non_recursive or self.read_only_non_recursive else "rro"


def parse_id_ranges(text: str) -> tuple[list[dict[str, int]], list[dict[str, int]]]:
    """Read ``uids=0-1000-10#20-2000-1;gids=0-1000-10`` as the runtime's two lists of mappings.

    A kind that is not named is mapped as the other.

    Raises:
        InvalidParameter: it says something else, or a range is empty.
    """
    found: dict[str, list[dict[str, int]]] = {}
    for part in text.split(";"):
        kind, _, ranges = part.partition("=")
        matches = [_RANGE.fullmatch(item) for item in ranges.split("#")]
        if kind not in ("uids", "gids") or kind in found or None in matches:
            raise InvalidParameter(
                f"invalid idmap {text!r}: expected uids=FROM-TO-COUNT[#…][;gids=FROM-TO-COUNT[#…]]"
            )
        found[kind] = [
            dict(zip(("containerID", "hostID", "size"), map(int, match.groups()), strict=True))
            for match in matches
            if match is not None
        ]
    uids, gids = found.get("uids") or found["gids"], found.get("gids") or found["uids"]
    return uids, gids
