"""Descriptors on their way from a shim that goes to rest to the one that takes its place."""

from collections.abc import Sequence


class Luggage:
    """A list of descriptors, which the state names by their places in it; -1 is none."""

    def __init__(self, fds: Sequence[int] = ()) -> None:
        self.fds = list(fds)

    def put(self, fd: int) -> int:
        """Add a descriptor, unless it is there; return its place."""
        if fd < 0:
            return -1
        if fd not in self.fds:
            self.fds.append(fd)
        return self.fds.index(fd)

    def take(self, place: int) -> int:
        """Return the descriptor at a place."""
        return self.fds[place] if place >= 0 else -1
