"""``docker stats``: what a container has used, in Docker's shape.

The shim reads the cgroup, the engine adds the machine's processor time and the interfaces of the
container's network namespace.
"""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from typing import Any

from msgspec.structs import replace

from cutaway.engine.container import Container
from cutaway.engine.core import Core
from cutaway.engine.links import ShimFailed, ShimLost
from cutaway.engine.networking.endpoints import find_sandbox
from cutaway.engine.spec.namespaces import shares
from cutaway.engine.units import format_time
from cutaway.model import (
    BlkioStatEntry,
    BlkioStats,
    ContainerStats,
    CPUStats,
    CPUUsage,
    MemoryStats,
    NetworkStats,
    PidsStats,
    ThrottlingData,
)
from cutaway.shim.protocol import Stats

PERIOD_S = 1.0
_TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")


async def stream_statistics(
    core: Core, container: Container, *, stream: bool, one_shot: bool
) -> AsyncIterator[ContainerStats]:
    """Sample a container: each second, or once.

    A container that does not run gives one empty sample, and with ``stream`` one each second
    until it does.
    """
    previous: ContainerStats | None = None
    while True:
        sample = await take_sample(core, container)
        if previous is not None:
            sample = replace(sample, precpu_stats=previous.cpu_stats, preread=previous.read)
        if stream or one_shot or previous is not None or not container.is_alive:
            yield sample
            if not stream:
                return
        previous = sample if container.is_alive else None
        await asyncio.sleep(PERIOD_S)
        if container.id not in core.containers:
            return


async def take_sample(core: Core, container: Container) -> ContainerStats:
    """Read everything once; what is not there is empty, as Docker has it."""
    name = f"/{container.name}"
    empty = ContainerStats(id=container.id, name=name, os_type="linux")
    if container.shim is None or not container.is_alive:
        return empty
    try:
        raw = await container.shim.request(Stats())
    except (ShimFailed, ShimLost):
        return empty
    return ContainerStats(
        id=container.id,
        name=name,
        os_type="linux",
        read=format_time(int(raw.get("read_ns") or time.time_ns())),
        pids_stats=PidsStats(current=raw["pids"]["current"], limit=raw["pids"]["limit"] or 0),
        blkio_stats=describe_block_io(raw["block_io"]),
        cpu_stats=describe_cpu(raw["cpu"], core.machine.cpu_count),
        memory_stats=describe_memory(raw["memory"]),
        networks=read_interfaces(core, container),
    )


def describe_cpu(raw: Mapping[str, Any], cpu_count: int) -> CPUStats:
    """Return processor time in Docker's shape."""
    return CPUStats(
        cpu_usage=CPUUsage(
            total_usage=raw["usage_ns"],
            percpu_usage=tuple(raw["per_cpu_ns"]) or None,
            usage_in_kernelmode=raw["system_ns"],
            usage_in_usermode=raw["user_ns"],
        ),
        system_cpu_usage=read_machine_cpu(),
        online_cpus=cpu_count,
        throttling_data=ThrottlingData(
            periods=raw["periods"],
            throttled_periods=raw["throttled_periods"],
            throttled_time=raw["throttled_ns"],
        ),
    )


def read_machine_cpu() -> int:
    """Return the nanoseconds that all processors have spent, idle ones included."""
    with open("/proc/stat", encoding="ascii") as file:
        fields = file.readline().split()
    # user nice system idle iowait irq softirq: what moby adds up.
    return sum(int(field) for field in fields[1:8]) * _TICK_NS


def describe_memory(raw: Mapping[str, Any]) -> MemoryStats:
    """Return memory in Docker's shape; no limit is the machine's memory."""
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limit = raw["limit_bytes"]
    return MemoryStats(
        usage=raw["usage_bytes"],
        max_usage=raw["max_usage_bytes"],
        stats=dict(raw["details"]),
        failcnt=raw["fail_count"],
        limit=min(limit, total) if limit else total,
    )


def describe_block_io(raw: Mapping[str, Any]) -> BlkioStats:
    """Return block I/O in Docker's shape; cgroup v2 has only the first two tables."""

    def entries(name: str) -> tuple[BlkioStatEntry, ...]:
        return tuple(
            BlkioStatEntry(
                major=entry["major"],
                minor=entry["minor"],
                op=entry["operation"].lower(),
                value=entry["value"],
            )
            for entry in raw[name]
        )

    return BlkioStats(
        io_service_bytes_recursive=entries("service_bytes"),
        io_serviced_recursive=entries("serviced"),
        io_queue_recursive=(),
        io_service_time_recursive=(),
        io_wait_time_recursive=(),
        io_merged_recursive=(),
        io_time_recursive=(),
        sectors_recursive=(),
    )


def read_interfaces(core: Core, container: Container) -> dict[str, NetworkStats] | None:
    """Return the counters of the container's interfaces; None when it has none of its own."""
    mode = container.host_config.network_mode
    if mode == "host" or shares(mode):
        return None
    sandbox = find_sandbox(core, container)
    wanted = {endpoint.interface for endpoint in sandbox.endpoints} if sandbox else set()
    interfaces: dict[str, NetworkStats] = {}
    with suppress(OSError), open(f"/proc/{container.state.pid}/net/dev", encoding="ascii") as file:
        for line in file.readlines()[2:]:
            name, _, counters = line.partition(":")
            if name.strip() in wanted:
                interfaces[name.strip()] = _interface([int(n) for n in counters.split()])
    return interfaces or None


def _interface(counters: list[int]) -> NetworkStats:
    received, sent = counters[:4], counters[8:12]
    return NetworkStats(
        rx_bytes=received[0],
        rx_packets=received[1],
        rx_errors=received[2],
        rx_dropped=received[3],
        tx_bytes=sent[0],
        tx_packets=sent[1],
        tx_errors=sent[2],
        tx_dropped=sent[3],
    )
