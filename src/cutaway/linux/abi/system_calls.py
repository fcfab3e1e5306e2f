"""Numbers of the system calls that glibc 2.36 has no wrapper for.

Source: arch/*/syscalls/*.tbl; from 424 on, every architecture uses the same numbers.
"""

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
    "quotactl_fd": 443,
    "fchmodat2": 452,
}
SYSTEM_CALLS = {
    "x86_64": {
        "pivot_root": 155,
        "rt_sigaction": 13,
        "capget": 125,
        "capset": 126,
        "ioprio_set": 251,
        "keyctl": 250,
        "seccomp": 317,
        "sched_setattr": 314,
        "bpf": 321,
        **_COMMON_CALLS,
    },
    "aarch64": {
        "pivot_root": 41,
        "rt_sigaction": 134,
        "capget": 90,
        "capset": 91,
        "ioprio_set": 30,
        "keyctl": 219,
        "seccomp": 277,
        "sched_setattr": 274,
        "bpf": 280,
        **_COMMON_CALLS,
    },
}
