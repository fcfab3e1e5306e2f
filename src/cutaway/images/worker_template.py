"""The process that workers are forked from: ``python -I -m cutaway.images.worker_template FD``.

Importing what a worker needs costs 45 ms of processor; an image of thirty layers or a build of
thirty steps would pay it a hundred times. This process pays it once: it has everything imported,
one thread and one socket, and forks a worker for each packet that it gets. It never sees a byte
of an image; its children confine themselves before they do.

| packet | direction | meaning |
|---|---|---|
| ``{"worker", "places"}`` + fds | to the template | fork; the fds go to these numbers |
| ``{"pid"}`` + pidfd | from it | the child exists |

It ends when its parent does (end of the socket), and its children with it; or when it has been
idle for a while.
"""

import encodings.ascii
import encodings.latin_1
import encodings.utf_8  # noqa: F401 - codecs are imported by name at first use: too late then
import fcntl
import gc
import json
import os
import signal
import socket
import sys
from typing import Any, NoReturn

from cutaway import linux
from cutaway.images import tree_worker, unpack_worker
from cutaway.images.worker_side import Serve, run_worker
from cutaway.linux.sockets import recv_fds, send_fds

CONTROL, DIRECTORY = -2, -1  # places that are not numbers of descriptors
MAX_FDS = 200
PACKET_SIZE = 16 * 1024
IDLE_S = 20
_WORKERS: dict[str, Serve] = {
    "unpack": unpack_worker.serve,
    "tree": tree_worker.serve,
}


def main() -> NoReturn:
    """Fork workers until nobody asks any more."""
    linux.set_process_title("cutaway: images")
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # ^C at a foreground engine: it decides
    requests = socket.socket(fileno=int(sys.argv[1]))
    requests.settimeout(IDLE_S)
    gc.collect()
    gc.freeze()
    while True:
        try:
            data, fds = recv_fds(requests, PACKET_SIZE, MAX_FDS)
        except TimeoutError:
            if not has_children():
                os._exit(0)
            continue
        if not data:
            os._exit(0)
        _fork_worker(requests, json.loads(data), fds)
        has_children()


def has_children() -> bool:
    """Reap what has ended; True if something still runs."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    return True


def _fork_worker(requests: socket.socket, document: dict[str, Any], fds: list[int]) -> None:
    pid = linux.fork()
    if pid == 0:
        requests.close()
        _become_worker(document, fds)
    pidfd = linux.pidfd_open(pid)
    send_fds(requests, json.dumps({"pid": pid}).encode(), [pidfd])
    for fd in (pidfd, *fds):
        os.close(fd)


def _become_worker(document: dict[str, Any], fds: list[int]) -> NoReturn:
    """Put the descriptors where the request expects them, and work."""
    try:
        places: list[int] = document["places"]
        control = -1
        above = max(2, *places, *fds) + 1
        held = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, above) for fd in fds]
        linux.close_range(3, above - 1)
        for place, fd in zip(places, held, strict=True):
            if place == CONTROL:
                control = fd
                continue
            if place == DIRECTORY:
                os.fchdir(fd)
            else:
                os.dup2(fd, place, inheritable=False)
            os.close(fd)
        serve = _WORKERS[document["worker"]]
    except BaseException:  # nothing can be reported yet: the parent sees the socket's end
        os._exit(2)
    run_worker(serve, control)


if __name__ == "__main__":
    main()
