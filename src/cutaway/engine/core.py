"""What all use cases share: the parts of one engine, and the few moves they all make."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ParamSpec, TypeVar

import msgspec

from cutaway.engine.configuration.settings import DaemonSettings
from cutaway.engine.container import Container, ContainerDocument, ContainerState, ContainerTable
from cutaway.engine.events import EventBus
from cutaway.engine.launching import Launcher
from cutaway.engine.paths import Paths
from cutaway.engine.spec.intent import Machine
from cutaway.engine.store import Store
from cutaway.engine.system.reserve import DiskReserve
from cutaway.images.snapshots import Snapshots, Trash
from cutaway.images.store import ImageStore
from cutaway.network import Controller
from cutaway.plugins import PluginRegistry
from cutaway.volumes import VolumeStore

log = logging.getLogger(__name__)
P = ParamSpec("P")
T = TypeVar("T")

TRASH_PAUSE_S = 0.1

Told = tuple[str, Mapping[str, str]]
"""A container event to publish: its action and the attributes beside name, image and labels."""


@dataclass(slots=True, eq=False, kw_only=True)
class Core:
    """One engine's parts.

    Attributes:
        trash: directories of removed containers.
        bundle_trash: bundles of runs that ended; the exec root may be another file system.
        reserve: room for the engine's own records when the disk is full.
        executor: a few threads for what waits briefly for the disk or the kernel.
        transfers: threads for what may last: pulls, loads, copies, followed logs.
        tasks: background work in progress, so that it is neither lost nor left at the end.
        trash_task: deletes what was removed; one at a time.
        trash_again: more was removed while it ran.
    """

    settings: DaemonSettings
    machine: Machine
    paths: Paths
    store: Store
    bus: EventBus
    images: ImageStore
    snapshots: Snapshots
    trash: Trash
    bundle_trash: Trash
    plugins: PluginRegistry
    network: Controller
    volumes: VolumeStore
    executor: ThreadPoolExecutor
    transfers: ThreadPoolExecutor
    loop: asyncio.AbstractEventLoop
    launcher: Launcher
    reserve: DiskReserve
    containers: ContainerTable = field(default_factory=ContainerTable)
    tasks: set["asyncio.Task[Any]"] = field(default_factory=set)
    trash_task: "asyncio.Task[Any] | None" = None
    trash_again: bool = False

    async def in_thread(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do blocking work in the thread pool."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self.executor, partial(work, *args, **kwargs))

    async def in_long_thread(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do blocking work that may last: it waits for somebody else's program."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self.transfers, partial(work, *args, **kwargs))

    def spawn(self, work: Coroutine[Any, Any, Any], what: str) -> "asyncio.Task[Any]":
        """Run something in the background; a failure is logged under ``what``."""
        task = asyncio.get_running_loop().create_task(work)
        self.tasks.add(task)

        def done(finished: "asyncio.Task[Any]") -> None:
            self.tasks.discard(finished)
            if not finished.cancelled() and finished.exception() is not None:
                log.error("%s failed", what, exc_info=finished.exception())

        task.add_done_callback(done)
        return task

    def commit(
        self,
        container: Container,
        *,
        state: ContainerState | None = None,
        document: ContainerDocument | None = None,
        told: Sequence[Told] = (),
    ) -> None:
        """Store a container's new state and events in one transaction, then change memory.

        Raises:
            StoreFull: nothing was changed.
        """
        with self.bus.telling() as tell, self.store.change() as transaction:
            if document is not None:
                transaction.set_container_document(container.id, msgspec.json.encode(document))
            if state is not None:
                transaction.set_container_state(container.id, msgspec.json.encode(state))
            for action, attributes in told:
                tell("container", action, container.id, event_attributes(container, attributes))
        if document is not None:
            container.document = document
        if state is not None:
            container.state = state

    @staticmethod
    async def run_to_end(work: Awaitable[T]) -> T:
        """Finish work that must not stop half way even when the client has gone."""
        return await asyncio.shield(asyncio.ensure_future(work))

    def empty_trash_soon(self) -> None:
        """Delete what was removed in the background; nobody waits for it.

        It gathers for a moment: those of many containers cost one turn of a thread then, which
        keeps the processor for who waits for a container.
        """
        self.trash_again = True
        if self.trash_task is None or self.trash_task.done():
            self.trash_task = self.spawn(self._empty_trash(), "emptying the trash")

    async def _empty_trash(self) -> None:
        while self.trash_again:
            await asyncio.sleep(TRASH_PAUSE_S)
            self.trash_again = False
            await self.in_thread(self._delete_trash)

    def _delete_trash(self) -> None:
        with ExitStack() as all_of_it:
            all_of_it.callback(self.snapshots.empty_trash)
            all_of_it.callback(self.trash.empty)
            all_of_it.callback(self.bundle_trash.empty)


def event_attributes(container: Container, extra: Mapping[str, str]) -> dict[str, str]:
    """Return what every event of a container says: labels, image, name, and ``extra``."""
    return {
        **(container.config.labels or {}),
        "image": container.document.image,
        "name": container.name,
        **extra,
    }
