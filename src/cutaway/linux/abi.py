"""The kernel's numbers and structures that the system-call wrappers use.

Pure: no libc is loaded here, so ``security`` and every planner may import this module. Names are
the kernel's without their prefix (``MS.NOSUID`` is ``MS_NOSUID``). Numbers of netlink families are
beside their codecs (``netlink.py``, ``rtnetlink/``, ``nftables/``).

Source: the kernel's ``include/uapi`` headers, Linux 6.18.
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


class CLONE(IntFlag):
    """Flags of clone3(2), unshare(2) and setns(2)."""

    NEWTIME = 0x80
    VM = 0x100
    FS = 0x200
    FILES = 0x400
    SIGHAND = 0x800
    PIDFD = 0x1000
    PTRACE = 0x2000
    VFORK = 0x4000
    PARENT = 0x8000
    THREAD = 0x10000
    NEWNS = 0x20000
    SYSVSEM = 0x40000
    SETTLS = 0x80000
    PARENT_SETTID = 0x100000
    CHILD_CLEARTID = 0x200000
    UNTRACED = 0x800000
    CHILD_SETTID = 0x1000000
    NEWCGROUP = 0x2000000
    NEWUTS = 0x4000000
    NEWIPC = 0x8000000
    NEWUSER = 0x10000000
    NEWPID = 0x20000000
    NEWNET = 0x40000000
    IO = 0x80000000
    CLEAR_SIGHAND = 0x100000000
    INTO_CGROUP = 0x200000000


class CLOSE_RANGE(IntFlag):
    """Flags of close_range(2)."""

    UNSHARE = 0x2
    CLOEXEC = 0x4


class PIDFD(IntFlag):
    """Flags of pidfd_open(2)."""

    NONBLOCK = 0x800
    THREAD = 0x80


class PR(IntEnum):
    """Options of prctl(2)."""

    SET_PDEATHSIG = 1
    GET_DUMPABLE = 3
    SET_DUMPABLE = 4
    GET_KEEPCAPS = 7
    SET_KEEPCAPS = 8
    SET_NAME = 15
    GET_NAME = 16
    GET_SECCOMP = 21
    CAPBSET_READ = 23
    CAPBSET_DROP = 24
    GET_SECUREBITS = 27
    SET_SECUREBITS = 28
    SET_TIMERSLACK = 29
    SET_CHILD_SUBREAPER = 36
    GET_CHILD_SUBREAPER = 37
    SET_NO_NEW_PRIVS = 38
    GET_NO_NEW_PRIVS = 39
    SET_THP_DISABLE = 41
    CAP_AMBIENT = 47


class PR_CAP_AMBIENT(IntEnum):
    """Second argument of prctl(PR_CAP_AMBIENT)."""

    IS_SET = 1
    RAISE = 2
    LOWER = 3
    CLEAR_ALL = 4


class SECBIT(IntFlag):
    """Secure bits, capabilities(7)."""

    NOROOT = 0x1
    NOROOT_LOCKED = 0x2
    NO_SETUID_FIXUP = 0x4
    NO_SETUID_FIXUP_LOCKED = 0x8
    KEEP_CAPS = 0x10
    KEEP_CAPS_LOCKED = 0x20
    NO_CAP_AMBIENT_RAISE = 0x40
    NO_CAP_AMBIENT_RAISE_LOCKED = 0x80


class CAP(IntEnum):
    """Capability numbers, capabilities(7); a set is an int with bit ``1 << number``."""

    CHOWN = 0
    DAC_OVERRIDE = 1
    DAC_READ_SEARCH = 2
    FOWNER = 3
    FSETID = 4
    KILL = 5
    SETGID = 6
    SETUID = 7
    SETPCAP = 8
    LINUX_IMMUTABLE = 9
    NET_BIND_SERVICE = 10
    NET_BROADCAST = 11
    NET_ADMIN = 12
    NET_RAW = 13
    IPC_LOCK = 14
    IPC_OWNER = 15
    SYS_MODULE = 16
    SYS_RAWIO = 17
    SYS_CHROOT = 18
    SYS_PTRACE = 19
    SYS_PACCT = 20
    SYS_ADMIN = 21
    SYS_BOOT = 22
    SYS_NICE = 23
    SYS_RESOURCE = 24
    SYS_TIME = 25
    SYS_TTY_CONFIG = 26
    MKNOD = 27
    LEASE = 28
    AUDIT_WRITE = 29
    AUDIT_CONTROL = 30
    SETFCAP = 31
    MAC_OVERRIDE = 32
    MAC_ADMIN = 33
    SYSLOG = 34
    WAKE_ALARM = 35
    BLOCK_SUSPEND = 36
    AUDIT_READ = 37
    PERFMON = 38
    BPF = 39
    CHECKPOINT_RESTORE = 40


class SECCOMP_SET_MODE(IntEnum):
    """Operations of seccomp(2)."""

    STRICT = 0
    FILTER = 1


class SECCOMP_FILTER_FLAG(IntFlag):
    """Flags of seccomp(SECCOMP_SET_MODE_FILTER)."""

    TSYNC = 0x1
    LOG = 0x2
    SPEC_ALLOW = 0x4
    NEW_LISTENER = 0x8
    TSYNC_ESRCH = 0x10
    WAIT_KILLABLE_RECV = 0x20


class SECCOMP_RET(IntEnum):
    """Actions a seccomp filter answers; the low 16 bits carry an errno or a datum."""

    KILL_PROCESS = 0x80000000
    KILL_THREAD = 0x00000000
    TRAP = 0x00030000
    ERRNO = 0x00050000
    USER_NOTIF = 0x7FC00000
    TRACE = 0x7FF00000
    LOG = 0x7FFC0000
    ALLOW = 0x7FFF0000


class KEYCTL(IntEnum):
    """Operations of keyctl(2)."""

    GET_KEYRING_ID = 0
    JOIN_SESSION_KEYRING = 1
    SETPERM = 5
    DESCRIBE = 6


class STATX(IntFlag):
    """Fields asked of statx(2)."""

    BASIC_STATS = 0x7FF
    BTIME = 0x800
    MNT_ID = 0x1000
    MNT_ID_UNIQUE = 0x4000


class BPF_CMD(IntEnum):
    """Commands of bpf(2)."""

    PROG_LOAD = 5
    PROG_ATTACH = 8
    PROG_DETACH = 9
    PROG_GET_FD_BY_ID = 13
    PROG_QUERY = 16


class BPF_F(IntFlag):
    """Attach flags of bpf(BPF_PROG_ATTACH)."""

    ALLOW_OVERRIDE = 0x1
    ALLOW_MULTI = 0x2
    REPLACE = 0x4


BPF_PROG_TYPE_CGROUP_DEVICE = 15
BPF_CGROUP_DEVICE = 6


class IOPRIO_WHO(IntEnum):
    """Whom ioprio_set(2) speaks of."""

    PROCESS = 1
    PGRP = 2
    USER = 3


class RLIMIT(IntEnum):
    """Resources of prlimit(2)."""

    CPU = 0
    FSIZE = 1
    DATA = 2
    STACK = 3
    CORE = 4
    RSS = 5
    NPROC = 6
    NOFILE = 7
    MEMLOCK = 8
    AS = 9
    LOCKS = 10
    SIGPENDING = 11
    MSGQUEUE = 12
    NICE = 13
    RTPRIO = 14
    RTTIME = 15


RLIM_INFINITY = 0xFFFFFFFFFFFFFFFF


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

LINUX_CAPABILITY_VERSION_3 = 0x20080522

AUDIT_ARCH_X86_64 = 0xC000003E
AUDIT_ARCH_I386 = 0x40000003
AUDIT_ARCH_AARCH64 = 0xC00000B7
AUDIT_ARCH_ARM = 0x40000028

# System calls without a glibc 2.36 wrapper, by the machine name that uname(2) reports.
# From 424 on, every architecture uses the same numbers.
_COMMON_CALLS = {
    "open_tree": 428,
    "move_mount": 429,
    "fsopen": 430,
    "fsconfig": 431,
    "fsmount": 432,
    "fspick": 433,
    "clone3": 435,
    "close_range": 436,
    "openat2": 437,
    "pidfd_getfd": 438,
    "mount_setattr": 442,
    "fchmodat2": 452,
    "statmount": 457,
    "listmount": 458,
}
SYSTEM_CALLS = {
    "x86_64": {
        "pivot_root": 155,
        "capget": 125,
        "capset": 126,
        "ioprio_set": 251,
        "keyctl": 250,
        "set_mempolicy": 238,
        "seccomp": 317,
        "sched_setattr": 314,
        "bpf": 321,
        **_COMMON_CALLS,
    },
    "aarch64": {
        "pivot_root": 41,
        "capget": 90,
        "capset": 91,
        "ioprio_set": 30,
        "keyctl": 219,
        "set_mempolicy": 237,
        "seccomp": 277,
        "sched_setattr": 274,
        "bpf": 280,
        **_COMMON_CALLS,
    },
}
