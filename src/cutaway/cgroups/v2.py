"""Limits as files of cgroup v2, converted where config.json speaks v1's language."""

from collections.abc import Iterator

from cutaway.cgroups.layout import CgroupLayout
from cutaway.cgroups.settings import ResourcePlan, Setting
from cutaway.cgroups.v1 import check_shares, plan_rdma
from cutaway.errors import InvalidParameter
from cutaway.oci.runtime_spec import CPU, BlockIO, Memory, Resources

_WHY = "runtime-spec linux.resources."
_DEFAULT_PERIOD_US = 100_000


def plan_v2(resources: Resources, layout: CgroupLayout) -> ResourcePlan:
    """Decide the files of a v2 machine, devices excepted: those are a program, not a file.

    Raises:
        NotImplemented: a limit's controller is not on this machine.
        InvalidParameter: values contradict each other.
    """
    settings: list[Setting] = []
    warnings: list[str] = []
    if resources.memory is not None:
        settings += _memory(resources.memory)
        warnings += _memory_warnings(resources.memory)
    if resources.cpu is not None:
        settings += _cpu(resources.cpu)
        warnings += _cpu_warnings(resources.cpu)
    if resources.pids is not None and resources.pids.limit != 0:
        limit = resources.pids.limit
        settings.append(_setting("pids", "pids.max", _or_max(limit), "pids.limit"))
    if resources.block_io is not None:
        settings += _block_io(resources.block_io)
        if resources.block_io.leaf_weight:
            warnings.append("linux.resources.blockIO.leafWeight does not exist in cgroup v2")
    for huge in resources.hugepage_limits:
        file = f"hugetlb.{huge.page_size}.max"
        settings.append(_setting("hugetlb", file, huge.limit, "hugepageLimits"))
    if resources.network is not None and (
        resources.network.class_id or resources.network.priorities
    ):
        warnings.append("linux.resources.network (net_cls, net_prio) does not exist in cgroup v2")
    settings += plan_rdma(resources.rdma)
    settings += _unified(resources.unified)
    for setting in settings:
        layout.require(setting.controller, setting.why.removeprefix("runtime-spec "))
    return ResourcePlan(tuple(settings), None, tuple(warnings))


def _setting(controller: str, file: str, value: int | str, field: str) -> Setting:
    return Setting(controller, (file,), str(value), _WHY + field)


def _or_max(value: int) -> str:
    return "max" if value < 0 else str(value)


def _memory(memory: Memory) -> Iterator[Setting]:
    limit, swap = memory.limit, memory.swap
    if limit == -1 and not swap:
        swap = -1
    if limit:
        yield _setting("memory", "memory.max", _or_max(limit), "memory.limit")
    if swap:
        yield _setting("memory", "memory.swap.max", convert_swap(swap, limit), "memory.swap")
    if memory.reservation:
        yield _setting("memory", "memory.low", _or_max(memory.reservation), "memory.reservation")


def convert_swap(swap: int, limit: int | None) -> str:
    """Return v2's limit of swap alone for v1's limit of memory and swap together."""
    if swap < 0:
        return "max"
    if not limit or limit < 0:
        raise InvalidParameter("linux.resources.memory.swap: needs memory.limit to be set too")
    if swap < limit:
        raise InvalidParameter(
            f"linux.resources.memory.swap: {swap} is memory and swap together, so it can't be "
            f"less than memory.limit, {limit}"
        )
    return str(swap - limit)


def _memory_warnings(memory: Memory) -> Iterator[str]:
    for field, value in (
        ("kernel", memory.kernel),
        ("kernelTCP", memory.kernel_tcp),
        ("swappiness", memory.swappiness),
        ("disableOOMKiller", memory.disable_oom_killer),
    ):
        if value:
            yield f"linux.resources.memory.{field} is ignored: it does not exist in cgroup v2"


def convert_shares(shares: int) -> int:
    """Return ``cpu.weight`` (1…10000) for ``cpu.shares`` (2…262144)."""
    check_shares(shares)
    return 1 + (shares - 2) * 9999 // 262142


def convert_block_io_weight(weight: int) -> int:
    """Return ``io.weight`` (1…10000) for ``blkio.weight`` (10…1000)."""
    return 1 + (weight - 10) * 9999 // 990


def _cpu(cpu: CPU) -> Iterator[Setting]:
    if cpu.idle is not None:
        yield _setting("cpu", "cpu.idle", cpu.idle, "cpu.idle")
    if cpu.shares:
        yield _setting("cpu", "cpu.weight", convert_shares(cpu.shares), "cpu.shares")
    if cpu.quota or cpu.period:
        quota = str(cpu.quota) if cpu.quota and cpu.quota > 0 else "max"
        value = f"{quota} {cpu.period or _DEFAULT_PERIOD_US}"
        yield _setting("cpu", "cpu.max", value, "cpu.quota")
    if cpu.burst is not None:
        yield _setting("cpu", "cpu.max.burst", cpu.burst, "cpu.burst")
    if cpu.cpus:
        yield _setting("cpuset", "cpuset.cpus", cpu.cpus, "cpu.cpus")
    if cpu.mems:
        yield _setting("cpuset", "cpuset.mems", cpu.mems, "cpu.mems")


def _cpu_warnings(cpu: CPU) -> Iterator[str]:
    if cpu.realtime_period or cpu.realtime_runtime:
        yield "linux.resources.cpu.realtime… is ignored: it does not exist in cgroup v2"


def _block_io(block_io: BlockIO) -> Iterator[Setting]:
    why = _WHY + "blockIO."
    if block_io.weight:
        files = ("io.bfq.weight", "io.weight")
        value = str(convert_block_io_weight(block_io.weight))
        yield Setting("io", files, value, why + "weight")
    for device in block_io.weight_device:
        if device.weight:
            value = f"{device.major}:{device.minor} {convert_block_io_weight(device.weight)}"
            yield Setting("io", ("io.bfq.weight", "io.weight"), value, why + "weightDevice")
    for key, field, devices in (
        ("rbps", "throttleReadBpsDevice", block_io.throttle_read_bps_device),
        ("wbps", "throttleWriteBpsDevice", block_io.throttle_write_bps_device),
        ("riops", "throttleReadIOPSDevice", block_io.throttle_read_iops_device),
        ("wiops", "throttleWriteIOPSDevice", block_io.throttle_write_iops_device),
    ):
        for throttle in devices:
            rate = throttle.rate or "max"
            value = f"{throttle.major}:{throttle.minor} {key}={rate}"
            yield Setting("io", ("io.max",), value, why + field)


def _unified(files: dict[str, str]) -> Iterator[Setting]:
    for file, value in files.items():
        if "/" in file or "." not in file or file.startswith("cgroup."):
            raise InvalidParameter(
                f"linux.resources.unified: {file!r} is not the name of a controller's file"
            )
        yield Setting(file.partition(".")[0], (file,), value, _WHY + f"unified[{file}]")
