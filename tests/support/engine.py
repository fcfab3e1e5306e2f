"""An engine under test: started as a user starts dockerd, in namespaces of its own."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any, Protocol

from cutaway.client import Client, parse_host
from support.host import TestHost
from support.terminal import Terminal
from support.waiting import SLOWNESS, is_late

ROOT = Path(__file__).resolve().parents[2]
READY_S = 30


class EngineProcess(Protocol):
    """What a test does with an engine's process; ``subprocess.Popen`` fits."""

    pid: int

    def poll(self) -> int | None: ...
    def wait(self, timeout: float | None = None) -> int: ...
    def send_signal(self, sig: int, /) -> None: ...
    def terminate(self) -> None: ...


class EngineUnderTest:
    """A ``cutawayd`` with its own roots, cgroup parent and namespaces.

    Attributes:
        host: the namespaces.
        directory: holds what this engine keeps; removed at the end.
        exec_root: what it forgets; removed at the end. On a tmpfs, as /run is.
        socket: where it listens.
    """

    program: tuple[str, ...] = (
        sys.executable,
        "-I",
        "-c",
        "from cutaway.daemon import main; main()",
    )

    def __init__(self, *flags: str, host: TestHost | None = None) -> None:
        self.host = host or TestHost()
        self._owns_host = host is None
        # Hexadecimal: podman takes no directory whose name ends with an underscore for a layout.
        self.directory = Path(tempfile.gettempdir()) / f"cutaway-test-{uuid.uuid4().hex[:12]}"
        self.exec_root = Path("/dev/shm") / self.directory.name
        for directory in (self.directory, self.exec_root):
            directory.mkdir(mode=0o711)
        self.socket = f"{self.directory}/docker.sock"
        self.cgroup_parent = f"/cutaway-test-{uuid.uuid4().hex[:8]}"
        self.flags = list(flags)
        self.process: EngineProcess | None = None
        self.log = self.directory / "engine.log"

    @property
    def data_root(self) -> Path:
        """The engine's --data-root."""
        return self.directory / "data"

    def words(self) -> list[str]:
        """Return the command line: the program's name apart, dockerd takes the same."""
        return [*self.program, *self.arguments()]

    def arguments(self) -> list[str]:
        """Return dockerd's flags that keep this engine apart from every other."""
        return [
            f"--data-root={self.data_root}",
            f"--exec-root={self.exec_root}",
            f"--pidfile={self.directory}/engine.pid",
            f"--cgroup-parent={self.cgroup_parent}",
            f"--host=unix://{self.socket}",
            *self.flags,
        ]

    def start(self) -> "EngineUnderTest":
        """Start it and wait until it answers."""
        self.process = self.spawn()
        started = time.monotonic()
        while not self.answers():
            assert self.process.poll() is None, f"the engine ended:\n{self.log.read_text()}"
            assert not is_late(started, READY_S), f"the engine is silent:\n{self.log.read_text()}"
            time.sleep(0.02)  # polling a process that is starting, bounded by READY_S
        return self

    def spawn(self) -> "EngineProcess":
        """Make the engine's process; its output goes to ``log``."""
        with open(self.log, "ab") as log:
            return self.host.popen(self.words(), stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def answers(self) -> bool:
        """Tell whether ``GET /_ping`` works."""
        try:
            self.client.request("GET", "/_ping").close()
        except Exception:
            return False
        return True

    @property
    def client(self) -> Client:
        """A client of the newest API version."""
        return Client(parse_host(f"unix://{self.socket}"))

    def kill(self) -> None:
        """SIGKILL the engine alone: launcher, shims and containers stay."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.process = None

    def stop(self) -> None:
        """Ask it to end, as a service manager would."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait(timeout=60 * SLOWNESS)
            self.process = None

    def environment(self) -> dict[str, str]:
        """Return the environment in which clients find this engine."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("DOCKER_", "CUTAWAY_"))}
        return {**kept, "DOCKER_HOST": f"unix://{self.socket}", "HOME": str(self.directory)}

    our_command = (sys.executable, "-I", "-c", "from cutaway.cli.main import main; main()")

    def docker(
        self, *words: str, check: bool = True, **options: object
    ) -> subprocess.CompletedProcess[str]:
        """Run the stock docker CLI against this engine."""
        return self.host.run("docker", *words, check=check, env=self.environment(), **options)

    def cutaway(
        self, *words: str, check: bool = True, **options: object
    ) -> subprocess.CompletedProcess[str]:
        """Run our own command against this engine."""
        return self.host.run(
            *self.our_command, *words, check=check, env=self.environment(), **options
        )

    def terminal(self, *words: str, program: str = "docker", **options: int) -> Terminal:
        """Run a command line of either client on a terminal."""
        command = ("docker",) if program == "docker" else self.our_command
        return Terminal(self.host, *command, *words, env=self.environment(), **options)

    def remove_containers(self) -> None:
        """Remove every container, running or not."""
        for container in self.client.get("/containers/json", all=True):
            self.client.delete(f"/containers/{container['Id']}", force=True, v=True)

    def cgroups(self) -> list[str]:
        """Return the directories of containers that are left in any hierarchy."""
        found = []
        for hierarchy in Path("/sys/fs/cgroup").iterdir():
            parent = hierarchy / self.cgroup_parent.strip("/")
            if parent.is_dir():
                found += [str(child) for child in parent.iterdir() if child.is_dir()]
        return found

    def exit_records(self) -> list[dict[str, Any]]:
        """Return what the shims of containers that have ended wrote down, engine or none."""
        found = (self.exec_root / "containers").glob("*/exit.json")
        return [json.loads(path.read_text()) for path in found]

    def image_files(self) -> set[str]:
        """Return the paths of all that it keeps of images, records of the past aside."""
        roots = (self.data_root / "images", self.data_root / "snapshots")
        records = {"index.json.previous", "tag-history.jsonl"}
        return {
            f"{place}/{name}"
            for root in roots
            for place, directories, files in os.walk(root)
            for name in (*directories, *files)
            if name not in records
        }

    def processes(self) -> list[str]:
        """Return the keepers and shims that carry this engine's containers.

        Shims without an id in their title are the launcher's spares: they carry nothing yet.
        """
        found = []
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                same = os.readlink(entry / "ns/mnt") == os.readlink(f"/proc/{self.host.pid}/ns/mnt")
                title = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
            # A shim without an id waits, forked ahead, for a container to come.
            if same and re.match("cutaway: (keeper|shim) [0-9a-f]", title):
                found.append(f"{entry.name} {title.strip()}")
        return found

    def left_over(self) -> dict[str, list[str]]:
        """Return everything on the host that belongs to no container of the engine's list.

        Call it when the list is empty: every value must be empty too.
        """
        containers = self.data_root / "containers"
        bundles = self.exec_root / "containers"
        trash = [self.data_root / "snapshots/trash", containers / ".trash", bundles / ".trash"]
        return {
            "mounts": [m for m in self.host.mounts() if self.directory.name in m],
            "links": [n for n in self.host.links() if n.startswith(("ve", "cw"))],
            "cgroups": self.cgroups(),
            "processes": self.processes(),
            "directories": sorted(map(str, containers.glob("[!.]*"))),
            "bundles": sorted(map(str, bundles.glob("[!.]*"))),
            "trash": sorted(str(path) for place in trash for path in place.glob("*")),
        }

    def wait_until_clean(self, timeout_s: float = 10) -> None:
        """Wait for the clean-up that runs after a container's end was reported."""
        started = time.monotonic()
        while any(left := self.left_over().values()):
            assert not is_late(started, timeout_s), f"left on the host: {self.left_over()}"
            time.sleep(0.05)
        assert not any(left)

    def close(self) -> None:
        """Remove the containers, end the engine, and take everything away."""
        try:
            if self.process is not None and self.process.poll() is None:
                self.remove_containers()
                self.stop()
        finally:
            if self.process is not None and self.process.poll() is None:
                self.kill()
            if self._owns_host:
                self.host.close()
            for hierarchy in Path("/sys/fs/cgroup").iterdir():
                parent = hierarchy / self.cgroup_parent.strip("/")
                for directory in [*parent.glob("*/"), parent]:
                    if directory.is_dir():
                        try:
                            directory.rmdir()
                        except OSError:
                            print(f"cgroup still in use: {directory}", file=sys.stderr)
            for path in (self.directory, self.exec_root):
                shutil.rmtree(path, ignore_errors=True)
