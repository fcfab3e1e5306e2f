"""Numbers of calls on processes: clone, pidfd, prctl, limits.

Source: include/uapi/linux/{sched,prctl,resource,ioprio,close_range}.h.
"""

from enum import IntEnum, IntFlag


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
