"""Docker's stream frames: one connection that carries stdout and stderr.

A frame is a header of eight bytes and a payload: byte 0 is the stream (0 stdin, 1 stdout, 2 stderr,
3 an error of the engine), bytes 4–7 the payload's length, big-endian.

Source: Engine API, "Attach to a container", stream format.
"""

from collections.abc import Iterable, Iterator

STDOUT = 1
STDERR = 2
SYSTEM_ERROR = 3

_HEADER_BYTES = 8


class FrameDecoder:
    """Cuts a byte stream into frames, whatever the pieces it arrives in."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Yield each (stream, payload) that ``data`` completes.

        Raises:
            ValueError: the stream number is not one of Docker's; the stream is not framed.
        """
        buffer = self._buffer
        buffer += data
        start = 0
        while len(buffer) - start >= _HEADER_BYTES:
            stream = buffer[start]
            if stream > SYSTEM_ERROR:
                raise ValueError(f"Unrecognized input header: {stream}")
            end = start + _HEADER_BYTES + int.from_bytes(buffer[start + 4 : start + 8], "big")
            if len(buffer) < end:
                break
            yield stream, bytes(buffer[start + _HEADER_BYTES : end])
            start = end
        del buffer[:start]


def split_frames(chunks: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    """Yield every (stream, payload) of a framed body."""
    decoder = FrameDecoder()
    for chunk in chunks:
        yield from decoder.feed(chunk)
