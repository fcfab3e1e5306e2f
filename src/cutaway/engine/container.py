"""A container as the engine holds it: what was asked, where it is in its life, who owns it.

``document`` and ``state`` are frozen values that are stored; everything else lives as long as the
engine. Whoever changes either stores the new value first and puts it into memory after the commit.
"""

import asyncio
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import msgspec

from cutaway.engine.ids import NoSuchContainer, find_by_prefix, short_id
from cutaway.engine.lifecycle import ALIVE, Status
from cutaway.engine.links import Link
from cutaway.engine.running.endings import Ending
from cutaway.engine.store import ContainerRow
from cutaway.images.snapshots import Mount
from cutaway.model import ContainerConfig, EndpointSettings, HostConfig
from cutaway.volumes import MountPoint

DOCUMENT_VERSION = 1


class ContainerDocument(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for: written at create, changed by rename, update and network connect.

    Attributes:
        version: of this document's shape.
        name: without the leading slash.
        created_ns: nanoseconds since the epoch.
        image: as the user wrote it.
        image_id: digest of the image's config.
        chain_id: the snapshot below the container's own layer; empty for an image without layers.
        config: request and image joined.
        networks: requested endpoints, by network name.
        mounts: binds, volumes and tmpfs, as ``volumes.MountPoint.to_json`` writes them.
        anonymous_volumes: names of volumes that go with the container.
        masked_paths, readonly_paths, no_new_privileges, seccomp: what ``security_opt`` came to.
    """

    version: int = DOCUMENT_VERSION
    id: str
    name: str
    created_ns: int
    image: str
    image_id: str
    chain_id: str
    platform: str = "linux"
    config: ContainerConfig
    host_config: HostConfig
    networks: dict[str, EndpointSettings] = {}
    mounts: tuple[dict[str, Any], ...] = ()
    anonymous_volumes: tuple[str, ...] = ()

    @property
    def mount_points(self) -> tuple[MountPoint, ...]:
        """The mounts as values."""
        return tuple(MountPoint.from_json(mount) for mount in self.mounts)

    @property
    def mounted_images(self) -> tuple[str, ...]:
        """The ids of the images that are mounted in it."""
        return tuple(point.image_id for point in self.mount_points if point.image_id)


class ContainerState(msgspec.Struct, frozen=True, kw_only=True):
    """Where the container is in its life.

    Attributes:
        pid: host process id of PID 1; 0 while none runs.
        exit_code: of the last run.
        error: why the last start failed.
        started_ns, finished_ns: nanoseconds since the epoch; 0: never.
        restart_count: by the restart policy.
        stopped_by_user: ``docker stop`` or ``kill`` ended it: ``unless-stopped`` leaves it alone.
        started_once: it has run; a container that never did is ``created``.
        last_seq: the newest event of the shim that is accounted for here.
        removing: the removal has begun; a new engine finishes it.
        health, failing_streak: of the last health check; empty: it has none.
        health_log: results of the last run's checks, once it has ended.
        next_restart_ns: when the restart policy tries again; 0: it does not.
        ending: why the last run ended.
    """

    status: Status = Status.CREATED
    pid: int = 0
    exit_code: int = 0
    error: str = ""
    oom_killed: bool = False
    started_ns: int = 0
    finished_ns: int = 0
    restart_count: int = 0
    stopped_by_user: bool = False
    last_seq: int = 0
    health: str = ""
    failing_streak: int = 0
    health_log: tuple[dict[str, Any], ...] = ()
    next_restart_ns: int = 0
    ending: Ending | None = None


@dataclass(slots=True)
class Exec:
    """One further process of a container, from its creation until the container's end."""

    id: str
    container_id: str
    config: Any
    started: bool = False
    running: bool = False
    pid: int = 0
    exit_code: int | None = None


@dataclass(slots=True, eq=False)
class Waiter:
    """Somebody who waits for a container to end.

    Attributes:
        condition: ``not-running``, ``next-exit`` or ``removed``.
        answer: gets the exit code, or the sentence why there is none.
        fd: the client's socket, for the shim to answer on should the engine die; None: no.
        template: what the shim completes and writes then.
    """

    condition: str
    answer: "asyncio.Future[int]"
    fd: int | None = None
    template: bytes = b""

    def hand_over(self) -> int | None:
        """Give the descriptor away once; the caller closes it after passing it on."""
        fd, self.fd = self.fd, None
        return fd


@dataclass(slots=True)
class PendingAttach:
    """A client attached before the container ran; its socket waits for the shim."""

    message: Any
    fd: int


@dataclass(slots=True, eq=False)
class Container:
    """A container in memory.

    Attributes:
        lock: held by start, stop, restart, remove, rename, update: one at a time.
        shim: the connection to the shim, while there is one.
        cleaned: set while no shim of this container is cleaning up.
        netns_fd: the sandbox's network namespace while it runs, else None.
        shim_pid: of the shim's keeper, as the launcher said; 0 when it is not known.
        joining: connections that are promised to be attached, and will be in some milliseconds.
        early: events that came while a start was not yet committed; None at other times.
        after_exit: events that came while an exit was put on the disk; None at other times.
        kept: done when the container itself is on the disk; None: it was before this engine came.
        keep_after_exit: ``docker restart`` of a ``--rm`` container: its exit is not its end.
        giving_back: lets go of what the last run had mounted; None: it had nothing.
        root_mounts: what makes its root when it has no layer of its own (a build's step); None: its
            snapshot.
    """

    document: ContainerDocument
    state: ContainerState
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    shim: Link | None = None
    netns_fd: int | None = None
    cleaned: asyncio.Event = field(default_factory=asyncio.Event)
    waiters: list[Waiter] = field(default_factory=list)
    attaches: list[PendingAttach] = field(default_factory=list)
    joining: "set[asyncio.Future[None]]" = field(default_factory=set)
    execs: dict[str, Exec] = field(default_factory=dict)
    shim_pid: int = 0
    early: list[Any] | None = None
    after_exit: list[Any] | None = None
    kept: "asyncio.Task[None] | None" = None
    keep_after_exit: bool = False
    giving_back: "asyncio.Task[Any] | None" = None
    root_mounts: tuple[Mount, ...] | None = None

    @property
    def id(self) -> str:
        """The 64 digits."""
        return self.document.id

    @property
    def short_id(self) -> str:
        """The first 12 digits."""
        return short_id(self.document.id)

    @property
    def name(self) -> str:
        """Its name, without slash."""
        return self.document.name

    @property
    def config(self) -> ContainerConfig:
        """What runs."""
        return self.document.config

    @property
    def host_config(self) -> HostConfig:
        """What the machine grants."""
        return self.document.host_config

    @property
    def is_alive(self) -> bool:
        """PID 1 exists (also frozen)."""
        return self.state.status in ALIVE

    @contextmanager
    def promise(self) -> Iterator[None]:
        """Have a start wait before the program runs: the client has been told that it listens."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.joining.add(done)
        try:
            yield
        finally:
            self.joining.discard(done)
            done.set_result(None)

    async def wait_joined(self) -> None:
        """Wait for the connections that are just being attached."""
        while self.joining:
            await asyncio.wait(self.joining)

    async def wait_given_back(self) -> None:
        """Wait until nothing that the last run had mounted is left."""
        if self.giving_back is not None:
            await asyncio.wait([self.giving_back])
            self.giving_back = None

    def close_netns(self) -> None:
        """Let go of the network namespace."""
        if self.netns_fd is not None:
            os.close(self.netns_fd)
            self.netns_fd = None

    def to_row(self) -> ContainerRow:
        """Return what the store keeps."""
        return ContainerRow(
            self.id,
            self.name,
            msgspec.json.encode(self.document),
            msgspec.json.encode(self.state),
        )

    @classmethod
    def from_row(cls, row: ContainerRow) -> "Container":
        """Read what ``to_row`` wrote.

        Raises:
            msgspec.DecodeError: another program wrote it.
        """
        document = msgspec.json.decode(row.document, type=ContainerDocument)
        state = msgspec.json.decode(row.state, type=ContainerState)
        container = cls(msgspec.structs.replace(document, name=row.name), state)
        container.cleaned.set()
        return container


class ContainerTable:
    """All containers, found by id, name or the beginning of an id."""

    def __init__(self) -> None:
        self._by_id: dict[str, Container] = {}
        self._by_name: dict[str, Container] = {}

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> "Any":
        return iter(list(self._by_id.values()))

    def __contains__(self, identifier: object) -> bool:
        return identifier in self._by_id

    @property
    def names(self) -> frozenset[str]:
        """The names in use."""
        return frozenset(self._by_name)

    def add(self, container: Container) -> None:
        """Add one whose id and name are free."""
        self._by_id[container.id] = container
        self._by_name[container.name] = container

    def discard(self, container: Container) -> None:
        """Forget one."""
        self._by_id.pop(container.id, None)
        if self._by_name.get(container.name) is container:
            del self._by_name[container.name]

    def rename(self, container: Container, name: str) -> None:
        """Move one to another free name."""
        self._by_name.pop(container.name, None)
        container.document = msgspec.structs.replace(container.document, name=name)
        self._by_name[name] = container

    def find(self, reference: str) -> Container:
        """Return the container with this id, name, or unique beginning of an id, in that order.

        Raises:
            NoSuchContainer: none. InvalidParameter: several ids begin so.
        """
        found = self._by_id.get(reference) or self._by_name.get(reference.removeprefix("/"))
        if found is None:
            identifier = find_by_prefix(reference, self._by_id)
            if identifier is None:
                raise NoSuchContainer(reference)
            found = self._by_id[identifier]
        return found

    def get(self, identifier: str) -> Container | None:
        """Return the container with exactly this id, or None."""
        return self._by_id.get(identifier)

    def select(self, predicate: Callable[[Container], bool]) -> list[Container]:
        """Return those for which ``predicate`` holds, newest first."""
        chosen = [container for container in self._by_id.values() if predicate(container)]
        chosen.sort(key=lambda container: container.document.created_ns, reverse=True)
        return chosen
