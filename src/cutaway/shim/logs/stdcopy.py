"""Docker's framing of several streams in one connection.

A frame is eight bytes of head (stream number, three zeros, payload size big-endian) and the
payload. Source: Engine API "ContainerAttach", moby pkg/stdcopy.
"""

from struct import Struct

STDIN, STDOUT, STDERR, SYSTEM_ERROR = 0, 1, 2, 3
HEAD_BYTES = 8

_HEAD = Struct(">BxxxI")


def head(stream: int, size: int) -> bytes:
    """Return the head of a frame with ``size`` bytes of payload."""
    return _HEAD.pack(stream, size)


def frame(stream: int, payload: bytes) -> bytes:
    """Return a whole frame."""
    return _HEAD.pack(stream, len(payload)) + payload


def split(data: bytes) -> tuple[list[tuple[int, bytes]], bytes]:
    """Take frames apart: the (stream, payload) list and the bytes of an unfinished frame."""
    frames: list[tuple[int, bytes]] = []
    position = 0
    while len(data) - position >= HEAD_BYTES:
        stream, size = _HEAD.unpack_from(data, position)
        end = position + HEAD_BYTES + size
        if end > len(data):
            break
        frames.append((stream, data[position + HEAD_BYTES : end]))
        position = end
    return frames, data[position:]
