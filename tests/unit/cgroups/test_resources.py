"""From linux.resources to what is written where, for each kind of machine."""

from typing import Any

import pytest

from cutaway import errors
from cutaway.cgroups import CgroupLayout, plan_resources
from cutaway.cgroups.devices import format_v1_rule, plan_device_rules
from cutaway.cgroups.resources import device_rules_v2
from cutaway.cgroups.v2 import convert_block_io_weight, convert_shares, convert_swap
from cutaway.errors import InvalidParameter
from cutaway.oci.runtime_spec import DeviceRule, Resources
from support.facts import CPU, HYBRID, LEGACY, NAMED, UNIFIED

MEMORY = {
    "memory": {
        "limit": 64, "swap": 128, "reservation": 32, "swappiness": 10, "disableOOMKiller": True,
        "kernel": 5, "kernelTCP": 6,
    }
}  # fmt: skip
PROCESSOR = {
    "cpu": {
        "shares": 512, "quota": 50000, "period": 100000, "burst": 10, "cpus": "0-1", "mems": "0",
        "realtimePeriod": 7, "realtimeRuntime": 8, "idle": 1,
    }
}  # fmt: skip
BLOCK = {
    "blockIO": {
        "weight": 500,
        "leafWeight": 10,
        "weightDevice": [{"major": 8, "minor": 0, "weight": 10, "leafWeight": 20}],
        "throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 1}],
        "throttleWriteBpsDevice": [{"major": 8, "minor": 0, "rate": 2}],
        "throttleReadIOPSDevice": [{"major": 8, "minor": 0, "rate": 3}],
        "throttleWriteIOPSDevice": [{"major": 8, "minor": 0, "rate": 0}],
    }
}


def written(document: dict[str, Any], layout: CgroupLayout, **options: Any) -> dict[str, str]:
    plan = plan_resources(Resources.from_json(document), layout, with_devices=False, **options)
    return {setting.files[-1]: setting.value for setting in plan.settings}


def test_v1_memory() -> None:
    assert written(MEMORY, HYBRID) == {
        "memory.limit_in_bytes": "64",
        "memory.memsw.limit_in_bytes": "128",
        "memory.soft_limit_in_bytes": "32",
        "memory.kmem.tcp.limit_in_bytes": "6",
        "memory.oom_control": "1",
        "memory.swappiness": "10",
    }
    plan = plan_resources(Resources.from_json(MEMORY), HYBRID)
    assert plan.warnings == (
        "linux.resources.memory.kernel is ignored: kernel memory is part of memory.limit since "
        "Linux 5.4",
    )


@pytest.mark.parametrize(
    ("limit", "current", "first"),
    [
        (64, None, "memory.limit_in_bytes"),
        (64, 128, "memory.limit_in_bytes"),
        (64, 32, "memory.memsw.limit_in_bytes"),
        (-1, 32, "memory.memsw.limit_in_bytes"),
    ],
)
def test_v1_raises_the_sum_before_the_memory(limit: int, current: int | None, first: str) -> None:
    document = {"memory": {"limit": limit, "swap": 128 if limit > 0 else None}}
    assert next(iter(written(document, HYBRID, current_memory_bytes=current))) == first


def test_v1_processor() -> None:
    assert written(PROCESSOR, LEGACY) == {
        "cpu.shares": "512",
        "cpu.cfs_period_us": "100000",
        "cpu.cfs_quota_us": "50000",
        "cpu.cfs_burst_us": "10",
        "cpu.rt_period_us": "7",
        "cpu.rt_runtime_us": "8",
        "cpu.idle": "1",
        "cpuset.cpus": "0-1",
        "cpuset.mems": "0",
    }


def test_v1_block_io() -> None:
    assert written(BLOCK, HYBRID) == {
        "blkio.weight": "500",
        "blkio.leaf_weight": "10",
        "blkio.weight_device": "8:0 10",
        "blkio.leaf_weight_device": "8:0 20",
        "blkio.throttle.read_bps_device": "8:0 1",
        "blkio.throttle.write_bps_device": "8:0 2",
        "blkio.throttle.read_iops_device": "8:0 3",
        "blkio.throttle.write_iops_device": "8:0 0",
    }


@pytest.mark.parametrize(("limit", "expected"), [(50, "50"), (-1, "max")])
def test_pids(limit: int, expected: str) -> None:
    for layout in (HYBRID, UNIFIED):
        assert written({"pids": {"limit": limit}}, layout) == {"pids.max": expected}
        assert written({"pids": {"limit": 0}}, layout) == {}


def test_v2_memory_processor_block_io() -> None:
    assert written(MEMORY | PROCESSOR | BLOCK, UNIFIED) == {
        "memory.max": "64",
        "memory.swap.max": "64",
        "memory.low": "32",
        "cpu.idle": "1",
        "cpu.weight": "20",
        "cpu.max": "50000 100000",
        "cpu.max.burst": "10",
        "cpuset.cpus": "0-1",
        "cpuset.mems": "0",
        "io.weight": "8:0 1",
        "io.max": "8:0 wiops=max",
    }
    plan = plan_resources(Resources.from_json(MEMORY | PROCESSOR | BLOCK), UNIFIED)
    assert len(plan.warnings) == 6


def test_v2_takes_unified_files_as_they_are() -> None:
    assert written({"unified": {"memory.high": "1G"}}, UNIFIED) == {"memory.high": "1G"}
    for bad in ("../x", "memory", "cgroup.procs"):
        with pytest.raises(InvalidParameter, match="is not the name of a controller's file"):
            written({"unified": {bad: "1"}}, UNIFIED)
    with pytest.raises(InvalidParameter, match="cgroup v2 only"):
        written({"unified": {"memory.high": "1G"}}, HYBRID)


def test_hugepages_network_rdma() -> None:
    huge = {"hugepageLimits": [{"pageSize": "2MB", "limit": 4}]}
    assert written(huge, UNIFIED) == written(huge, HYBRID) == {"hugetlb.2MB.max": "4"}
    network = {"network": {"classID": 1, "priorities": [{"name": "eth0", "priority": 2}]}}
    assert written(network, UNIFIED) == {}
    with pytest.raises(errors.NotImplemented, match="'net_cls', which this machine does not"):
        written(network, HYBRID)
    rdma = {"rdma": {"mlx5": {"hcaHandles": 3, "hcaObjects": 4}}}
    assert written(rdma, UNIFIED) == {"rdma.max": "mlx5 hca_handle=3 hca_object=4"}


@pytest.mark.parametrize(
    ("document", "layout", "text"),
    [
        ({"memory": {"limit": 64, "swap": 32}}, HYBRID, "can't be less than memory.limit"),
        ({"memory": {"limit": 64, "swap": 32}}, UNIFIED, "can't be less than memory.limit"),
        ({"memory": {"swap": 32}}, UNIFIED, "needs memory.limit"),
        ({"memory": {"swappiness": 101}}, HYBRID, "expected 0 to 100"),
        ({"cpu": {"shares": 1}}, HYBRID, "at least 2"),
        ({"cpu": {"shares": 262145}}, UNIFIED, "at most 262144"),
    ],
)
def test_contradictions_are_refused(document: Any, layout: CgroupLayout, text: str) -> None:
    with pytest.raises(InvalidParameter, match=text):
        written(document, layout)


def test_swap_without_accounting_is_refused() -> None:
    layout = CgroupLayout(HYBRID.mode, HYBRID.hierarchies, has_swap_accounting=False)
    with pytest.raises(errors.NotImplemented, match="swapaccount=1"):
        written({"memory": {"limit": 1, "swap": 2}}, layout)


def test_conversions() -> None:
    assert [convert_shares(n) for n in (2, 1024, 262144)] == [1, 39, 10000]
    assert [convert_block_io_weight(n) for n in (10, 1000)] == [1, 10000]
    assert convert_swap(-1, None) == "max"


def test_device_rules_start_from_nothing_and_end_with_the_defaults() -> None:
    rules = plan_device_rules((DeviceRule(allow=True, type="c", major=10, minor=229, access="rw"),))
    lines = [f"{'allow' if r.allow else 'deny'} {format_v1_rule(r)}" for r in rules]
    assert lines[:3] == ["deny a", "allow c 10:229 rw", "allow c *:* m"]
    assert lines[-1] == "allow c 136:* rwm"


def test_device_rules_before_the_last_about_all_have_no_effect() -> None:
    fuse = DeviceRule(allow=True, type="c", major=10, minor=229, access="rwm")
    everything = DeviceRule(allow=True, access="rwm")
    assert plan_device_rules((fuse, everything)) == (everything,)
    assert plan_device_rules((everything, fuse))[:2] == (everything, fuse)
    assert device_rules_v2(Resources(devices=(everything,)), HYBRID) == ()
    assert device_rules_v2(Resources(devices=(everything,)), UNIFIED) == (everything,)


def test_devices_without_their_controller_are_refused() -> None:
    layout = CgroupLayout(HYBRID.mode, (CPU, NAMED))
    with pytest.raises(errors.NotImplemented, match="devices"):
        plan_resources(Resources(), layout)
