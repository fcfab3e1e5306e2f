"""Detach keys: the sequence (``ctrl-p,ctrl-q``) that leaves a container without stopping it.

Source: Docker CLI reference "docker attach", moby term.ToBytes.
"""

from cutaway.errors import InvalidParameter

_CTRL_SYMBOLS = "@[\\]^_"


def parse_detach_keys(keys: str) -> bytes:
    """Return the bytes of a list such as ``ctrl-p,q``; empty text is no sequence.

    Raises:
        InvalidParameter: a name that is no single ASCII character and no ``ctrl-`` of one.
    """
    sequence = bytearray()
    for key in keys.split(",") if keys else ():
        if len(key) == 1 and key.isascii():
            sequence.append(ord(key))
            continue
        letter = key[5:].lower() if key.lower().startswith("ctrl-") else ""
        if len(letter) == 1 and "a" <= letter <= "z":
            sequence.append(ord(letter) - ord("a") + 1)
        elif len(letter) == 1 and letter in _CTRL_SYMBOLS:
            sequence.append(ord(letter) - 0x40)
        else:
            raise InvalidParameter(f"Unknown character: {key!r}")
    return bytes(sequence)


class DetachFilter:
    """Finds the sequence in what a client types, also when it comes in pieces."""

    def __init__(self, sequence: bytes) -> None:
        self._sequence = sequence
        self._held = b""  # typed, and still a beginning of the sequence

    def feed(self, data: bytes) -> tuple[bytes, bool]:
        """Return what the process gets of ``data``, and whether the sequence was completed."""
        if not self._sequence:
            return data, False
        data = self._held + data
        self._held = b""
        found = data.find(self._sequence)
        if found >= 0:
            return data[:found], True
        for size in range(min(len(data), len(self._sequence) - 1), 0, -1):
            if data.endswith(self._sequence[:size]):
                self._held = data[-size:]
                return data[:-size], False
        return data, False
