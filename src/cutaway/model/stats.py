"""Resource use of a container: one sample of ``docker stats``, and ``docker top``.

Source: Engine API ``ContainerStatsResponse``, ``ContainerTopResponse``.
"""

from cutaway.model.base import ZERO_TIME, LowerModel, Model, Uint64, always


class CPUUsage(LowerModel):
    """Nanoseconds of CPU since the container started."""

    total_usage: Uint64 = always(0)
    percpu_usage: tuple[Uint64, ...] | None = None
    usage_in_kernelmode: Uint64 = always(0)
    usage_in_usermode: Uint64 = always(0)


class ThrottlingData(LowerModel):
    """How often the CPU quota held the container back; ``throttled_time`` in nanoseconds."""

    periods: Uint64 = always(0)
    throttled_periods: Uint64 = always(0)
    throttled_time: Uint64 = always(0)


class CPUStats(LowerModel):
    """CPU use; ``system_cpu_usage`` is the whole machine's, so that a client forms the ratio."""

    cpu_usage: CPUUsage = always(CPUUsage())
    system_cpu_usage: Uint64 = 0
    online_cpus: Uint64 = 0
    throttling_data: ThrottlingData = always(ThrottlingData())


class MemoryStats(LowerModel):
    """Memory use in bytes; ``stats`` holds the kernel's memory.stat as it is."""

    usage: Uint64 = 0
    max_usage: Uint64 = 0
    stats: dict[str, Uint64] | None = None
    failcnt: Uint64 = 0
    limit: Uint64 = 0
    commitbytes: Uint64 = 0
    commitpeakbytes: Uint64 = 0
    privateworkingset: Uint64 = 0


class PidsStats(LowerModel):
    """Processes and threads, and how many are allowed (2**64-1 by Docker: unlimited)."""

    current: Uint64 = 0
    limit: Uint64 = 0


class BlkioStatEntry(LowerModel):
    """One counter of one block device; ``op`` is ``read``, ``write``, …."""

    major: Uint64 = always(0)
    minor: Uint64 = always(0)
    op: str = always("")
    value: Uint64 = always(0)


class BlkioStats(LowerModel):
    """Block I/O; on cgroup v2 only the first list is filled."""

    io_service_bytes_recursive: tuple[BlkioStatEntry, ...] | None = always(None)
    io_serviced_recursive: tuple[BlkioStatEntry, ...] | None = always(None)
    io_queue_recursive: tuple[BlkioStatEntry, ...] | None = always(None)
    io_service_time_recursive: tuple[BlkioStatEntry, ...] | None = always(None)
    io_wait_time_recursive: tuple[BlkioStatEntry, ...] | None = always(None)
    io_merged_recursive: tuple[BlkioStatEntry, ...] | None = always(None)
    io_time_recursive: tuple[BlkioStatEntry, ...] | None = always(None)
    sectors_recursive: tuple[BlkioStatEntry, ...] | None = always(None)


class NetworkStats(LowerModel):
    """Counters of one interface inside the container."""

    rx_bytes: Uint64 = always(0)
    rx_packets: Uint64 = always(0)
    rx_errors: Uint64 = always(0)
    rx_dropped: Uint64 = always(0)
    tx_bytes: Uint64 = always(0)
    tx_packets: Uint64 = always(0)
    tx_errors: Uint64 = always(0)
    tx_dropped: Uint64 = always(0)
    endpoint_id: str = ""
    instance_id: str = ""


class StorageStats(LowerModel):
    """Disk counters of Windows; empty on Linux."""

    read_count_normalized: Uint64 = 0
    read_size_bytes: Uint64 = 0
    write_count_normalized: Uint64 = 0
    write_size_bytes: Uint64 = 0


class ContainerStats(LowerModel):
    """One sample, with the CPU figures of the sample before it so that a client forms a rate.

    Attributes:
        name: with its leading slash.
        read, preread: RFC 3339; ``preread`` is ``ZERO_TIME`` in a first or only sample.
        networks: by interface name inside the container; None without a network of its own.
    """

    id: str = ""
    name: str = ""
    os_type: str = ""
    read: str = always(ZERO_TIME)
    preread: str = always(ZERO_TIME)
    pids_stats: PidsStats = always(PidsStats())
    blkio_stats: BlkioStats = always(BlkioStats())
    num_procs: Uint64 = always(0)
    storage_stats: StorageStats = always(StorageStats())
    cpu_stats: CPUStats = always(CPUStats())
    precpu_stats: CPUStats = always(CPUStats())
    memory_stats: MemoryStats = always(MemoryStats())
    networks: dict[str, NetworkStats] | None = None


class ContainerTop(Model):
    """The processes of a container, as ps(1) columns."""

    titles: tuple[str, ...] = always(())
    processes: tuple[tuple[str, ...], ...] = always(())
