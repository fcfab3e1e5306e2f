"""Which hierarchies there are, from the kernel's tables."""

import pytest

from cutaway.cgroups import CgroupMode, parse_layout, resolve_cgroups_path
from cutaway.cgroups.control import ContainerCgroup, parse_flat_keys
from cutaway.cgroups.layout import cgroup_directory
from cutaway.cgroups.statistics import BlockIoEntry, parse_v1_io, parse_v2_io
from cutaway.errors import InvalidParameter
from support.facts import HYBRID, UNIFIED

LINE = "{n} 23 0:28 {root} {point} rw,nosuid shared:9 - {kind} cgroup {options}"


def line(n: int, point: str, kind: str, options: str, root: str = "/") -> str:
    return LINE.format(n=n, root=root, point=point, kind=kind, options=options)


HYBRID_TABLE = "\n".join(
    [
        "22 27 0:21 / /proc rw,relatime - proc proc rw",
        line(1, "/sys/fs/cgroup/systemd", "cgroup", "rw,xattr,name=systemd"),
        line(2, "/sys/fs/cgroup/cpu,cpuacct", "cgroup", "rw,cpu,cpuacct"),
        line(3, "/sys/fs/cgroup/memory", "cgroup", "rw,memory", "/docker/x"),
        line(4, "/mnt/other/memory", "cgroup", "rw,memory"),
        line(5, "/sys/fs/cgroup/unified", "cgroup2", "rw,nsdelegate"),
        line(6, "/sys/fs/cgroup/strange", "cgroup", "rw,name=strange"),
    ]
)
OWN = "4:memory:/docker/x\n3:cpu,cpuacct:/y\n1:name=systemd:/s\n0::/z\n"


def test_hybrid_machine() -> None:
    layout = parse_layout(HYBRID_TABLE, OWN, "hugetlb")
    assert layout.mode is CgroupMode.HYBRID
    assert [(h.name, h.controllers, h.own) for h in layout.hierarchies] == [
        ("systemd", (), "/s"),
        ("cpu,cpuacct", ("cpu", "cpuacct"), "/y"),
        ("memory", ("memory",), "/docker/x"),
        ("strange", (), "/"),
        ("unified", ("hugetlb",), "/z"),
    ]
    assert layout.v2 is not None
    memory = layout.require("memory", "x")
    assert cgroup_directory(memory, "/a/b") == "/sys/fs/cgroup/memory/a/b"


def test_legacy_and_unified_machines() -> None:
    legacy = parse_layout(line(2, "/sys/fs/cgroup/pids", "cgroup", "rw,pids"), "1:pids:/\n")
    assert (legacy.mode, legacy.v2) == (CgroupMode.LEGACY, None)
    unified = parse_layout(line(2, "/sys/fs/cgroup", "cgroup2", "rw"), "0::/\n", "cpu memory")
    assert (unified.mode, unified.v1) == (CgroupMode.UNIFIED, ())
    assert unified.find("memory") is unified.v2


@pytest.mark.parametrize(
    ("given", "expected"),
    [("", "/id"), ("/a/b", "/a/b"), ("a//b/.", "/a/b")],
)
def test_cgroups_path(given: str, expected: str) -> None:
    assert resolve_cgroups_path(given, "id") == expected


@pytest.mark.parametrize("given", ["/../x", "/a/../../x", "slice:prefix:name", "/", "/a\nb"])
def test_cgroups_path_that_leaves_is_refused(given: str) -> None:
    with pytest.raises(InvalidParameter):
        resolve_cgroups_path(given, "id")


def test_directories_of_a_container() -> None:
    hybrid, unified = ContainerCgroup(HYBRID, "/c"), ContainerCgroup(UNIFIED, "/c")
    assert hybrid.members_directory() == "/sys/fs/cgroup/devices/c"
    assert unified.members_directory() == unified.v2_directory() == "/sys/fs/cgroup/c"
    assert hybrid.directory("net_cls") is None


def test_counters_are_parsed() -> None:
    assert parse_flat_keys("oom_kill 3\nunder_oom 0\nodd\n") == {"oom_kill": 3, "under_oom": 0}
    assert list(parse_v1_io("8:0 Read 5\n8:0 Write 6\nTotal 11\n")) == [
        BlockIoEntry(8, 0, "Read", 5),
        BlockIoEntry(8, 0, "Write", 6),
    ]
    assert list(parse_v2_io("8:0 rbytes=5 wbytes=6 x=7\n", {"wbytes": "Write"})) == [
        BlockIoEntry(8, 0, "Write", 6)
    ]
