"""Doing once, before the launcher freezes its memory, what every child would do for the first time.

Reading a config.json compiles its readers, and the interpreter specialises code it has run a few
times: done in the launcher, forked children share the result instead of each making its own.
"""

from cutaway.oci.runtime_spec import Spec
from cutaway.runtime.extensions import Extensions
from cutaway.runtime.facts import HostFacts
from cutaway.runtime.plan import plan

_ROUNDS = 20
_FLAGS = ["nosuid", "noexec", "nodev", "ro"]
_SAMPLE = {
    "ociVersion": "1.0.2",
    "process": {
        "args": ["true"],
        "env": ["PATH=/bin"],
        "cwd": "/",
        "user": {"uid": 0, "gid": 0, "additionalGids": [0]},
        "capabilities": {name: ["CAP_KILL"] for name in ("bounding", "effective", "permitted")},
        "rlimits": [{"type": "RLIMIT_CORE", "soft": 0, "hard": 0}],
    },
    "root": {"path": "rootfs", "readonly": True},
    "hostname": "sample",
    "mounts": [
        {"destination": "/proc", "type": "proc", "source": "proc", "options": _FLAGS},
        {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["mode=755"]},
        {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": _FLAGS},
        {"destination": "/data", "type": "bind", "source": "/", "options": ["rbind", "rprivate"]},
    ],
    "linux": {
        "cgroupsPath": "/sample/sample",
        "namespaces": [{"type": t} for t in ("mount", "network", "uts", "pid", "ipc")],
        "maskedPaths": ["/proc/kcore"],
        "readonlyPaths": ["/proc/sys"],
        "resources": {"devices": [{"allow": False, "access": "rwm"}]},
        "seccomp": {
            "defaultAction": "SCMP_ACT_ERRNO",
            "syscalls": [{"names": ["read"], "action": "SCMP_ACT_ALLOW", "args": []}],
        },
    },
}


def warm_up(facts: HostFacts, rounds: int = _ROUNDS) -> None:
    """Read and plan a sample container a few times; changes nothing on the host."""
    mount = {"fstype": "overlay", "source": "overlay", "options": ["lowerdir=/"]}
    for _ in range(rounds):
        extensions = Extensions.from_json({"version": 1, "mounts": [mount]})
        plan(Spec.from_json(_SAMPLE), facts, id="sample", bundle="/", extensions=extensions)
