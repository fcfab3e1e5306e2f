"""What a build tells while it runs: one log per vertex, read in any order, by anybody."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from enum import StrEnum


class VertexState(StrEnum):
    """How far a vertex is; each leads only to those below it."""

    WAITING = "waiting"
    RUNNING = "running"
    CACHED = "cached"
    DONE = "done"
    FAILED = "failed"


@dataclass(slots=True)
class VertexLog:
    """The story of one vertex.

    Attributes:
        state: see ``VertexState``.
        reason: why the cache hit or missed, in a sentence.
        container_id: of the command, once it runs.
        shell_id: of the container with a shell that follows a failed command; empty: none does.
        chain_id: of the result.
        has_layer: the step added a layer; False also while that is unknown.
        error: why it failed.
        started_ns, ended_ns: CLOCK_MONOTONIC, 0 while unknown.
    """

    state: VertexState = VertexState.WAITING
    reason: str = ""
    container_id: str = ""
    shell_id: str = ""
    chain_id: str = ""
    has_layer: bool = False
    error: Exception | None = None
    started_ns: int = 0
    ended_ns: int = 0
    _output: list[tuple[int, bytes]] = field(default_factory=list)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def start(self) -> None:
        """The vertex is being worked on."""
        self.state, self.started_ns = VertexState.RUNNING, time.monotonic_ns()
        self._tell()

    def run_in(self, container_id: str) -> None:
        """Its command runs in this container."""
        self.container_id = container_id
        self._tell()

    def offer_shell(self, container_id: str) -> None:
        """Its command failed, and a container with a shell in its place waits to be started."""
        self.shell_id = container_id
        self._tell()

    def write(self, stream: int, data: bytes) -> None:
        """Its command printed something."""
        self._output.append((stream, data))
        self._tell()

    def end(self, state: VertexState, *, error: Exception | None = None) -> None:
        """It is cached, done or failed."""
        self.state, self.error, self.ended_ns = state, error, time.monotonic_ns()
        self._tell()

    @property
    def is_ended(self) -> bool:
        """It will not change any more."""
        return self.state in {VertexState.CACHED, VertexState.DONE, VertexState.FAILED}

    async def changed(self) -> None:
        """Wait until anything of it changes."""
        await self._changed.wait()

    def output_from(self, position: int) -> list[tuple[int, bytes]]:
        """Return the (stream, bytes) pieces behind the first ``position`` ones."""
        return self._output[position:]

    async def until_running(self) -> None:
        """Wait until its container is known, or it has ended."""
        while not (self.container_id or self.is_ended):
            await self._changed.wait()

    async def until_ended(self) -> None:
        """Wait until it has ended."""
        while not self.is_ended:
            await self._changed.wait()

    async def output(self) -> AsyncIterator[tuple[int, bytes]]:
        """Yield (stream, bytes) from the beginning to the end."""
        position = 0
        while True:
            while position < len(self._output):
                yield self._output[position]
                position += 1
            if self.is_ended:
                return
            await self._changed.wait()
