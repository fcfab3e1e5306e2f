"""The built-in runtime behind the shim's interface."""

import json
from typing import Any

from cutaway.errors import InvalidParameter
from cutaway.oci.runtime_spec import Process, Resources, Spec
from cutaway.runtime import Container, Extensions, HostFacts, SeccompCache, Stdio, plan
from cutaway.shim.runtimes.driver import StartedExec
from cutaway.steps import Record


class BuiltinRuntime:
    """One run of PID 1 by ``cutaway.runtime``.

    Args:
        facts: what this host can do, probed once in the launcher.
        seccomp: the launcher's cache of compiled programs.
    """

    def __init__(
        self, container_id: str, bundle: str, *, facts: HostFacts, seccomp: SeccompCache
    ) -> None:
        self._id = container_id
        self._bundle = bundle
        self._facts = facts
        self._seccomp = seccomp
        self._container: Container | None = None
        self.pid = 0
        self.console_fd = -1

    @property
    def _made(self) -> Container:
        if self._container is None:
            raise InvalidParameter(f"container {self._id} is not created")
        return self._container

    def create(self, config: dict[str, Any], stdio: Stdio, network_fd: int) -> None:
        """Plan, then clone the init; it goes on preparing itself."""
        spec = Spec.from_json(config)
        extensions = read_extensions(self._bundle)
        namespace_fds = {"network": network_fd} if network_fd >= 0 else {}
        decided = plan(
            spec,
            self._facts,
            id=self._id,
            bundle=self._bundle,
            extensions=extensions,
            handed_over=tuple(namespace_fds),
        )
        self._container = Container.create(
            decided, stdio=stdio, namespace_fds=namespace_fds, seccomp=self._seccomp
        )
        self.pid = self._container.pid

    @property
    def ready_fd(self) -> int:
        """Readable when the init is prepared or has failed."""
        return self._made.sync_fd

    def network_fd(self) -> int:
        """Return a new descriptor of the network namespace that the init made for itself."""
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
        """Run one more process; it is the shim's child by CLONE_PARENT."""
        started = self._made.exec_process(Process.from_json(process), stdio, extensions=extensions)
        console_fd = started.console_fd if started.console_fd is not None else -1
        return StartedExec(started.pid, console_fd)

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

    def mark_stopped(self) -> None:
        """PID 1 has been reaped."""
        self._made.mark_stopped()

    def delete(self) -> list[Exception]:
        """Leave nothing of this run."""
        return self._container.delete() if self._container else []

    def abort(self) -> list[Exception]:
        """Undo a failed start; nothing to do when planning failed."""
        return self._container.abort() if self._container else []

    def records(self) -> list[Record]:
        """Return the ledger of host and init."""
        return self._container.records() if self._container else []


def read_extensions(bundle: str) -> Extensions:
    """Return the bundle's ``rootfs.json``, or the defaults when there is none."""
    try:
        with open(f"{bundle}/rootfs.json", "rb") as file:
            return Extensions.from_json(json.loads(file.read()))
    except FileNotFoundError:
        return Extensions()
