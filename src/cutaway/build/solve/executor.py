"""What the builder needs of an engine to run a command; the engine fits it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from cutaway.images.snapshots import Mount


@dataclass(frozen=True, slots=True)
class ExecMount:
    """One mount of a command, resolved to something on this machine.

    Attributes:
        kind: ``bind`` (a tree of a snapshot), ``cache`` (a directory kept between builds),
            ``tmpfs``, ``file`` (a secret's content), ``agent`` (a socket that leads to an agent).
        target: absolute, in the container.
        tree: for bind: what to mount to see the tree; writes to it are forgotten.
        source: below the tree or the cache directory.
        directory: for cache: on the host; for an agent: its socket.
        read_only: writes are refused.
        size_bytes: of a tmpfs.
        content: of a file.
        mode, uid, gid: of a file or socket.
    """

    kind: str
    target: str
    tree: tuple[Mount, ...] = ()
    source: str = ""
    directory: str = ""
    read_only: bool = False
    size_bytes: int = 0
    content: bytes = b""
    mode: int = 0o755
    uid: int = 0
    gid: int = 0


@dataclass(frozen=True, slots=True)
class Execution:
    """A command to run on an active snapshot.

    Attributes:
        snapshot_key: the active snapshot that is its root; its changes stay there.
        args, env, cwd, user: of the process.
        mounts: see ``ExecMount``.
        network: ``default none host`` or a network's name.
        is_privileged: RUN --security=insecure, which the caller has allowed.
        extra_hosts: ``name:address`` lines for /etc/hosts.
        limits: HostConfig's resource fields by their Docker names.
    """

    snapshot_key: str
    args: tuple[str, ...]
    env: tuple[str, ...]
    cwd: str
    user: str
    mounts: tuple[ExecMount, ...] = ()
    network: str = "default"
    is_privileged: bool = False
    extra_hosts: tuple[str, ...] = ()
    limits: Mapping[str, object] = field(default_factory=dict)


Output = Callable[[int, bytes], None]
"""Takes (1 for stdout or 2 for stderr, bytes) as they come."""


class Executor(Protocol):
    """Runs commands of builds."""

    async def run(
        self, execution: Execution, *, started: Callable[[str], None], output: Output
    ) -> int:
        """Run to the end and return the exit code.

        Args:
            execution: what to run.
            started: called with the container's id.
            output: called with what it prints.

        Raises:
            CutawayError: it could not be started.

        Cancelling the call kills the command and leaves nothing but the snapshot.
        """
        ...

    async def open_shell(self, execution: Execution, *, offered: Callable[[str], None]) -> None:
        """Make a container with a shell in place of a command that failed; wait for its end.

        Args:
            execution: the command: its root with what it left, its mounts, user, variables.
            offered: called with the container's id; somebody attaches to it and starts it.

        Raises:
            CutawayError: it could not be made.
        """
        ...
