"""A child that prepares itself while the parent goes on: what the parent knows and awaits of it."""

import json
import os
import select
import signal
from typing import Any

from cutaway import linux
from cutaway.runtime.failures import MakerLost, RuntimeFailure
from cutaway.runtime.sync import SyncSocket


class PreparingChild:
    """The parent's side of an init between clone3(2) and execve(2).

    Attributes:
        pidfd: of the init, -1 before it is known; whoever made this object closes it.
        maker_pidfd: of the maker while the init depends on it, else -1; not this object's own.
        console_fd: the pty's master once prepared, or None.
        journal: what the init told of its times so far.
        error: why the init failed, if it did.
    """

    def __init__(self, sync: SyncSocket) -> None:
        self._sync = sync
        self.pidfd = -1
        self.maker_pidfd = -1
        self.console_fd: int | None = None
        self.journal = b""
        self.error: str | None = None

    @property
    def sync_fd(self) -> int:
        """Readable when there is news: prepared, failed, or gone."""
        return self._sync.fd

    def send(self, letter: str, fds: tuple[int, ...] = ()) -> None:
        """Tell the init something; one that is gone is found out by the next ``wait``."""
        try:
            self._sync.send(letter, fds=fds)
        except (BrokenPipeError, ConnectionResetError):
            return

    def _receive(self) -> tuple[str, bytes, list[int]]:
        """Return the next message; a maker that is killed can't leave us waiting for it.

        The end of the stream would not tell: the init that it made holds the other end, too, and
        waits for the maker itself.
        """
        if self.maker_pidfd >= 0:
            poller = select.poll()
            for fd in (self._sync.fd, self.maker_pidfd):
                poller.register(fd, select.POLLIN)
            poller.poll()
            # Its last words are there by now, or will never be.
            if not select.select([self._sync.fd], [], [], 0)[0]:
                raise MakerLost()
        return self._sync.receive()

    def hang_up(self) -> None:
        """Let an init end that waits for a word, whoever still holds its end of the socket."""
        self._sync.shut_down()

    def wait_made(self) -> tuple[dict[str, Any], list[int]]:
        """Block until the maker has made the init; return what it says, and its descriptors.

        Raises:
            RuntimeFailure: the maker's, or the init's own.
        """
        while True:
            letter, payload, fds = self._receive()
            if letter == "I":
                return json.loads(payload), fds
            self._take(letter, payload)

    def wait_prepared(self) -> None:
        """Block until only execve(2) is missing.

        Raises:
            RuntimeFailure: the init's own, or that it was killed.
        """
        while True:
            letter, payload, fds = self._receive()
            if letter == "P":
                self.maker_pidfd = -1
                self.journal += payload
                self.console_fd = fds[0] if fds else None
                return
            self._take(letter, payload)

    def wait_executed(self) -> None:
        """Block until execve(2) succeeded; ``G`` was sent before.

        Raises:
            RuntimeFailure: the program can't be executed, or the init was killed.
        """
        is_about_to = False
        while True:
            letter, payload, _ = self._sync.receive()
            if letter == "X":
                is_about_to = True
            elif letter == "" and is_about_to:
                self.close()
                return
            else:
                self._take(letter, payload)

    def _take(self, letter: str, payload: bytes) -> None:
        """Handle what may come at any time: times, a failure, the end."""
        if letter == "T":
            self.journal += payload
        elif letter == "E":
            failure = RuntimeFailure.parse(payload)
            self.error = failure.message
            raise failure
        elif letter == "":
            raise MakerLost() if self.pidfd < 0 else RuntimeFailure("init", self._why_gone())

    def _why_gone(self) -> str:
        try:
            status = linux.waitid_pidfd(self.pidfd, os.WEXITED | os.WNOWAIT)
        except linux.KernelError:
            status = None
        if status is None or status[1] is None:
            return "the container's init ended without a word"
        name = signal.Signals(status[1]).name
        return f"the container's init was killed by {name}"

    def close(self) -> None:
        """Close the sync socket; harmless twice."""
        self._sync.close()
