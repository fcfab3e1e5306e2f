"""The ``syslog`` driver: one message a line, in the format that was asked for.

    unix          <30>Jan  2 15:04:05 TAG[PID]: line
    rfc3164       <30>Jan  2 15:04:05 HOST TAG[PID]: line
    rfc5424       <30>1 2026-01-02T15:04:05Z HOST TAG PID TAG - line
    rfc5424micro  likewise, with microseconds

The number is facility x 8 + severity: 6 (info) for stdout, 3 (error) for stderr.

Source: moby ``daemon/logger/syslog``; github.com/RackSec/srslog; RFC 3164, RFC 5424.
"""

import os
import time

from cutaway.shim.logs.channel import Channel
from cutaway.shim.logs.stdcopy import STDERR

_INFO, _ERROR = 6, 3


def format_message(
    form: str, line: bytes, *, priority: int, tag: str, host: str, pid: int, now_ns: int
) -> bytes:
    """Return one syslog message, its newline included."""
    seconds = now_ns // 1_000_000_000
    if form in ("rfc5424", "rfc5424micro"):
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(seconds))
        if form == "rfc5424micro":
            moment += f".{now_ns // 1000 % 1_000_000:06d}"
        head = f"<{priority}>1 {moment}{_zone(seconds)} {host} {tag} {pid} {tag} - "
    else:
        # Go's time.Stamp: the day is padded by a space.
        local = time.localtime(seconds)
        moment = f"{time.strftime('%b', local)} {local.tm_mday:2d} {time.strftime('%X', local)}"
        place = f"{host} " if form == "rfc3164" else ""
        head = f"<{priority}>{moment} {place}{tag}[{pid}]: "
    return head.encode() + line + b"\n"


def _zone(seconds: int) -> str:
    minutes = time.localtime(seconds).tm_gmtoff // 60
    if not minutes:
        return "Z"
    return f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02d}:{abs(minutes) % 60:02d}"


class SyslogSink:
    """Sends lines to a syslog daemon.

    Args:
        channel: to the daemon.
        form: ``unix`` (Docker's default), ``rfc3164``, ``rfc5424`` or ``rfc5424micro``.
        facility: 0 to 23.
        tag: what the ``tag`` option came to.
    """

    def __init__(self, channel: Channel, *, form: str, facility: int, tag: str) -> None:
        self._channel = channel
        self._form = form
        self._facility = facility
        self._tag = tag
        self._host = os.uname().nodename
        self._pid = os.getpid()

    @property
    def is_stalled(self) -> bool:
        """The daemon takes no more just now."""
        return self._channel.is_full

    def send(self, stream: int, lines: list[bytes], *, is_partial: bool) -> None:
        """Send each line that is not empty."""
        priority = self._facility * 8 + (_ERROR if stream == STDERR else _INFO)
        now_ns = time.time_ns()
        for line in filter(None, lines):
            message = format_message(
                self._form,
                line,
                priority=priority,
                tag=self._tag,
                host=self._host,
                pid=self._pid,
                now_ns=now_ns,
            )
            self._channel.send(message)

    def flush(self) -> bool:
        """Send what waits."""
        return self._channel.flush()

    def close(self) -> None:
        """Hang up."""
        self._channel.close()
