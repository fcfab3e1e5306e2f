"""Numbers of what a process may do: capabilities, seccomp, keyrings, eBPF.

Source: include/uapi/linux/{capability,securebits,seccomp,audit,keyctl,bpf}.h.
"""

from enum import IntEnum, IntFlag


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


LINUX_CAPABILITY_VERSION_3 = 0x20080522

AUDIT_ARCH_X86_64 = 0xC000003E
AUDIT_ARCH_I386 = 0x40000003
AUDIT_ARCH_AARCH64 = 0xC00000B7
AUDIT_ARCH_ARM = 0x40000028
