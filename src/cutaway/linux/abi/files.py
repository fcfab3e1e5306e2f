"""Numbers of calls on files, watches and terminals.

Source: include/uapi/linux/{fcntl,openat2,stat,inotify}.h, asm-generic/ioctls.h.
"""

from enum import IntFlag


class AT(IntFlag):
    """Flags of the …at(2) system calls."""

    SYMLINK_NOFOLLOW = 0x100
    REMOVEDIR = 0x200
    SYMLINK_FOLLOW = 0x400
    NO_AUTOMOUNT = 0x800
    EMPTY_PATH = 0x1000
    RECURSIVE = 0x8000


AT_FDCWD = -100


class RENAME(IntFlag):
    """Flags of renameat2(2)."""

    NOREPLACE = 0x1
    EXCHANGE = 0x2
    WHITEOUT = 0x4


class RESOLVE(IntFlag):
    """How openat2(2) may walk the path."""

    NO_XDEV = 0x1
    NO_MAGICLINKS = 0x2
    NO_SYMLINKS = 0x4
    BENEATH = 0x8
    IN_ROOT = 0x10
    CACHED = 0x20


class O(IntFlag):  # noqa: E742 - the man page's prefix
    """Flags of open(2) as named bits, for messages; ``os.O_…`` are the same numbers.

    The numbers of DIRECTORY, NOFOLLOW and DIRECT differ between architectures; ``os`` knows.
    """

    WRONLY = 0x1
    RDWR = 0x2
    CREAT = 0x40
    EXCL = 0x80
    NOCTTY = 0x100
    TRUNC = 0x200
    APPEND = 0x400
    NONBLOCK = 0x800
    CLOEXEC = 0x80000
    PATH = 0x200000


class STATX(IntFlag):
    """Fields asked of statx(2)."""

    BASIC_STATS = 0x7FF
    BTIME = 0x800
    MNT_ID = 0x1000
    MNT_ID_UNIQUE = 0x4000


class IN(IntFlag):
    """Events and flags of inotify(7)."""

    ACCESS = 0x1
    MODIFY = 0x2
    ATTRIB = 0x4
    CLOSE_WRITE = 0x8
    CLOSE_NOWRITE = 0x10
    OPEN = 0x20
    MOVED_FROM = 0x40
    MOVED_TO = 0x80
    CREATE = 0x100
    DELETE = 0x200
    DELETE_SELF = 0x400
    MOVE_SELF = 0x800
    UNMOUNT = 0x2000
    Q_OVERFLOW = 0x4000
    IGNORED = 0x8000
    ONLYDIR = 0x1000000
    DONT_FOLLOW = 0x2000000
    EXCL_UNLINK = 0x4000000
    MASK_ADD = 0x20000000
    ISDIR = 0x40000000
    ONESHOT = 0x80000000


TIOCGPTPEER = 0x5441
TIOCSPTLCK = 0x40045431
TIOCGPTN = 0x80045430
TIOCSCTTY = 0x540E
TIOCSWINSZ = 0x5414
TIOCGWINSZ = 0x5413
