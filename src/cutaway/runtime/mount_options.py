"""Mount options as text, and what they mean to the kernel. Pure.

An option is a *flag* of the mount (``ro``, ``nosuid``, …; with ``r`` in front it is set on all
mounts below too: ``rro``), a flag of the superblock (``sync``), a *propagation* (``rslave``), one
of our words, or *data* for the file system: all else. Our words are ``bind``, ``tmpcopyup``,
``copy-up``, ``subpath=DIR`` (only this part of the source), ``chown`` (give the source to the
container's user), ``idmap`` (show ids through ``uidMappings``), ``idmap-owner`` (show the source's
owner as the container's user and the reverse).

Source: runtime-spec config.md "Linux mount options"; mount_setattr(2); mount(8).
"""

from dataclasses import dataclass
from enum import StrEnum

from cutaway.errors import InvalidParameter
from cutaway.linux.abi import MOUNT_ATTR, MS

_MAX_DATA_BYTES = 4095
_MAX_VALUE_BYTES = 255  # what fsconfig(2) takes for one value

# option → (attributes set, attributes cleared)
_BITS: dict[str, tuple[MOUNT_ATTR, MOUNT_ATTR]] = {
    "ro": (MOUNT_ATTR.RDONLY, MOUNT_ATTR(0)),
    "rw": (MOUNT_ATTR(0), MOUNT_ATTR.RDONLY),
    "nosuid": (MOUNT_ATTR.NOSUID, MOUNT_ATTR(0)),
    "suid": (MOUNT_ATTR(0), MOUNT_ATTR.NOSUID),
    "nodev": (MOUNT_ATTR.NODEV, MOUNT_ATTR(0)),
    "dev": (MOUNT_ATTR(0), MOUNT_ATTR.NODEV),
    "noexec": (MOUNT_ATTR.NOEXEC, MOUNT_ATTR(0)),
    "exec": (MOUNT_ATTR(0), MOUNT_ATTR.NOEXEC),
    "nosymfollow": (MOUNT_ATTR.NOSYMFOLLOW, MOUNT_ATTR(0)),
    "symfollow": (MOUNT_ATTR(0), MOUNT_ATTR.NOSYMFOLLOW),
    "nodiratime": (MOUNT_ATTR.NODIRATIME, MOUNT_ATTR(0)),
    "diratime": (MOUNT_ATTR(0), MOUNT_ATTR.NODIRATIME),
    "noatime": (MOUNT_ATTR.NOATIME, MOUNT_ATTR.ATIME_MASK),
    "relatime": (MOUNT_ATTR.RELATIME, MOUNT_ATTR.ATIME_MASK),
    "strictatime": (MOUNT_ATTR.STRICTATIME, MOUNT_ATTR.ATIME_MASK),
    "atime": (MOUNT_ATTR.RELATIME, MOUNT_ATTR.ATIME_MASK),
    "norelatime": (MOUNT_ATTR.STRICTATIME, MOUNT_ATTR.ATIME_MASK),
    "nostrictatime": (MOUNT_ATTR.RELATIME, MOUNT_ATTR.ATIME_MASK),
}
# Plain numbers: an IntFlag's operators are 30 times as slow, and a start has hundreds of them.
_ATTRIBUTES = {name: (int(added), int(removed)) for name, (added, removed) in _BITS.items()}
_SUPERBLOCK = ("sync", "dirsync", "lazytime", "mand", "iversion")
_SUPERBLOCK_OFF = ("async", "nolazytime", "nomand", "noiversion", "loud", "silent")
_PROPAGATION = {
    "private": MS.PRIVATE,
    "rprivate": MS.PRIVATE | MS.REC,
    "shared": MS.SHARED,
    "rshared": MS.SHARED | MS.REC,
    "slave": MS.SLAVE,
    "rslave": MS.SLAVE | MS.REC,
    "unbindable": MS.UNBINDABLE,
    "runbindable": MS.UNBINDABLE | MS.REC,
}


class IdMap(StrEnum):
    """How an id-mapped mount shows the owners of its files, by the option's name."""

    NONE = ""
    MAPPINGS = "idmap"
    MAPPINGS_RECURSIVE = "ridmap"
    OWNER = "idmap-owner"


_ID_MAPS = frozenset(IdMap) - {IdMap.NONE}


@dataclass(frozen=True, slots=True)
class MountOptions:
    """Parsed options of one mount.

    Attributes:
        attr_set: MOUNT_ATTR bits added.
        attr_clr: MOUNT_ATTR bits removed first.
        rec_attr_set: the same, for this mount and all below it.
        rec_attr_clr: the same.
        superblock: flags that belong to the file system, by name.
        propagation: MS bits, REC included; 0 is not given.
        is_bind: ``bind`` or ``rbind``.
        is_recursive: ``rbind``.
        copies_up: what the image has at the target is copied in first.
        subpath: the part of a bind's source to mount; empty for all of it.
        gives_to_user: the source is chowned to the container's user first.
        id_map: how ids are shown.
        data: all else, in order.
    """

    attr_set: int = 0
    attr_clr: int = 0
    rec_attr_set: int = 0
    rec_attr_clr: int = 0
    superblock: tuple[str, ...] = ()
    propagation: int = 0
    is_bind: bool = False
    is_recursive: bool = False
    copies_up: bool = False
    subpath: str = ""
    gives_to_user: bool = False
    id_map: IdMap = IdMap.NONE
    data: tuple[str, ...] = ()


def parse_mount_options(options: tuple[str, ...], where: str) -> MountOptions:
    """Sort options into what the kernel wants; a later one overrides an earlier one.

    Args:
        options: in file order.
        where: names the mount in errors: ``mounts[3]``.

    Raises:
        InvalidParameter: the data is longer than the kernel accepts.
    """
    attr, recursive = [0, 0], [0, 0]
    superblock: list[str] = []
    data: list[str] = []
    propagation = 0
    subpath, id_map = "", IdMap.NONE
    words = dict.fromkeys(("bind", "rbind", "tmpcopyup", "copy-up", "chown"), False)
    for option in options:
        if option in words:
            words[option] = True
        elif option in _ATTRIBUTES:
            _apply(attr, *_ATTRIBUTES[option])
        elif option[:1] == "r" and option[1:] in _ATTRIBUTES:
            _apply(recursive, *_ATTRIBUTES[option[1:]])
        elif option in _PROPAGATION:
            propagation = _PROPAGATION[option]
        elif option in _SUPERBLOCK:
            superblock.append(option)
        elif option in _ID_MAPS:
            id_map = IdMap(option)
        elif option.startswith("subpath="):
            subpath = option.removeprefix("subpath=")
        elif option not in _SUPERBLOCK_OFF and option not in ("defaults", "remount", ""):
            data.append(option)
    _check_data(data, where)
    return MountOptions(
        attr_set=attr[0],
        attr_clr=attr[1],
        rec_attr_set=recursive[0],
        rec_attr_clr=recursive[1],
        superblock=tuple(superblock),
        propagation=propagation,
        is_bind=words["bind"] or words["rbind"],
        is_recursive=words["rbind"],
        copies_up=words["tmpcopyup"] or words["copy-up"],
        subpath=subpath,
        gives_to_user=words["chown"],
        id_map=id_map,
        data=tuple(data),
    )


def _apply(bits: list[int], added: int, removed: int) -> None:
    """Put one option over those before it."""
    bits[0] = bits[0] & ~removed | added
    bits[1] = bits[1] & ~added | removed


def _check_data(data: list[str], where: str) -> None:
    if sum(map(len, data)) + len(data) > _MAX_DATA_BYTES:
        raise InvalidParameter(f"{where}: the options are longer than the kernel's one page")
    for option in data:
        value = option.partition("=")[2]
        if len(value.encode()) > _MAX_VALUE_BYTES:
            raise InvalidParameter(
                f"{where}: the option {option[:40]}… is longer than {_MAX_VALUE_BYTES} bytes"
            )


def format_attributes(attributes: int) -> list[str]:
    """Return MOUNT_ATTR bits as the options of mount(8)."""
    names = [
        name
        for name in ("ro", "nosuid", "nodev", "noexec", "nosymfollow", "nodiratime")
        if attributes & _ATTRIBUTES[name][0]
    ]
    atime = attributes & MOUNT_ATTR.ATIME_MASK
    if atime == MOUNT_ATTR.NOATIME:
        names.append("noatime")
    elif atime == MOUNT_ATTR.STRICTATIME:
        names.append("strictatime")
    return names


def format_propagation(propagation: int) -> str:
    """Return MS propagation bits as the option's name; empty for none."""
    return next((name for name, bits in _PROPAGATION.items() if bits == propagation), "")
