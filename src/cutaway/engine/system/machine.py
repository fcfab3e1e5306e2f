"""Look at this machine once, at start: what decisions need to know about it."""

import os
import platform
import socket

from cutaway import linux
from cutaway.engine.spec.intent import Machine
from cutaway.engine.spec.namespaces import DEFAULT_NETWORK_SYSCTLS
from cutaway.files import read_json
from cutaway.linux.abi import CAP

_CGROUP_ROOT = "/sys/fs/cgroup"


def probe_machine() -> Machine:
    """Read /proc, /sys and the engine's own capabilities."""
    return Machine(
        hostname=socket.gethostname(),
        unified_cgroups=os.path.exists(f"{_CGROUP_ROOT}/cgroup.controllers"),
        cpu_count=os.cpu_count() or 1,
        cpus=_read("/sys/devices/system/cpu/online", "0"),
        memory_nodes=_read("/sys/devices/system/node/online", "0"),
        sysctls=frozenset(
            name
            for name in DEFAULT_NETWORK_SYSCTLS
            if os.path.exists("/proc/sys/" + name.replace(".", "/"))
        ),
        all_capabilities=_grantable(),
    )


def _read(path: str, default: str) -> str:
    try:
        with open(path, encoding="ascii") as file:
            return file.read().strip() or default
    except OSError:
        return default


def _grantable() -> tuple[str, ...]:
    permitted = linux.capget().permitted & linux.read_bounding_set()
    return tuple(f"CAP_{cap.name}" for cap in CAP if permitted >> cap & 1)


def architecture() -> str:
    """Return this machine's processor in Go's words."""
    names = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}
    machine = platform.machine()
    return names.get(machine, machine)


def read_engine_id(path: str) -> str | None:
    """Return the engine's own id, or None when it has none yet."""
    try:
        return str(read_json(path)["id"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
