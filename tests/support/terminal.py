"""A command on a terminal of its own: what a person at a keyboard sees and types."""

import errno
import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time

from support.host import TestHost

PATIENCE_S = 20


class Terminal:
    """Runs a command under a pty; everything it shows is kept.

    Attributes:
        seen: all output so far.
    """

    def __init__(
        self,
        host: TestHost,
        *words: str,
        env: dict[str, str] | None = None,
        rows: int = 24,
        columns: int = 80,
    ) -> None:
        self.seen = b""
        self._leader, follower = pty.openpty()
        self.resize(rows, columns)
        self.process = subprocess.Popen(
            ["setsid", "--ctty", "--wait", *host.enter(), *words],
            stdin=follower,
            stdout=follower,
            stderr=follower,
            env={**(env or os.environ), "TERM": "xterm"},
        )
        os.close(follower)
        self._read_to = 0

    def resize(self, rows: int, columns: int) -> None:
        """Change the window's size; the kernel tells the command by SIGWINCH."""
        fcntl.ioctl(self._leader, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def send(self, data: bytes) -> None:
        """Type."""
        os.write(self._leader, data)

    def _read(self, deadline: float) -> bool:
        """Read once; False at the end of the output or of the patience."""
        ready, _, _ = select.select([self._leader], [], [], max(0, deadline - time.monotonic()))
        if not ready:
            return False
        try:
            data = os.read(self._leader, 65536)
        except OSError as error:
            if error.errno != errno.EIO:  # the other side is closed
                raise
            return False
        self.seen += data
        return bool(data)

    def expect(self, pattern: bytes, timeout_s: float = PATIENCE_S) -> re.Match[bytes]:
        """Wait until the output after the last match matches too."""
        deadline = time.monotonic() + timeout_s
        while True:
            if match := re.compile(pattern, re.DOTALL).search(self.seen, self._read_to):
                self._read_to = match.end()
                return match
            assert self._read(deadline), f"no {pattern!r} in {self.seen[self._read_to :]!r}"

    def wait(self, timeout_s: float = PATIENCE_S) -> int:
        """Read to the end, and return the exit code."""
        deadline = time.monotonic() + timeout_s
        while self._read(deadline):
            pass
        try:
            return self.process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running, having shown {self.seen!r}") from None

    def close(self) -> None:
        """End it, whatever it does."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self._leader)

    def __enter__(self) -> "Terminal":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
