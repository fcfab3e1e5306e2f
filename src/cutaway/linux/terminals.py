"""Pseudo-terminals opened by descriptor, never by a name that a container could exchange."""

import fcntl
import os
import struct

from cutaway.linux.abi import TIOCGPTN, TIOCGPTPEER, TIOCSCTTY, TIOCSPTLCK, TIOCSWINSZ
from cutaway.linux.errors import Verbatim, kernel_error


def _ioctl(fd: int, name: str, request: int, argument: int | bytes) -> int | bytes:
    try:
        return fcntl.ioctl(fd, request, argument)
    except OSError as error:
        raise kernel_error(error.errno or 0, "ioctl", fd, Verbatim(name)) from None


def open_pty_peer(master_fd: int) -> int:
    """Return the slave side of a pty by TIOCGPTPEER: no path is walked (CVE-2025-52565)."""
    flags = os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC
    return int(_ioctl(master_fd, "TIOCGPTPEER", TIOCGPTPEER, flags))


def unlock_pty(master_fd: int) -> None:
    """Allow the slave side to be opened."""
    _ioctl(master_fd, "TIOCSPTLCK", TIOCSPTLCK, struct.pack("i", 0))


def pty_number(master_fd: int) -> int:
    """Return N of the slave's name ``/dev/pts/N`` in the master's devpts instance."""
    answer = _ioctl(master_fd, "TIOCGPTN", TIOCGPTN, bytes(4))
    return int.from_bytes(bytes(answer), "little") if isinstance(answer, bytes) else answer


def set_controlling_terminal(fd: int) -> None:
    """Make the terminal ``fd`` this session leader's own: TIOCSCTTY."""
    _ioctl(fd, "TIOCSCTTY", TIOCSCTTY, 0)


def set_window_size(fd: int, rows: int, columns: int) -> None:
    """Set a terminal's size; its foreground process group gets SIGWINCH when it changed."""
    _ioctl(fd, "TIOCSWINSZ", TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
