"""Facts of machines that need not exist, for plans made without root."""

from dataclasses import replace

from cutaway.cgroups import CgroupLayout, CgroupMode, Hierarchy
from cutaway.runtime import HostFacts

V1 = tuple(
    Hierarchy(name, (name,), f"/sys/fs/cgroup/{name}")
    for name in ("memory", "pids", "devices", "freezer", "blkio")
)
CPU = Hierarchy("cpu,cpuacct", ("cpu", "cpuacct"), "/sys/fs/cgroup/cpu,cpuacct")
CPUSET = Hierarchy("cpuset", ("cpuset",), "/sys/fs/cgroup/cpuset")
NAMED = Hierarchy("systemd", (), "/sys/fs/cgroup/systemd")
V2_ALL = Hierarchy(
    "unified", ("cpu", "cpuset", "memory", "io", "pids", "hugetlb", "rdma"),
    "/sys/fs/cgroup", is_v2=True,
)  # fmt: skip
V2_NONE = Hierarchy("unified", ("hugetlb",), "/sys/fs/cgroup/unified", is_v2=True)

HYBRID = CgroupLayout(CgroupMode.HYBRID, (*V1, CPU, CPUSET, NAMED, V2_NONE))
LEGACY = CgroupLayout(CgroupMode.LEGACY, (*V1, CPU, CPUSET, NAMED))
UNIFIED = CgroupLayout(CgroupMode.UNIFIED, (V2_ALL,))

ALL_CAPABILITIES = (1 << 41) - 1
SYS_RESOURCE = 1 << 24

FACTS = HostFacts(
    kernel=(6, 1),
    machine="x86_64",
    capabilities=ALL_CAPABILITIES,
    last_capability=40,
    cgroups=HYBRID,
    namespaces=frozenset(("mount", "pid", "network", "uts", "ipc", "user", "cgroup", "time")),
    rlimits=(("RLIMIT_NOFILE", 1024, 20000), ("RLIMIT_CORE", 0, 2**64 - 1)),
    can_show_pids=True,
    cpu_count=2,
    memory_bytes=1 << 30,
)
WITHOUT_SYS_RESOURCE = replace(FACTS, capabilities=ALL_CAPABILITIES & ~SYS_RESOURCE)
