"""Starts the engine in the background when the command finds none at the default socket."""

import os
import socket
import sys
import time

from cutaway.errors import Unavailable

_TIMEOUT_S = 30.0
_POLL_S = 0.02


def start_engine(socket_path: str) -> None:
    """Start ``cutawayd`` with its defaults and wait until it answers.

    Leaves behind: the engine, in a session of its own; its log beside its socket.

    Raises:
        Unavailable: not root, or the engine ended or stayed silent; with the end of its log.
    """
    if os.geteuid() != 0:
        raise Unavailable(
            f"No engine listens at {socket_path}, and starting one needs root: "
            "run the command with sudo, or start `cutaway daemon` as root first."
        )
    directory = os.path.dirname(socket_path)
    os.makedirs(directory, mode=0o711, exist_ok=True)
    log_path = os.path.join(directory, "cutawayd.log")
    print(f"Starting the engine (its log: {log_path})", file=sys.stderr, flush=True)
    pid = _spawn(log_path)
    deadline = time.monotonic() + _TIMEOUT_S
    while time.monotonic() < deadline:
        if _answers(socket_path):
            return
        ended, _ = os.waitpid(pid, os.WNOHANG)
        if ended:
            break
        time.sleep(_POLL_S)
    raise Unavailable(f"The engine did not start. The end of {log_path}:\n{_tail(log_path)}")


def _spawn(log_path: str) -> int:
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, log_path, flags, 0o600),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    words = [sys.executable, "-I", "-c", "from cutaway.daemon import main; main()"]
    return os.posix_spawn(
        sys.executable, words, dict(os.environ), file_actions=actions, setsid=True
    )


def _answers(path: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except OSError:
            return False
    return True


def _tail(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return "".join(file.readlines()[-8:])
    except OSError as error:
        return str(error)
