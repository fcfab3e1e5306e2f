"""Where the engine keeps what, by name: DESIGN.md section 5 as code."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Paths:
    """The files and directories below the two roots.

    Attributes:
        data_root: survives a reboot: ``/var/lib/cutaway``.
        exec_root: tmpfs: ``/run/cutaway``.
    """

    data_root: str
    exec_root: str

    @property
    def database(self) -> str:
        """engine.db."""
        return f"{self.data_root}/engine.db"

    @property
    def engine_id(self) -> str:
        """The engine's own id, made at its first start."""
        return f"{self.data_root}/engine-id.json"

    @property
    def containers(self) -> str:
        """One directory for each container that exists."""
        return f"{self.data_root}/containers"

    @property
    def bundles(self) -> str:
        """One directory for each container that runs."""
        return f"{self.exec_root}/containers"

    @property
    def trash(self) -> str:
        """Directories of removed containers, on the same file system."""
        return f"{self.containers}/.trash"

    @property
    def bundle_trash(self) -> str:
        """Bundles of runs that ended."""
        return f"{self.bundles}/.trash"

    @property
    def builds(self) -> str:
        """What is mounted in each command of a build that runs."""
        return f"{self.exec_root}/builds"

    @property
    def cgroup_parents(self) -> str:
        """Which cgroups were made for a ``--cgroup-parent``."""
        return f"{self.exec_root}/cgroup-parents.json"

    def container(self, identifier: str) -> str:
        """Config, log, ledger and exit status of one container."""
        return f"{self.data_root}/containers/{identifier}"

    def bundle(self, identifier: str) -> str:
        """OCI bundle, shim.sock and the fast copy of the exit status."""
        return f"{self.exec_root}/containers/{identifier}"

    def log(self, identifier: str) -> str:
        """The container's output."""
        return f"{self.container(identifier)}/{identifier}-json.log"

    def ledger(self, identifier: str) -> str:
        """What the last start did."""
        return f"{self.container(identifier)}/ledger.json"

    def etc(self, identifier: str, name: str) -> str:
        """``hostname``, ``hosts`` or ``resolv.conf`` of one container."""
        return f"{self.container(identifier)}/{name}"

    def shm(self, identifier: str) -> str:
        """Mount point of a shareable /dev/shm."""
        return f"{self.bundle(identifier)}/shm"

    def shim_socket(self, identifier: str) -> str:
        """Where the shim of one container listens."""
        return f"{self.bundle(identifier)}/shim.sock"
