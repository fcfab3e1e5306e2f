"""What a container may use: ``linux.resources`` of config.json.

Source: moby ``daemon/daemon_unix.go`` ``getMemoryResources`` … and ``oci/defaults.go``.
"""

from collections.abc import Mapping

from cutaway.engine.spec.intent import ContainerIntent
from cutaway.errors import InvalidParameter
from cutaway.model import Resources as Limits
from cutaway.model import ThrottleDevice as ThrottleRequest
from cutaway.oci.runtime_spec import (
    CPU,
    BlockIO,
    Device,
    DeviceRule,
    Memory,
    Pids,
    Resources,
    ThrottleDevice,
    WeightDevice,
)

CFS_PERIOD_US = 100_000
DENY_ALL = DeviceRule(allow=False, access="rwm")
ALLOW_ALL = DeviceRule(allow=True, access="rwm")
# null, zero, full, random, urandom, tty, console; fuse stays out although CAP_MKNOD could make it.
DEFAULT_DEVICE_RULES = (
    DENY_ALL,
    *(
        DeviceRule(allow=True, type="c", major=major, minor=minor, access="rwm")
        for major, minor in ((1, 5), (1, 3), (1, 9), (1, 8), (5, 0), (5, 1))
    ),
    DeviceRule(allow=False, type="c", major=10, minor=229, access="rwm"),
)


def plan_resources(intent: ContainerIntent) -> Resources:
    """Decide the cgroup's limits and the devices the container may open."""
    limits = plan_limits(intent.host, intent.block_devices)
    return Resources(
        devices=plan_device_rules(intent),
        memory=limits.memory,
        cpu=limits.cpu,
        pids=limits.pids,
        block_io=limits.block_io,
    )


def plan_limits(limits: Limits, block_devices: Mapping[str, tuple[int, int]]) -> Resources:
    """Translate Docker's limits; those that are not set are left out.

    Args:
        limits: a HostConfig, or what ``docker update`` changes.
        block_devices: numbers of the devices that ``limits`` names.
    """
    return Resources(
        memory=plan_memory(limits),
        cpu=plan_cpu(limits),
        pids=plan_pids(limits.pids_limit),
        block_io=plan_block_io(limits, block_devices),
    )


def plan_memory(limits: Limits) -> Memory | None:
    """Decide the memory limits; without ``memory_swap`` a container gets as much swap again."""
    swap: int | None = limits.memory_swap or None
    if limits.memory > 0 and limits.memory_swap == 0:
        swap = limits.memory * 2
    swappiness = limits.memory_swappiness
    memory = Memory(
        limit=limits.memory or None,
        reservation=limits.memory_reservation or None,
        swap=swap,
        swappiness=None if swappiness in (None, -1) else swappiness,
        disable_oom_killer=limits.oom_kill_disable or None,
    )
    return None if memory == Memory() else memory


def plan_cpu(limits: Limits) -> CPU | None:
    """Decide the processor limits; ``--cpus`` is a quota of the default period."""
    quota, period = limits.cpu_quota or None, limits.cpu_period or None
    if limits.nano_cpus:
        period = CFS_PERIOD_US
        quota = limits.nano_cpus * CFS_PERIOD_US // 1_000_000_000
    cpu = CPU(
        shares=limits.cpu_shares or None,
        quota=quota,
        period=period,
        realtime_runtime=limits.cpu_realtime_runtime or None,
        realtime_period=limits.cpu_realtime_period or None,
        cpus=limits.cpuset_cpus,
        mems=limits.cpuset_mems,
    )
    return None if cpu == CPU() else cpu


def plan_pids(limit: int | None) -> Pids | None:
    """Decide the number of processes; Docker's 0 and -1 are no limit."""
    if limit is None:
        return None
    return Pids(limit if limit > 0 else -1)


def plan_block_io(limits: Limits, devices: Mapping[str, tuple[int, int]]) -> BlockIO | None:
    """Decide the block I/O limits; devices are known by their numbers from here on."""

    def throttle(requests: tuple[ThrottleRequest, ...] | None) -> tuple[ThrottleDevice, ...]:
        return tuple(ThrottleDevice(*devices[r.path], rate=r.rate) for r in requests or ())

    block_io = BlockIO(
        weight=limits.blkio_weight or None,
        weight_device=tuple(
            WeightDevice(*devices[w.path], weight=w.weight)
            for w in limits.blkio_weight_device or ()
        ),
        throttle_read_bps_device=throttle(limits.blkio_device_read_bps),
        throttle_write_bps_device=throttle(limits.blkio_device_write_bps),
        throttle_read_iops_device=throttle(limits.blkio_device_read_iops),
        throttle_write_iops_device=throttle(limits.blkio_device_write_iops),
    )
    return None if block_io == BlockIO() else block_io


def plan_device_rules(intent: ContainerIntent) -> tuple[DeviceRule, ...]:
    """Decide the allow-list: everything for ``--privileged``, else defaults and what was asked."""
    if intent.host.privileged:
        return (ALLOW_ALL,)
    asked = tuple(
        DeviceRule(allow=True, type=d.type, major=d.major, minor=d.minor, access=d.access or "rwm")
        for d in intent.devices
    )
    rules = tuple(parse_device_rule(text) for text in intent.host.device_cgroup_rules or ())
    return DEFAULT_DEVICE_RULES + asked + rules


def parse_device_rule(text: str) -> DeviceRule:
    """Read ``c 13:* rwm``.

    Raises:
        InvalidParameter: another shape.
    """
    words = text.split(" ")
    kind, _, numbers = text.partition(" ")
    numbers, _, access = numbers.partition(" ")
    major, separator, minor = numbers.partition(":")
    well_formed = (
        len(words) == 3
        and kind in ("a", "b", "c")
        and separator
        and all(n == "*" or (n.isdecimal() and n.isascii()) for n in (major, minor))
        and 1 <= len(access) <= 3
        and set(access) <= set("rwm")
    )
    if not well_formed:
        raise InvalidParameter(f"invalid device cgroup rule format: '{text}'")
    return DeviceRule(
        allow=True,
        type=kind,
        major=None if major == "*" else int(major),
        minor=None if minor == "*" else int(minor),
        access=access,
    )


def plan_devices(intent: ContainerIntent) -> tuple[Device, ...]:
    """Decide the device nodes to make beside the six that every container has."""
    return tuple(
        Device(d.type, d.path, d.major, d.minor, file_mode=d.mode, uid=d.uid, gid=d.gid)
        for d in intent.devices
    )
