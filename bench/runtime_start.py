"""How long the runtime alone takes from config.json to a running program, step by step.

A stand-in for the launcher imports everything, freezes its memory and forks a stand-in for the
shim for every container, as in real life; the shim measures. No engine, no network, no client.

Usage: python bench/runtime_start.py [--runs N] [--runc] [--steps] [--ahead]
"""

import argparse
import gc
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "src"))

from cutaway import linux
from cutaway.runtime import (
    Container,
    HostFacts,
    Maker,
    SeccompCache,
    Stdio,
    probe_host_facts,
    warm_up,
)
from cutaway.security.capabilities import DEFAULT_CAPABILITIES
from cutaway.security.paths import MASKED_PATHS, READONLY_PATHS
from cutaway.security.seccomp import default_profile, resolve_profile

_FLAGS = ["nosuid", "noexec", "nodev"]


def make_root(path: str) -> None:
    """Fill a directory with busybox."""
    for name in ("bin", "dev", "proc", "sys", "tmp", "etc"):
        os.makedirs(f"{path}/{name}")
    shutil.copy("/bin/busybox", f"{path}/bin/busybox")
    os.symlink("busybox", f"{path}/bin/true")


def make_config(container_id: str) -> dict:
    """Return what the engine would write for ``docker run IMAGE true``."""
    seccomp = resolve_profile(default_profile(), DEFAULT_CAPABILITIES)
    sets = ("bounding", "effective", "permitted")
    mounts = [
        ("/proc", "proc", "proc", _FLAGS),
        ("/dev", "tmpfs", "tmpfs", ["nosuid", "strictatime", "mode=755", "size=65536k"]),
        (
            "/dev/pts",
            "devpts",
            "devpts",
            ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
        ),
        ("/sys", "sysfs", "sysfs", [*_FLAGS, "ro"]),
        ("/sys/fs/cgroup", "cgroup", "cgroup", ["ro", *_FLAGS]),
        ("/dev/mqueue", "mqueue", "mqueue", _FLAGS),
        ("/dev/shm", "tmpfs", "shm", [*_FLAGS, "mode=1777", "size=67108864"]),  # noqa: S108
    ]
    return {
        "ociVersion": "1.0.2",
        "process": {
            "user": {"uid": 0, "gid": 0},
            "args": ["true"],
            "env": ["PATH=/usr/local/bin:/usr/bin:/bin", "HOSTNAME=bench"],
            "cwd": "/",
            "capabilities": {name: list(DEFAULT_CAPABILITIES) for name in sets},
        },
        "root": {"path": "rootfs"},
        "hostname": "bench",
        "mounts": [
            {"destination": d, "type": t, "source": s, "options": o} for d, t, s, o in mounts
        ],
        "linux": {
            "cgroupsPath": f"/cutaway-bench/{container_id}",
            "namespaces": [{"type": t} for t in ("mount", "network", "uts", "pid", "ipc")],
            "maskedPaths": list(MASKED_PATHS),
            "readonlyPaths": list(READONLY_PATHS),
            "seccomp": seccomp.to_json(),
            "sysctl": {"net.ipv4.ip_unprivileged_port_start": "0"},
            "resources": {"devices": [{"allow": False, "access": "rwm"}]},
        },
    }


def run_once(bundle: str, facts: HostFacts, cache: SeccompCache, number: int, ahead: bool) -> dict:
    """Run one container as a shim would, and return the times in microseconds."""
    maker = None
    if ahead:
        maker = Maker.fork(facts, cache)
        time.sleep(0.02)
    null = os.open("/dev/null", os.O_RDWR)
    began = time.monotonic_ns()
    container = Container.create(
        f"bench{number}",
        bundle,
        stdio=Stdio(null, null, null),
        facts=facts,
        seccomp=cache,
        maker=maker,
    )
    made = time.monotonic_ns()
    container.wait_created()
    prepared = time.monotonic_ns()
    container.start()
    running = time.monotonic_ns()
    linux.waitid_pidfd(container.pidfd)
    exited = time.monotonic_ns()
    container.mark_stopped()
    failures = container.delete()
    if failures:
        raise ExceptionGroup("clean-up", failures)
    deleted = time.monotonic_ns()
    records = [(r.actor, r.what, r.started_ns - began, r.duration_ns) for r in container.records()]
    container.close()
    names = ("made", "prepared", "started", "exited", "deleted")
    moments = (began, made, prepared, running, exited, deleted)
    times = {n: (b - a) / 1000 for n, a, b in zip(names, moments, moments[1:], strict=False)}
    times["create..exec"] = (running - began) / 1000
    times["private KiB"] = private_kib()
    return {"times": times, "records": records}


def private_kib() -> int:
    """Return the memory that this process shares with nobody, in KiB."""
    with open("/proc/self/smaps_rollup") as file:
        lines = [line.split() for line in file]
    return sum(int(words[1]) for words in lines if words[0].startswith("Private_"))


def fork_and_run(*arguments: object) -> dict:
    """Fork a shim that runs one container, and return what it measured."""
    reader, writer = os.pipe()
    forked = time.monotonic_ns()
    pid = linux.fork()
    if pid == 0:
        try:
            result = run_once(*arguments)
            with os.fdopen(writer, "w") as file:
                json.dump(result, file)
        except BaseException as error:
            print(repr(error), getattr(error, "__notes__", ""), error, file=sys.stderr)
        finally:
            os._exit(0)
    os.close(writer)
    returned = time.monotonic_ns()
    with os.fdopen(reader) as file:
        result = json.load(file)
    os.waitpid(pid, 0)
    result["times"]["fork"] = (returned - forked) / 1000
    return result


def measure_runc(bundle: str, runs: int) -> list[float]:
    """Return the times of ``runc run`` on the same root, in milliseconds."""
    config = make_config("runc")
    config["root"]["path"] = f"{bundle}/lower"
    directory = f"{bundle}/for-runc"
    os.makedirs(directory)
    with open(f"{directory}/config.json", "w") as file:
        json.dump(config, file)
    times = []
    for _ in range(runs):
        started = time.monotonic_ns()
        subprocess.run(["runc", "run", "-b", directory, "bench-runc"], check=True)
        times.append((time.monotonic_ns() - started) / 1e6)
    return times


def print_steps(runs: list[dict]) -> None:
    """Print each step's median start and duration."""
    print(f"{'begins µs':>10} {'takes µs':>9}  step")
    for index, (actor, what, _, _) in enumerate(runs[0]["records"]):
        begins = statistics.median(run["records"][index][2] for run in runs) / 1000
        takes = statistics.median(run["records"][index][3] for run in runs) / 1000
        print(f"{begins:10.0f} {takes:9.0f}  {actor} {what[:90]}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--runc", action="store_true", help="also measure runc")
    parser.add_argument("--steps", action="store_true", help="print the time of each step")
    parser.add_argument("--ahead", action="store_true", help="the maker waits already")
    options = parser.parse_args()
    bundle = tempfile.mkdtemp(prefix="cutaway-bench-")
    try:
        make_root(f"{bundle}/lower")
        for name in ("upper", "work"):
            os.makedirs(f"{bundle}/{name}")
        layers = (
            f"lowerdir={bundle}/lower",
            f"upperdir={bundle}/upper",
            f"workdir={bundle}/work",
            "index=off",
        )
        mount = {"fstype": "overlay", "source": "overlay", "options": layers}
        with open(f"{bundle}/rootfs.json", "w") as file:
            json.dump({"version": 1, "mounts": [mount]}, file)
        with open(f"{bundle}/config.json", "w") as file:
            json.dump(make_config("c"), file)
        facts = probe_host_facts()
        cache = SeccompCache(f"{bundle}/seccomp")
        linux.find_process_title()
        fork_and_run(bundle, facts, cache, 0, False)
        cache.refresh()
        warm_up(facts)
        gc.collect()
        gc.freeze()
        runs = [fork_and_run(bundle, facts, cache, n, options.ahead) for n in range(options.runs)]
        print(f"load {os.getloadavg()[0]:.2f}, {options.runs} runs, µs")
        print(f"{'':14} {'min':>7} {'median':>7}")
        for name in runs[0]["times"]:
            values = [run["times"][name] for run in runs]
            print(f"{name:14} {min(values):7.0f} {statistics.median(values):7.0f}")
        if options.steps:
            print_steps(runs)
        if options.runc:
            times = measure_runc(bundle, options.runs)
            print(f"runc run: min {min(times):.1f} ms, median {statistics.median(times):.1f} ms")
    finally:
        shutil.rmtree(bundle)


if __name__ == "__main__":
    main()
