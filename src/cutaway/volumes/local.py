"""The local driver: a volume is a directory, or a file system mounted on one.

Pure: what the options mean. ``steps.py`` does it.

Docker's counterpart: ``volume/local``.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from cutaway.errors import InvalidParameter
from cutaway.linux.abi import MS
from cutaway.volumes.errors import InvalidVolumeName

_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")
_OPTIONS = ("type", "o", "device", "size")

# The options of mount(8) that are bits of mount(2); whatever is not here is the file system's own.
_SET_FLAGS = {
    "ro": MS.RDONLY,
    "nosuid": MS.NOSUID,
    "nodev": MS.NODEV,
    "noexec": MS.NOEXEC,
    "sync": MS.SYNCHRONOUS,
    "dirsync": MS.DIRSYNC,
    "mand": MS.MANDLOCK,
    "noatime": MS.NOATIME,
    "nodiratime": MS.NODIRATIME,
    "relatime": MS.RELATIME,
    "strictatime": MS.STRICTATIME,
    "bind": MS.BIND,
    "rbind": MS.BIND | MS.REC,
}
_CLEAR_FLAGS = {
    "rw": MS.RDONLY,
    "suid": MS.NOSUID,
    "dev": MS.NODEV,
    "exec": MS.NOEXEC,
    "async": MS.SYNCHRONOUS,
    "atime": MS.NOATIME,
    "diratime": MS.NODIRATIME,
    "norelatime": MS.RELATIME,
}


def check_volume_name(name: str) -> str:
    """Refuse what can't be a directory's name.

    Raises:
        InvalidVolumeName: in Docker's words.
    """
    if not _NAME.fullmatch(name) or len(name) > 255:
        raise InvalidVolumeName(name)
    return name


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeMount:
    """The mount(2) that gives a volume its content, when its options ask for one.

    Attributes:
        fstype: ``nfs``, ``tmpfs``, ``ext4``; empty for a bind.
        device: what is mounted.
        flags: MS bits.
        data: the rest of ``o``, in order.
    """

    fstype: str
    device: str
    flags: int
    data: str


def plan_local_mount(options: Mapping[str, str]) -> VolumeMount | None:
    """Decide whether a volume needs a mount, and which.

    Returns:
        None for a plain directory.

    Raises:
        InvalidParameter: an option the driver does not have, or one that needs another.
    """
    for name in options:
        if name not in _OPTIONS:
            raise InvalidParameter(f'invalid option: "{name}"')
    if "size" in options:
        raise InvalidParameter(
            "quota size requested but no quota support: the local driver of this version has none; "
            "use type=tmpfs, device=tmpfs, o=size=… for a volume in memory"
        )
    if not options:
        return None
    fstype, device = options.get("type", ""), options.get("device", "")
    if not device:
        raise InvalidParameter('missing required option: "device"')
    flags, data = parse_mount_options(options.get("o", ""))
    if not fstype and not flags & MS.BIND:
        raise InvalidParameter('missing required option: "type"')
    return VolumeMount(
        fstype="" if fstype == "none" else fstype, device=device, flags=int(flags), data=data
    )


def parse_mount_options(text: str) -> tuple[MS, str]:
    """Split ``o`` into mount(2)'s flags and its data, as mount(8) does."""
    flags, data = MS(0), []
    for word in filter(None, text.split(",")):
        if word in _SET_FLAGS:
            flags |= _SET_FLAGS[word]
        elif word in _CLEAR_FLAGS:
            flags &= ~_CLEAR_FLAGS[word]
        elif word != "defaults":
            data.append(word)
    return flags, ",".join(data)
