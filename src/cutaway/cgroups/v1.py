"""Limits as files of cgroup v1."""

from collections.abc import Iterator

from cutaway import errors
from cutaway.cgroups.devices import format_v1_rule, plan_device_rules
from cutaway.cgroups.layout import CgroupLayout
from cutaway.cgroups.settings import ResourcePlan, Setting
from cutaway.errors import InvalidParameter
from cutaway.oci.runtime_spec import (
    CPU,
    BlockIO,
    DeviceRule,
    Memory,
    NetworkLimits,
    Rdma,
    Resources,
)

_WHY = "runtime-spec linux.resources."


def plan_v1(
    resources: Resources, layout: CgroupLayout, *, current_memory_bytes: int | None = None
) -> ResourcePlan:
    """Decide the files of a v1 or hybrid machine.

    Args:
        resources: what is asked.
        layout: for which controllers exist.
        current_memory_bytes: the memory limit in force, when a living cgroup is changed.

    Raises:
        NotImplemented: a limit's controller is not on this machine.
        InvalidParameter: ``unified`` is given, or values contradict each other.
    """
    if resources.unified:
        raise InvalidParameter(
            "linux.resources.unified: this machine has cgroup v1; unified is for cgroup v2 only"
        )
    settings: list[Setting] = []
    warnings: list[str] = []
    if resources.memory is not None:
        settings += _memory(resources.memory, layout, current_memory_bytes)
        warnings += _memory_warnings(resources.memory)
    if resources.cpu is not None:
        settings += _cpu(resources.cpu)
    if resources.pids is not None and resources.pids.limit != 0:
        limit = resources.pids.limit
        settings.append(_setting("pids", "pids.max", "max" if limit < 0 else limit, "pids.limit"))
    if resources.block_io is not None:
        settings += _block_io(resources.block_io)
    for huge in resources.hugepage_limits:
        hierarchy = layout.require("hugetlb", "linux.resources.hugepageLimits")
        suffix = "max" if hierarchy.is_v2 else "limit_in_bytes"
        file = f"hugetlb.{huge.page_size}.{suffix}"
        settings.append(_setting("hugetlb", file, huge.limit, "hugepageLimits"))
    if resources.network is not None:
        settings += _network(resources.network)
    settings += plan_rdma(resources.rdma)
    for setting in settings:
        layout.require(setting.controller, setting.why.removeprefix("runtime-spec "))
    return ResourcePlan(tuple(settings), None, tuple(warnings))


def plan_v1_devices(rules: tuple[DeviceRule, ...], layout: CgroupLayout) -> tuple[Setting, ...]:
    """Decide ``devices.deny`` and ``devices.allow`` of a new v1 cgroup."""
    layout.require("devices", "linux.resources.devices")
    return tuple(
        Setting(
            "devices",
            ("devices.allow" if rule.allow else "devices.deny",),
            format_v1_rule(rule),
            _WHY + "devices",
        )
        for rule in plan_device_rules(rules)
    )


def _setting(controller: str, file: str, value: int | str, field: str) -> Setting:
    return Setting(controller, (file,), str(value), _WHY + field)


def _memory(memory: Memory, layout: CgroupLayout, current: int | None) -> Iterator[Setting]:
    limit, swap = memory.limit, memory.swap
    if limit == -1 and not swap:
        swap = -1  # "unlimited memory" with a left-over limit of the sum would be refused
    if swap and not layout.has_swap_accounting:
        raise errors.NotImplemented(
            "linux.resources.memory.swap: the kernel does not account swap here; "
            "boot with swapaccount=1 or leave the limit out"
        )
    if swap and swap > 0 and limit and limit > swap:
        raise InvalidParameter(
            f"linux.resources.memory.swap: {swap} is memory and swap together, so it can't be "
            f"less than memory.limit, {limit}"
        )
    parts = []
    if limit:
        parts.append(_setting("memory", "memory.limit_in_bytes", limit, "memory.limit"))
    if swap:
        parts.append(_setting("memory", "memory.memsw.limit_in_bytes", swap, "memory.swap"))
    # The kernel refuses a moment in which the sum's limit is below memory's: raise the sum first.
    grows = limit == -1 or (limit is not None and current is not None and limit > current)
    yield from reversed(parts) if grows else parts
    if memory.reservation:
        file = "memory.soft_limit_in_bytes"
        yield _setting("memory", file, memory.reservation, "memory.reservation")
    if memory.kernel_tcp:
        file = "memory.kmem.tcp.limit_in_bytes"
        yield _setting("memory", file, memory.kernel_tcp, "memory.kernelTCP")
    if memory.disable_oom_killer:
        yield _setting("memory", "memory.oom_control", 1, "memory.disableOOMKiller")
    if memory.swappiness is not None:
        if memory.swappiness > 100:
            raise InvalidParameter(
                f"linux.resources.memory.swappiness: expected 0 to 100, got {memory.swappiness}"
            )
        yield _setting("memory", "memory.swappiness", memory.swappiness, "memory.swappiness")


def _memory_warnings(memory: Memory) -> Iterator[str]:
    if memory.kernel:
        yield (
            "linux.resources.memory.kernel is ignored: kernel memory is part of memory.limit "
            "since Linux 5.4"
        )


def _cpu(cpu: CPU) -> Iterator[Setting]:
    if cpu.shares:
        check_shares(cpu.shares)
        yield _setting("cpu", "cpu.shares", cpu.shares, "cpu.shares")
    if cpu.period:
        yield _setting("cpu", "cpu.cfs_period_us", cpu.period, "cpu.period")
    if cpu.quota:
        yield _setting("cpu", "cpu.cfs_quota_us", cpu.quota, "cpu.quota")
    if cpu.burst is not None:
        yield _setting("cpu", "cpu.cfs_burst_us", cpu.burst, "cpu.burst")
    if cpu.realtime_period:
        yield _setting("cpu", "cpu.rt_period_us", cpu.realtime_period, "cpu.realtimePeriod")
    if cpu.realtime_runtime:
        yield _setting("cpu", "cpu.rt_runtime_us", cpu.realtime_runtime, "cpu.realtimeRuntime")
    if cpu.idle is not None:
        yield _setting("cpu", "cpu.idle", cpu.idle, "cpu.idle")
    if cpu.cpus:
        yield _setting("cpuset", "cpuset.cpus", cpu.cpus, "cpu.cpus")
    if cpu.mems:
        yield _setting("cpuset", "cpuset.mems", cpu.mems, "cpu.mems")


def check_shares(shares: int) -> None:
    """Refuse what the kernel would change without a word."""
    if shares < 2:
        raise InvalidParameter(f"linux.resources.cpu.shares: at least 2, got {shares}")
    if shares > 262144:
        raise InvalidParameter(f"linux.resources.cpu.shares: at most 262144, got {shares}")


def _block_io(block_io: BlockIO) -> Iterator[Setting]:
    why = _WHY + "blockIO."
    if block_io.weight:
        value = str(block_io.weight)
        yield Setting("blkio", ("blkio.bfq.weight", "blkio.weight"), value, why + "weight")
    if block_io.leaf_weight:
        yield _setting("blkio", "blkio.leaf_weight", block_io.leaf_weight, "blockIO.leafWeight")
    for device in block_io.weight_device:
        name = f"{device.major}:{device.minor}"
        if device.weight:
            files = ("blkio.bfq.weight_device", "blkio.weight_device")
            yield Setting("blkio", files, f"{name} {device.weight}", why + "weightDevice")
        if device.leaf_weight:
            value = f"{name} {device.leaf_weight}"
            yield _setting("blkio", "blkio.leaf_weight_device", value, "blockIO.weightDevice")
    for file, field, devices in (
        ("read_bps_device", "throttleReadBpsDevice", block_io.throttle_read_bps_device),
        ("write_bps_device", "throttleWriteBpsDevice", block_io.throttle_write_bps_device),
        ("read_iops_device", "throttleReadIOPSDevice", block_io.throttle_read_iops_device),
        ("write_iops_device", "throttleWriteIOPSDevice", block_io.throttle_write_iops_device),
    ):
        for throttle in devices:
            value = f"{throttle.major}:{throttle.minor} {throttle.rate}"
            yield Setting("blkio", (f"blkio.throttle.{file}",), value, why + field)


def _network(network: NetworkLimits) -> Iterator[Setting]:
    if network.class_id:
        yield _setting("net_cls", "net_cls.classid", network.class_id, "network.classID")
    for priority in network.priorities:
        value = f"{priority.name} {priority.priority}"
        yield _setting("net_prio", "net_prio.ifpriomap", value, "network.priorities")


def plan_rdma(limits: dict[str, Rdma]) -> Iterator[Setting]:
    """Yield ``rdma.max`` lines, which v1 and v2 share."""
    for device, limit in limits.items():
        parts = [device]
        if limit.hca_handles is not None:
            parts.append(f"hca_handle={limit.hca_handles}")
        if limit.hca_objects is not None:
            parts.append(f"hca_object={limit.hca_objects}")
        yield _setting("rdma", "rdma.max", " ".join(parts), "rdma")
