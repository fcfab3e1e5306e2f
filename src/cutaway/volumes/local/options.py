"""What the options of a local volume mean. Pure: ``driver.py`` and ``steps.py`` do it.

Docker's counterpart: ``volume/local``.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from cutaway.errors import InvalidParameter
from cutaway.linux.abi import MS
from cutaway.volumes.errors import InvalidVolumeName

_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")
_OPTIONS = ("type", "o", "device", "size", "access")
_SINGLE_WRITER = "single-writer"
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?([kmgtpKMGTP]?)(?:i?[bB])?")
SMALLEST_BYTES = 2 << 20

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


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalPlan:
    """What the options of a local volume come to.

    Attributes:
        mount: what gives it its content; None: it is a directory.
        size_bytes: the most it may hold; 0: what the disk has.
        is_single_writer: one container at a time may write (``leases``).
    """

    mount: VolumeMount | None = None
    size_bytes: int = 0
    is_single_writer: bool = False


def plan_local(options: Mapping[str, str]) -> LocalPlan:
    """Decide what a local volume is.

    Raises:
        InvalidParameter: an option the driver does not have, or one that needs another.
    """
    for name in options:
        if name not in _OPTIONS:
            raise InvalidParameter(f'invalid option: "{name}"')
    access = options.get("access", "")
    if access not in ("", _SINGLE_WRITER):
        raise InvalidParameter(f'invalid access "{access}": the only one is {_SINGLE_WRITER}')
    size_bytes = parse_size(options["size"]) if "size" in options else 0
    mount = _plan_mount(options)
    if size_bytes and mount is not None:
        raise InvalidParameter(
            "size limits a directory of the engine's; what is mounted by type and device has its "
            "own: for a tmpfs say o=size=…"
        )
    return LocalPlan(mount=mount, size_bytes=size_bytes, is_single_writer=access == _SINGLE_WRITER)


def _plan_mount(options: Mapping[str, str]) -> VolumeMount | None:
    if not {"type", "device", "o"} & set(options):
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


def parse_size(text: str) -> int:
    """Read ``10g``, ``512MiB``, ``1000000``; a unit is a power of 1024, as for ``--memory``.

    Raises:
        InvalidParameter: it says no size, or one below ``SMALLEST_BYTES``.
    """
    match = _SIZE.fullmatch(text)
    if match is None:
        raise InvalidParameter(f"invalid size: '{text}'")
    number, unit = match.groups()
    size_bytes = int(float(number) * 1024 ** " kmgtp".index((unit or " ").lower()))
    if size_bytes < SMALLEST_BYTES:
        raise InvalidParameter(f"invalid size: '{text}': the smallest volume has 2 MiB")
    return size_bytes


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
