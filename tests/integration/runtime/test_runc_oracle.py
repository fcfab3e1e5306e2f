"""The same bundle through Debian's runc and through us: the same container, seen from inside.

What differs by design stands in ``support.inside``, with its reason.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from support.bundles import FLAGS, Bundle, make_config
from support.inside import PROBE, look

pytestmark = pytest.mark.skipif(shutil.which("runc") is None, reason="runc is not installed")

Change = Callable[[dict[str, Any]], None]


def process(**fields: Any) -> Change:
    return lambda config: config["process"].update(fields)


def linux_part(**fields: Any) -> Change:
    return lambda config: config["linux"].update(fields)


def limits(**fields: Any) -> Change:
    return lambda config: config["linux"]["resources"].update(fields)


def mount(destination: str, kind: str, source: str, *options: str) -> Change:
    entry = {"destination": destination, "type": kind, "source": source, "options": list(options)}
    return lambda config: config["mounts"].append(entry)


def top(**fields: Any) -> Change:
    return lambda config: config.update(fields)


def capabilities(*names: str) -> Change:
    sets = {name: list(names) for name in ("bounding", "effective", "permitted")}
    return process(capabilities=sets)


def without_namespace(kind: str) -> Change:
    def change(config: dict[str, Any]) -> None:
        namespaces = config["linux"]["namespaces"]
        config["linux"]["namespaces"] = [n for n in namespaces if n["type"] != kind]
        if kind == "uts":
            del config["hostname"]

    return change


def with_namespace(kind: str) -> Change:
    return lambda config: config["linux"]["namespaces"].append({"type": kind})


def readonly_root(config: dict[str, Any]) -> None:
    config["root"]["readonly"] = True


def all_devices(config: dict[str, Any]) -> None:
    config["linux"]["resources"]["devices"] = [{"allow": True, "access": "rwm"}]


def privileged(config: dict[str, Any]) -> None:
    capabilities("CAP_CHOWN", "CAP_SYS_ADMIN", "CAP_SYS_PTRACE", "CAP_NET_ADMIN", "CAP_MKNOD")(
        config
    )
    all_devices(config)
    config["linux"]["maskedPaths"] = config["linux"]["readonlyPaths"] = []
    for entry in config["mounts"]:
        entry["options"] = [o for o in entry["options"] if o != "ro"]


SECCOMP = {
    "defaultAction": "SCMP_ACT_ALLOW",
    "syscalls": [{"names": ["chroot"], "action": "SCMP_ACT_ERRNO"}],
}
CASES: dict[str, tuple[Change, ...]] = {
    "plain": (),
    "read-only": (readonly_root,),
    "read-only with tmpfs": (readonly_root, mount("/tmp", "tmpfs", "tmpfs", *FLAGS)),
    "tmpfs with size": (mount("/tmp", "tmpfs", "tmpfs", *FLAGS, "size=1m", "mode=700"),),
    "tmpfs ro": (mount("/tmp", "tmpfs", "tmpfs", "ro"),),
    "tmpfs on a missing directory": (mount("/new/dir", "tmpfs", "tmpfs", "nosuid"),),
    "user by number": (process(user={"uid": 1234, "gid": 5678}),),
    "user with groups": (process(user={"uid": 33, "gid": 33, "additionalGids": [4, 50]}),),
    "umask": (process(user={"uid": 0, "gid": 0, "umask": 0o077}),),
    "cwd": (process(cwd="/tmp"),),
    "cwd is made": (process(cwd="/made/by/runtime"),),
    "no capabilities": (capabilities(),),
    "one capability": (capabilities("CAP_NET_RAW"),),
    "inheritable and ambient": (
        process(
            user={"uid": 33, "gid": 33},
            capabilities={
                name: ["CAP_NET_BIND_SERVICE"]
                for name in ("bounding", "effective", "permitted", "inheritable", "ambient")
            },
        ),
    ),
    "no new privileges": (process(noNewPrivileges=True),),
    "seccomp": (linux_part(seccomp=SECCOMP),),
    "seccomp and no new privileges": (
        linux_part(seccomp=SECCOMP),
        process(noNewPrivileges=True),
    ),
    "privileged": (privileged,),
    "rlimits": (
        process(
            rlimits=[
                {"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200},
                {"type": "RLIMIT_CORE", "soft": 0, "hard": 0},
                {"type": "RLIMIT_NPROC", "soft": 500, "hard": 500},
            ]
        ),
    ),
    "oom score": (process(oomScoreAdj=500),),
    "memory": (limits(memory={"limit": 64 << 20}),),
    "memory and swap": (limits(memory={"limit": 64 << 20, "swap": 128 << 20}),),
    "memory, swap unlimited": (limits(memory={"limit": 64 << 20, "swap": -1}),),
    "memory reservation": (limits(memory={"limit": 64 << 20, "reservation": 32 << 20}),),
    "swappiness": (limits(memory={"swappiness": 10}),),
    "no oom killer": (limits(memory={"limit": 64 << 20, "disableOOMKiller": True}),),
    "cpu shares": (limits(cpu={"shares": 512}),),
    "cpu quota": (limits(cpu={"quota": 50000, "period": 100000}),),
    "cpuset": (limits(cpu={"cpus": "1", "mems": "0"}),),
    "pids": (limits(pids={"limit": 50}),),
    "pids unlimited": (limits(pids={"limit": -1}),),
    "all devices": (all_devices,),
    "a device": (
        linux_part(
            devices=[
                {"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229, "fileMode": 0o666},
                {"path": "/dev/net/tun", "type": "c", "major": 10, "minor": 200, "uid": 33},
            ]
        ),
        limits(
            devices=[
                {"allow": False, "access": "rwm"},
                {"allow": True, "type": "c", "major": 10, "minor": 229, "access": "rwm"},
            ]
        ),
    ),
    "bind": (mount("/data", "bind", "/usr/share/misc", "rbind"),),
    "bind read-only": (mount("/data", "bind", "/usr/share/misc", "rbind", "ro", "rprivate"),),
    "bind with flags": (mount("/data", "bind", "/usr/share/misc", "rbind", *FLAGS, "rprivate"),),
    "bind a file": (mount("/etc/hosts", "bind", "/etc/hosts", "rbind", "rprivate"),),
    "bind slave": (mount("/data", "bind", "/usr/share/misc", "rbind", "rslave"),),
    "host network": (without_namespace("network"),),
    "host ipc": (without_namespace("ipc"),),
    "host uts": (without_namespace("uts"),),
    "host pid": (without_namespace("pid"),),
    "private cgroup namespace": (with_namespace("cgroup"),),
    "sysctl": (linux_part(sysctl={"net.ipv4.ip_forward": "1", "kernel.msgmax": "9000"}),),
    "no masks": (linux_part(maskedPaths=[], readonlyPaths=[]),),
    "read-only paths": (linux_part(readonlyPaths=["/etc", "/proc/sys", "/no/such"]),),
    "masked paths": (linux_part(maskedPaths=["/etc/passwd", "/var", "/no/such"]),),
    "home from environment": (process(env=["PATH=/bin", "HOME=/elsewhere", "A=1", "A=2"]),),
    "home of the user": (process(user={"uid": 33, "gid": 33}, env=["PATH=/bin"]),),
    "private root": (linux_part(rootfsPropagation="private"),),
    "slave root": (linux_part(rootfsPropagation="rslave"),),
}


def run_runc(bundle: Bundle, config: dict[str, Any]) -> tuple[int, str]:
    bundle.write(config)
    done = subprocess.run(
        ["runc", "run", "--bundle", str(bundle.path), bundle.id],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    return done.returncode, done.stdout


@pytest.mark.parametrize("name", CASES)
def test_container_is_the_same_as_runcs(bundle: Bundle, name: str) -> None:
    config = make_config("sh", "-c", PROBE)
    for change in CASES[name]:
        change(config)
    config["process"]["env"] = [
        *config["process"]["env"],
        *(f"HOST_{n}={os.readlink(f'/proc/self/ns/{n}')}" for n in os.listdir("/proc/self/ns")),
    ]
    theirs_code, theirs = run_runc(bundle, json.loads(json.dumps(config)))
    probe = bundle.rootfs / "probe"
    if probe.exists():
        probe.unlink()
    ours = bundle.run(config)
    assert ours.error is None, ours.error
    assert (ours.exit_code, theirs_code) == (23, 23), theirs
    assert look(ours.output) == look(theirs)
