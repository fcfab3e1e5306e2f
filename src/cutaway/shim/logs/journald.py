"""The ``journald`` driver: one entry a line, by the journal's native protocol.

A datagram is ``NAME=value`` lines; a value with a newline, or any bytes, is ``NAME``, its size as
64 bits and the bytes.

Source: systemd.io/JOURNAL_NATIVE_PROTOCOL; moby ``daemon/logger/journald``.
"""

import struct
import time

from cutaway.shim.logs.channel import Channel
from cutaway.shim.logs.clock import format_rfc3339_nano
from cutaway.shim.logs.stdcopy import STDERR

_SIZE = struct.Struct("<Q")


def encode_entry(fields: dict[str, bytes]) -> bytes:
    """Return the datagram of one journal entry."""
    parts: list[bytes] = []
    for name, value in fields.items():
        if b"\n" in value:
            parts.append(name.encode() + b"\n" + _SIZE.pack(len(value)) + value + b"\n")
        else:
            parts.append(name.encode() + b"=" + value + b"\n")
    return b"".join(parts)


class JournaldSink:
    """Sends lines to the journal.

    Args:
        channel: to journald's socket.
        fields: what every entry says of its container: ``CONTAINER_ID``, ``CONTAINER_NAME``, …
    """

    def __init__(self, channel: Channel, fields: dict[str, str]) -> None:
        self._channel = channel
        self._fields = {name: value.encode() for name, value in fields.items()}

    @property
    def is_stalled(self) -> bool:
        """The journal takes no more just now."""
        return self._channel.is_full

    def send(self, stream: int, lines: list[bytes], *, is_partial: bool) -> None:
        """Send each line that is not empty."""
        fields = {
            **self._fields,
            "PRIORITY": b"3" if stream == STDERR else b"6",
            "SYSLOG_TIMESTAMP": format_rfc3339_nano(time.time_ns()),
        }
        if is_partial:
            fields["CONTAINER_PARTIAL_MESSAGE"] = b"true"
        for line in filter(None, lines):
            self._channel.send(encode_entry({**fields, "MESSAGE": line}))

    def flush(self) -> bool:
        """Send what waits."""
        return self._channel.flush()

    def close(self) -> None:
        """Hang up."""
        self._channel.close()
