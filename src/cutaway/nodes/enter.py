"""Run a command in the namespaces of a keeper: ``python -m cutaway.nodes.enter PID COMMAND…``."""

import os
import signal
import sys

from cutaway import linux
from cutaway.linux.abi import CLONE, PR


def main(arguments: list[str]) -> None:
    """Join the namespaces and become the command, which is to end with who made the node."""
    pid, program, *rest = arguments
    linux.prctl(PR.SET_PDEATHSIG, signal.SIGTERM)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())  # who makes nodes holds signals back
    for name, kind in (("net", CLONE.NEWNET), ("mnt", CLONE.NEWNS)):
        fd = os.open(f"/proc/{pid}/ns/{name}", os.O_RDONLY | os.O_CLOEXEC)
        linux.setns(fd, kind)
        os.close(fd)
    os.execvp(program, [program, *rest])


if __name__ == "__main__":
    main(sys.argv[1:])
