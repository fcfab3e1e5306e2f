"""What the shim asks of a runtime, for one run of a container's PID 1."""

from typing import Any, NamedTuple, Protocol

from cutaway.runtime import Extensions, Stdio


class StartedExec(NamedTuple):
    """A process beside PID 1; it is a child of the shim, which reaps it.

    Attributes:
        console_fd: the pty's master, -1 without a terminal; the shim's own.
    """

    pid: int
    console_fd: int


class RuntimeDriver(Protocol):
    """One run of PID 1. The shim reaps the process and then calls ``mark_stopped``."""

    pid: int
    console_fd: int

    def create(self, stdio: Stdio, network_fd: int) -> None:
        """Begin to make the container of the bundle.

        Args:
            stdio: what the process gets; the caller closes its own copies afterwards.
            network_fd: the network namespace to join, or -1: as config.json says.

        Raises:
            RuntimeFailure, CutawayError, OSError: then call ``abort``.
        """

    def network_fd(self) -> int:
        """Return a new descriptor of the network namespace that the runtime made itself."""

    @property
    def ready_fd(self) -> int:
        """Readable when ``take_made``, and after that ``finish_create``, won't block."""

    @property
    def maker_pid(self) -> int:
        """A child of the shim on which the container depends until it is prepared; 0: none."""

    def take_made(self) -> None:
        """Wait until there is an init: ``pid`` is known then.

        Raises:
            RuntimeFailure: then call ``abort``.
        """

    def finish_create(self) -> None:
        """Wait until the container is prepared; ``console_fd`` is known then.

        Raises:
            RuntimeFailure: then call ``abort``.
        """

    def start(self) -> None:
        """Let PID 1 execute its program; returns once it does.

        Raises:
            RuntimeFailure: then call ``abort``.
        """

    def kill(self, signal: int) -> None:
        """Signal PID 1.

        Raises:
            OSError: ESRCH: it has ended.
        """

    def kill_all(self) -> None:
        """SIGKILL every process of the container."""

    def exec_process(
        self, process: dict[str, Any], stdio: Stdio, extensions: Extensions
    ) -> StartedExec:
        """Run one more process in the container; returns once it executes its program.

        Raises:
            RuntimeFailure: ``exit_code`` 126 or 127 when the program is at fault.
        """

    def prepare_exec(self) -> None:
        """Do ahead what the next ``exec_process`` would do, now that nobody waits.

        Raises:
            OSError: it can't be; the next one will say so, or do.
        """

    def freeze(self) -> None:
        """Stop every process of the container by the freezer."""

    def thaw(self) -> None:
        """Let them go on."""

    def update(self, resources: dict[str, Any]) -> None:
        """Change limits: runtime-spec ``linux.resources``."""

    def statistics(self) -> dict[str, Any]:
        """Return the cgroup's statistics as ``cutaway.cgroups.Statistics`` writes them."""

    def pids(self) -> list[int]:
        """Return the host's process ids in the container's cgroup."""

    def oom_kill_count(self) -> int:
        """Return how many processes the kernel has killed for want of memory."""

    def watch_oom(self) -> int:
        """Return a descriptor that is readable when memory ran out; -1: nobody can tell.

        Raises:
            OSError: the cgroup has gone.
        """

    def mark_stopped(self) -> None:
        """PID 1 has been reaped."""

    def delete(self) -> list[Exception]:
        """Kill what is left, remove cgroups, drop namespaces; return what failed."""

    def abort(self) -> list[Exception]:
        """Undo a failed ``create`` or ``start`` wholly, PID 1 reaped; return what failed."""

    def write_ledger(self, path: str, others: list[dict[str, Any]]) -> None:
        """Begin to write what was done to the host, with the records of others, to ``path``.

        It is written when ``settle`` or ``delete`` has returned.
        """

    def settle(self) -> None:
        """The container lives on: give up what only its making needed."""
