"""Numbers of the mount family, and of file system types.

Source: include/uapi/linux/{mount,magic}.h.
"""

from enum import IntEnum, IntFlag


class MS(IntFlag):
    """Flags of mount(2)."""

    RDONLY = 0x1
    NOSUID = 0x2
    NODEV = 0x4
    NOEXEC = 0x8
    SYNCHRONOUS = 0x10
    REMOUNT = 0x20
    MANDLOCK = 0x40
    DIRSYNC = 0x80
    NOSYMFOLLOW = 0x100
    NOATIME = 0x400
    NODIRATIME = 0x800
    BIND = 0x1000
    MOVE = 0x2000
    REC = 0x4000
    SILENT = 0x8000
    POSIXACL = 0x10000
    UNBINDABLE = 0x20000
    PRIVATE = 0x40000
    SLAVE = 0x80000
    SHARED = 0x100000
    RELATIME = 0x200000
    I_VERSION = 0x800000
    STRICTATIME = 0x1000000
    LAZYTIME = 0x2000000


class MNT(IntFlag):
    """Flags of umount2(2)."""

    FORCE = 0x1
    DETACH = 0x2
    EXPIRE = 0x4
    UMOUNT_NOFOLLOW = 0x8


class MOUNT_ATTR(IntFlag):
    """Attributes of fsmount(2) and mount_setattr(2); the atime ones are a field, not bits."""

    RDONLY = 0x1
    NOSUID = 0x2
    NODEV = 0x4
    NOEXEC = 0x8
    ATIME_MASK = 0x70
    RELATIME = 0x0
    NOATIME = 0x10
    STRICTATIME = 0x20
    NODIRATIME = 0x80
    IDMAP = 0x100000
    NOSYMFOLLOW = 0x200000


class FSOPEN(IntFlag):
    """Flags of fsopen(2)."""

    CLOEXEC = 0x1


class FSMOUNT(IntFlag):
    """Flags of fsmount(2)."""

    CLOEXEC = 0x1


class FSPICK(IntFlag):
    """Flags of fspick(2)."""

    CLOEXEC = 0x1
    SYMLINK_NOFOLLOW = 0x2
    NO_AUTOMOUNT = 0x4
    EMPTY_PATH = 0x8


class FSCONFIG(IntEnum):
    """Commands of fsconfig(2)."""

    SET_FLAG = 0
    SET_STRING = 1
    SET_BINARY = 2
    SET_PATH = 3
    SET_PATH_EMPTY = 4
    SET_FD = 5
    CMD_CREATE = 6
    CMD_RECONFIGURE = 7
    CMD_CREATE_EXCL = 8


class OPEN_TREE(IntFlag):
    """Flags of open_tree(2)."""

    CLONE = 0x1
    NAMESPACE = 0x2
    CLOEXEC = 0x80000
    AT_SYMLINK_NOFOLLOW = 0x100
    AT_NO_AUTOMOUNT = 0x800
    AT_EMPTY_PATH = 0x1000
    AT_RECURSIVE = 0x8000


class MOVE_MOUNT(IntFlag):
    """Flags of move_mount(2): F_ is the source's side, T_ the target's."""

    F_SYMLINKS = 0x1
    F_AUTOMOUNTS = 0x2
    F_EMPTY_PATH = 0x4
    T_SYMLINKS = 0x10
    T_AUTOMOUNTS = 0x20
    T_EMPTY_PATH = 0x40
    SET_GROUP = 0x100
    BENEATH = 0x200


class FSMAGIC(IntEnum):
    """File system types as statfs(2) reports them."""

    BTRFS = 0x9123683E
    CGROUP = 0x27E0EB
    CGROUP2 = 0x63677270
    DEVPTS = 0x1CD1
    EXT4 = 0xEF53
    FUSE = 0x65735546
    MQUEUE = 0x19800202
    NFS = 0x6969
    NSFS = 0x6E736673
    OVERLAYFS = 0x794C7630
    PROC = 0x9FA0
    SYSFS = 0x62656572
    TMPFS = 0x01021994
    XFS = 0x58465342
