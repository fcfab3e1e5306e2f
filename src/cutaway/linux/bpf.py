"""eBPF programs on cgroups: bpf(2), as far as device control of cgroup v2 needs it.

The programs themselves are built by ``security.device_filter``.
"""

import ctypes
import os
from ctypes import c_char_p, c_int, c_uint, c_void_p

from cutaway.linux.abi import BPF_CGROUP_DEVICE, BPF_CMD, BPF_F, BPF_PROG_TYPE_CGROUP_DEVICE
from cutaway.linux.errors import Verbatim, kernel_error
from cutaway.linux.libc import check, system_call

_INSTRUCTION_SIZE = 8
_LOG_SIZE = 65536
_MAX_PROGRAMS = 64


class _ProgLoad(ctypes.Structure):
    """The BPF_PROG_LOAD member of union bpf_attr, up to ``expected_attach_type``."""

    _fields_ = (
        ("prog_type", ctypes.c_uint32),
        ("insn_cnt", ctypes.c_uint32),
        ("insns", c_char_p),
        ("license", c_char_p),
        ("log_level", ctypes.c_uint32),
        ("log_size", ctypes.c_uint32),
        ("log_buf", ctypes.c_uint64),
        ("kern_version", ctypes.c_uint32),
        ("prog_flags", ctypes.c_uint32),
        ("prog_name", ctypes.c_char * 16),
        ("prog_ifindex", ctypes.c_uint32),
        ("expected_attach_type", ctypes.c_uint32),
    )


class _ProgAttach(ctypes.Structure):
    """The BPF_PROG_ATTACH member of union bpf_attr."""

    _fields_ = (
        ("target_fd", ctypes.c_uint32),
        ("attach_bpf_fd", ctypes.c_uint32),
        ("attach_type", ctypes.c_uint32),
        ("attach_flags", ctypes.c_uint32),
        ("replace_bpf_fd", ctypes.c_uint32),
    )


class _ProgQuery(ctypes.Structure):
    """The BPF_PROG_QUERY member of union bpf_attr, as old kernels know it."""

    _fields_ = (
        ("target_fd", ctypes.c_uint32),
        ("attach_type", ctypes.c_uint32),
        ("query_flags", ctypes.c_uint32),
        ("attach_flags", ctypes.c_uint32),
        ("prog_ids", ctypes.c_uint64),
        ("prog_cnt", ctypes.c_uint32),
        ("pad", ctypes.c_uint32),
    )


_bpf = system_call("bpf", c_int, c_void_p, c_uint)


def _call(command: BPF_CMD, attr: ctypes.Structure) -> int:
    return _bpf(command, ctypes.byref(attr), ctypes.sizeof(attr))


def bpf_prog_load_cgroup_device(program: bytes, name: str = "cutaway_device") -> int:
    """Check and load a device program into the kernel; return its close-on-exec descriptor.

    Args:
        program: struct bpf_insn after struct bpf_insn, 8 bytes each.
        name: shown by ``bpftool``; letters, digits, ``_``, at most 15.

    Raises:
        KernelError: EPERM (no CAP_BPF or CAP_SYS_ADMIN), EINVAL or EACCES with the verifier's
            last line as the hint.
    """
    attr = _ProgLoad(
        prog_type=BPF_PROG_TYPE_CGROUP_DEVICE,
        insn_cnt=len(program) // _INSTRUCTION_SIZE,
        insns=program,
        license=b"Apache-2.0",
        prog_name=name.encode(),
        expected_attach_type=BPF_CGROUP_DEVICE,
    )
    fd = _call(BPF_CMD.PROG_LOAD, attr)
    if fd >= 0:
        os.set_inheritable(fd, False)
        return fd
    errno = ctypes.get_errno()
    log = ctypes.create_string_buffer(_LOG_SIZE)
    attr.log_level, attr.log_size, attr.log_buf = 1, _LOG_SIZE, ctypes.addressof(log)
    _call(BPF_CMD.PROG_LOAD, attr)
    lines = log.value.decode(errors="replace").strip().splitlines()
    hint = lines[-1] if lines else ""
    length = Verbatim(f"{attr.insn_cnt} instructions")
    raise kernel_error(errno, "bpf", BPF_CMD.PROG_LOAD, length, hint=hint)


def bpf_prog_attach(
    cgroup_fd: int, program_fd: int, flags: BPF_F = BPF_F.ALLOW_MULTI, replace_fd: int = 0
) -> None:
    """Let a device program decide for a cgroup, beside those of its ancestors.

    Args:
        cgroup_fd: a cgroup v2 directory.
        program_fd: what ``bpf_prog_load_cgroup_device`` returned.
        flags: with REPLACE, in the place of ``replace_fd`` in one step.
        replace_fd: the program to be replaced.

    Raises:
        KernelError: EPERM (no CAP_NET_ADMIN or CAP_SYS_ADMIN, or an ancestor forbids it).
    """
    attr = _ProgAttach(cgroup_fd, program_fd, BPF_CGROUP_DEVICE, flags, replace_fd)
    check(_call(BPF_CMD.PROG_ATTACH, attr), "bpf", BPF_CMD.PROG_ATTACH, cgroup_fd, program_fd)


def bpf_prog_detach(cgroup_fd: int, program_fd: int) -> None:
    """Take a device program off a cgroup."""
    attr = _ProgAttach(cgroup_fd, program_fd, BPF_CGROUP_DEVICE)
    check(_call(BPF_CMD.PROG_DETACH, attr), "bpf", BPF_CMD.PROG_DETACH, cgroup_fd, program_fd)


def bpf_prog_query(cgroup_fd: int) -> list[int]:
    """Return the ids of the device programs attached to this very cgroup."""
    ids = (ctypes.c_uint32 * _MAX_PROGRAMS)()
    attr = _ProgQuery(
        target_fd=cgroup_fd,
        attach_type=BPF_CGROUP_DEVICE,
        prog_ids=ctypes.addressof(ids),
        prog_cnt=_MAX_PROGRAMS,
    )
    check(_call(BPF_CMD.PROG_QUERY, attr), "bpf", BPF_CMD.PROG_QUERY, cgroup_fd)
    return list(ids[: attr.prog_cnt])


def bpf_prog_get_fd_by_id(program_id: int) -> int:
    """Return a close-on-exec descriptor of a loaded program, to replace or detach it."""
    attr = (ctypes.c_uint32 * 3)(program_id)
    fd = _bpf(BPF_CMD.PROG_GET_FD_BY_ID, ctypes.byref(attr), ctypes.sizeof(attr))
    check(fd, "bpf", BPF_CMD.PROG_GET_FD_BY_ID, program_id)
    os.set_inheritable(fd, False)
    return fd
