"""The Linux part of config.json: namespaces, devices, cgroups, id maps."""

from dataclasses import dataclass, field
from enum import StrEnum

from cutaway.errors import InvalidParameter
from cutaway.oci.codec import Int64, JsonObject, Uint32
from cutaway.oci.runtime_spec.resources import Resources
from cutaway.oci.runtime_spec.seccomp import Seccomp


class NamespaceType(StrEnum):
    """The eight kinds of namespaces(7)."""

    MOUNT = "mount"
    PID = "pid"
    NETWORK = "network"
    UTS = "uts"
    IPC = "ipc"
    USER = "user"
    CGROUP = "cgroup"
    TIME = "time"


@dataclass(frozen=True, slots=True)
class Namespace(JsonObject):
    """A namespace to make, or with ``path`` to join. One not listed is the runtime's own."""

    type: NamespaceType
    path: str = ""

    def validate(self, path: str) -> None:
        """Refuse a relative path."""
        if self.path and not self.path.startswith("/"):
            raise InvalidParameter(f"{path}.path: expected an absolute path, got {self.path!r}")


@dataclass(frozen=True, slots=True)
class IDMapping(JsonObject):
    """``size`` ids from ``container_id`` inside are those from ``host_id`` outside."""

    container_id: Uint32 = field(metadata={"json": "containerID"})
    host_id: Uint32 = field(metadata={"json": "hostID"})
    size: Uint32


@dataclass(frozen=True, slots=True)
class Device(JsonObject):
    """A device node to make in the container.

    Attributes:
        type: ``c``, ``b``, ``u`` (unbuffered character) or ``p`` (FIFO, without numbers).
        path: in the container.
        major: of the device.
        minor: of the device.
        file_mode: permission bits; None is 0666.
        uid: owner in the container; None is root.
        gid: group in the container; None is root.
    """

    type: str
    path: str
    major: Int64 = 0
    minor: Int64 = 0
    file_mode: Uint32 | None = None
    uid: Uint32 | None = None
    gid: Uint32 | None = None

    def validate(self, path: str) -> None:
        """Refuse an unknown type and a relative path."""
        if self.type not in ("c", "b", "u", "p"):
            raise InvalidParameter(f"{path}.type: expected c, b, u or p, got {self.type!r}")
        if not self.path.startswith("/"):
            raise InvalidParameter(f"{path}.path: expected an absolute path, got {self.path!r}")


@dataclass(frozen=True, slots=True)
class NetDevice(JsonObject):
    """A host interface to move into the container, under ``name`` if given."""

    name: str = ""


class RootfsPropagation(StrEnum):
    """Mount propagation of the container's root; mount_namespaces(7)."""

    PRIVATE = "private"
    SHARED = "shared"
    SLAVE = "slave"
    UNBINDABLE = "unbindable"
    RPRIVATE = "rprivate"
    RSHARED = "rshared"
    RSLAVE = "rslave"
    RUNBINDABLE = "runbindable"


class PersonalityDomain(StrEnum):
    """Execution domains of personality(2)."""

    LINUX = "LINUX"
    LINUX32 = "LINUX32"


@dataclass(frozen=True, slots=True)
class Personality(JsonObject):
    """What personality(2) is given; no flags are defined yet."""

    domain: PersonalityDomain
    flags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TimeOffset(JsonObject):
    """Offset of one clock in a time namespace."""

    secs: Int64 = 0
    nanosecs: Uint32 = 0


@dataclass(frozen=True, slots=True)
class TimeOffsets(JsonObject):
    """Offsets of a new time namespace; time_namespaces(7)."""

    boottime: TimeOffset | None = None
    monotonic: TimeOffset | None = None


@dataclass(frozen=True, slots=True)
class IntelRdt(JsonObject):
    """Cache and memory bandwidth allocation by resctrl."""

    clos_id: str = field(default="", metadata={"json": "closID"})
    schemata: tuple[str, ...] = ()
    l3_cache_schema: str = field(default="", metadata={"json": "l3CacheSchema"})
    mem_bw_schema: str = ""
    enable_monitoring: bool = False


class MemoryPolicyMode(StrEnum):
    """Modes of set_mempolicy(2)."""

    DEFAULT = "MPOL_DEFAULT"
    BIND = "MPOL_BIND"
    INTERLEAVE = "MPOL_INTERLEAVE"
    WEIGHTED_INTERLEAVE = "MPOL_WEIGHTED_INTERLEAVE"
    PREFERRED = "MPOL_PREFERRED"
    PREFERRED_MANY = "MPOL_PREFERRED_MANY"
    LOCAL = "MPOL_LOCAL"


class MemoryPolicyFlag(StrEnum):
    """Flags of set_mempolicy(2)."""

    NUMA_BALANCING = "MPOL_F_NUMA_BALANCING"
    RELATIVE_NODES = "MPOL_F_RELATIVE_NODES"
    STATIC_NODES = "MPOL_F_STATIC_NODES"


@dataclass(frozen=True, slots=True)
class MemoryPolicy(JsonObject):
    """NUMA policy of the container's process."""

    mode: MemoryPolicyMode
    nodes: str = ""
    flags: tuple[MemoryPolicyFlag, ...] = ()


@dataclass(frozen=True, slots=True)
class Linux(JsonObject):
    """Everything about a container that only Linux has.

    Source: runtime-spec config-linux.md.
    """

    namespaces: tuple[Namespace, ...] = ()
    uid_mappings: tuple[IDMapping, ...] = ()
    gid_mappings: tuple[IDMapping, ...] = ()
    devices: tuple[Device, ...] = ()
    net_devices: dict[str, NetDevice] = field(default_factory=dict)
    cgroups_path: str = ""
    resources: Resources | None = None
    rootfs_propagation: RootfsPropagation | None = None
    seccomp: Seccomp | None = None
    sysctl: dict[str, str] = field(default_factory=dict)
    masked_paths: tuple[str, ...] = ()
    readonly_paths: tuple[str, ...] = ()
    mount_label: str = ""
    personality: Personality | None = None
    intel_rdt: IntelRdt | None = None
    time_offsets: TimeOffsets | None = None
    memory_policy: MemoryPolicy | None = None

    def validate(self, path: str) -> None:
        """Refuse the same kind of namespace twice.

        "If a namespaces field contains duplicated namespaces with same type, the runtime MUST
        generate an error" (config-linux.md, "Namespaces").
        """
        seen: set[str] = set()
        for namespace in self.namespaces:
            if namespace.type in seen:
                raise InvalidParameter(f"{path}.namespaces: {namespace.type.value} occurs twice")
            seen.add(namespace.type)
