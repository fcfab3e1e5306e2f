"""A machine for tests: network and mount namespaces of their own, held open by a sleeper.

Nothing that a test does here reaches the machine's own network; ``/`` is rshared, as on a host.
"""

import os
import signal
import subprocess
from collections.abc import Sequence

from cutaway import linux
from cutaway.linux.abi import CLONE
from support.waiting import SLOWNESS


class TestHost:
    """Namespaces in which engines, registries and peers live."""

    __test__ = False

    def __init__(self) -> None:
        script = "mount --make-rshared / && ip link set lo up && echo ready && exec sleep infinity"
        self._keeper = subprocess.Popen(
            ["unshare", "--net", "--mount", "sh", "-c", script],
            stdout=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        assert self._keeper.stdout is not None
        assert self._keeper.stdout.readline() == b"ready\n"
        self.pid = self._keeper.pid

    def enter(self) -> list[str]:
        """Return the words before a command that run it here."""
        return ["nsenter", f"--net=/proc/{self.pid}/ns/net", f"--mount=/proc/{self.pid}/ns/mnt"]

    def run(
        self, *words: str, check: bool = True, **options: object
    ) -> subprocess.CompletedProcess[str]:
        """Run a command here and return what it printed."""
        options = {"capture_output": True, "text": True, "timeout": 60 * SLOWNESS, **options}
        done = subprocess.run([*self.enter(), *words], check=False, **options)  # type: ignore[call-overload]
        if check:
            assert done.returncode == 0, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done  # type: ignore[no-any-return]

    def popen(self, words: Sequence[str], **options: object) -> subprocess.Popen[bytes]:
        """Start a command here."""
        return subprocess.Popen([*self.enter(), *words], **options)  # type: ignore[call-overload,no-any-return]

    def mounts(self) -> list[str]:
        """Return this mount namespace's table, a line a mount."""
        with open(f"/proc/{self.pid}/mountinfo") as file:
            return file.read().splitlines()

    def links(self) -> list[str]:
        """Return the names of the network devices here."""
        lines = self.run("ip", "-o", "link").stdout.splitlines()
        return [line.split(": ")[1].partition("@")[0] for line in lines]

    def close(self) -> None:
        """End the keeper; the namespaces go with the last process in them."""
        os.killpg(self._keeper.pid, signal.SIGKILL)
        self._keeper.wait()
        if self._keeper.stdout is not None:
            self._keeper.stdout.close()


def join_network_of(pid: int) -> None:
    """Move this thread into another process's network namespace."""
    fd = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        linux.setns(fd, CLONE.NEWNET)
    finally:
        os.close(fd)
