"""What this machine can do: probed once, then a value that plans are made from."""

import os
from dataclasses import dataclass

from cutaway import linux
from cutaway.cgroups import CgroupLayout, probe_cgroup_layout
from cutaway.linux.abi import FSCONFIG, RLIMIT

_LSM_LIST = "/sys/kernel/security/lsm"


@dataclass(frozen=True, slots=True)
class HostFacts:
    """The machine, as far as a runtime plan depends on it.

    Attributes:
        kernel: ``(6, 1)``.
        machine: ``x86_64``, as uname(2) says.
        capabilities: bit set of what this process has and can hand down.
        last_capability: the highest number this kernel knows.
        cgroups: the hierarchies.
        namespaces: kinds this kernel has, by config.json's names.
        rlimits: ``RLIMIT_…`` → ``(soft, hard)`` of this process, which a container inherits.
        oom_score_adj: of this process.
        has_apparmor: profiles can be given.
        has_selinux: labels can be given.
        can_show_pids: a procfs of a pid namespace can be made outside of it (Linux 6.18).
        cpu_count: processors on line.
        memory_bytes: RAM.
    """

    kernel: tuple[int, int]
    machine: str
    capabilities: int
    last_capability: int
    cgroups: CgroupLayout
    namespaces: frozenset[str]
    rlimits: tuple[tuple[str, int, int], ...] = ()
    oom_score_adj: int = 0
    has_apparmor: bool = False
    has_selinux: bool = False
    can_show_pids: bool = False
    cpu_count: int = 1
    memory_bytes: int = 0

    def has_capability(self, number: int) -> bool:
        """Whether this process may use a capability."""
        return bool(self.capabilities >> number & 1)

    def hard_limit(self, resource: str) -> int | None:
        """Return the hard limit in force, or None for a resource this kernel lacks."""
        return next((hard for name, _, hard in self.rlimits if name == resource), None)


_NAMESPACE_FILES = {
    "mnt": "mount",
    "pid": "pid",
    "net": "network",
    "uts": "uts",
    "ipc": "ipc",
    "user": "user",
    "cgroup": "cgroup",
    "time": "time",
}


def probe_host_facts() -> HostFacts:
    """Read the facts of this machine, once for each process that plans."""
    uname = os.uname()
    held = linux.capget()
    lsm = _read(_LSM_LIST).split(",")
    return HostFacts(
        kernel=parse_kernel_version(uname.release),
        machine=uname.machine,
        capabilities=held.permitted & linux.read_bounding_set(),
        last_capability=int(_read("/proc/sys/kernel/cap_last_cap") or 40),
        cgroups=probe_cgroup_layout(),
        namespaces=frozenset(
            kind for name, kind in _NAMESPACE_FILES.items() if name in os.listdir("/proc/self/ns")
        ),
        rlimits=tuple((f"RLIMIT_{r.name}", *linux.prlimit(0, r)) for r in RLIMIT),
        oom_score_adj=int(_read("/proc/self/oom_score_adj") or 0),
        has_apparmor="apparmor" in lsm or _read("/sys/module/apparmor/parameters/enabled") == "Y",
        has_selinux="selinux" in lsm,
        can_show_pids=_try_pid_namespace_option(),
        cpu_count=os.cpu_count() or 1,
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
    )


def _try_pid_namespace_option() -> bool:
    """Say if procfs has the option ``pidns``; without root nobody needs to know."""
    try:
        context = linux.fsopen("proc")
    except linux.KernelError:
        return False
    own = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
    try:
        linux.fsconfig(context, FSCONFIG.SET_FD, "pidns", aux=own)
    except linux.KernelError:
        return False
    finally:
        os.close(own)
        os.close(context)
    return True


def parse_kernel_version(release: str) -> tuple[int, int]:
    """Return the first two numbers of a kernel release: ``6.1.0-18-amd64`` is ``(6, 1)``."""
    numbers = [int("".join(c for c in part if c.isdigit()) or 0) for part in release.split(".")[:2]]
    major, minor = (*numbers, 0)[:2]
    return major, minor


def _read(path: str) -> str:
    try:
        with open(path) as file:
            return file.read().strip()
    except OSError:
        return ""
