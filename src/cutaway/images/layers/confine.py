"""Confining a worker: one directory is its whole world, a few system calls its whole language.

A layer comes from strangers, and three decompressors written in C read it first. So the worker
that reads it gives up, before the first byte: every file but one directory (pivot_root in a mount
namespace of its own, no suid, no devices, no exec), every capability it has no use for, new
privileges, new imports, and by seccomp every system call but those that make files.

The order is the lesson: leave the host's root while CAP_SYS_ADMIN is there, then seal imports
(after pivot_root, an import would load code *from the image*: CVE-2019-14271), then drop
capabilities, then close the door behind with seccomp.

Docker's counterpart: ``docker-untar`` and ``docker-applyLayer``, re-executed in a chroot; they
keep all capabilities and have no filter.
"""

import os
import platform
import resource
import struct
import sys
from typing import NoReturn

from cutaway import linux

_CLONE_TREE = linux.OPEN_TREE.CLONE | linux.OPEN_TREE.CLOEXEC
_LOCKED_DOWN = linux.MOUNT_ATTR.NOSUID | linux.MOUNT_ATTR.NODEV | linux.MOUNT_ATTR.NOEXEC


def capability_mask(*capabilities: linux.CAP) -> int:
    """Return the bit mask of some capabilities."""
    return sum(1 << capability for capability in capabilities)


WRITE_TREE_CAPABILITIES = capability_mask(
    linux.CAP.CHOWN,
    linux.CAP.DAC_OVERRIDE,
    linux.CAP.FOWNER,
    linux.CAP.FSETID,
    linux.CAP.MKNOD,
    linux.CAP.SETFCAP,
)
READ_TREE_CAPABILITIES = capability_mask(linux.CAP.DAC_READ_SEARCH, linux.CAP.FOWNER)


def enter_directory(*, is_read_only: bool = False) -> None:
    """Make the working directory the root, in a mount namespace that holds nothing else.

    Raises:
        KernelError: EPERM (no CAP_SYS_ADMIN).

    Preconditions: one thread; everything that will ever be imported is imported.
    """
    linux.unshare(linux.CLONE.NEWNS)
    linux.mount(None, "/", None, linux.MS.REC | linux.MS.PRIVATE)
    tree = linux.open_tree(linux.AT_FDCWD, ".", _CLONE_TREE)
    attributes = _LOCKED_DOWN | linux.MOUNT_ATTR.RDONLY if is_read_only else _LOCKED_DOWN
    linux.mount_setattr(tree, "", linux.AT.EMPTY_PATH, attr_set=attributes)
    linux.move_mount(tree, "", linux.AT_FDCWD, ".", linux.MOVE_MOUNT.F_EMPTY_PATH)
    enter_mount(tree)


def enter_mount(tree: int) -> None:
    """Make the attached mount that ``tree`` holds the root, and detach the old root."""
    os.fchdir(tree)
    os.close(tree)
    linux.pivot_root(".", ".")
    linux.umount2(".", linux.MNT.DETACH)
    os.chdir("/")


def limit_resources(*, memory_bytes: int = 2 << 30) -> None:
    """Bound what a decompressor gone wild can take; no core file holds what was unpacked."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    if hard == resource.RLIM_INFINITY or hard > memory_bytes:
        resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))


def seal(capabilities: int) -> None:
    """Give up imports, capabilities and system calls, for good.

    Args:
        capabilities: mask of those kept, if this process has them.
    """
    seal_imports()
    linux.prctl(linux.PR.SET_DUMPABLE, 0)
    linux.prctl(linux.PR.SET_NO_NEW_PRIVS, 1)
    kept = linux.capget().permitted & capabilities
    linux.capset(kept, kept, 0)
    program = build_filter(platform.machine())
    if program:
        linux.seccomp(linux.SECCOMP_SET_MODE.FILTER, linux.SECCOMP_FILTER_FLAG(0), program)


class _NoMoreImports:
    """A finder that refuses: the last thing a sealed process asks."""

    @staticmethod
    def find_spec(fullname: str, path: object = None, target: object = None) -> NoReturn:
        raise ImportError(f"import of {fullname} after this process was sealed")


def seal_imports() -> None:
    """Make every later import fail, wherever it would have come from."""
    sys.path.clear()
    sys.path_hooks.clear()
    sys.path_importer_cache.clear()
    sys.meta_path[:] = [_NoMoreImports]


# What Python needs to live and a tar needs to be written or read, most frequent first. Absent:
# everything that makes processes, opens sockets, mounts, traces, loads or executes.
_X86_64 = {
    "write": 1, "read": 0, "openat": 257, "close": 3, "fchown": 93, "utimensat": 280,
    "newfstatat": 262, "fchmod": 91, "openat2": 437, "mkdirat": 258, "fchownat": 260,
    "symlinkat": 266, "linkat": 265, "futex": 202, "fstat": 5, "lseek": 8, "ftruncate": 77,
    "fsetxattr": 190, "fgetxattr": 193, "flistxattr": 196, "fremovexattr": 199, "mknodat": 259,
    "unlinkat": 263, "renameat2": 316, "renameat": 264, "readlinkat": 267, "getdents64": 217,
    "fstatfs": 138, "statx": 332, "fchmodat2": 452, "fchmodat": 268, "pread64": 17,
    "pwrite64": 18, "readv": 19, "writev": 20, "sendfile": 40, "splice": 275, "fallocate": 285,
    "copy_file_range": 326, "sendmsg": 46, "recvmsg": 47, "sendto": 44, "recvfrom": 45,
    "poll": 7, "ppoll": 271, "mmap": 9, "munmap": 11, "mprotect": 10, "mremap": 25,
    "madvise": 28, "brk": 12, "rt_sigaction": 13, "rt_sigprocmask": 14, "rt_sigreturn": 15,
    "sigaltstack": 131, "sched_yield": 24, "fcntl": 72, "dup": 32, "getpid": 39, "gettid": 186,
    "set_robust_list": 273, "rseq": 334, "restart_syscall": 219, "clock_gettime": 228,
    "clock_nanosleep": 230, "getrandom": 318, "fchdir": 81, "tgkill": 234, "exit": 60,
    "exit_group": 231,
}  # fmt: skip
_AARCH64 = {
    "write": 64, "read": 63, "openat": 56, "close": 57, "fchown": 55, "utimensat": 88,
    "newfstatat": 79, "fchmod": 52, "openat2": 437, "mkdirat": 34, "fchownat": 54,
    "symlinkat": 36, "linkat": 37, "futex": 98, "fstat": 80, "lseek": 62, "ftruncate": 46,
    "fsetxattr": 7, "fgetxattr": 10, "flistxattr": 13, "fremovexattr": 16, "mknodat": 33,
    "unlinkat": 35, "renameat2": 276, "renameat": 38, "readlinkat": 78, "getdents64": 61,
    "fstatfs": 44, "statx": 291, "fchmodat2": 452, "fchmodat": 53, "pread64": 67,
    "pwrite64": 68, "readv": 65, "writev": 66, "sendfile": 71, "splice": 76, "fallocate": 47,
    "copy_file_range": 285, "sendmsg": 211, "recvmsg": 212, "sendto": 206, "recvfrom": 207,
    "ppoll": 73, "mmap": 222, "munmap": 215, "mprotect": 226, "mremap": 216, "madvise": 233,
    "brk": 214, "rt_sigaction": 134, "rt_sigprocmask": 135, "rt_sigreturn": 139,
    "sigaltstack": 132, "sched_yield": 124, "fcntl": 25, "dup": 23, "getpid": 172,
    "gettid": 178, "set_robust_list": 99, "rseq": 293, "restart_syscall": 128,
    "clock_gettime": 113, "clock_nanosleep": 115, "getrandom": 278, "fchdir": 50,
    "tgkill": 131, "exit": 93, "exit_group": 94,
}  # fmt: skip
_CALLS = {"x86_64": (0xC000003E, 56, _X86_64), "aarch64": (0xC00000B7, 220, _AARCH64)}
_CLONE3 = 435
_CLONE_THREAD = 0x00010000

_LOAD, _EQUAL, _HAS_BITS, _RETURN = 0x20, 0x15, 0x45, 0x06  # BPF_LD|W|ABS, JEQ, JSET, RET
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16  # offsets in struct seccomp_data
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_EPERM, _ENOSYS = 1, 38


def build_filter(machine: str) -> bytes:
    """Return the seccomp program for a sealed worker; empty where no table exists.

    Threads may be made, processes not: clone(2) is looked at, clone3(2), whose flags a filter
    can't see, is answered ENOSYS so that the C library takes clone(2).
    """
    if machine not in _CALLS:
        return b""
    architecture, clone, calls = _CALLS[machine]
    numbers = list(calls.values())
    # Jumps count the instructions skipped; the tail is at a fixed distance behind the table.
    size = len(numbers)
    program = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER),
        *((_EQUAL, size - at + 2, 0, number) for at, number in enumerate(numbers)),
        (_EQUAL, 3, 0, clone),
        (_EQUAL, 4, 0, _CLONE3),
        (_RETURN, 0, 0, _ERRNO | _EPERM),
        (_RETURN, 0, 0, _ALLOW),
        (_LOAD, 0, 0, _FIRST_ARGUMENT),
        (_HAS_BITS, 2, 1, _CLONE_THREAD),
        (_RETURN, 0, 0, _ERRNO | _ENOSYS),
        (_RETURN, 0, 0, _ERRNO | _EPERM),
        (_RETURN, 0, 0, _ALLOW),
    ]
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in program)
