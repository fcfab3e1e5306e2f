import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cutaway import linux
from cutaway.linux import CAP, CLONE, KEYCTL, PR, SECBIT, SECCOMP_FILTER_FLAG, SECCOMP_SET_MODE

InChild = Callable[..., Any]
ALLOW_ALL = b"\x06\0\0\0\0\0\xff\x7f"  # ret ALLOW


def status(field: str) -> int:
    """Return a set as /proc tells it."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1], 16)
    raise AssertionError(field)


def test_the_sets_are_what_proc_says() -> None:
    sets = linux.capget()
    assert (sets.effective, sets.permitted) == (status("CapEff"), status("CapPrm"))
    assert linux.read_bounding_set() == status("CapBnd")


def test_all_five_sets_become_what_was_asked(in_child: InChild) -> None:
    wanted = 1 << CAP.CHOWN | 1 << CAP.CHECKPOINT_RESTORE | 1 << CAP.SETPCAP

    def body() -> list[int]:
        linux.drop_bounding_set(wanted)
        linux.capset(wanted, wanted, wanted)
        linux.set_ambient_set(wanted)
        linux.set_ambient_set(1 << CAP.CHOWN)
        return [status(f"Cap{name}") for name in ("Inh", "Prm", "Eff", "Bnd", "Amb")]

    assert in_child(CLONE(0), body) == [wanted, wanted, wanted, wanted, 1 << CAP.CHOWN]


def test_a_capability_cannot_be_taken_back(in_child: InChild) -> None:
    def body() -> str:
        linux.capset(0, 0, 0)
        try:
            linux.capset(1, 1, 0)
        except linux.KernelError as error:
            return str(error)
        return ""

    assert in_child(CLONE(0), body) == "capset(0x1, 0x1, 0x0): Operation not permitted"


def test_secure_bits(in_child: InChild) -> None:
    def body() -> int:
        linux.set_securebits(SECBIT.KEEP_CAPS | SECBIT.NOROOT)
        return linux.prctl(PR.GET_SECUREBITS)

    assert in_child(CLONE(0), body) == SECBIT.KEEP_CAPS | SECBIT.NOROOT


def test_a_filter_needs_privilege_or_its_renunciation(in_child: InChild) -> None:
    """Loaded after CAP_SYS_ADMIN is gone it fails; no runtime may set no_new_privs to cure it."""

    def body() -> list[int]:
        linux.capset(0, 0, 0)
        flags = SECCOMP_FILTER_FLAG.SPEC_ALLOW
        try:
            linux.seccomp(SECCOMP_SET_MODE.FILTER, flags, ALLOW_ALL)
        except linux.KernelError as error:
            first = error.errno or 0
        linux.prctl(PR.SET_NO_NEW_PRIVS, 1)
        linux.seccomp(SECCOMP_SET_MODE.FILTER, flags, ALLOW_ALL)
        return [first, linux.prctl(PR.GET_SECCOMP)]

    assert in_child(CLONE(0), body) == [errno.EACCES, 2]


def test_a_listener_is_a_descriptor(in_child: InChild) -> None:
    def body() -> str:
        fd = linux.seccomp(SECCOMP_SET_MODE.FILTER, SECCOMP_FILTER_FLAG.NEW_LISTENER, ALLOW_ALL)
        return os.readlink(f"/proc/self/fd/{fd}")

    assert "seccomp notify" in in_child(CLONE(0), body)


def test_a_malformed_filter_is_refused() -> None:
    with pytest.raises(linux.KernelError, match=r"seccomp\(FILTER, 0, 0 instructions\): Inva"):
        linux.seccomp(SECCOMP_SET_MODE.FILTER, SECCOMP_FILTER_FLAG(0), b"")


def test_the_session_keyring_is_a_new_one(in_child: InChild) -> None:
    def body() -> list[int]:
        serial = linux.join_session_keyring("cutaway-test")
        return [serial, linux.keyctl(KEYCTL.GET_KEYRING_ID, -3 & 0xFFFFFFFF, 0)]

    try:
        serial, found = in_child(CLONE(0), body)
    except AssertionError as error:
        if "Function not implemented" in str(error):
            pytest.skip("this kernel has no keyrings")
        raise
    assert serial == found
