"""The same bundle through Debian's runc and through us: the same container, seen from inside.

What differs by design is normalised here, and the reason stands beside it.
"""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from support.bundles import FLAGS, Bundle, make_config

pytestmark = pytest.mark.skipif(shutil.which("runc") is None, reason="runc is not installed")

PROBE = r"""
echo "# status"; grep /proc/self/status \
  -E -e '^(Uid|Gid|Groups|Umask|Sig...:|Cap|NoNewPrivs|Seccomp:|Cpus_allowed_list)'
echo "# mounts"; cat /proc/self/mountinfo
echo "# devices"; ls -ln /dev; ls -ln /dev/net 2>/dev/null
echo "# limits"; cat /proc/self/limits
echo "# env"; env | sort
echo "# names"; hostname; cat /proc/sys/kernel/domainname; pwd; umask; [ $$ = 1 ] && echo first
echo "# id"; id
echo "# oom"; cat /proc/self/oom_score_adj
echo "# ns"; for n in cgroup ipc mnt net pid user uts time; do
  [ "$(readlink /proc/self/ns/$n)" = "$(eval echo \$HOST_$n)" ] && echo "$n host" || echo "$n own"
done
echo "# cgroup"; cd /sys/fs/cgroup 2>/dev/null && for f in memory/memory.limit_in_bytes \
  memory/memory.memsw.limit_in_bytes memory/memory.soft_limit_in_bytes memory/memory.swappiness \
  memory/memory.oom_control cpu/cpu.shares cpu/cpu.cfs_quota_us cpu/cpu.cfs_period_us \
  cpuset/cpuset.cpus cpuset/cpuset.mems pids/pids.max devices/devices.list \
  blkio/blkio.throttle.read_bps_device; do echo "$f: $(cat $f 2>/dev/null | tr '\n' ';')"; done
echo "# root"; touch /probe 2>&1; ls -ld / /proc /sys /dev /dev/shm
echo "# sysctl"; cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/msgmax 2>/dev/null
exit 23
"""

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


def sections(output: str) -> dict[str, list[str]]:
    result: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in output.splitlines():
        if line.startswith("# "):
            lines = result.setdefault(line[2:], [])
        else:
            lines.append(line)
    return result


def normal_mount(line: str) -> tuple[str, ...]:
    """Reduce a line of mountinfo to what must agree."""
    left, _, right = line.partition(" - ")
    fields = left.split()
    point, options, optional = fields[4], fields[5], fields[6:]
    fstype, source, superblock = right.split(" ", 2)
    propagation = ",".join(sorted(word.split(":")[0] for word in optional))
    kept = sorted(
        option
        for option in superblock.split(",")
        if not re.match(r"(size|nr_inodes|nr_blocks|mode|inode64|seclabel|rw|ro)", option)
        or option.startswith(("size=64k", "size=1024k"))
    )
    if fstype in ("tmpfs", "devtmpfs") and (
        point.startswith(("/proc/", "/sys/")) or point in MASKS
    ):
        # a mask: of the host's checked /dev/null here, of the container's in runc (CVE-2025-31133),
        # and of an empty tmpfs with one block here
        return (point, "mask")
    return (point, options, propagation, fstype, source if fstype != "ext4" else "", *kept)


def normal_cgroup(line: str) -> Any:
    """Sort device rules; leave out the tun device, which runc 1.1 allowed and 1.2 does not."""
    file, _, values = line.partition(": ")
    return file, sorted(v for v in values.split(";") if v != "c 10:200 rwm")


MASKS = ("/etc/passwd", "/var")


def normalise(name: str, lines: list[str]) -> Any:
    if name == "mounts":
        return sorted(normal_mount(line) for line in lines)
    if name == "devices":
        # the date, and the length of links; runc makes no /dev/core where /proc/kcore is missing
        return sorted(
            re.sub(r"\s+", " ", re.sub(r"\s\w{3}\s+\d+\s+\d\d:\d\d", "", line))
            for line in lines
            if not line.startswith("total") and " core " not in line
        )
    if name == "cgroup":
        return [normal_cgroup(line) for line in lines]
    if name == "root":
        return [re.sub(r"\s\w{3}\s+\d+\s+\d\d:\d\d", "", re.sub(r"\s+\d+ ", " ", x)) for x in lines]
    return lines


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
    here, there = sections(ours.output), sections(theirs)
    assert here.keys() == there.keys()
    for section in here:
        assert normalise(section, here[section]) == normalise(section, there[section]), section
