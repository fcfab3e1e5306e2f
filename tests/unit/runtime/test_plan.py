"""What a config.json becomes: compared whole, without root."""

from dataclasses import replace
from typing import Any

import pytest

from cutaway import errors
from cutaway.errors import InvalidParameter
from cutaway.oci.runtime_spec import Spec
from cutaway.runtime import Extensions, RootfsMount, RuntimePlan, plan
from cutaway.runtime.facts import HostFacts
from cutaway.runtime.plan import Stage, steps_of
from cutaway.runtime.steps.mounts import AttachBind, BindCgroup, MountFilesystem
from cutaway.runtime.steps.paths import MaskPath
from cutaway.runtime.steps.security import LoadSeccomp, SetCapabilities
from support.bundles import make_config
from support.facts import FACTS, LEGACY, SYS_RESOURCE, UNIFIED, WITHOUT_SYS_RESOURCE

OVERLAY = Extensions(mounts=(RootfsMount("overlay", "overlay", ("lowerdir=/a:/b",), "/layers"),))


def planned(
    config: dict[str, Any],
    facts: HostFacts = FACTS,
    extensions: Extensions | None = None,
    handed_over: tuple[str, ...] = (),
) -> RuntimePlan:
    return plan(
        Spec.from_json(config), facts, id="web", bundle="/run/b", extensions=extensions,
        handed_over=handed_over,
    )  # fmt: skip


def kinds(result: RuntimePlan) -> list[str]:
    return [type(step).__name__ for step in result.steps()]


def of_kind(result: RuntimePlan, kind: type) -> list[Any]:
    return [step for step in result.steps() if isinstance(step, kind)]


def mount_targets(stages: tuple[Stage, ...]) -> list[str]:
    return [s.target for s in steps_of(stages) if isinstance(s, MountFilesystem | AttachBind)]


def mask_paths(stages: tuple[Stage, ...]) -> list[str]:
    return [s.path for s in steps_of(stages) if isinstance(s, MaskPath)]


def refuse(config: dict[str, Any], text: str, facts: HostFacts = FACTS) -> None:
    with pytest.raises(errors.CutawayError, match=text):
        planned(config, facts)


def test_order_of_a_plain_container() -> None:
    names = list(dict.fromkeys(kinds(planned(make_config("true"), extensions=OVERLAY))))
    assert names == [
        "CreateCgroup", "WriteCgroupFile", "UnshareNamespaces", "SeparateMounts", "MountRootfs",
        "OpenNullDevice", "MountFilesystem", "BindCgroup", "MakeSymlink", "SetMountAttributes",
        "MakeDevice", "MaskPath", "MakeInit", "MakeWorkingDirectory", "MakeReadonly",
        "SetHostname", "ResolveUser", "JoinCgroups", "JoinKeyring", "WaitForMaker",
        "EnterNamespaces", "PivotRoot", "GiveStdio", "EnterWorkingDirectory", "DropBoundingSet",
        "SwitchUser", "SetCapabilities", "FindProgram", "CloseDescriptors",
    ]  # fmt: skip


def test_every_step_describes_itself_with_plain_values() -> None:
    config = make_config("true", linux_seccomp={"defaultAction": "SCMP_ACT_ALLOW"})
    config["process"] |= {
        "terminal": True,
        "noNewPrivileges": True,
        "oomScoreAdj": 100,
        "rlimits": [{"type": "RLIMIT_NOFILE", "soft": 1, "hard": 2}],
        "ioPriority": {"class": "IOPRIO_CLASS_IDLE", "priority": 7},
    }
    config["root"]["readonly"] = True
    config["domainname"] = "example"
    config["linux"] |= {
        "rootfsPropagation": "rshared",
        "sysctl": {"net.ipv4.ip_forward": "1"},
        "personality": {"domain": "LINUX32"},
        "timeOffsets": {"boottime": {"secs": 1}, "monotonic": {"secs": 2}},
        "uidMappings": [{"containerID": 0, "hostID": 1000, "size": 10}],
        "gidMappings": [{"containerID": 0, "hostID": 1000, "size": 10}],
    }
    config["linux"]["namespaces"] += [{"type": "cgroup"}, {"type": "user"}, {"type": "time"}]
    config["mounts"] += [{"destination": "/d", "type": "bind", "source": "x", "options": ["ro"]}]
    result = planned(config)
    for step in result.steps():
        assert step.describe()
        assert step.shell()
        assert step.why
        for value in step.arguments().values():
            assert isinstance(value, str | int | bool | tuple | None), step
    script = result.to_shell()
    assert script.startswith("#!/bin/sh\n# container web\nROOTFS=/run/b\n")
    assert script.endswith("\nexec true\n")


def test_root_directory_is_bound_when_the_bundle_gives_no_mounts() -> None:
    (root,) = (s for s in planned(make_config("true")).steps() if type(s).__name__ == "MountRootfs")
    assert (root.fstype, root.source, root.mountpoint) == ("bind", "/run/b/rootfs", "/run/b")


def test_what_is_mounted_in_proc_is_left_to_the_init() -> None:
    config = make_config("true")
    assert "/proc" in mount_targets(planned(config).beside)
    config["mounts"].append(
        {"destination": "/proc/cpuinfo", "type": "bind", "source": "/x", "options": ["rbind"]}
    )
    result = planned(config)
    assert mount_targets(result.beside) == []
    assert mount_targets(result.init) == ["/proc", "/proc/cpuinfo"]


def test_kernels_that_show_only_ones_own_pids_leave_proc_to_the_init() -> None:
    facts = replace(FACTS, can_show_pids=False)
    result = planned(make_config("true", linux_maskedPaths=["/proc/k"]), facts)
    assert mount_targets(result.beside) == mask_paths(result.beside) == []
    assert mount_targets(result.init) == ["/proc"]
    assert mask_paths(result.init) == ["/proc/k"]


def test_what_may_be_a_link_is_hidden_last() -> None:
    config = make_config("true", linux_maskedPaths=["/sys/firmware", "/link", "/proc/k"])
    result = planned(config)
    assert mask_paths(result.outside) == ["/sys/firmware"]
    assert mask_paths(result.beside) == ["/proc/k", "/link"]
    config["process"]["terminal"] = True  # its console is made by the init, before all is hidden
    assert mask_paths(planned(config).init) == ["/link"]


def test_own_cgroup_namespace_gets_its_mounts_from_the_init() -> None:
    config = make_config("true")
    config["linux"]["namespaces"].append({"type": "cgroup"})
    result = planned(config)
    assert not of_kind(result, BindCgroup)
    late = [s for st in result.init for s in st.steps if isinstance(s, MountFilesystem)]
    cgroups = {s.target: s.options for s in late if s.fstype == "cgroup"}
    assert cgroups["/sys/fs/cgroup/cpu,cpuacct"] == ("cpu", "cpuacct")
    assert cgroups["/sys/fs/cgroup/systemd"] == ("none", "name=systemd")


def test_controllers_mounted_together_are_linked() -> None:
    links = [
        (s.path, s.target) for s in planned(make_config("true")).steps()
        if type(s).__name__ == "MakeSymlink" and s.path.startswith("/sys")
    ]  # fmt: skip
    assert links == [
        ("/sys/fs/cgroup/cpu", "cpu,cpuacct"),
        ("/sys/fs/cgroup/cpuacct", "cpu,cpuacct"),
    ]


def test_writable_cgroup_mount_stays_writable() -> None:
    config = make_config("true")
    config["mounts"][4]["options"] = ["nosuid"]
    assert "SetMountAttributes" not in kinds(planned(config))


def test_unified_machine_mounts_one_tree_and_loads_a_device_program() -> None:
    result = planned(make_config("true"), replace(FACTS, cgroups=UNIFIED))
    assert "JoinCgroups" not in kinds(result)
    assert "AttachDeviceProgram" in kinds(result)
    (mount,) = (s for s in of_kind(result, MountFilesystem) if s.fstype == "cgroup2")
    assert mount.target == "/sys/fs/cgroup"
    assert result.make.cgroup == "/sys/fs/cgroup/web"


def test_unified_tree_is_bound_where_another_user_namespace_owns_it() -> None:
    config = make_config("true")
    maps = [{"containerID": 0, "hostID": 100000, "size": 65536}]
    config["linux"] |= {"uidMappings": maps, "gidMappings": maps}
    config["linux"]["namespaces"].append({"type": "user"})
    config["linux"]["namespaces"] = [
        n for n in config["linux"]["namespaces"] if n["type"] != "cgroup"
    ]
    result = planned(config, replace(FACTS, cgroups=UNIFIED))
    assert not [s for s in of_kind(result, MountFilesystem) if s.fstype == "cgroup2"]
    (bind,) = of_kind(result, BindCgroup)
    assert (bind.source, bind.target) == ("/sys/fs/cgroup/web", "/sys/fs/cgroup")


def test_legacy_machine_has_no_v2_cgroup_to_be_born_in() -> None:
    assert planned(make_config("true"), replace(FACTS, cgroups=LEGACY)).make.cgroup == ""


def test_hugepages_of_a_hybrid_machine_are_limited_in_v2() -> None:
    limits = {"hugepageLimits": [{"pageSize": "2MB", "limit": 0}]}
    result = planned(make_config("true", linux_resources=limits))
    (v2,) = (s for s in result.host if getattr(s, "is_v2", False))
    assert v2.controllers == ("hugetlb",)


def test_capabilities_that_the_machine_lacks_are_left_out_with_a_warning() -> None:
    config = make_config("true")
    config["process"]["capabilities"]["bounding"] = ["CAP_SYS_RESOURCE", "CAP_KILL"]
    result = planned(config, WITHOUT_SYS_RESOURCE)
    assert result.warnings == (
        "this machine can't give CAP_SYS_RESOURCE: the container runs without",
    )
    (drop,) = (s for s in result.steps() if type(s).__name__ == "DropBoundingSet")
    assert drop.keep == 1 << 5


def test_without_capabilities_there_are_none() -> None:
    config = make_config("true")
    del config["process"]["capabilities"]
    (step,) = of_kind(planned(config), SetCapabilities)
    assert (step.effective, step.permitted, step.inheritable, step.ambient) == (0, 0, 0, 0)


def test_seccomp_is_loaded_while_sys_admin_is_held() -> None:
    config = make_config("true", linux_seccomp={"defaultAction": "SCMP_ACT_ALLOW"})
    last = [s for s in planned(config).steps() if isinstance(s, LoadSeccomp | SetCapabilities)]
    assert [type(s).__name__ for s in last] == ["SetCapabilities", "LoadSeccomp", "SetCapabilities"]
    assert last[0].permitted & 1 << 21
    assert not last[2].permitted & 1 << 21


def test_seccomp_comes_last_of_all_with_no_new_privileges() -> None:
    config = make_config(
        "true", linux_seccomp={"defaultAction": "SCMP_ACT_ALLOW"}, process_noNewPrivileges=True
    )
    assert kinds(planned(config))[-2:] == ["SetNoNewPrivileges", "LoadSeccomp"]


def test_labels_are_written_where_the_machine_has_them() -> None:
    facts = replace(FACTS, has_apparmor=True, has_selinux=True)
    config = make_config("true", process_apparmorProfile="docker-default", process_selinuxLabel="l")
    values = [
        (s.attribute, s.value)
        for s in planned(config, facts).steps()
        if type(s).__name__ == "SetProfile"
    ]
    assert values == [("apparmor/exec", "exec docker-default"), ("exec", "l")]


def test_handed_over_namespace_is_joined_though_new_in_the_config() -> None:
    result = planned(make_config("true"), handed_over=("network",))
    (unshare,) = (s for s in result.steps() if type(s).__name__ == "UnshareNamespaces")
    assert "network" not in unshare.kinds
    (join,) = (s for s in result.steps() if type(s).__name__ == "JoinNamespace")
    assert (join.kind, join.path) == ("network", "(handed over)")


def test_user_namespace_leaves_all_but_the_sources_to_the_init() -> None:
    config = make_config(
        "true", process_rlimits=[{"type": "RLIMIT_NOFILE", "soft": 1, "hard": 30000}]
    )
    config["linux"] |= {
        "uidMappings": [{"containerID": 0, "hostID": 1000, "size": 10}],
        "gidMappings": [{"containerID": 0, "hostID": 2000, "size": 10}],
    }
    config["linux"]["namespaces"].append({"type": "user"})
    result = planned(config)
    assert [stage.name for stage in result.outside] == ["namespaces", "sources"]
    assert [(s.name, s.value) for s in result.after if hasattr(s, "name")] == [
        ("uid_map", "0 1000 10\n"), ("gid_map", "0 2000 10\n"),
    ]  # fmt: skip
    assert [type(s).__name__ for s in result.after][-1] == "RaiseHardLimit"
    assert "BindDevice" in kinds(result)
    assert "MakeDevice" not in kinds(result)


def test_joined_user_namespace_needs_no_maps() -> None:
    config = make_config("true")
    config["linux"]["namespaces"].append({"type": "user", "path": "/proc/1/ns/user"})
    result = planned(config)
    assert "WaitForIdMaps" in kinds(result)  # its root: else it owns nothing it makes
    assert result.after == ()


def test_joined_mount_namespace_is_taken_as_it_is() -> None:
    config = make_config("true", mounts=[])
    config["linux"]["namespaces"][0]["path"] = "/proc/1/ns/mnt"
    names = kinds(planned(config))
    assert "EnterRoot" in names
    assert not {"PivotRoot", "MountRootfs", "MakeDevice"} & set(names)
    config["mounts"] = make_config("true")["mounts"]
    refuse(config, "takes it as it is")


def test_joined_mount_namespace_without_a_root_enters_its_own() -> None:
    config = make_config("true", mounts=[])
    config["linux"]["namespaces"][0]["path"] = "/proc/1/ns/mnt"
    del config["root"]
    result = planned(config, extensions=OVERLAY)
    (enter,) = (s for s in result.steps() if type(s).__name__ == "EnterRoot")
    assert enter.path == "/"


def test_joined_pid_and_time_namespaces() -> None:
    config = make_config("true")
    config["linux"]["namespaces"] = [{"type": t} for t in ("mount", "network", "uts", "ipc")] + [
        {"type": "pid", "path": "/proc/1/ns/pid"},
        {"type": "time", "path": "/proc/1/ns/time"},
    ]
    result = planned(config)
    assert result.make.joined == ("pid",)
    joins = [s.kind for s in result.steps() if type(s).__name__ == "JoinNamespace"]
    assert joins == ["time", "pid"]


def test_rootfs_of_devices_bound_from_the_host_is_left_alone() -> None:
    config = make_config("true")
    config["mounts"] = [
        {"destination": "/dev", "type": "bind", "source": "/dev", "options": ["rbind"]}
    ]
    assert not {"MakeDevice", "MakeSymlink"} & set(kinds(planned(config)))


def test_readonly_dev_becomes_so_when_it_is_filled() -> None:
    config = make_config("true")
    config["mounts"][1]["options"].append("ro")
    names = [
        (type(s).__name__, getattr(s, "path", getattr(s, "target", "")))
        for s in planned(config).steps()
    ]
    assert names.index(("SetMountAttributes", "/dev")) > names.index(("MakeDevice", "/dev/tty"))


@pytest.mark.parametrize(
    ("root", "options", "expected"),
    [
        ("", [], "rslave"),
        ("private", [], "rprivate"),
        ("shared", [], ""),
        ("", ["rprivate"], "rprivate"),
    ],
)
def test_bind_propagation_defaults_to_the_roots(
    root: str, options: list[str], expected: str
) -> None:
    from cutaway.runtime.mount_options import format_propagation

    config = make_config("true")
    if root:
        config["linux"]["rootfsPropagation"] = root
    config["mounts"].append(
        {"destination": "/d", "type": "bind", "source": "/s", "options": ["rbind", *options]}
    )
    (bind,) = of_kind(planned(config), AttachBind)
    assert format_propagation(bind.propagation) == expected


def without(config: dict[str, Any], *names: str) -> dict[str, Any]:
    for name in names:
        del config[name]
    return config


def with_mount(**fields: Any) -> dict[str, Any]:
    config = make_config("true")
    config["mounts"].append(fields)
    return config


def test_device_asked_for_replaces_the_default_of_its_path() -> None:
    device = {"path": "/dev/null", "type": "c", "major": 1, "minor": 3, "fileMode": 0o600, "uid": 7}
    result = planned(make_config("true", linux_devices=[device]))
    (null,) = (s for s in result.steps() if getattr(s, "path", "") == "/dev/null")
    assert (null.mode, null.uid, null.why) == (0o600, 7, "runtime-spec linux.devices")


def test_new_time_namespace_with_and_without_offsets() -> None:
    config = make_config("true")
    config["linux"]["namespaces"].append({"type": "time"})
    assert "SetTimeOffsets" not in kinds(planned(config))
    config["linux"]["timeOffsets"] = {"monotonic": {"secs": -5, "nanosecs": 7}}
    (step,) = (s for s in planned(config).steps() if type(s).__name__ == "SetTimeOffsets")
    assert step.offsets == ("monotonic -5 7",)


def test_domain_name_alone() -> None:
    config = without(make_config("true", domainname="example"), "hostname")
    names = kinds(planned(config))
    assert "SetDomainname" in names
    assert "SetHostname" not in names


REFUSED = [
    (without(make_config("true"), "process"), "process: required"),
    (without(make_config("true"), "linux"), "linux: required"),
    (without(make_config("true"), "root"), "root: required"),
    (make_config("true", process_args=[]), "at least the program's name"),
    (make_config("true", process_args=[""]), "executable file not found"),
    (make_config("a\0b"), "NUL"),
    (make_config("true", process_env=["A"]), "expected NAME=value"),
    (make_config("true", process_env=["=x"]), "expected NAME=value"),
    (make_config("true", process_oomScoreAdj=2000), "-1000 to 1000"),
    (make_config("true", hostname="a\nb"), "holds a character"),
    (make_config("true", hostname="x" * 65), "longer than 64"),
    (make_config("true", hooks={"poststop": [{"path": "/x"}]}), "hooks come in a later version"),
    (make_config("true", linux_sysctl={"kernel.shm+x": "1"}), "not a parameter's name"),
    (make_config("true", linux_sysctl={"kernel.panic": "1"}), "not in a separate kernel namespace"),
    (make_config("true", linux_sysctl={"kernel.hostname": "1"}), "conflicts with the OCI"),
    (make_config("true", linux_mountLabel="x"), "SELinux mount labels"),
    (
        make_config("true", linux_uidMappings=[{"containerID": 0, "hostID": 0, "size": 1}]),
        "isn't en",
    ),
    (make_config("true", linux_timeOffsets={"boottime": {"secs": 1}}), "needs a time namespace"),
    (make_config("true", process_apparmorProfile="p"), "AppArmor is not enabled"),
    (make_config("true", process_selinuxLabel="p"), "selinux is disabled"),
    (with_mount(destination="/", type="tmpfs"), "is the root file system itself"),
    (with_mount(destination="", type="tmpfs"), "destination: required"),
    (with_mount(destination="/a", type="bind"), "a bind mount needs one"),
    (with_mount(destination="/a"), "required unless it is a bind mount"),
    (with_mount(destination="/a", type="bind", source="/", options=["size=1"]), "means nothing"),
]


@pytest.mark.parametrize(("config", "text"), REFUSED)
def test_refused(config: dict[str, Any], text: str) -> None:
    refuse(config, text)


@pytest.mark.parametrize(
    ("limits", "text"),
    [
        ([{"type": "RLIMIT_X", "soft": 1, "hard": 1}], "not a limit of this kernel"),
        ([{"type": "RLIMIT_CORE", "soft": 2, "hard": 1}], "soft 2 is above hard 1"),
        ([{"type": "RLIMIT_CORE", "soft": 1, "hard": 1}] * 2, "occurs twice"),
        ([{"type": "RLIMIT_NOFILE", "soft": 1, "hard": 20001}], "error setting rlimit"),
    ],
)
def test_limits_that_cannot_be(limits: list[Any], text: str) -> None:
    refuse(make_config("true", process_rlimits=limits), text, WITHOUT_SYS_RESOURCE)
    assert WITHOUT_SYS_RESOURCE.capabilities & SYS_RESOURCE == 0


def test_namespaces_that_cannot_be() -> None:
    config = make_config("true")
    config["linux"]["namespaces"].append({"type": "time"})
    refuse(config, "has no time", replace(FACTS, namespaces=FACTS.namespaces - {"time"}))
    config["linux"]["namespaces"] = [{"type": "pid"}]
    refuse(config, "would mount on the host")
    config["linux"]["namespaces"] = [{"type": "mount"}, {"type": "user"}]
    refuse(config, "no user mappings")
    config["linux"]["namespaces"] = [{"type": "mount"}]
    refuse(config, "unable to set hostname without a private UTS namespace")
    del config["hostname"]
    config["linux"]["sysctl"] = {"net.ipv4.ip_forward": "1"}
    refuse(config, "not allowed in host network namespace")
    config["linux"]["sysctl"] = {"fs.mqueue.msg_max": "1"}
    refuse(config, "not allowed in the hosts ipc namespace")
    config["linux"]["sysctl"] = {"kernel.domainname": "x"}
    refuse(config, "not allowed in the hosts uts namespace")


def test_container_id_is_no_path() -> None:
    for bad in ("", "../x", "a/b", "-x"):
        with pytest.raises(InvalidParameter, match="invalid container ID format"):
            plan(Spec.from_json(make_config("true")), FACTS, id=bad, bundle="/b")
