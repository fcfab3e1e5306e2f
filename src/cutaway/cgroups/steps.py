"""Changes to the host's cgroup trees, as steps."""

import contextlib
import errno
import os
import time
from dataclasses import dataclass
from typing import Any

from cutaway import linux
from cutaway.linux import bpf
from cutaway.steps import Step

_NO_BFQ = "its I/O scheduler is not bfq: see /sys/block/NAME/queue/scheduler"
_HINTS = {
    (errno.EOPNOTSUPP, "blkio.bfq.weight_device"): _NO_BFQ,
    (errno.EOPNOTSUPP, "io.bfq.weight"): _NO_BFQ,
    (errno.EINVAL, "cpu.rt_runtime_us"): "the cgroup above it grants no real-time",
}
_REMOVE_ATTEMPTS = 200
_REMOVE_PAUSE_S = 0.005


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateCgroup(Step[Any]):
    """Make a container's cgroup in one hierarchy.

    Attributes:
        mountpoint: of the hierarchy.
        path: below it, ``/cutaway/<id>``; its parents are made too, and stay when it goes:
            others may be in them (the engine removes those of ``--cgroup-parent``).
        controllers: v1: what the hierarchy has; v2: what the parents must hand down.
        is_v2: of the hierarchy.
    """

    mountpoint: str
    path: str
    controllers: tuple[str, ...] = ()
    is_v2: bool = False

    def describe(self) -> str:
        """Say what is made."""
        return f"make cgroup {self.mountpoint}{self.path}"

    def shell(self) -> str:
        """Return the mkdir command, and what gives a v1 cpuset its parent's processors."""
        lines = [f"mkdir -p {self.mountpoint}{self.path}"]
        if "cpuset" in self.controllers and not self.is_v2:
            parent = self.mountpoint
            for name in self.path.split("/")[1:]:
                for file in ("cpuset.cpus", "cpuset.mems"):
                    lines.append(f"cat {parent}/{file} > {parent}/{name}/{file}")
                parent += f"/{name}"
        return "\n".join(lines)

    def apply(self, scope: Any) -> None:
        """Make the directories that are missing.

        Raises:
            KernelError: ENOSPC (too many cgroups), EROFS (mounted read-only), EACCES.
        """
        try:
            os.mkdir(self.mountpoint + self.path, 0o755)
        except FileNotFoundError:
            self._make_parents()
            os.mkdir(self.mountpoint + self.path, 0o755)
        except FileExistsError:
            _check_unused(self.mountpoint + self.path)
        except OSError as error:
            raise linux.kernel_error(
                error.errno or 0, "mkdir", self.mountpoint + self.path
            ) from None
        if "cpuset" in self.controllers and not self.is_v2:
            _inherit_cpuset(self.mountpoint, self.path)

    def _make_parents(self) -> None:
        directory = self.mountpoint
        for name in self.path.split("/")[1:-1]:
            if self.is_v2:
                hand_down(directory, self.controllers)
            directory += "/" + name
            with contextlib.suppress(FileExistsError):
                os.mkdir(directory, 0o755)
            if "cpuset" in self.controllers and not self.is_v2:
                _inherit_cpuset(self.mountpoint, directory[len(self.mountpoint) :])
        if self.is_v2:
            hand_down(directory, self.controllers)

    def undo(self, scope: Any, result: Any) -> None:
        """Remove the cgroup itself; parents are shared with other containers and stay.

        Raises:
            KernelError: EBUSY (somebody is still in it after a second).
        """
        remove_cgroup(self.mountpoint + self.path)


def hand_down(directory: str, controllers: tuple[str, ...]) -> None:
    """Let the children of a v2 cgroup use ``controllers``; written only when it changes anything.

    A write to ``cgroup.subtree_control`` waits for an RCU grace period, a read does not.
    """
    path = f"{directory}/cgroup.subtree_control"
    with open(path) as file:
        enabled = file.read().split()
    for controller in controllers:
        if controller not in enabled:
            # EBUSY: the cgroup has processes of its own; what needs the controller will say so
            with contextlib.suppress(OSError):
                write_cgroup_file(path, f"+{controller}")


def _inherit_cpuset(mountpoint: str, path: str) -> None:
    """Give a new v1 cpuset its parent's processors and memory nodes: it has none of its own."""
    for name in ("cpuset.cpus", "cpuset.mems"):
        _inherit(mountpoint, path, name)


def _inherit(mountpoint: str, path: str, name: str) -> str:
    """Return what a cpuset has; one that has nothing is given its parent's first.

    The parent may have nothing either: another container has made it a moment ago.
    """
    file_path = f"{mountpoint}{path}/{name}"
    with open(file_path) as file:
        value = file.read().strip()
    if not value and path:
        value = _inherit(mountpoint, path.rpartition("/")[0], name)
        write_cgroup_file(file_path, value)
    return value


def _check_unused(directory: str) -> None:
    """Refuse a cgroup that already has processes: their limits are not ours to set."""
    with open(f"{directory}/cgroup.procs") as file:
        if file.read(1):
            raise linux.kernel_error(
                errno.EBUSY, "mkdir", directory, hint="a cgroup of this name has processes"
            )


def remove_cgroup(directory: str) -> None:
    """Remove a cgroup and those below it; wait a moment for processes that are just ending.

    Raises:
        KernelError: EBUSY: processes are in it and do not go.
    """
    for attempt in range(_REMOVE_ATTEMPTS):
        try:
            os.rmdir(directory)
            return
        except FileNotFoundError:
            return
        except OSError as error:
            if error.errno != errno.EBUSY or attempt == _REMOVE_ATTEMPTS - 1:
                raise linux.kernel_error(error.errno or 0, "rmdir", directory) from None
        if attempt == 0:
            _remove_children(directory)
        else:
            time.sleep(_REMOVE_PAUSE_S)


def _remove_children(directory: str) -> None:
    with os.scandir(directory) as entries:
        children = [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
    for child in children:
        remove_cgroup(child)


def write_cgroup_file(path: str, value: str) -> None:
    """Write one value in one write(2), as cgroup files want it.

    Raises:
        KernelError: reads ``write("/sys/…/memory.limit_in_bytes", "1024"): …``.
    """
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    except OSError as error:
        raise linux.kernel_error(error.errno or 0, "open", path) from None
    try:
        os.write(fd, value.encode())
    except OSError as error:
        hint = _HINTS.get((error.errno or 0, os.path.basename(path)), "")
        raise linux.kernel_error(error.errno or 0, "write", path, value, hint=hint) from None
    finally:
        os.close(fd)


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteCgroupFile(Step[Any]):
    """Set one limit.

    Attributes:
        directory: the cgroup on the host.
        files: the file's name; the first that exists is written.
        value: the text written.
    """

    directory: str
    files: tuple[str, ...]
    value: str

    def describe(self) -> str:
        """Say file and value."""
        return f"write {self.value!r} to {self.directory}/{self.files[0]}"

    def shell(self) -> str:
        """Return the echo command."""
        return f"echo '{self.value}' > {self.directory}/{self.files[0]}"

    def apply(self, scope: Any) -> None:
        """Write the value.

        Raises:
            KernelError: EINVAL (out of the kernel's range), ENOENT (this kernel does not have
                the file), EBUSY (memory in use is above the new limit), EPERM.
        """
        for name in self.files[:-1]:
            path = f"{self.directory}/{name}"
            if os.path.exists(path):
                write_cgroup_file(path, self.value)
                return
        write_cgroup_file(f"{self.directory}/{self.files[-1]}", self.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class AttachDeviceProgram(Step[Any]):
    """Let an eBPF program decide which devices a v2 cgroup may use.

    Attributes:
        directory: the cgroup on the host.
        program_hex: the instructions; kept as text so that the step is a plain value.
        rules: the same as people read it.
    """

    directory: str
    program_hex: str
    rules: tuple[str, ...]

    def describe(self) -> str:
        """Say how many rules are enforced."""
        return f"attach a device program of {len(self.rules)} rules to {self.directory}"

    def shell(self) -> str:
        """Return a comment: no command does it."""
        return (
            f"# bpf(BPF_PROG_LOAD, BPF_PROG_TYPE_CGROUP_DEVICE), BPF_PROG_ATTACH {self.directory}"
        )

    def apply(self, scope: Any) -> None:
        """Load and attach the program; it lives as long as the cgroup.

        Raises:
            KernelError: EPERM (no CAP_BPF), EINVAL (no cgroup BPF in this kernel).
        """
        program = bpf.bpf_prog_load_cgroup_device(bytes.fromhex(self.program_hex))
        try:
            cgroup = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                bpf.bpf_prog_attach(cgroup, program)
            finally:
                os.close(cgroup)
        finally:
            os.close(program)
