"""The launcher: started with the engine, started again when it dies."""

import asyncio
import logging
import os
from collections.abc import Callable
from typing import Any

from cutaway.engine.links import EventHandler, Link
from cutaway.shim.client import LauncherClient
from cutaway.shim.protocol import Event, Launch

log = logging.getLogger(__name__)

# A launcher that dies at once again and again must not keep a processor busy.
FIRST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 5.0
SETTLED_S = 10.0


class Launcher:
    """Keeps a launcher process alive and asks it for shims."""

    def __init__(
        self, on_shim_exited: Callable[[str], None], *, seccomp_directory: str = ""
    ) -> None:
        """Prepare; ``start`` makes the process.

        Args:
            on_shim_exited: called with a container's id when its shim process has ended.
            seccomp_directory: where compiled seccomp programs are kept for all containers.
        """
        self._seccomp_directory = seccomp_directory
        self._on_shim_exited = on_shim_exited
        self._client: LauncherClient | None = None
        self._link: Link | None = None
        self._pause_s = FIRST_PAUSE_S
        self._started_at = 0.0
        self._closing = False

    @property
    def pid(self) -> int:
        """The process id, 0 while there is none."""
        return self._client.pid if self._client else 0

    def start(self) -> None:
        """Start the process. Leaves behind: a child that ends with this connection."""
        loop = asyncio.get_running_loop()
        self._started_at = loop.time()
        self._client = LauncherClient.spawn(self._seccomp_directory)
        self._link = Link(self._client, self._event, self._ended)

    def launch(
        self, request: Launch, on_event: EventHandler, on_end: Callable[[], None]
    ) -> tuple[Link, "asyncio.Future[Any]"]:
        """Ask for a shim.

        Returns:
            The link to it, usable at once, and the launch's own answer (which nobody needs to
            wait for: a shim that could not be forked ends its link).
        """
        if self._link is not None:
            self._link.poll()  # or else one that died just now would be asked
        if self._client is None or self._link is None or self._link.ended:
            self.start()
        if self._client is None or self._link is None:
            raise RuntimeError("the launcher did not start")
        request_id, shim = self._client.launch(request)
        answer = asyncio.ensure_future(self._link.expect(request_id))
        answer.add_done_callback(_retrieve)
        return Link(shim, on_event, on_end), answer

    def _event(self, event: Event, fds: tuple[int, ...]) -> None:
        for fd in fds:
            os.close(fd)
        if event.name == "shim_exited":
            self._on_shim_exited(str(event.facts.get("container_id", "")))

    def _ended(self) -> None:
        if self._client is not None:
            self._reap(self._client.pid)
        self._client = self._link = None
        if self._closing:
            return
        loop = asyncio.get_running_loop()
        if loop.time() - self._started_at > SETTLED_S:
            self._pause_s = FIRST_PAUSE_S
        log.warning("the launcher has died; starting another in %.2f s", self._pause_s)
        loop.call_later(self._pause_s, self._start_again)
        self._pause_s = min(self._pause_s * 2, LONGEST_PAUSE_S)

    def _start_again(self) -> None:
        if self._client is None and not self._closing:
            self.start()

    @staticmethod
    def _reap(pid: int) -> None:
        # The socket ends an instant before the process does.
        loop = asyncio.get_running_loop()

        def attempt(left: int) -> None:
            try:
                reaped, _ = os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:
                return
            if reaped == 0 and left:
                loop.call_later(0.05, attempt, left - 1)

        attempt(100)

    def close(self) -> None:
        """End the launcher; shims live on."""
        self._closing = True
        if self._link is not None:
            self._link.close()
        if self._client is not None:
            self._reap(self._client.pid)


def _retrieve(answer: "asyncio.Future[Any]") -> None:
    if not answer.cancelled():
        answer.exception()
