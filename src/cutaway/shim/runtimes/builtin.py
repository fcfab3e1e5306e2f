"""The built-in runtime behind the shim's interface."""

import contextlib
from collections.abc import Callable
from typing import Any

from cutaway.errors import CutawayError, InvalidParameter
from cutaway.oci.runtime_spec import Resources
from cutaway.runtime import Container, Extensions, HostFacts, SeccompCache, Stdio
from cutaway.runtime.maker import Maker
from cutaway.shim.luggage import Luggage
from cutaway.shim.runtimes.driver import StartedExec


class BuiltinRuntime:
    """One run of PID 1 by ``cutaway.runtime``.

    Args:
        facts: what this host can do, probed once in the launcher.
        seccomp: the launcher's cache of compiled programs.
        maker: the process that makes the container, forked ahead; None forks one.
        give_back: takes the maker after the container's end, when it can make another.
    """

    def __init__(
        self,
        container_id: str,
        bundle: str,
        *,
        facts: HostFacts,
        seccomp: SeccompCache,
        maker: Maker | None,
        give_back: Callable[[Maker | None], None],
    ) -> None:
        self._id = container_id
        self._bundle = bundle
        self._facts = facts
        self._seccomp = seccomp
        self._maker = maker
        self._give_back = give_back
        self._container: Container | None = None
        self.pid = 0
        self.console_fd = -1

    @property
    def _made(self) -> Container:
        if self._container is None:
            raise InvalidParameter(f"container {self._id} is not created")
        return self._container

    def create(self, stdio: Stdio, network_fd: int) -> None:
        """Ask the maker for the container; it works while the shim goes on."""
        self._container = Container.begin(
            self._id,
            self._bundle,
            stdio=stdio,
            facts=self._facts,
            namespace_fds={"network": network_fd} if network_fd >= 0 else {},
            seccomp=self._seccomp,
            maker=self._maker,
        )

    @property
    def can_rest(self) -> bool:
        """The container runs, and its maker is gone."""
        return self._container is not None and not self._container.maker_pid

    def rest(self, luggage: Luggage) -> dict[str, Any]:
        """Return what ``wake`` needs."""
        document, (pidfd, mount_namespace_fd) = self._made.hand_over()
        places = [luggage.put(pidfd), luggage.put(mount_namespace_fd)]
        return {"container": document, "fds": places}

    def wake(self, state: dict[str, Any], luggage: Luggage) -> None:
        """Hold the container that another shim has held until its ``rest``."""
        pidfd, mount_namespace_fd = map(luggage.take, state["fds"])
        fds = (pidfd, mount_namespace_fd)
        self._container = Container.take_over(state["container"], fds, self._facts)
        self.pid = self._container.pid

    @property
    def maker_pid(self) -> int:
        """The maker, while the container depends on it."""
        return self._container.maker_pid if self._container is not None else 0

    def take_made(self) -> None:
        """Hear from the maker which process the init is."""
        self._made.wait_made()
        self.pid = self._made.pid

    @property
    def ready_fd(self) -> int:
        """Readable when the init is prepared or has failed."""
        return self._made.sync_fd

    def network_fd(self) -> int:
        """Return a new descriptor of the network namespace that the init made for itself."""
        self.take_made()
        return self._made.namespace_fd("network")

    def finish_create(self) -> None:
        """Hear what the init says."""
        self._made.wait_created()
        if self._made.console_fd is not None:
            self.console_fd = self._made.console_fd

    def start(self) -> None:
        """Let the init execute the program."""
        self._made.start()

    def kill(self, signal: int) -> None:
        """Signal PID 1 by its pidfd."""
        self._made.kill(signal)

    def kill_all(self) -> None:
        """SIGKILL the whole cgroup."""
        self._made.kill_all()

    def exec_process(
        self, process: dict[str, Any], stdio: Stdio, extensions: Extensions
    ) -> StartedExec:
        """Run one more process; it is the shim's child by CLONE_PARENT, not its stem's."""
        started = self._made.exec_process(process, stdio, extensions=extensions)
        console_fd = started.console_fd if started.console_fd is not None else -1
        return StartedExec(started.pid, console_fd)

    def prepare_exec(self) -> None:
        """Have a stem for it."""
        self._made.prepare_exec()

    def freeze(self) -> None:
        """Stop every process."""
        self._made.freeze()

    def thaw(self) -> None:
        """Let them go on."""
        self._made.thaw()

    def update(self, resources: dict[str, Any]) -> None:
        """Change limits."""
        self._made.update(Resources.from_json(resources))

    def statistics(self) -> dict[str, Any]:
        """Read the cgroup's statistics."""
        return self._made.statistics().to_json()

    def pids(self) -> list[int]:
        """List the cgroup's processes."""
        return self._made.pids()

    def oom_kill_count(self) -> int:
        """Count OOM kills; 0 before there is a cgroup."""
        return self._container.oom_kill_count() if self._container else 0

    def watch_oom(self) -> int:
        """Have the kernel tell of OOM kills."""
        return self._made.watch_oom()

    def mark_stopped(self) -> None:
        """PID 1 has been reaped."""
        self._made.mark_stopped()

    def delete(self) -> list[Exception]:
        """Leave nothing of this run; the maker ends the ledger meanwhile, and is given back."""
        if self._container is None:
            return []
        failures = self._container.delete()
        self._give_back(self._container.take_maker())
        return failures

    def abort(self) -> list[Exception]:
        """Undo a failed start; nothing to do when ``create`` raised, it has undone everything."""
        if self._container is None:
            return []
        with contextlib.suppress(CutawayError, OSError):
            self._container.wait_made()  # what the maker has made must be known to be undone
        self._container.close()
        return self._container.abort()

    def write_ledger(self, path: str, others: list[dict[str, Any]]) -> None:
        """Have the maker begin to write what it and the init did, with the others' records."""
        if self._container is not None:
            self._container.write_ledger(path, others)

    def settle(self) -> None:
        """See the ledger written, and end the maker: its memory is not needed any more."""
        if self._container is not None:
            self._container.close()
