"""Limits of a container: ``linux.resources``, what cgroups enforce."""

from dataclasses import dataclass, field

from cutaway.oci.codec import Int64, JsonObject, Uint16, Uint32, Uint64


@dataclass(frozen=True, slots=True)
class DeviceRule(JsonObject):
    """One line of the device allow-list, applied in order.

    Attributes:
        allow: or deny.
        type: ``a`` (all), ``b`` or ``c``; empty is ``a``.
        major: None is any.
        minor: None is any.
        access: some of ``rwm``; empty is all.
    """

    allow: bool
    type: str = ""
    major: Int64 | None = None
    minor: Int64 | None = None
    access: str = ""


@dataclass(frozen=True, slots=True)
class Memory(JsonObject):
    """Memory limits in bytes; -1 is unlimited."""

    limit: Int64 | None = None
    reservation: Int64 | None = None
    swap: Int64 | None = None
    kernel: Int64 | None = None
    kernel_tcp: Int64 | None = field(default=None, metadata={"json": "kernelTCP"})
    swappiness: Uint64 | None = None
    disable_oom_killer: bool | None = field(default=None, metadata={"json": "disableOOMKiller"})
    use_hierarchy: bool | None = None
    check_before_update: bool | None = None


@dataclass(frozen=True, slots=True)
class CPU(JsonObject):
    """Processor time (microseconds) and processors."""

    shares: Uint64 | None = None
    quota: Int64 | None = None
    burst: Uint64 | None = None
    period: Uint64 | None = None
    realtime_runtime: Int64 | None = None
    realtime_period: Uint64 | None = None
    cpus: str = ""
    mems: str = ""
    idle: Int64 | None = None


@dataclass(frozen=True, slots=True)
class Pids(JsonObject):
    """How many processes and threads; -1 (and, in Docker, 0) is unlimited."""

    limit: Int64


@dataclass(frozen=True, slots=True)
class WeightDevice(JsonObject):
    """Share of one block device's time."""

    major: Int64
    minor: Int64
    weight: Uint16 | None = None
    leaf_weight: Uint16 | None = None


@dataclass(frozen=True, slots=True)
class ThrottleDevice(JsonObject):
    """Bytes or operations a second on one block device."""

    major: Int64
    minor: Int64
    rate: Uint64 = 0


@dataclass(frozen=True, slots=True)
class BlockIO(JsonObject):
    """Limits of block input and output."""

    weight: Uint16 | None = None
    leaf_weight: Uint16 | None = None
    weight_device: tuple[WeightDevice, ...] = ()
    throttle_read_bps_device: tuple[ThrottleDevice, ...] = ()
    throttle_write_bps_device: tuple[ThrottleDevice, ...] = ()
    throttle_read_iops_device: tuple[ThrottleDevice, ...] = field(
        default=(), metadata={"json": "throttleReadIOPSDevice"}
    )
    throttle_write_iops_device: tuple[ThrottleDevice, ...] = field(
        default=(), metadata={"json": "throttleWriteIOPSDevice"}
    )


@dataclass(frozen=True, slots=True)
class HugepageLimit(JsonObject):
    """Bytes in huge pages of one size: ``2MB``."""

    page_size: str
    limit: Uint64


@dataclass(frozen=True, slots=True)
class InterfacePriority(JsonObject):
    """Priority of the traffic that leaves by one interface."""

    name: str
    priority: Uint32


@dataclass(frozen=True, slots=True)
class NetworkLimits(JsonObject):
    """The net_cls and net_prio controllers (cgroup v1 only)."""

    class_id: Uint32 | None = field(default=None, metadata={"json": "classID"})
    priorities: tuple[InterfacePriority, ...] = ()


@dataclass(frozen=True, slots=True)
class Rdma(JsonObject):
    """Limits of one RDMA device."""

    hca_handles: Uint32 | None = None
    hca_objects: Uint32 | None = None


@dataclass(frozen=True, slots=True)
class Resources(JsonObject):
    """Everything a cgroup limits.

    ``unified`` holds cgroup v2 files verbatim: ``{"memory.high": "1G"}``.

    Source: runtime-spec config-linux.md "Control groups".
    """

    devices: tuple[DeviceRule, ...] = ()
    memory: Memory | None = None
    cpu: CPU | None = None
    pids: Pids | None = None
    block_io: BlockIO | None = field(default=None, metadata={"json": "blockIO"})
    hugepage_limits: tuple[HugepageLimit, ...] = ()
    network: NetworkLimits | None = None
    rdma: dict[str, Rdma] = field(default_factory=dict)
    unified: dict[str, str] = field(default_factory=dict)
