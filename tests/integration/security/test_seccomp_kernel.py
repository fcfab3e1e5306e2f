"""Docker's profile, compiled by us, in the real kernel: the attacks it is there to stop."""

import ctypes
import errno
import json
import os
import socket
from collections.abc import Callable
from typing import Any

import pytest

from cutaway import linux
from cutaway.linux import PR, SECCOMP_SET_MODE
from cutaway.oci.runtime_spec import Seccomp, SeccompAction, SeccompRule
from cutaway.security import syscalls
from cutaway.security.capabilities import ALL_CAPABILITIES, DEFAULT_CAPABILITIES
from cutaway.security.seccomp import (
    compile_filter,
    default_profile,
    filter_flags,
    parse_kernel_version,
    resolve_profile,
)

MACHINE = os.uname().machine
NUMBERS = syscalls.X86_64 if MACHINE == "x86_64" else syscalls.AARCH64
KERNEL = parse_kernel_version(os.uname().release)
syscall = ctypes.CDLL(None, use_errno=True).syscall


def under(seccomp: Seccomp, body: Callable[[], Any]) -> Any:
    """Call ``body`` in a child that runs under the filter."""
    program = compile_filter(seccomp, MACHINE)
    read_fd, write_fd = os.pipe()
    pid = linux.fork()
    if pid == 0:
        linux.prctl(PR.SET_NO_NEW_PRIVS, 1)
        linux.seccomp(SECCOMP_SET_MODE.FILTER, filter_flags(seccomp), program)
        os.write(write_fd, json.dumps(body()).encode())
        os._exit(0)
    os.close(write_fd)
    with open(read_fd, "rb") as file:
        answer = file.read()
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return json.loads(answer) if answer else status


def attempt(name: str, *arguments: int) -> int:
    """Make a system call by number; return its errno, 0 for success."""
    ctypes.set_errno(0)
    padded = [ctypes.c_long(a) for a in (*arguments, *([0] * (6 - len(arguments))))]
    return 0 if syscall(ctypes.c_long(NUMBERS[name]), *padded) >= 0 else ctypes.get_errno()


def docker(*capabilities: str) -> Seccomp:
    return resolve_profile(default_profile(), capabilities, machine=MACHINE, kernel=KERNEL)


# fmt: off
REFUSED = [
    "acct", "add_key", "bpf", "finit_module", "init_module", "io_uring_setup", "kexec_load",
    "keyctl", "mount", "move_pages", "open_by_handle_at", "perf_event_open", "pivot_root",
    "quotactl", "reboot", "request_key", "setns", "swapon", "umount2", "unshare",
    "userfaultfd",
]
# fmt: on


@pytest.mark.parametrize("name", REFUSED)
def test_docker_refuses(name: str) -> None:
    assert under(docker(*DEFAULT_CAPABILITIES), lambda: attempt(name, -1, -1, -1)) == errno.EPERM


@pytest.mark.parametrize(
    "name", ["getpid", "openat2", "statx", "pidfd_open", "futex_waitv", "landlock_create_ruleset"]
)
def test_docker_lets_the_kernel_answer(name: str) -> None:
    code = under(docker(*DEFAULT_CAPABILITIES), lambda: attempt(name, -1, -1, -1))
    assert code != errno.EPERM


def test_clone3_is_enosys_so_that_the_c_library_uses_clone() -> None:
    assert under(docker(*DEFAULT_CAPABILITIES), lambda: attempt("clone3")) == errno.ENOSYS


def test_a_thread_still_starts() -> None:
    def body() -> bool:
        import threading

        thread = threading.Thread(target=lambda: None)
        thread.start()
        thread.join(5)
        return not thread.is_alive()

    assert under(docker(*DEFAULT_CAPABILITIES), body) is True


def test_a_call_newer_than_the_profile_is_enosys() -> None:
    assert under(docker(*DEFAULT_CAPABILITIES), lambda: attempt("listns")) == errno.ENOSYS


def test_sys_admin_may_unshare() -> None:
    assert under(docker(*ALL_CAPABILITIES), lambda: attempt("unshare", 0x4000000)) == 0


@pytest.mark.parametrize(
    ("family", "allowed"),
    [(socket.AF_INET, True), (socket.AF_ALG, False), (socket.AF_VSOCK, False)],
)
def test_socket_families(family: int, allowed: bool) -> None:
    code = under(docker(*DEFAULT_CAPABILITIES), lambda: attempt("socket", family, 1, 0))
    assert (code == 0) is allowed
    assert allowed or code == errno.EPERM


def test_clone_with_a_user_namespace_is_refused() -> None:
    answer = under(docker(*DEFAULT_CAPABILITIES), lambda: attempt("clone", 0x10000000 | 17))
    assert answer == errno.EPERM


@pytest.mark.skipif(MACHINE != "x86_64", reason="the other way in exists on x86 only")
def test_x32_numbers_are_no_way_around() -> None:
    """A filter that forgets the bit would see an unknown call instead of mount."""

    def body() -> int:
        ctypes.set_errno(0)
        syscall(ctypes.c_long(syscalls.X32["mount"]), 0, 0, 0, 0, 0)
        return ctypes.get_errno()

    assert under(docker(*DEFAULT_CAPABILITIES), body) == errno.EPERM


def test_killing_kills() -> None:
    rule = SeccompRule(("uname",), SeccompAction.KILL_PROCESS)
    seccomp = Seccomp(default_action=SeccompAction.ALLOW, syscalls=(rule,))
    assert under(seccomp, lambda: attempt("uname")) == -31


def test_a_traced_call_without_tracer_is_enosys() -> None:
    rule = SeccompRule(("uname",), SeccompAction.TRACE)
    seccomp = Seccomp(default_action=SeccompAction.ALLOW, syscalls=(rule,))
    assert under(seccomp, lambda: attempt("uname")) == errno.ENOSYS


def test_the_kernel_takes_a_program_of_four_thousand_instructions() -> None:
    from cutaway.oci.runtime_spec import SeccompArg, SeccompOperator

    rules = tuple(
        SeccompRule(
            ("personality",), SeccompAction.ALLOW, None,
            (SeccompArg(0, value, SeccompOperator.EQ),),
        )
        for value in range(780)
    )  # fmt: skip
    base = SeccompRule(("write", "exit_group"), SeccompAction.ALLOW)
    seccomp = Seccomp(default_action=SeccompAction.ERRNO, syscalls=(*rules, base))
    assert len(compile_filter(seccomp, MACHINE)) // 8 > 3800
    assert under(seccomp, lambda: [attempt("personality", 0), attempt("personality", 780)]) == [
        0,
        errno.EPERM,
    ]
