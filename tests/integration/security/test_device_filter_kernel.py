"""The device program in the real kernel: its verifier takes it, and a cgroup obeys it."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from cutaway import linux
from cutaway.linux import CLONE, bpf
from cutaway.linux.abi import BPF_F
from cutaway.oci.runtime_spec import DeviceRule
from cutaway.security.device_filter import build_device_filter

RULES = [
    DeviceRule(allow=False, access="rwm"),
    DeviceRule(allow=True, type="c", major=1, minor=3, access="rw"),
    DeviceRule(allow=True, type="c", major=1, minor=5, access="r"),
]


@pytest.fixture
def cgroup() -> Iterator[int]:
    """A cgroup v2 directory of the test's own."""
    candidates = [Path("/sys/fs/cgroup/unified"), Path("/sys/fs/cgroup")]
    roots = [root for root in candidates if (root / "cgroup.procs").exists()]
    if not roots:
        pytest.skip("no cgroup v2 hierarchy is mounted")
    group = roots[0] / f"cutaway-devices-{os.getpid()}"
    group.mkdir()
    fd = os.open(group, os.O_RDONLY)
    yield fd
    os.close(fd)
    group.rmdir()


def try_open(cgroup_fd: int, path: str, flags: int) -> int:
    """Return the errno of opening a device inside the cgroup, 0 for success."""
    pid, pidfd = linux.clone3(CLONE(0), cgroup_fd=cgroup_fd)
    if pid == 0:
        try:
            os.open(path, flags)
        except OSError as error:
            os._exit(error.errno or 255)
        os._exit(0)
    code, _ = linux.waitid_pidfd(pidfd) or (None, None)
    os.close(pidfd)
    assert code is not None
    return code


def test_a_cgroup_obeys_the_rules(cgroup: int) -> None:
    program = bpf.bpf_prog_load_cgroup_device(build_device_filter(RULES))
    assert not os.get_inheritable(program)
    assert try_open(cgroup, "/dev/full", os.O_RDWR) == 0
    bpf.bpf_prog_attach(cgroup, program)
    assert try_open(cgroup, "/dev/null", os.O_RDWR) == 0
    assert try_open(cgroup, "/dev/zero", os.O_RDONLY) == 0
    assert try_open(cgroup, "/dev/zero", os.O_RDWR) == errno.EPERM
    assert try_open(cgroup, "/dev/full", os.O_RDONLY) == errno.EPERM
    os.close(program)


def test_a_program_is_replaced_in_one_step_and_detached(cgroup: int) -> None:
    first = bpf.bpf_prog_load_cgroup_device(build_device_filter(RULES))
    second = bpf.bpf_prog_load_cgroup_device(build_device_filter([]), "deny_all")
    bpf.bpf_prog_attach(cgroup, first)
    (attached,) = bpf.bpf_prog_query(cgroup)
    old = bpf.bpf_prog_get_fd_by_id(attached)
    bpf.bpf_prog_attach(cgroup, second, BPF_F.ALLOW_MULTI | BPF_F.REPLACE, old)
    assert len(bpf.bpf_prog_query(cgroup)) == 1
    assert try_open(cgroup, "/dev/null", os.O_RDONLY) == errno.EPERM
    bpf.bpf_prog_detach(cgroup, second)
    assert bpf.bpf_prog_query(cgroup) == []
    assert try_open(cgroup, "/dev/null", os.O_RDONLY) == 0
    with pytest.raises(linux.KernelError, match="bpf.PROG_DETACH"):
        bpf.bpf_prog_detach(cgroup, second)
    for fd in (first, second, old):
        os.close(fd)


def test_the_verifier_takes_the_largest_program() -> None:
    rules = [DeviceRule(allow=bool(n % 2), type="c", major=n, minor=n) for n in range(540)]
    os.close(bpf.bpf_prog_load_cgroup_device(build_device_filter(rules)))


def test_what_the_verifier_says_is_told() -> None:
    with pytest.raises(linux.KernelError) as error:
        bpf.bpf_prog_load_cgroup_device(b"\x95" + bytes(7))
    assert str(error.value).startswith("bpf(PROG_LOAD, 1 instructions): ")
    assert error.value.hint


def test_an_unknown_program_is_an_error() -> None:
    with pytest.raises(linux.KernelError, match="bpf.PROG_GET_FD_BY_ID, 2147483647"):
        bpf.bpf_prog_get_fd_by_id(2**31 - 1)
