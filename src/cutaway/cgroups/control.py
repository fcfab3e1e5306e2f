"""What is done to a living cgroup: freeze it, kill it, list it, count its OOM kills."""

import contextlib
import errno
import os
import signal
import time
from dataclasses import dataclass

from cutaway import errors, linux
from cutaway.cgroups.layout import CgroupLayout, CgroupMode, cgroup_directory
from cutaway.cgroups.steps import write_cgroup_file

_FREEZE_TIMEOUT_S = 2.0
_KILL_TIMEOUT_S = 5.0
_PAUSE_S = 0.001


@dataclass(frozen=True, slots=True)
class ContainerCgroup:
    """A container's cgroup in all hierarchies.

    Attributes:
        layout: the machine's.
        path: absolute below each mount point: ``/cutaway/<id>``.
    """

    layout: CgroupLayout
    path: str

    def directory(self, controller: str) -> str | None:
        """Return the host directory in which ``controller`` is read, or None without it."""
        hierarchy = self.layout.find(controller)
        return None if hierarchy is None else cgroup_directory(hierarchy, self.path)

    def members_directory(self) -> str:
        """Return one directory that lists all member processes."""
        hierarchy = self.layout.hierarchies[0]
        if self.layout.mode is not CgroupMode.UNIFIED:
            hierarchy = self.layout.find("devices") or self.layout.find("pids") or hierarchy
        return cgroup_directory(hierarchy, self.path)

    def v2_directory(self) -> str | None:
        """Return the directory in the v2 hierarchy, if there is one."""
        v2 = self.layout.v2
        return None if v2 is None else cgroup_directory(v2, self.path)


def list_pids(cgroup: ContainerCgroup) -> list[int]:
    """Return the ids of all processes in the cgroup and below it; empty when it is gone."""
    pids: list[int] = []
    stack = [cgroup.members_directory()]
    while stack:
        directory = stack.pop()
        try:
            with open(f"{directory}/cgroup.procs") as file:
                pids += map(int, file.read().split())
            with os.scandir(directory) as entries:
                stack += [e.path for e in entries if e.is_dir(follow_symlinks=False)]
        except FileNotFoundError:
            continue
        except OSError as error:
            if error.errno not in (errno.ENODEV, errno.EOPNOTSUPP):
                raise
    return pids


def freeze(cgroup: ContainerCgroup) -> None:
    """Stop every process of the cgroup where it is, and return when all stand still.

    Raises:
        NotImplemented: neither the v1 freezer nor cgroup v2 is there.
        KernelError: EBUSY (some process did not stop within two seconds); it is thawed again.
    """
    path, frozen, thawed = _freezer(cgroup)
    write_cgroup_file(path, frozen)
    deadline = time.monotonic() + _FREEZE_TIMEOUT_S
    while not is_frozen(cgroup):
        if time.monotonic() > deadline:
            write_cgroup_file(path, thawed)
            raise linux.kernel_error(
                errno.EBUSY, "write", path, frozen, hint="a process can't be stopped just now"
            )
        time.sleep(_PAUSE_S)
        if frozen == "FROZEN":
            write_cgroup_file(path, frozen)  # v1 misses processes that were forking: ask again


def thaw(cgroup: ContainerCgroup) -> None:
    """Let a frozen cgroup go on; harmless when it was not frozen."""
    path, _, thawed = _freezer(cgroup)
    write_cgroup_file(path, thawed)


def is_frozen(cgroup: ContainerCgroup) -> bool:
    """Whether every process of the cgroup stands still."""
    directory = cgroup.directory("freezer")
    if directory is not None:
        with open(f"{directory}/freezer.state") as file:
            return file.read().strip() == "FROZEN"
    directory = cgroup.v2_directory()
    if directory is None:
        return False
    return read_flat_keys(f"{directory}/cgroup.events").get("frozen") == 1


def _freezer(cgroup: ContainerCgroup) -> tuple[str, str, str]:
    directory = cgroup.directory("freezer")
    if directory is not None:
        return f"{directory}/freezer.state", "FROZEN", "THAWED"
    directory = cgroup.v2_directory()
    if directory is None:
        raise errors.NotImplemented(
            "pausing needs the cgroup freezer, which this machine does not offer"
        )
    return f"{directory}/cgroup.freeze", "1", "0"


def kill_all(cgroup: ContainerCgroup) -> None:
    """SIGKILL every process of the cgroup, and those they fork meanwhile; return when it is empty.

    Raises:
        KernelError: EBUSY (a process stays, in the middle of a system call of the kernel's).
    """
    deadline = time.monotonic() + _KILL_TIMEOUT_S
    while list_pids(cgroup):
        _kill_once(cgroup)
        if time.monotonic() > deadline:
            raise linux.kernel_error(
                errno.EBUSY, "kill", cgroup.path, hint="a process does not end on SIGKILL"
            )
        time.sleep(_PAUSE_S)


def _kill_once(cgroup: ContainerCgroup) -> None:
    v2 = cgroup.v2_directory()
    if v2 is not None and os.path.exists(f"{v2}/cgroup.kill"):
        # one write, no race with forks; in hybrid mode members may be missing from v2's tree
        write_cgroup_file(f"{v2}/cgroup.kill", "1")
        if cgroup.layout.mode is CgroupMode.UNIFIED:
            return
    for pid in list_pids(cgroup):
        _kill_member(cgroup, pid)
    if cgroup.directory("freezer") is not None:
        with contextlib.suppress(OSError):  # a frozen process does not see SIGKILL before thaw
            thaw(cgroup)


def _kill_member(cgroup: ContainerCgroup, pid: int) -> None:
    """Kill one process, held by pidfd and looked at again, so that a reused number is not hit."""
    try:
        pidfd = linux.pidfd_open(pid)
    except linux.KernelError:
        return
    try:
        if pid in list_pids(cgroup):
            with contextlib.suppress(linux.KernelError):
                linux.pidfd_send_signal(pidfd, signal.SIGKILL)
    finally:
        os.close(pidfd)


def signal_all(cgroup: ContainerCgroup, sig: int) -> None:
    """Send a signal to every process that is in the cgroup now."""
    for pid in list_pids(cgroup):
        with contextlib.suppress(linux.KernelError):
            pidfd = linux.pidfd_open(pid)
            try:
                linux.pidfd_send_signal(pidfd, sig)
            finally:
                os.close(pidfd)


def count_oom_kills(cgroup: ContainerCgroup) -> int:
    """Return how many processes of the cgroup the kernel killed for want of memory.

    Read it before the cgroup is removed; 0 when there is no memory controller.
    """
    directory = cgroup.directory("memory")
    if directory is None:
        return 0
    name = "memory.events" if cgroup.layout.mode is CgroupMode.UNIFIED else "memory.oom_control"
    try:
        return read_flat_keys(f"{directory}/{name}").get("oom_kill", 0)
    except FileNotFoundError:
        return 0


def read_flat_keys(path: str) -> dict[str, int]:
    """Return a "flat keyed" cgroup file, ``name number`` lines, as a dictionary."""
    with open(path) as file:
        return parse_flat_keys(file.read())


def parse_flat_keys(text: str) -> dict[str, int]:
    """Parse ``name number`` lines; others are left out."""
    result = {}
    for line in text.splitlines():
        name, _, number = line.partition(" ")
        if number.isdigit():
            result[name] = int(number)
    return result
