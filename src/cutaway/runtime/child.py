"""A child that prepares itself while the parent goes on: what the parent knows and awaits of it."""

import json
import os
import signal
from collections.abc import Sequence
from typing import Any

from cutaway import linux
from cutaway.runtime.failures import RuntimeFailure
from cutaway.runtime.journal import read_journal
from cutaway.runtime.sync import SyncSocket
from cutaway.steps import Record, Step


class PreparingChild:
    """The parent's side of an init between clone3(2) and execve(2).

    Attributes:
        pid: of the init, in the parent's pid namespace.
        pidfd: of the init; whoever made this object passes it on or closes it.
        console_fd: the pty's master once prepared, or None.
    """

    def __init__(self, sync: SyncSocket, pid: int, pidfd: int) -> None:
        self._sync = sync
        self.pid = pid
        self.pidfd = pidfd
        self.console_fd: int | None = None
        self._journal = b""
        self._failure: RuntimeFailure | None = None

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

    def wait_prepared(self) -> None:
        """Block until only execve(2) is missing.

        Raises:
            RuntimeFailure: the init's own, or that it was killed.
        """
        while True:
            letter, payload, fds = self._sync.receive()
            if letter == "P":
                self._journal += payload
                self.console_fd = fds[0] if fds else None
                return
            self.fail(letter, payload)

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
                self.fail(letter, payload)

    def fail(self, letter: str, payload: bytes) -> None:
        """Handle what may come at any time: times, a failure, the end.

        Raises:
            RuntimeFailure: it was a failure or the end.
        """
        if letter == "T":
            self._journal += payload
        elif letter == "E":
            self._failure = RuntimeFailure.from_json(json.loads(payload))
            raise self._failure
        elif letter == "":
            raise RuntimeFailure("init", self._why_gone())

    def _why_gone(self) -> str:
        try:
            status = linux.waitid_pidfd(self.pidfd, os.WEXITED | os.WNOWAIT)
        except linux.KernelError:
            status = None
        if status is None or status[1] is None:
            return "the container's init ended without a word"
        name = signal.Signals(status[1]).name
        why = ": is the memory limit too low?" if status[1] == signal.SIGKILL else ""
        return f"the container's init was killed by {name}{why}"

    def records(self, steps: Sequence[Step[Any]]) -> list[Record]:
        """Return what the init did, as ledger records."""
        error = str(self._failure) if self._failure else None
        return read_journal(self._journal, steps, error)

    def close(self) -> None:
        """Close the sync socket; harmless twice."""
        self._sync.close()
