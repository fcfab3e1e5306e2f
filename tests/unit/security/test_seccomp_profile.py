import json
from pathlib import Path
from typing import Any

import pytest

from cutaway.errors import InvalidParameter
from cutaway.linux.abi import SECCOMP_FILTER_FLAG
from cutaway.oci.runtime_spec import Seccomp, SeccompAction, SeccompArch, SeccompRule
from cutaway.security.capabilities import ALL_CAPABILITIES, DEFAULT_CAPABILITIES
from cutaway.security.seccomp import (
    default_profile,
    filter_flags,
    parse_kernel_version,
    resolve_profile,
    unknown_names,
    uses_listener,
)
from cutaway.security.seccomp import profile as profile_module

ALLOW = "SCMP_ACT_ALLOW"
BASE = {"defaultAction": "SCMP_ACT_ERRNO"}


def resolve(profile: dict[str, Any], *capabilities: str, **machine: Any) -> Seccomp:
    return resolve_profile(profile, capabilities, **machine)


def names_of(seccomp: Seccomp, action: str = ALLOW) -> set[str]:
    rules = (rule for rule in seccomp.syscalls if rule.action == action and not rule.args)
    return {name for rule in rules for name in rule.names}


def rule(**conditions: Any) -> dict[str, Any]:
    return {**BASE, "syscalls": [{"names": ["acct"], "action": ALLOW, **conditions}]}


def test_the_shipped_profile_is_json_and_read_once() -> None:
    shipped = Path(profile_module.__file__).with_name("default.json")
    assert json.loads(shipped.read_text()) == default_profile()
    assert default_profile() is default_profile()


def test_default_capabilities_get_no_mount_and_clone3_is_enosys() -> None:
    seccomp = resolve_profile(default_profile(), DEFAULT_CAPABILITIES)
    assert {"mount", "bpf", "setns"}.isdisjoint(names_of(seccomp))
    assert {"openat2", "chroot", "ptrace"} <= names_of(seccomp)
    clone3 = SeccompRule(("clone3",), SeccompAction.ERRNO, 38)
    assert clone3 in seccomp.syscalls
    assert seccomp.architectures == (SeccompArch.X86_64, SeccompArch.X86, SeccompArch.X32)
    assert seccomp.default_errno_ret == 1


def test_sys_admin_gets_mount_and_clone3() -> None:
    seccomp = resolve_profile(default_profile(), ALL_CAPABILITIES)
    assert {"mount", "clone3", "setns", "bpf"} <= names_of(seccomp)
    assert "clone3" not in names_of(seccomp, "SCMP_ACT_ERRNO")


def test_an_old_kernel_gets_no_ptrace() -> None:
    assert "ptrace" not in names_of(resolve(default_profile(), kernel=(4, 7)))
    assert "ptrace" in names_of(resolve(default_profile(), kernel=(4, 8)))


def test_arm_gets_its_own_calls() -> None:
    seccomp = resolve(default_profile(), machine="aarch64")
    assert seccomp.architectures == (SeccompArch.AARCH64, SeccompArch.ARM)
    assert "arm_sync_file_range" in names_of(seccomp)
    assert "arch_prctl" not in names_of(seccomp)
    assert "arch_prctl" in names_of(resolve(default_profile()))


@pytest.mark.parametrize(
    ("conditions", "applies"),
    [
        ({}, True),
        ({"includes": None, "excludes": {}}, True),
        ({"includes": {"caps": ["CAP_A", "CAP_B"]}}, True),
        ({"includes": {"caps": ["CAP_A", "CAP_X"]}}, False),
        ({"includes": {"arches": ["amd64", "x32"]}}, True),
        ({"includes": {"arches": ["arm64"]}}, False),
        ({"includes": {"minKernel": "6.1"}}, True),
        ({"includes": {"minKernel": "6.2"}}, False),
        ({"includes": {"minKernel": ""}}, True),
        ({"excludes": {"caps": ["CAP_X", "CAP_B"]}}, False),
        ({"excludes": {"caps": ["CAP_X"]}}, True),
        ({"excludes": {"arches": ["amd64"]}}, False),
        ({"excludes": {"arches": ["s390"]}}, True),
        ({"excludes": {"minKernel": "4.8"}}, False),
        ({"excludes": {"minKernel": "6.2"}}, True),
        ({"includes": {"caps": ["CAP_A"]}, "excludes": {"caps": ["CAP_A"]}}, False),
    ],
)
def test_a_rule_applies_when_all_includes_hold_and_no_exclude(
    conditions: dict[str, Any], applies: bool
) -> None:
    seccomp = resolve(rule(**conditions), "CAP_A", "CAP_B", kernel=(6, 1))
    assert bool(seccomp.syscalls) is applies


def test_a_rule_with_a_single_name() -> None:
    profile = {**BASE, "syscalls": [{"name": "acct", "action": ALLOW, "args": None}]}
    assert resolve(profile).syscalls == (SeccompRule(("acct",), SeccompAction.ALLOW),)


def test_a_rule_with_arguments_and_errno() -> None:
    seccomp = resolve(
        rule(
            action="SCMP_ACT_ERRNO",
            errnoRet=38,
            args=[{"index": 1, "value": 2, "valueTwo": 3, "op": "SCMP_CMP_MASKED_EQ"}],
        )
    )
    assert seccomp.syscalls[0].errno_ret == 38
    assert seccomp.syscalls[0].args[0].value_two == 3


def test_flat_architectures_are_kept() -> None:
    profile = {**BASE, "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"], "archMap": None}
    assert resolve(profile).architectures == (SeccompArch.X86_64, SeccompArch.X86)


def test_an_architecture_map_without_this_machine_leaves_none() -> None:
    profile = {**BASE, "archMap": [{"architecture": "SCMP_ARCH_S390X", "subArchitectures": None}]}
    assert resolve(profile).architectures == ()
    assert resolve(default_profile(), machine="riscv64").architectures == ()


def test_listener_fields_are_kept() -> None:
    profile = {**BASE, "listenerPath": "/run/x", "flags": ["SECCOMP_FILTER_FLAG_LOG"]}
    assert resolve(profile).listener_path == "/run/x"


@pytest.mark.parametrize(
    ("profile", "text"),
    [
        ([], "seccomp profile: not an object"),
        ({}, "seccomp profile.defaultAction: required, but missing"),
        (
            {**BASE, "architectures": ["SCMP_ARCH_X86"], "archMap": [{}]},
            "'architectures' and 'archMap' were specified in the seccomp profile, use either "
            "'architectures' or 'archMap'",
        ),
        (
            {**BASE, "syscalls": [{"name": "a", "names": ["b"], "action": ALLOW}]},
            "'name' and 'names' were specified in the seccomp profile, use either 'name' or "
            "'names'",
        ),
        ({**BASE, "syscalls": {}}, "seccomp profile.syscalls: not a list"),
        ({**BASE, "syscalls": [1]}, "syscalls[0]: not an object"),
        ({**BASE, "archMap": ["x"]}, "archMap[0]: not an object"),
        (rule(includes=[]), "syscalls[0].includes: not an object"),
        (rule(includes={"caps": "x"}), "syscalls[0].includes.caps: not a list"),
        (rule(includes={"minKernel": "new"}), "not a kernel version: 'new'"),
    ],
)
def test_what_is_no_profile_is_refused(profile: Any, text: str) -> None:
    with pytest.raises(InvalidParameter) as error:
        resolve(profile)
    assert str(error.value) == text


def test_kernel_versions() -> None:
    assert parse_kernel_version("6.18.44-fc-v669") == (6, 18)
    assert parse_kernel_version("4.8") == (4, 8)
    for text in ("", "6", "6.x", "x.1"):
        with pytest.raises(InvalidParameter):
            parse_kernel_version(text)


def test_flags_default_to_spec_allow_as_runc_does() -> None:
    assert filter_flags(resolve(BASE)) == SECCOMP_FILTER_FLAG.SPEC_ALLOW


def test_flags_that_are_given_are_all_there_are() -> None:
    flags = ["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_TSYNC"]
    expected = SECCOMP_FILTER_FLAG.LOG | SECCOMP_FILTER_FLAG.TSYNC
    assert filter_flags(resolve({**BASE, "flags": flags})) == expected


def test_notify_needs_a_listener() -> None:
    seccomp = resolve(rule(action="SCMP_ACT_NOTIFY"))
    assert uses_listener(seccomp)
    assert filter_flags(seccomp) & SECCOMP_FILTER_FLAG.NEW_LISTENER


def test_unknown_names_are_told() -> None:
    profile = {**BASE, "syscalls": [{"names": ["read", "raed", "cacheflush"], "action": ALLOW}]}
    assert unknown_names(resolve(profile)) == ("raed",)


def test_only_one_name_of_the_default_profile_is_of_a_foreign_machine() -> None:
    assert unknown_names(resolve_profile(default_profile(), ALL_CAPABILITIES)) == ("riscv_hwprobe",)
