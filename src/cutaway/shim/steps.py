"""The host changes that a shim itself makes."""

import contextlib
import os
import signal
from dataclasses import dataclass
from typing import NoReturn

from cutaway import linux
from cutaway.errors import System
from cutaway.steps import Step

_NOT_EXECUTED = 127


@dataclass(slots=True)
class SandboxScope:
    """What the steps act with: the descriptor that keeps the network namespace."""

    network_fd: int = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateNetworkNamespace(Step[SandboxScope]):
    """Make the sandbox's network namespace; it lives while the shim holds its descriptor."""

    def describe(self) -> str:
        """Say it in a line."""
        return "create a network namespace for the container's sandbox"

    def shell(self) -> str:
        """Say it as a command."""
        return "ip netns add NAME  # the shim holds it by a descriptor, without a name"

    def apply(self, scope: SandboxScope) -> None:
        """Leave the host's namespace for a new one, keep that, and come back."""
        host_fd = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            linux.unshare(linux.CLONE.NEWNET)
            scope.network_fd = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
            linux.setns(host_fd, linux.CLONE.NEWNET)
        finally:
            os.close(host_fd)

    def undo(self, scope: SandboxScope, result: None) -> None:
        """Drop the namespace's last reference: the kernel removes it and its devices."""
        if scope.network_fd >= 0:
            os.close(scope.network_fd)
            scope.network_fd = -1


@dataclass(slots=True)
class ExternalScope:
    """What the steps of an external runtime act with.

    Attributes:
        stdio: the descriptors that become 0, 1 and 2 of the program.
        exit_code: of the program that ran last.
    """

    stdio: tuple[int, int, int] = (0, 1, 2)
    exit_code: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RunProgram(Step[ExternalScope]):
    """Run an external OCI runtime to its end; what it does to the host only it knows."""

    command: tuple[str, ...]

    def describe(self) -> str:
        """Say it in a line."""
        return f"run {self.shell()}"

    def shell(self) -> str:
        """Say it as a command."""
        return " ".join(self.command)

    def apply(self, scope: ExternalScope) -> int:
        """Run the program in a child, and wait for its exit code.

        Forked, not spawned: posix_spawn(3) ignores the C library's own signals 32 and 33 in the
        child, and what is ignored stays so over execve(2), down to the container's program.
        """
        reader, writer = os.pipe()
        pid = linux.fork()
        if pid == 0:
            _become(self.command, scope.stdio, writer)
        os.close(writer)
        with open(reader, "rb") as file:
            failure = file.read()
        _, status = os.waitpid(pid, 0)
        if failure:
            raise System(failure.decode())
        scope.exit_code = os.waitstatus_to_exitcode(status)
        return scope.exit_code


def _become(command: tuple[str, ...], stdio: tuple[int, int, int], writer: int) -> NoReturn:
    """Be the program, with all signals at their defaults, or write why that can't be."""
    try:
        linux.reset_signal_dispositions()
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        for number, fd in enumerate(stdio):
            os.dup2(fd, number)
        os.execvpe(command[0], command, {"PATH": os.environ.get("PATH", os.defpath)})
    except FileNotFoundError:
        os.write(writer, f'exec: "{command[0]}": executable file not found in $PATH'.encode())
    except OSError as error:
        os.write(writer, f'exec: "{command[0]}": {os.strerror(error.errno or 0)}'.encode())
    finally:
        os._exit(_NOT_EXECUTED)


@dataclass(frozen=True, slots=True, kw_only=True)
class SeparateShimMounts(Step[ExternalScope]):
    """Give the shim mounts of its own, so that the root file system never is on the host."""

    def describe(self) -> str:
        """Say it in a line."""
        return "leave the host's mount namespace; its later mounts still come in"

    def shell(self) -> str:
        """Say it as a command."""
        return "unshare --mount --propagation slave"

    def apply(self, scope: ExternalScope) -> None:
        """unshare(CLONE_NEWNS), then mark every mount a slave."""
        linux.unshare(linux.CLONE.NEWNS)
        linux.mount(None, "/", None, linux.MS.SLAVE | linux.MS.REC, None)


@dataclass(frozen=True, slots=True, kw_only=True)
class MountRoot(Step[ExternalScope]):
    """Mount one layer of the root file system in the shim's own mount namespace."""

    fstype: str
    source: str
    target: str
    options: tuple[str, ...]

    def describe(self) -> str:
        """Say it in a line."""
        return f"mount {self.fstype} {self.source} on {self.target}"

    def shell(self) -> str:
        """Say it as a command."""
        options = ",".join(self.options)
        return f"mount -t {self.fstype} -o {options} {self.source} {self.target}"

    def apply(self, scope: ExternalScope) -> None:
        """One mount(2); a bind with ``ro`` needs a second."""
        flags, data = linux.MS(0), []
        for option in self.options:
            flag = _ROOT_FLAGS.get(option)
            if flag is None:
                data.append(option)
            else:
                flags |= flag
        kind = None if self.fstype == "bind" else self.fstype
        if kind is None:
            flags |= linux.MS.BIND
        linux.mount(self.source, self.target, kind, flags, ",".join(data) or None)
        if kind is None and flags & linux.MS.RDONLY:
            remount = flags | linux.MS.REMOUNT
            linux.mount(None, self.target, None, remount & ~linux.MS.REC, None)

    def undo(self, scope: ExternalScope, result: None) -> None:
        """Detach it."""
        with contextlib.suppress(linux.KernelError):
            linux.umount2(self.target, linux.MNT.DETACH)


_ROOT_FLAGS = {
    "ro": linux.MS.RDONLY,
    "rw": linux.MS(0),
    "bind": linux.MS.BIND,
    "rbind": linux.MS.BIND | linux.MS.REC,
    "nosuid": linux.MS.NOSUID,
    "nodev": linux.MS.NODEV,
    "noexec": linux.MS.NOEXEC,
    "noatime": linux.MS.NOATIME,
    "relatime": linux.MS.RELATIME,
}
