"""The host's netlink sockets: one for all threads of the engine, instead of one for each change."""

import threading
from collections.abc import Sequence

from cutaway.linux import KernelError
from cutaway.linux.netlink import Message, NetlinkSocket, Request


class SharedSocket(NetlinkSocket):
    """A netlink socket that any thread may use: one exchange follows another.

    So nobody waits for more than one exchange of somebody else, whatever that one has yet to do.
    """

    def __init__(self, protocol: int) -> None:
        super().__init__(protocol)
        self._turn = threading.Lock()

    def exchange(
        self, requests: Sequence[Request], acknowledged: int = -1
    ) -> tuple[list[Message], dict[int, KernelError]]:
        """See ``NetlinkSocket``."""
        with self._turn:
            return super().exchange(requests, acknowledged)

    def dump(self, request: Request) -> list[bytes]:
        """See ``NetlinkSocket``."""
        with self._turn:
            return super().dump(request)

    def close(self) -> None:
        """See ``NetlinkSocket``."""
        with self._turn:
            super().close()
