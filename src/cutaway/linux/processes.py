"""Processes: making them, joining namespaces, holding them by pidfd, naming and limiting them."""

import ctypes
import os
import signal
from ctypes import c_char_p, c_int, c_uint, c_ulong, c_void_p

from cutaway.linux.abi import CLONE, CLOSE_RANGE, IOPRIO_WHO, PIDFD, PR, RLIMIT
from cutaway.linux.errors import kernel_error
from cutaway.linux.libc import check, encode, function, system_call


class CloneArgs(ctypes.Structure):
    """struct clone_args of clone3(2), CLONE_ARGS_SIZE_VER2."""

    _fields_ = tuple(
        (name, ctypes.c_uint64)
        for name in (
            "flags",
            "pidfd",
            "child_tid",
            "parent_tid",
            "exit_signal",
            "stack",
            "stack_size",
            "tls",
            "set_tid",
            "set_tid_size",
            "cgroup",
        )
    )


class _Rlimit(ctypes.Structure):
    """struct rlimit64."""

    _fields_ = (("soft", ctypes.c_uint64), ("hard", ctypes.c_uint64))


class _SchedAttr(ctypes.Structure):
    """struct sched_attr of sched_setattr(2), SCHED_ATTR_SIZE_VER0."""

    _fields_ = (
        ("size", ctypes.c_uint32),
        ("policy", ctypes.c_uint32),
        ("flags", ctypes.c_uint64),
        ("nice", ctypes.c_int32),
        ("priority", ctypes.c_uint32),
        ("runtime", ctypes.c_uint64),
        ("deadline", ctypes.c_uint64),
        ("period", ctypes.c_uint64),
    )


_setns = function("setns", c_int, c_int)
_unshare = function("unshare", c_int)
_prctl = function("prctl", c_int, c_ulong, c_ulong, c_ulong, c_ulong)
_prctl_text = function("prctl", c_int, c_char_p, c_ulong, c_ulong, c_ulong)
_prlimit = function("prlimit64", c_int, c_int, c_void_p, c_void_p)
_personality = function("personality", c_ulong)
_sethostname = function("sethostname", c_char_p, ctypes.c_size_t)
_setdomainname = function("setdomainname", c_char_p, ctypes.c_size_t)
_rt_sigaction = system_call("rt_sigaction", c_int, c_void_p, c_void_p, ctypes.c_size_t)
_close_range = system_call("close_range", c_uint, c_uint, c_int)
_pidfd_getfd = system_call("pidfd_getfd", c_int, c_int, c_uint)
_sched_setattr = system_call("sched_setattr", c_int, c_void_p, c_uint)
_ioprio_set = system_call("ioprio_set", c_int, c_int, c_int)

# clone3 keeps the GIL (PyDLL): the child goes on in the interpreter's middle, as after os.fork.
_before_fork = ctypes.pythonapi.PyOS_BeforeFork
_after_fork_parent = ctypes.pythonapi.PyOS_AfterFork_Parent
_after_fork_child = ctypes.pythonapi.PyOS_AfterFork_Child
for _function in (_before_fork, _after_fork_parent, _after_fork_child):
    _function.argtypes = ()
    _function.restype = None
_clone3 = ctypes.PyDLL(None, use_errno=True)["syscall"]
_clone3.argtypes = (ctypes.c_long, c_void_p, ctypes.c_size_t)
_clone3.restype = ctypes.c_long
CLONE3_NUMBER = 435
_PIDFD, _PARENT, _INTO_CGROUP = int(CLONE.PIDFD), int(CLONE.PARENT), int(CLONE.INTO_CGROUP)
_SIGCHLD = int(signal.SIGCHLD)


def clone3(flags: CLONE, *, cgroup_fd: int | None = None) -> tuple[int, int]:
    """Make a child process as fork(2) does, in the new namespaces that ``flags`` name.

    Args:
        flags: CLONE.NEW… and, for a child of one's own parent, PARENT. PIDFD is always added.
        cgroup_fd: a cgroup v2 directory the child is born in (CLONE_INTO_CGROUP); joining later
            costs an RCU grace period.

    Returns:
        ``(pid, pidfd)`` in the parent, the pidfd close-on-exec; ``(0, -1)`` in the child.

    Raises:
        KernelError: EPERM, ENOSPC or EUSERS (too many namespaces), EAGAIN (pids limit), EBUSY
            (the cgroup has controllers enabled for its children), EOPNOTSUPP (its domain is
            invalid).

    Preconditions: this process has one thread. The child may leave only by exec or ``os._exit``.
    """
    pidfd = c_int(-1)
    bits = int(flags) | _PIDFD  # plain numbers: each IntFlag operation costs a microsecond
    arguments = CloneArgs(flags=bits, pidfd=ctypes.addressof(pidfd))
    if not bits & _PARENT:  # with PARENT the kernel takes the parent's own exit signal
        arguments.exit_signal = _SIGCHLD
    if cgroup_fd is not None:
        arguments.flags = bits | _INTO_CGROUP
        arguments.cgroup = cgroup_fd
    address, size = ctypes.addressof(arguments), ctypes.sizeof(arguments)
    _before_fork()
    pid = _clone3(CLONE3_NUMBER, address, size)
    if pid == 0:
        _after_fork_child()
        return 0, -1
    errno = ctypes.get_errno()
    _after_fork_parent()
    if pid < 0:
        raise kernel_error(errno, "clone3", flags, cgroup_fd)
    return pid, pidfd.value


def fork() -> int:
    """Make a child process; the one place where fork(2) is called.

    Returns:
        The child's pid in the parent, 0 in the child, which may leave only by exec or ``os._exit``.
    """
    try:
        return os.fork()  # noqa: TID251
    except OSError as error:
        raise kernel_error(error.errno or 0, "fork") from None


def setns(fd: int, nstype: CLONE = CLONE(0)) -> None:
    """Join the namespace that ``fd`` holds, or those of the process that a pidfd holds.

    Raises:
        KernelError: EINVAL (a second thread exists and it is a mount or user namespace, or the
            descriptor is of another kind), EPERM.
    """
    check(_setns(fd, nstype), "setns", fd, nstype)


def unshare(flags: CLONE) -> None:
    """Leave namespaces for new ones: unshare(2).

    Raises:
        KernelError: EPERM, ENOSPC, EINVAL (a second thread exists and NEWUSER is asked).
    """
    # c_int: the flags fit 32 bits, bit 31 (CLONE_IO) is not an unshare flag
    check(_unshare(flags), "unshare", flags)


def prctl(option: PR, arg2: int = 0, arg3: int = 0, arg4: int = 0, arg5: int = 0) -> int:
    """Read or change an attribute of this process: prctl(2)."""
    result = _prctl(option, arg2, arg3, arg4, arg5)
    return check(result, "prctl", option, arg2, arg3)


def set_process_name(name: str) -> None:
    """Set this thread's ``comm``, what ``ps -o comm`` shows; 15 bytes are kept."""
    check(_prctl_text(PR.SET_NAME, encode(name), 0, 0, 0), "prctl", PR.SET_NAME, name)


_title_area: tuple[int, int] | None = None


def find_process_title() -> tuple[int, int]:
    """Return ``(address, length)`` of this process's argument area, found once.

    Call it before fork and before leaving the host's root, where ``/proc`` is the true one:
    a child inherits the answer.
    """
    global _title_area
    if _title_area is None:
        with open("/proc/self/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
        start, end = int(fields[45]), int(fields[46])  # arg_start, arg_end of proc_pid_stat(5)
        _title_area = (start, end - start)
    return _title_area


def set_process_title(title: str) -> None:
    """Set what ``ps`` shows as this process's command, by overwriting its arguments.

    A longer title than the arguments were is cut. PR_SET_MM_ARG_START would allow more but needs
    CAP_SYS_RESOURCE, which a contained engine lacks.
    """
    address, length = find_process_title()
    data = (encode(title) or b"")[: length - 2]
    # A last byte that is not NUL tells the kernel "setproctitle": it shows up to the first NUL.
    ctypes.memmove(address, data.ljust(length - 1, b"\0") + b"\1", length)
    set_process_name(title)


class _KernelSigaction(ctypes.Structure):
    """struct sigaction as the kernel has it, which is not the C library's."""

    _fields_ = (
        ("handler", ctypes.c_void_p),
        ("flags", c_ulong),
        ("restorer", ctypes.c_void_p),
        ("mask", ctypes.c_uint64),
    )


_SIGNAL_SET_BYTES = 8
_SIGNALS = tuple(n for n in range(1, 65) if n not in (signal.SIGKILL, signal.SIGSTOP))


def reset_signal_dispositions() -> None:
    """Give every signal its default action: rt_sigaction(2), called directly.

    The C library refuses to touch 32 and 33, which it uses for threads; but a parent may have
    ignored them, and what is ignored stays so over execve(2). Python's own table of handlers
    does not learn of it: only for a process that is about to become another program.
    """
    default = _KernelSigaction()
    address = ctypes.addressof(default)
    for number in _SIGNALS:
        _rt_sigaction(number, address, None, _SIGNAL_SET_BYTES)


def close_range(first: int, last: int, flags: CLOSE_RANGE = CLOSE_RANGE(0)) -> None:
    """Close the descriptors ``first`` to ``last``, or mark them close-on-exec: close_range(2)."""
    check(_close_range(first, last, flags), "close_range", first, last, flags)


def pidfd_open(pid: int, flags: PIDFD = PIDFD(0)) -> int:
    """Return a close-on-exec descriptor of a process: pidfd_open(2).

    Raises:
        KernelError: ESRCH (gone).
    """
    try:
        return os.pidfd_open(pid, flags)
    except OSError as error:
        raise kernel_error(error.errno or 0, "pidfd_open", pid, flags) from None


def pidfd_send_signal(pidfd: int, sig: int) -> None:
    """Signal the process that ``pidfd`` holds; its number can't have been reused.

    Raises:
        KernelError: ESRCH (ended and reaped), EPERM.
    """
    try:
        signal.pidfd_send_signal(pidfd, sig)
    except OSError as error:
        raise kernel_error(error.errno or 0, "pidfd_send_signal", pidfd, sig) from None


def pidfd_getfd(pidfd: int, targetfd: int) -> int:
    """Return a close-on-exec copy of another process's descriptor: pidfd_getfd(2)."""
    return check(_pidfd_getfd(pidfd, targetfd, 0), "pidfd_getfd", pidfd, targetfd)


def waitid_pidfd(pidfd: int, options: int = os.WEXITED) -> tuple[int | None, int | None] | None:
    """Wait for the child that ``pidfd`` holds: waitid(P_PIDFD).

    Args:
        pidfd: a child's; with CLONE_PARENT the child is one's parent's, who alone can wait.
        options: ``os.WEXITED``, with ``os.WNOHANG`` not to block, ``os.WNOWAIT`` not to reap.

    Returns:
        ``(exit code, None)``, ``(None, signal number)``, or None: WNOHANG and still running.

    Raises:
        KernelError: ECHILD (not a child, or reaped already).
    """
    try:
        result = os.waitid(os.P_PIDFD, pidfd, options)
    except OSError as error:
        raise kernel_error(error.errno or 0, "waitid", pidfd, options) from None
    if result is None:
        return None
    if result.si_code == os.CLD_EXITED:
        return result.si_status, None
    return None, result.si_status


def prlimit(pid: int, resource: RLIMIT, limits: tuple[int, int] | None = None) -> tuple[int, int]:
    """Read and, if given, set the ``(soft, hard)`` limit of a process (0 is this one).

    Returns:
        The limits before the call; RLIM_INFINITY is 2**64-1.

    Raises:
        KernelError: EPERM (raising a hard limit without CAP_SYS_RESOURCE), EINVAL (soft > hard).
    """
    old = _Rlimit()
    new = ctypes.byref(_Rlimit(*limits)) if limits is not None else None
    check(_prlimit(pid, resource, new, ctypes.byref(old)), "prlimit", pid, resource, limits)
    return old.soft, old.hard


def personality(persona: int) -> int:
    """Set this process's execution domain: personality(2); 0xffffffff only reads it."""
    return check(_personality(persona), "personality", persona)


def sethostname(name: str) -> None:
    """Set the UTS namespace's host name, at most 64 bytes."""
    data = encode(name) or b""
    check(_sethostname(data, len(data)), "sethostname", name)


def setdomainname(name: str) -> None:
    """Set the UTS namespace's NIS domain name, at most 64 bytes."""
    data = encode(name) or b""
    check(_setdomainname(data, len(data)), "setdomainname", name)


def ioprio_set(which: IOPRIO_WHO, who: int, ioprio: int) -> None:
    """Set an I/O class and priority (``class << 13 | priority``): ioprio_set(2)."""
    check(_ioprio_set(which, who, ioprio), "ioprio_set", which, who, ioprio)


def sched_setattr(
    pid: int,
    policy: int,
    *,
    flags: int = 0,
    nice: int = 0,
    priority: int = 0,
    runtime_ns: int = 0,
    deadline_ns: int = 0,
    period_ns: int = 0,
) -> None:
    """Set a process's scheduling policy and its parameters, 0 is this one: sched_setattr(2).

    Args:
        pid: the process.
        policy: ``os.SCHED_OTHER`` …, or 6 for SCHED_DEADLINE.
        flags: SCHED_FLAG_RESET_ON_FORK is 1.
        nice: of OTHER and BATCH.
        priority: of FIFO and RR, 1 to 99.
        runtime_ns: of DEADLINE.
        deadline_ns: of DEADLINE.
        period_ns: of DEADLINE.

    Raises:
        KernelError: EPERM (no CAP_SYS_NICE), EINVAL (a parameter that the policy has not).
    """
    attr = _SchedAttr(policy=policy, flags=flags, nice=nice, priority=priority)
    attr.size = ctypes.sizeof(attr)
    attr.runtime, attr.deadline, attr.period = runtime_ns, deadline_ns, period_ns
    result = _sched_setattr(pid, ctypes.byref(attr), 0)
    check(result, "sched_setattr", pid, policy, nice, priority)
