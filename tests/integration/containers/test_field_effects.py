"""Fields of a container's creation whose effect takes a test of its own; see ``fields.py``."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cutaway.client import ApiError
from integration.containers.fields import DISK
from support.engine import EngineUnderTest
from support.waiting import eventually

DATA = json.loads((Path(__file__).parents[2] / "data" / "engine_api_1.56.json").read_text())
HEALTH_FIELDS = DATA["definitions"]["HealthConfig"]


@pytest.fixture
def run(engine: EngineUnderTest) -> Callable[..., str]:
    """Start a container of busybox; answer its id."""

    def start(*command: str, **fields: object) -> str:
        body = {"Image": "busybox", "Cmd": command, **fields}
        identifier: str = engine.client.post("/containers/create", body)["Id"]
        engine.client.post(f"/containers/{identifier}/start")
        return identifier

    return start


def test_stdin_once_ends_stdin_with_its_first_client(
    engine: EngineUnderTest, run: Callable[..., str]
) -> None:
    name = run("sh", "-c", "cat; echo ended", OpenStdin=True, StdinOnce=True)
    engine.docker("attach", name, input="one\n")
    assert engine.docker("logs", name).stdout == "one\nended\n"


def nanoseconds(seconds: float) -> int:
    return int(seconds * 1e9)


def test_every_field_of_a_health_check(engine: EngineUnderTest, run: Callable[..., str]) -> None:
    hour, soon = nanoseconds(3600), nanoseconds(0.02)
    checks: dict[str, dict[str, Any]] = {
        "fails": {"Test": ["CMD", "false"], "Interval": soon, "Retries": 3},
        "hangs": {"Test": ["CMD", "sleep", "99"], "Interval": soon, "Timeout": nanoseconds(0.05)},
        "begins": {
            "Test": ["CMD-SHELL", "false"],
            "Interval": hour,
            "StartPeriod": hour,
            "StartInterval": soon,
            "Retries": 1,
        },
    }
    assert {key for check in checks.values() for key in check} == set(HEALTH_FIELDS)
    started = {
        name: run("sleep", "1000", StopSignal="SIGKILL", Healthcheck=check, Shell=["sh", "-xc"])
        for name, check in checks.items()
    }

    def health(name: str) -> Any:
        return engine.client.get(f"/containers/{started[name]}/json")["State"]["Health"]

    eventually(lambda: health("fails")["Status"] == "unhealthy")
    assert health("fails")["FailingStreak"] >= 3
    eventually(lambda: health("hangs")["Log"])
    assert health("hangs")["Log"][0]["Output"] == "Health check exceeded timeout (50ms)"
    eventually(lambda: len(health("begins")["Log"]) >= 3)
    assert health("begins")["Status"] == "starting"
    assert health("begins")["Log"][0]["Output"] == "+ false\n"


def test_a_commit_has_what_was_said_at_creation(
    engine: EngineUnderTest, run: Callable[..., str]
) -> None:
    name = run("true", OnBuild=["RUN echo hi"], Shell=["/bin/ash", "-c"])
    image = engine.client.post("/commit", {}, container=name)["Id"]
    config = engine.client.get(f"/images/{image}/json")["Config"]
    engine.docker("rmi", image)
    assert (config["OnBuild"], config["Shell"]) == (["RUN echo hi"], ["/bin/ash", "-c"])


def test_stop_signal_and_timeout(engine: EngineUnderTest, run: Callable[..., str]) -> None:
    script = "trap 'exit 9' USR1; trap '' TERM; echo up; while :; do sleep 0.05; done"
    for signal, timeout_s, code in (("USR1", 600, 9), ("TERM", 0, 137)):
        name = run("sh", "-c", script, StopSignal=signal, StopTimeout=timeout_s)
        eventually(lambda name=name: engine.docker("logs", name).stdout)
        engine.client.post(f"/containers/{name}/stop")
        assert engine.client.get(f"/containers/{name}/json")["State"]["ExitCode"] == code


def test_log_config(engine: EngineUnderTest, run: Callable[..., str]) -> None:
    name = run("echo", "said", HostConfig={"LogConfig": {"Type": "none"}})
    done = engine.docker("logs", name, check=False)
    assert "configured logging driver does not support reading" in done.stderr
    config = {"Type": "json-file", "Config": {"labels": "a", "tag": "t-{{.ImageName}}"}}
    name = run("echo", "said", Labels={"a": "b"}, HostConfig={"LogConfig": config})
    engine.docker("wait", name)
    assert engine.docker("logs", "--details", name).stdout == "a=b,tag=t-busybox said\n"
    with pytest.raises(ApiError, match="no log driver named 'nosuch' is registered"):
        run("true", HostConfig={"LogConfig": {"Type": "nosuch"}})


def test_restart_policy(engine: EngineUnderTest, run: Callable[..., str]) -> None:
    name = run(
        "false", HostConfig={"RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 2}}
    )
    eventually(lambda: engine.client.get(f"/containers/{name}/json")["RestartCount"] == 2)
    eventually(lambda: engine.client.get(f"/containers/{name}/json")["State"]["Status"] == "exited")


def test_auto_remove(engine: EngineUnderTest, run: Callable[..., str]) -> None:
    run("true", HostConfig={"AutoRemove": True})
    eventually(lambda: not engine.docker("ps", "-aq").stdout)


def test_annotations_reach_the_runtime(engine: EngineUnderTest, run: Callable[..., str]) -> None:
    name = run(
        "sleep", "1000", StopSignal="SIGKILL", HostConfig={"Annotations": {"org.example": "yes"}}
    )
    (config,) = engine.exec_root.glob(f"**/{name}/config.json")
    assert json.loads(config.read_text())["annotations"]["org.example"] == "yes"


def test_realtime_runtime_is_for_the_kernel_to_grant(run: Callable[..., str]) -> None:
    # No real-time was granted to the parent cgroup: the kernel refuses the write.
    with pytest.raises(ApiError, match="the cgroup above it grants no real-time"):
        run("true", HostConfig={"CpuRealtimeRuntime": 1000})


def test_a_weight_for_a_device_without_bfq_is_refused(run: Callable[..., str]) -> None:
    weights = [{"Path": f"/dev/{DISK}", "Weight": 300}]
    with pytest.raises(ApiError, match="its I/O scheduler is not bfq"):
        run("true", HostConfig={"BlkioWeightDevice": weights})


def test_the_gateway_is_the_network_s_with_the_highest_priority(
    engine: EngineUnderTest, run: Callable[..., str]
) -> None:
    for name, subnet in (("less", "10.66.0.0/24"), ("more", "10.67.0.0/24")):
        pool = {"Config": [{"Subnet": subnet}]}
        engine.client.post("/networks/create", {"Name": name, "IPAM": pool})
    endpoints = {"less": {"GwPriority": -1}, "more": {"GwPriority": 3}}
    name = run(
        *("ip", "route", "show", "default"),
        HostConfig={"NetworkMode": "less"},
        NetworkingConfig={"EndpointsConfig": endpoints},
    )
    engine.docker("wait", name)
    assert "via 10.67.0.1 " in engine.docker("logs", name).stdout
    engine.docker("rm", name)
    engine.docker("network", "rm", "less", "more")


# Limit, new value, the file that has it afterwards, what is in it.
UPDATES: dict[str, tuple[object, str, str]] = {
    "CpuShares": (300, "cpu/cpu.shares", "300"),
    "Memory": (48 << 20, "memory/memory.limit_in_bytes", str(48 << 20)),
    "MemorySwap": (60 << 20, "memory/memory.memsw.limit_in_bytes", str(60 << 20)),
    "MemoryReservation": (30 << 20, "memory/memory.soft_limit_in_bytes", str(30 << 20)),
    "CpuPeriod": (50000, "cpu/cpu.cfs_period_us", "50000"),
    "CpuQuota": (20000, "cpu/cpu.cfs_quota_us", "20000"),
    "CpuRealtimePeriod": (900000, "cpu/cpu.rt_period_us", "900000"),
    "CpusetCpus": ("0", "cpuset/cpuset.cpus", "0"),
    "CpusetMems": ("0", "cpuset/cpuset.mems", "0"),
    "BlkioWeight": (300, "blkio/blkio*.weight", "300"),
    "PidsLimit": (0, "pids/pids.max", "max"),
}
ALONE: dict[str, object] = {"NanoCpus": 10**8, "CpuRealtimeRuntime": 1000}
FIXED: dict[str, object] = {
    "CgroupParent": "/x",
    "BlkioWeightDevice": [{"Path": "/dev/x", "Weight": 100}],
    **{
        f"BlkioDevice{kind}": [{"Path": "/dev/x", "Rate": 1}]
        for kind in ("ReadBps", "WriteBps", "ReadIOps", "WriteIOps")
    },
    "Devices": [{"PathOnHost": "/dev/null"}],
    "DeviceCgroupRules": ["c 1:1 r"],
    "DeviceRequests": [{"Driver": "x"}],
    "MemorySwappiness": 0,
    "OomKillDisable": True,
    "Ulimits": [{"Name": "core", "Soft": 0, "Hard": 0}],
    "CpuCount": 1,
    "CpuPercent": 1,
    "IOMaximumIOps": 1,
    "IOMaximumBandwidth": 1,
}


def test_every_limit_is_updated_or_the_update_refused(
    engine: EngineUnderTest, run: Callable[..., str]
) -> None:
    described = set(DATA["definitions"]["Resources"]) - {"Init"}
    assert UPDATES.keys() | ALONE.keys() | FIXED.keys() == described
    name = run("sleep", "1000", StopSignal="SIGKILL", HostConfig={"PidsLimit": 9})
    update = f"/containers/{name}/update"

    def seen(pattern: str) -> str:
        script = f"cat /sys/fs/cgroup/{pattern}"
        return engine.docker("exec", name, "sh", "-c", script).stdout.strip()

    engine.client.post(update, {"NanoCpus": ALONE["NanoCpus"]})
    assert seen("cpu/cpu.cfs_quota_us") == "10000"
    with pytest.raises(ApiError, match="CPU Period or Quota cannot be updated as NanoCPUs is set"):
        engine.client.post(update, {"CpuQuota": 20000})
    with pytest.raises(ApiError, match="grants no real-time"):
        engine.client.post(update, {"CpuRealtimeRuntime": ALONE["CpuRealtimeRuntime"]})
    engine.docker("rm", "-f", name)
    name = run("sleep", "1000", StopSignal="SIGKILL", HostConfig={"PidsLimit": 9})
    update = f"/containers/{name}/update"
    engine.client.post(update, {field: value for field, (value, _, _) in UPDATES.items()})
    files = {field: seen(pattern) for field, (_, pattern, _) in UPDATES.items()}
    assert files == {field: text for field, (_, _, text) in UPDATES.items()}
    for field, value in FIXED.items():
        with pytest.raises(ApiError, match=f"{field} can't be changed by an update"):
            engine.client.post(update, {field: value})
