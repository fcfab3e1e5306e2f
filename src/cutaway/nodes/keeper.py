"""A process that holds a host's namespaces open, and the words to enter them."""

import os
import signal
import subprocess
import sys
from contextlib import suppress

from cutaway import linux
from cutaway.linux.abi import CLONE, MS, PR


class Keeper:
    """One host's namespaces: network (``lo`` is down yet) and mounts (``/`` is shared).

    Attributes:
        pid: the sleeping process; ``/proc/PID/ns`` has the namespaces.
        netns_fd: the network namespace, held by descriptor.
    """

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-m", "cutaway.nodes.keeper"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        assert self._process.stdout is not None  # noqa: S101 - PIPE was asked for
        ready = self._process.stdout.readline()
        self._process.stdout.close()
        if ready != b"ready\n":
            self._process.wait()
            raise OSError("no namespaces for a node could be made: see the message above")
        self.pid = self._process.pid
        self.netns_fd = os.open(f"/proc/{self.pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)

    def words(self, *command: str) -> list[str]:
        """Return the command line that runs a command inside."""
        return [sys.executable, "-I", "-m", "cutaway.nodes.enter", str(self.pid), *command]

    def close(self) -> None:
        """End the keeper; the namespaces go with the last process in them."""
        os.close(self.netns_fd)
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        self._process.wait()


def main() -> None:
    """Make the namespaces, say so, and sleep until the parent is gone."""
    linux.prctl(PR.SET_PDEATHSIG, signal.SIGKILL)
    try:
        linux.unshare(CLONE.NEWNET | CLONE.NEWNS)
        linux.mount("none", "/", "", MS.REC | MS.SHARED)
    except OSError as error:
        sys.exit(f"cutaway nodes: {error}")
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    signal.pause()


if __name__ == "__main__":
    main()
