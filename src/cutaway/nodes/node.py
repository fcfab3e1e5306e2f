"""A node: a host with an engine of its own."""

import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from cutaway.client import ApiError, Client, EngineUnreachable, parse_host
from cutaway.nodes.underlay import Host

CGROUPS = Path("/sys/fs/cgroup")
_READY_S = 60.0
_STOP_S = 30.0
_POLL_S = 0.05
_ENGINE = "from cutaway.daemon import main; main()"


class Node:
    """One engine on one host.

    Attributes:
        host: where it runs.
        socket: of its API.
        log: the engine's output.
    """

    def __init__(self, host: Host, directory: Path, *, group: str, flags: tuple[str, ...]) -> None:
        self.host = host
        self.directory = directory / f"node{host.number}"
        self.directory.mkdir(mode=0o711, parents=True)
        self.socket = f"{self.directory}/docker.sock"
        self.log = self.directory / "engine.log"
        self._cgroup = f"/{group}-node{host.number}"
        self._flags = flags
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def client(self) -> Client:
        """A client of its engine."""
        return Client(parse_host(f"unix://{self.socket}"))

    def start(self) -> None:
        """Start the engine; ``wait`` waits for it."""
        words = [
            *(sys.executable, "-I", "-c", _ENGINE),
            f"--data-root={self.directory}/data",
            f"--exec-root={self.directory}/exec",
            f"--pidfile={self.directory}/engine.pid",
            f"--cgroup-parent={self._cgroup}",
            f"--host=unix://{self.socket}",
            *self._flags,
        ]
        with open(self.log, "ab") as log:
            self._process = subprocess.Popen(
                self.host.keeper.words(*words), stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def wait(self) -> None:
        """Wait until the engine answers.

        Raises:
            OSError: it ended, or stays silent; with the last line of its log.
        """
        deadline = time.monotonic() + _READY_S
        while not self._answers():
            ended = self._process is None or self._process.poll() is not None
            if ended or time.monotonic() > deadline:
                raise OSError(
                    f"the engine of node {self.host.number} did not start: {self._last_words()}"
                )
            time.sleep(_POLL_S)

    def _last_words(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines()
        return lines[-1] if lines else "it said nothing"

    def _answers(self) -> bool:
        try:
            self.client.request("GET", "/_ping").close()
        except (EngineUnreachable, ApiError, OSError):
            return False
        return True

    def stop(self) -> None:
        """Remove its containers and end the engine."""
        if self._process is None:
            return
        with suppress(EngineUnreachable, ApiError, OSError):
            for container in self.client.get("/containers/json", all=True):
                self.client.delete(f"/containers/{container['Id']}", force=True, v=True)
        self._process.terminate()
        try:
            self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None
        for hierarchy in (CGROUPS, *CGROUPS.iterdir()):  # v2 is the root itself
            parent = hierarchy / self._cgroup.strip("/")
            for directory in (*parent.glob("*/"), parent):
                with suppress(OSError):
                    os.rmdir(directory)
