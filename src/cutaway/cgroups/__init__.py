"""Limits on what a container may use, and counts of what it used: control groups.

The problem: config.json says "512 MiB, half a processor, at most 100 processes" in one language;
the kernel wants numbers in files, and it has two generations of these files that a machine may
have one of, or both at once.

The model: a *hierarchy* is a mounted tree of *cgroups*; a process is in one cgroup of each. In
cgroup v1 every *controller* (memory, cpu, pids, …) has a hierarchy of its own; in v2 there is one
with all controllers; a *hybrid* machine has v1 with all controllers and v2 beside it with none.
``layout`` finds out which. ``resources`` (with ``v1``, ``v2``, ``devices``) decides, as pure
functions, which text goes into which file. ``steps`` does it. ``control`` acts on a living cgroup;
``statistics`` reads the counters.

What to know about speed: writing a process id into ``cgroup.procs`` makes the kernel wait for an
RCU grace period (milliseconds). So nobody does: a container's first process is born in its v2
cgroup (CLONE_INTO_CGROUP) and writes ``0`` into ``tasks`` of each v1 cgroup itself, which is free.

Read ``layout.py``, ``resources.py``, ``v1.py``, ``v2.py``, ``steps.py``, ``control.py``.

Docker's counterpart: runc's ``libcontainer/cgroups``.
"""

from cutaway.cgroups.control import (
    ContainerCgroup,
    count_oom_kills,
    freeze,
    is_frozen,
    kill_all,
    list_pids,
    signal_all,
    thaw,
)
from cutaway.cgroups.layout import (
    CgroupLayout,
    CgroupMode,
    Hierarchy,
    cgroup_directory,
    parse_layout,
    probe_cgroup_layout,
    resolve_cgroups_path,
)
from cutaway.cgroups.oom import watch_oom
from cutaway.cgroups.resources import device_rules_v2, plan_resources
from cutaway.cgroups.settings import ResourcePlan, Setting
from cutaway.cgroups.statistics import Statistics, read_statistics
from cutaway.cgroups.steps import (
    AttachDeviceProgram,
    CreateCgroup,
    WriteCgroupFile,
    remove_cgroup,
    write_cgroup_file,
)

__all__ = [
    "AttachDeviceProgram",
    "CgroupLayout",
    "CgroupMode",
    "ContainerCgroup",
    "CreateCgroup",
    "Hierarchy",
    "ResourcePlan",
    "Setting",
    "Statistics",
    "WriteCgroupFile",
    "cgroup_directory",
    "count_oom_kills",
    "device_rules_v2",
    "freeze",
    "is_frozen",
    "kill_all",
    "list_pids",
    "parse_layout",
    "plan_resources",
    "probe_cgroup_layout",
    "read_statistics",
    "remove_cgroup",
    "resolve_cgroups_path",
    "signal_all",
    "thaw",
    "watch_oom",
    "write_cgroup_file",
]
