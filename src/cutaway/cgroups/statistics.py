"""What a container has used: one neutral form for v1 and v2.

The parsers are pure; ``read_statistics`` reads each file once. Times are nanoseconds, sizes bytes.
"""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from cutaway.cgroups.control import ContainerCgroup, count_oom_kills, parse_flat_keys
from cutaway.cgroups.layout import CgroupMode

_UNLIMITED_V1 = 1 << 62  # "no limit" reads as 0x7FFFFFFFFFFFF000
_NS_PER_US = 1000
_NS_PER_TICK = 10_000_000  # USER_HZ is 100 on every architecture Linux has


@dataclass(frozen=True, slots=True)
class CpuStatistics:
    """Processor time used, and how often a quota made the container wait."""

    usage_ns: int = 0
    user_ns: int = 0
    system_ns: int = 0
    per_cpu_ns: tuple[int, ...] = ()
    periods: int = 0
    throttled_periods: int = 0
    throttled_ns: int = 0


@dataclass(frozen=True, slots=True)
class MemoryStatistics:
    """Memory in use; a limit of None is none. ``details`` is the kernel's memory.stat."""

    usage_bytes: int = 0
    max_usage_bytes: int = 0
    limit_bytes: int | None = None
    swap_usage_bytes: int = 0
    fail_count: int = 0
    oom_kills: int = 0
    details: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PidsStatistics:
    """Processes and threads; a limit of None is none."""

    current: int = 0
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class BlockIoEntry:
    """One counter of one device: ``operation`` is Read, Write, Sync, Async, Discard or Total."""

    major: int
    minor: int
    operation: str
    value: int


@dataclass(frozen=True, slots=True)
class BlockIoStatistics:
    """Bytes and operations on block devices."""

    service_bytes: tuple[BlockIoEntry, ...] = ()
    serviced: tuple[BlockIoEntry, ...] = ()


@dataclass(frozen=True, slots=True)
class Statistics:
    """One reading of everything a container's cgroup counts.

    Attributes:
        cgroup_version: 1 or 2: the names in ``memory.details`` differ.
        read_ns: CLOCK_REALTIME of the reading.
    """

    cgroup_version: int
    read_ns: int
    cpu: CpuStatistics
    memory: MemoryStatistics
    pids: PidsStatistics
    block_io: BlockIoStatistics

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values, names as here."""
        return asdict(self)


def read_statistics(cgroup: ContainerCgroup) -> Statistics:
    """Read what the container has used so far; what is gone or missing reads as zero."""
    version = 2 if cgroup.layout.mode is CgroupMode.UNIFIED else 1
    memory = _memory_v2(cgroup) if version == 2 else _memory_v1(cgroup)
    return Statistics(
        cgroup_version=version,
        read_ns=time.time_ns(),
        cpu=_cpu_v2(cgroup) if version == 2 else _cpu_v1(cgroup),
        memory=memory,
        pids=PidsStatistics(
            _number(_read(cgroup, "pids", "pids.current")) or 0,
            _number(_read(cgroup, "pids", "pids.max")),
        ),
        block_io=_block_io_v2(cgroup) if version == 2 else _block_io_v1(cgroup),
    )


def _read(cgroup: ContainerCgroup, controller: str, name: str) -> str:
    directory = cgroup.directory(controller)
    if directory is None:
        return ""
    with contextlib.suppress(OSError), open(f"{directory}/{name}") as file:
        return file.read()
    return ""


def _number(text: str) -> int | None:
    """Return a single number; None for ``max``, nothing, or v1's "no limit"."""
    text = text.strip()
    if not text.isdigit() or int(text) > _UNLIMITED_V1:
        return None
    return int(text)


def _cpu_v1(cgroup: ContainerCgroup) -> CpuStatistics:
    times = parse_flat_keys(_read(cgroup, "cpuacct", "cpuacct.stat"))
    throttling = parse_flat_keys(_read(cgroup, "cpu", "cpu.stat"))
    per_cpu = _read(cgroup, "cpuacct", "cpuacct.usage_percpu").split()
    return CpuStatistics(
        usage_ns=_number(_read(cgroup, "cpuacct", "cpuacct.usage")) or 0,
        user_ns=times.get("user", 0) * _NS_PER_TICK,
        system_ns=times.get("system", 0) * _NS_PER_TICK,
        per_cpu_ns=tuple(map(int, per_cpu)),
        periods=throttling.get("nr_periods", 0),
        throttled_periods=throttling.get("nr_throttled", 0),
        throttled_ns=throttling.get("throttled_time", 0),
    )


def _cpu_v2(cgroup: ContainerCgroup) -> CpuStatistics:
    stat = parse_flat_keys(_read(cgroup, "cpu", "cpu.stat"))
    return CpuStatistics(
        usage_ns=stat.get("usage_usec", 0) * _NS_PER_US,
        user_ns=stat.get("user_usec", 0) * _NS_PER_US,
        system_ns=stat.get("system_usec", 0) * _NS_PER_US,
        periods=stat.get("nr_periods", 0),
        throttled_periods=stat.get("nr_throttled", 0),
        throttled_ns=stat.get("throttled_usec", 0) * _NS_PER_US,
    )


def _memory_v1(cgroup: ContainerCgroup) -> MemoryStatistics:
    def number(name: str) -> int | None:
        return _number(_read(cgroup, "memory", name))

    usage = number("memory.usage_in_bytes") or 0
    with_swap = number("memory.memsw.usage_in_bytes") or usage
    return MemoryStatistics(
        usage_bytes=usage,
        max_usage_bytes=number("memory.max_usage_in_bytes") or 0,
        limit_bytes=number("memory.limit_in_bytes"),
        swap_usage_bytes=max(with_swap - usage, 0),
        fail_count=number("memory.failcnt") or 0,
        oom_kills=count_oom_kills(cgroup),
        details=parse_flat_keys(_read(cgroup, "memory", "memory.stat")),
    )


def _memory_v2(cgroup: ContainerCgroup) -> MemoryStatistics:
    events = parse_flat_keys(_read(cgroup, "memory", "memory.events"))
    return MemoryStatistics(
        usage_bytes=_number(_read(cgroup, "memory", "memory.current")) or 0,
        max_usage_bytes=_number(_read(cgroup, "memory", "memory.peak")) or 0,
        limit_bytes=_number(_read(cgroup, "memory", "memory.max")),
        swap_usage_bytes=_number(_read(cgroup, "memory", "memory.swap.current")) or 0,
        fail_count=events.get("max", 0),
        oom_kills=events.get("oom_kill", 0),
        details=parse_flat_keys(_read(cgroup, "memory", "memory.stat")),
    )


def _block_io_v1(cgroup: ContainerCgroup) -> BlockIoStatistics:
    prefix = "blkio.throttle."
    return BlockIoStatistics(
        tuple(parse_v1_io(_read(cgroup, "blkio", prefix + "io_service_bytes_recursive"))),
        tuple(parse_v1_io(_read(cgroup, "blkio", prefix + "io_serviced_recursive"))),
    )


def parse_v1_io(text: str) -> Iterator[BlockIoEntry]:
    """Parse ``8:0 Read 4096`` lines; the sum over all devices at the end is left out."""
    for line in text.splitlines():
        words = line.split()
        if len(words) == 3:
            major, minor = map(int, words[0].split(":"))
            yield BlockIoEntry(major, minor, words[1], int(words[2]))


def _block_io_v2(cgroup: ContainerCgroup) -> BlockIoStatistics:
    text = _read(cgroup, "io", "io.stat")
    return BlockIoStatistics(
        tuple(parse_v2_io(text, {"rbytes": "Read", "wbytes": "Write", "dbytes": "Discard"})),
        tuple(parse_v2_io(text, {"rios": "Read", "wios": "Write", "dios": "Discard"})),
    )


def parse_v2_io(text: str, operations: dict[str, str]) -> Iterator[BlockIoEntry]:
    """Parse ``8:0 rbytes=1 wbytes=2 …`` lines, taking the keys of ``operations``."""
    for line in text.splitlines():
        device, *pairs = line.split()
        major, minor = map(int, device.split(":"))
        for pair in pairs:
            key, _, value = pair.partition("=")
            if key in operations:
                yield BlockIoEntry(major, minor, operations[key], int(value))
