"""Bundles of a busybox root, run through the built-in runtime by a forked stand-in for the shim."""

import json
import os
import pickle
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cutaway import linux
from cutaway.runtime import Container, Extensions, Stdio, probe_host_facts

FLAGS = ["nosuid", "noexec", "nodev"]
CAPABILITIES = [
    "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW",
    "CAP_SETGID", "CAP_SETUID", "CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE",
    "CAP_SYS_CHROOT", "CAP_KILL", "CAP_AUDIT_WRITE",
]  # fmt: skip
MASKED = [
    "/proc/asound", "/proc/acpi", "/proc/interrupts", "/proc/kcore", "/proc/keys",
    "/proc/latency_stats", "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug",
    "/proc/scsi", "/sys/firmware",
]  # fmt: skip
READONLY = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]


def mounts() -> list[dict[str, Any]]:
    """Return the mounts that dockerd writes."""
    return [
        {"destination": "/proc", "type": "proc", "source": "proc", "options": FLAGS},
        {"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
         "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
        {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
         "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]},
        {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": [*FLAGS, "ro"]},
        {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
         "options": ["ro", *FLAGS]},
        {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": FLAGS},
        {"destination": "/dev/shm", "type": "tmpfs", "source": "shm",
         "options": [*FLAGS, "mode=1777", "size=67108864"]},
    ]  # fmt: skip


def make_config(*args: str, **changes: Any) -> dict[str, Any]:
    """Return a config.json like dockerd's; ``changes`` go into process, linux or the top."""
    sets = ("bounding", "effective", "permitted")
    config: dict[str, Any] = {
        "ociVersion": "1.0.2",
        "process": {
            "user": {"uid": 0, "gid": 0},
            "args": list(args) or ["true"],
            "env": ["PATH=/usr/local/bin:/usr/bin:/bin"],
            "cwd": "/",
            "capabilities": {name: list(CAPABILITIES) for name in sets},
        },
        "root": {"path": "rootfs"},
        "hostname": "box",
        "mounts": mounts(),
        "linux": {
            "namespaces": [{"type": t} for t in ("mount", "network", "uts", "pid", "ipc")],
            "maskedPaths": list(MASKED),
            "readonlyPaths": list(READONLY),
            "resources": {"devices": [{"allow": False, "access": "rwm"}]},
        },
    }
    for key, value in changes.items():
        for part in ("process", "linux"):
            if key.startswith(part + "_"):
                config[part][key.removeprefix(part + "_")] = value
                break
        else:
            config[key] = value
    return config


@dataclass
class Result:
    """How a container ended, and what it said."""

    exit_code: int | None = None
    signal: int | None = None
    output: str = ""
    error: BaseException | None = None
    records: list[Any] = field(default_factory=list)
    failures: list[Exception] = field(default_factory=list)
    more: Any = None


class Bundle:
    """A directory with config.json and a root file system of busybox."""

    def __init__(self, path: Path, container_id: str) -> None:
        self.path = path
        self.id = container_id
        self.rootfs = path / "rootfs"
        self.cgroups_path = f"/cutaway-test/{container_id}"

    def write(self, config: dict[str, Any]) -> None:
        config["linux"].setdefault("cgroupsPath", self.cgroups_path)
        (self.path / "config.json").write_text(json.dumps(config))

    def run(
        self,
        config: dict[str, Any],
        *,
        extensions: Extensions | None = None,
        during: Callable[[Container], Any] | None = None,
        terminal: bool = False,
        before: Callable[[], None] | None = None,
    ) -> Result:
        """Run a container to its end in a forked process, as a shim would.

        ``during`` is called in that process while the program runs; what it returns is ``more``.
        """
        self.write(config)
        output = os.memfd_create("output")
        reader, writer = os.pipe()
        pid = linux.fork()
        if pid == 0:
            try:
                os.close(reader)
                result = self._run_here(config, output, extensions, during, terminal, before)
                try:
                    data = pickle.dumps(result)
                except Exception:
                    result.error = RuntimeError(f"{type(result.error).__name__}: {result.error}")
                    data = pickle.dumps(result)
                with os.fdopen(writer, "wb") as file:
                    file.write(data)
            except BaseException:
                traceback.print_exc()
                sys.stderr.flush()
            finally:
                os._exit(0)
        os.close(writer)
        with os.fdopen(reader, "rb") as file:
            data = file.read()
        os.waitpid(pid, 0)
        result = pickle.loads(data)
        if not terminal:
            os.lseek(output, 0, os.SEEK_SET)
            with os.fdopen(output, "rb") as file:
                result.output = file.read().decode(errors="replace")
        return result

    def _run_here(
        self,
        config: dict[str, Any],
        output: int,
        extensions: Extensions | None,
        during: Callable[[Container], Any] | None,
        terminal: bool,
        before: Callable[[], None] | None,
    ) -> Result:
        if before is not None:
            before()
        result = Result()
        null = os.open("/dev/null", os.O_RDWR)
        stdio = Stdio.terminal(24, 80) if terminal else Stdio(null, output, output)
        container = None
        try:
            if extensions is not None:
                (self.path / "rootfs.json").write_text(json.dumps(extensions.to_json()))
            facts = probe_host_facts()
            container = Container.create(self.id, str(self.path), stdio=stdio, facts=facts)
            container.start()
        except Exception as error:
            error.__cause__ = error.__context__ = None
            error.__traceback__ = None
            result.error = error
            if container is not None:
                result.records = container.records()
                container.close()
            return result
        if during is not None:
            result.more = during(container)
        if terminal:
            result.output = read_all(container.console_fd)
        result.exit_code, result.signal = linux.waitid_pidfd(container.pidfd)
        container.mark_stopped()
        result.records = container.records()
        result.failures = container.delete()
        container.close()
        return result


def read_all(fd: int) -> str:
    """Read a pty's master until its slaves are closed."""
    data = b""
    try:
        while chunk := os.read(fd, 65536):
            data += chunk
    except OSError:
        pass
    return data.decode(errors="replace")
