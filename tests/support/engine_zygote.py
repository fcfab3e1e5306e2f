"""A program that has the engine imported and forks one when told: see ``forked_engine.py``.

A line on stdin is a JSON object ``{"arguments": [...], "log": PATH}``. Answers on stdout: the pid
of the engine, then, when it has ended, its wait status. One engine at a time.
"""

import gc
import json
import os
import sys
from typing import NoReturn

from cutaway import daemon, linux


def _be_the_engine(arguments: list[str], log: str) -> NoReturn:
    status = 1
    try:
        null_fd = os.open(os.devnull, os.O_RDONLY)
        log_fd = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        for fd, place in ((null_fd, 0), (log_fd, 1), (log_fd, 2)):
            os.dup2(fd, place)
            os.set_inheritable(place, True)
        os.close(null_fd)
        os.close(log_fd)
        status = daemon.serve(arguments)
    finally:
        os._exit(status)


def main() -> None:
    """Serve until stdin ends."""
    gc.freeze()
    for line in sys.stdin:
        request = json.loads(line)
        pid = linux.fork()
        if pid == 0:
            _be_the_engine(request["arguments"], request["log"])
        print(pid, flush=True)
        _, status = os.waitpid(pid, 0)
        print(status, flush=True)


if __name__ == "__main__":
    main()
