"""What a process may do: capabilities, secure bits, seccomp, keyrings."""

import ctypes
import errno
from ctypes import c_char_p, c_int, c_long, c_uint, c_ulong, c_void_p
from dataclasses import dataclass

from cutaway.linux.abi import (
    KEYCTL,
    LINUX_CAPABILITY_VERSION_3,
    PR,
    PR_CAP_AMBIENT,
    SECBIT,
    SECCOMP_FILTER_FLAG,
    SECCOMP_SET_MODE,
)
from cutaway.linux.errors import KernelError, Verbatim
from cutaway.linux.libc import check, encode, system_call
from cutaway.linux.processes import prctl

_SOCK_FILTER_SIZE = 8
_CAPABILITY_COUNT = 64


@dataclass(frozen=True, slots=True)
class ProcessCapabilities:
    """The three sets capget(2) tells, each an int with bit ``1 << CAP.…``."""

    effective: int
    permitted: int
    inheritable: int


class _CapHeader(ctypes.Structure):
    """struct __user_cap_header_struct."""

    _fields_ = (("version", ctypes.c_uint32), ("pid", c_int))


class _CapData(ctypes.Structure):
    """struct __user_cap_data_struct: 32 capabilities."""

    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


_CapDataPair = _CapData * 2  # a name of its own: else each use would make the type anew


class _SockFprog(ctypes.Structure):
    """struct sock_fprog: a classic BPF program."""

    _fields_ = (("len", ctypes.c_ushort), ("filter", c_char_p))


_capget = system_call("capget", c_void_p, c_void_p)
_capset = system_call("capset", c_void_p, c_void_p)
_seccomp = system_call("seccomp", c_uint, c_uint, c_void_p)
_keyctl = system_call("keyctl", c_int, c_char_p, c_ulong, c_ulong, c_ulong)
_keyctl_numbers = system_call("keyctl", c_int, c_long, c_ulong, c_ulong, c_ulong)


def capget(pid: int = 0) -> ProcessCapabilities:
    """Return the capability sets of a process, 0 for this one: capget(2)."""
    header = _CapHeader(LINUX_CAPABILITY_VERSION_3, pid)
    data = _CapDataPair()
    check(_capget(ctypes.byref(header), ctypes.byref(data)), "capget", pid)
    low, high = data
    return ProcessCapabilities(
        effective=low.effective | high.effective << 32,
        permitted=low.permitted | high.permitted << 32,
        inheritable=low.inheritable | high.inheritable << 32,
    )


def capset(effective: int, permitted: int, inheritable: int) -> None:
    """Set this thread's capability sets: capset(2).

    Raises:
        KernelError: EPERM (a capability that is not permitted now).
    """
    sets = (effective, permitted, inheritable)
    header = _CapHeader(LINUX_CAPABILITY_VERSION_3, 0)
    words = [[value >> shift & 0xFFFFFFFF for value in sets] for shift in (0, 32)]
    data = _CapDataPair(*(_CapData(*word) for word in words))
    result = _capset(ctypes.byref(header), ctypes.byref(data))
    check(result, "capset", *(Verbatim(hex(value)) for value in sets))


def read_bounding_set() -> int:
    """Return this thread's capability bounding set."""
    bounding = 0
    for number in range(_CAPABILITY_COUNT):
        try:
            bounding |= prctl(PR.CAPBSET_READ, number) << number
        except KernelError:  # EINVAL: the kernel knows no capability of this number
            break
    return bounding


def drop_bounding_set(keep: int) -> None:
    """Drop every capability not in ``keep`` from this thread's bounding set, for good.

    Raises:
        KernelError: EPERM (no CAP_SETPCAP).
    """
    for number in range(_CAPABILITY_COUNT):
        if keep >> number & 1:
            continue
        try:
            prctl(PR.CAPBSET_DROP, number)
        except KernelError as error:
            if error.errno == errno.EINVAL:  # the kernel knows no capability of this number
                return
            if prctl(PR.CAPBSET_READ, number):  # else there is nothing to drop
                raise


def set_ambient_set(ambient: int) -> None:
    """Make the ambient set exactly ``ambient``; each must be permitted and inheritable."""
    prctl(PR.CAP_AMBIENT, PR_CAP_AMBIENT.CLEAR_ALL)
    for number in range(ambient.bit_length()):
        if ambient >> number & 1:
            prctl(PR.CAP_AMBIENT, PR_CAP_AMBIENT.RAISE, number)


def set_securebits(bits: SECBIT) -> None:
    """Set this thread's secure bits, capabilities(7)."""
    prctl(PR.SET_SECUREBITS, bits)


def seccomp(operation: SECCOMP_SET_MODE, flags: SECCOMP_FILTER_FLAG, program: bytes) -> int:
    """Install a seccomp filter in this thread, for good: seccomp(2).

    Args:
        operation: FILTER.
        flags: NEW_LISTENER makes the result a descriptor for user notifications.
        program: struct sock_filter after struct sock_filter, 8 bytes each, in native byte order.

    Raises:
        KernelError: EACCES (neither CAP_SYS_ADMIN nor no_new_privs), EINVAL (the program is
            malformed, or longer than 4096 instructions).
    """
    fprog = _SockFprog(len(program) // _SOCK_FILTER_SIZE, program)
    result = _seccomp(operation, flags, ctypes.byref(fprog))
    return check(result, "seccomp", operation, flags, Verbatim(f"{fprog.len} instructions"))


def keyctl(operation: KEYCTL, arg2: int, arg3: int = 0, arg4: int = 0) -> int:
    """Do a keyring operation whose arguments are numbers: keyctl(2)."""
    result = _keyctl_numbers(operation, arg2, arg3, arg4, 0)
    return check(result, "keyctl", operation, arg2, arg3, arg4)


def join_session_keyring(name: str) -> int:
    """Leave the inherited session keyring for the one called ``name``; return its serial.

    Raises:
        KernelError: ENOSYS or EPERM where a sandbox forbids keyrings, EDQUOT (too many keys).
    """
    operation = KEYCTL.JOIN_SESSION_KEYRING
    return check(_keyctl(operation, encode(name), 0, 0, 0), "keyctl", operation, name)
