"""An engine for kill loops: it is forked from a process that has everything imported.

Half a second of every start is Python reading modules. A loop of hundreds of kills need not pay
it each time; what an engine does from its first line on is the same.
"""

import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

from support.engine import EngineUnderTest

_ZYGOTE = Path(__file__).with_name("engine_zygote.py")


class ForkedProcess:
    """The part of ``subprocess.Popen`` that an engine under test needs."""

    def __init__(self, zygote: "subprocess.Popen[bytes]", arguments: list[str], log: Path) -> None:
        assert zygote.stdin is not None
        self._zygote = zygote
        self.returncode: int | None = None
        request = {"arguments": arguments, "log": str(log)}
        zygote.stdin.write(json.dumps(request).encode() + b"\n")
        zygote.stdin.flush()
        self.pid = self._read_number()

    def _read_number(self) -> int:
        assert self._zygote.stdout is not None
        line = self._zygote.stdout.readline()
        assert line, "the process that forks engines has ended"
        return int(line)

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end.

        Raises:
            subprocess.TimeoutExpired: it still runs.
        """
        if self.returncode is None:
            if not select.select([self._zygote.stdout], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired("cutawayd", timeout or 0)
            self.returncode = os.waitstatus_to_exitcode(self._read_number())
        return self.returncode

    def poll(self) -> int | None:
        """Return its exit status, None while it runs."""
        try:
            return self.wait(0)
        except subprocess.TimeoutExpired:
            return None

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)


class ForkedEngine(EngineUnderTest):
    """An ``EngineUnderTest`` whose second start costs as little as its tenth."""

    _zygote: "subprocess.Popen[bytes] | None" = None

    def spawn(self) -> ForkedProcess:
        """Fork an engine."""
        if self._zygote is None:
            self._zygote = self.host.popen(
                [sys.executable, "-I", str(_ZYGOTE)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
        return ForkedProcess(self._zygote, self.arguments(), self.log)

    def close(self) -> None:
        """End the engine, then what forked it."""
        try:
            super().close()
        finally:
            if self._zygote is not None:
                self._zygote.communicate()
