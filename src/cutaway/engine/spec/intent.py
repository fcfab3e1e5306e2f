"""The one value that a container's config.json is built from."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from cutaway.engine.configuration.settings import DaemonSettings
from cutaway.model import ContainerConfig, HostConfig
from cutaway.oci.runtime_spec import Seccomp
from cutaway.volumes import MountPoint


@dataclass(frozen=True, slots=True)
class HostDevice:
    """A device node as it is on this machine.

    Attributes:
        path: where it shall appear in the container.
        type: ``c`` or ``b``.
        mode: permission bits.
        access: some of ``rwm``.
    """

    path: str
    type: str
    major: int
    minor: int
    mode: int
    uid: int
    gid: int
    access: str = "rwm"


@dataclass(frozen=True, slots=True)
class Machine:
    """What the decisions need to know about this machine.

    Attributes:
        hostname: for ``--network host`` and ``--uts host``.
        unified_cgroups: cgroup v2 only; then a container has a cgroup namespace of its own.
        cpu_count: processors that are online.
        cpus: the online processors as a list, ``0-3``.
        memory_nodes: NUMA nodes as a list, ``0``.
        sysctls: names of /proc/sys that exist here, of those that are defaults.
        all_capabilities: every capability this machine's engine can grant.
        recursive_readonly: the kernel has mount_setattr(2).
    """

    hostname: str = "localhost"
    unified_cgroups: bool = False
    cpu_count: int = 1
    cpus: str = "0"
    memory_nodes: str = "0"
    sysctls: frozenset[str] = frozenset()
    all_capabilities: tuple[str, ...] = ()
    recursive_readonly: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerIntent:
    """Everything asked of one container and everything looked up for it.

    Attributes:
        config: image and request already merged.
        mounts: binds, volumes and tmpfs, their sources looked up.
        etc: container path to host path of the files that the engine writes
            (``/etc/hostname``, ``/etc/hosts``, ``/etc/resolv.conf``).
        joins: namespace kind (``ipc``, ``pid``, ``network``) to the path of the one to join.
        link_variables: what ``--link`` adds to the environment; the container's own win.
        shm_path: host directory behind /dev/shm, for ``--ipc shareable`` and ``container:``.
        devices: those of ``--device``, or all of the machine's for ``--privileged``.
        block_devices: host path to (major, minor), for the block I/O limits.
        seccomp: the filter, or None for none.
    """

    id: str
    config: ContainerConfig
    host: HostConfig
    settings: DaemonSettings
    machine: Machine
    capabilities: tuple[str, ...]
    seccomp: Seccomp | None = None
    no_new_privileges: bool = False
    mounts: tuple[MountPoint, ...] = ()
    etc: Mapping[str, str] = field(default_factory=dict)
    joins: Mapping[str, str] = field(default_factory=dict)
    link_variables: tuple[str, ...] = ()
    shm_path: str = ""
    devices: tuple[HostDevice, ...] = ()
    block_devices: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    masked_paths: tuple[str, ...] = ()
    readonly_paths: tuple[str, ...] = ()
