"""The container operations of one engine, each a use case of its own module.

Fits ``api``'s ``ContainerBackend``: finds the container and hands over.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Coroutine, Sequence
from typing import Any, TypeVar

from cutaway.engine.container import Container
from cutaway.engine.containers import (
    committing,
    creation,
    files,
    removal,
    stopping,
    updating,
    waiting,
)
from cutaway.engine.core import Core
from cutaway.engine.lifecycle import Status
from cutaway.engine.networking.legacy_links import remove_link
from cutaway.engine.output import attaching
from cutaway.engine.showing import inspection, listing
from cutaway.engine.showing.statistics import stream_statistics
from cutaway.engine.showing.top import choose_columns, list_processes
from cutaway.engine.starts import planning, starting
from cutaway.engine.units import parse_time_ns
from cutaway.errors import Conflict, CutawayError
from cutaway.model import (
    ArchiveStream,
    AttachOptions,
    Begin,
    ByteStream,
    CommitRequest,
    ContainerCreate,
    ContainerCreateResponse,
    ContainerInspect,
    ContainerListOptions,
    ContainerPruneReport,
    ContainerStats,
    ContainerSummary,
    ContainerTop,
    ContainerUpdateResponse,
    ContainerWaitResponse,
    FilesystemChange,
    Filters,
    LogsOptions,
    LogStream,
    PathStat,
    UpdateConfig,
    Upgrade,
)
from cutaway.shim.protocol import Processes

T = TypeVar("T")


class ContainerService:
    """The container operations of one engine."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def _find(self, reference: str) -> Container:
        return self._core.containers.find(reference)

    @staticmethod
    async def _whole(work: Coroutine[Any, Any, T]) -> T:
        """Run a change to its end, also when the client has gone."""
        return await asyncio.shield(asyncio.ensure_future(work))

    async def create(self, request: ContainerCreate) -> ContainerCreateResponse:
        """Make a container."""
        return await self._whole(creation.create(self._core, request))

    async def start(self, reference: str) -> None:
        """Run it."""
        await self._whole(starting.start(self._core, self._find(reference)))

    async def stop(self, reference: str, *, signal: str = "", timeout_s: int | None = None) -> None:
        """Stop it."""
        container = self._find(reference)
        await self._whole(stopping.stop(self._core, container, signal=signal, timeout_s=timeout_s))

    async def restart(
        self, reference: str, *, signal: str = "", timeout_s: int | None = None
    ) -> None:
        """Stop it if it runs, then start it."""
        container = self._find(reference)
        await self._whole(
            stopping.restart(self._core, container, signal=signal, timeout_s=timeout_s)
        )

    async def kill(self, reference: str, *, signal: str = "") -> None:
        """Send a signal to its PID 1."""
        container = self._find(reference)
        await self._whole(stopping.kill(self._core, container, reference, signal))

    async def pause(self, reference: str) -> None:
        """Freeze it."""
        await self._whole(stopping.pause(self._core, self._find(reference)))

    async def unpause(self, reference: str) -> None:
        """Let it go on."""
        await self._whole(stopping.unpause(self._core, self._find(reference)))

    async def rename(self, reference: str, *, name: str) -> None:
        """Give it another name."""
        await self._whole(updating.rename(self._core, self._find(reference), name))

    async def update(self, reference: str, changes: UpdateConfig) -> ContainerUpdateResponse:
        """Change limits and restart policy."""
        return await self._whole(updating.update(self._core, self._find(reference), changes))

    async def resize(self, reference: str, *, height: int, width: int) -> None:
        """Set its terminal's size."""
        await stopping.resize(self._core, self._find(reference), height=height, width=width)

    async def remove(
        self, reference: str, *, force: bool = False, volumes: bool = False, link: bool = False
    ) -> None:
        """Remove it, or with ``link`` one of its legacy links: ``container/alias``."""
        if link:
            remove_link(self._core, reference)
            return
        container = self._find(reference)
        await self._whole(removal.remove(self._core, container, force=force, volumes=volumes))

    async def inspect(self, reference: str, *, size: bool = False) -> ContainerInspect:
        """Tell all about it."""
        return await inspection.inspect(self._core, self._find(reference), size=size)

    async def list(self, options: ContainerListOptions) -> Sequence[ContainerSummary]:
        """List containers, newest first."""
        return await listing.list_containers(self._core, options)

    async def logs(self, reference: str, options: LogsOptions) -> LogStream:
        """Read its output."""
        return await attaching.read_logs(self._core, self._find(reference), options)

    async def attach(self, reference: str, options: AttachOptions, upgrade: Upgrade) -> None:
        """Join a client to its streams."""
        await attaching.attach(self._core, self._find(reference), options, upgrade)

    async def wait(self, reference: str, *, condition: str, begin: Begin) -> ContainerWaitResponse:
        """Wait for it to end."""
        return await waiting.wait(self._core, self._find(reference), condition, begin)

    async def top(self, reference: str, *, ps_args: str) -> ContainerTop:
        """List its processes."""
        container = self._find(reference)
        choose_columns(ps_args or "-ef")
        if container.state.status is Status.RESTARTING:
            raise Conflict(
                f"Container {container.id} is restarting, wait until the container is running"
            )
        shim = stopping.live_shim(container)
        found = await shim.request(Processes())
        self._core.commit(container, told=[("top", {})])
        pids = sorted(int(pid) for pid in found["pids"])
        return await self._core.in_thread(list_processes, pids, ps_args)

    async def stats(
        self, reference: str, *, stream: bool, one_shot: bool
    ) -> AsyncIterator[ContainerStats]:
        """Sample its resource use."""
        container = self._find(reference)
        return stream_statistics(self._core, container, stream=stream, one_shot=one_shot)

    async def changes(self, reference: str) -> Sequence[FilesystemChange]:
        """List paths that differ from its image."""
        return await files.changes(self._core, self._find(reference))

    async def export(self, reference: str) -> ByteStream:
        """Read its whole file system."""
        return await files.export(self._core, self._find(reference))

    async def archive(self, reference: str, *, path: str) -> ArchiveStream:
        """Read a path in it."""
        return await files.archive(self._core, self._find(reference), path)

    async def archive_stat(self, reference: str, *, path: str) -> PathStat:
        """Tell what a path in it is."""
        return await files.archive_stat(self._core, self._find(reference), path)

    async def archive_put(
        self,
        reference: str,
        *,
        path: str,
        body: ByteStream,
        no_overwrite_dir_non_dir: bool,
        copy_uid_gid: bool,
    ) -> None:
        """Unpack a tar in it."""
        await files.archive_put(
            self._core,
            self._find(reference),
            path=path,
            body=body,
            no_overwrite_dir_non_dir=no_overwrite_dir_non_dir,
            copy_uid_gid=copy_uid_gid,
        )

    async def commit(self, request: CommitRequest) -> str:
        """Make an image of it."""
        container = self._find(request.container)
        return await self._whole(committing.commit(self._core, container, request))

    async def prune(self, filters: Filters) -> ContainerPruneReport:
        """Remove all that do not run and match."""
        predicates = listing.build_predicates(self._core, filters)
        limits = [self._until(text) for text in filters.get("until", ())]
        removed: list[str] = []
        reclaimed = 0
        for container in self._core.containers:
            if container.state.status not in (Status.CREATED, Status.EXITED, Status.DEAD):
                continue
            if any(container.document.created_ns > limit for limit in limits):
                continue
            if not listing.matches(container, filters, predicates):
                continue
            own, _ = await inspection.sizes(self._core, container)
            try:
                await self.remove(container.id)
            except CutawayError:
                continue
            removed.append(container.id)
            reclaimed += own
        self._core.bus.publish("container", "prune", "", {"reclaimed": str(reclaimed)})
        return ContainerPruneReport(
            containers_deleted=tuple(removed) or None, space_reclaimed=reclaimed
        )

    @staticmethod
    def _until(text: str) -> int:
        return parse_time_ns(text, now_ns=time.time_ns())

    async def plan(self, request: ContainerCreate) -> Any:
        """Tell the steps that create and start would do."""
        return await planning.plan(self._core, request)

    async def story(self, reference: str) -> Any:
        """Tell the recorded steps of the last start."""
        return await self._core.in_thread(planning.story, self._core, self._find(reference))
