"""An engine of dictionaries behind the real API: every method of every Protocol, nothing else.

``tests/unit/api/test_backends.py`` holds its methods against the Protocols, so that it can't drift.
Containers "run" a program that shouts back what it reads: ``abc`` on stdin is ``ABC`` on stdout.
"""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from msgspec.structs import replace

from cutaway import model
from cutaway.api.backend import Backends
from cutaway.errors import Conflict, InvalidParameter, NotFound, NotModified, System, Unauthorized

IMAGE_ID = "sha256:" + "1" * 64
NOW = "2026-01-02T03:04:05.000000006Z"


def frame(stream: int, data: bytes) -> bytes:
    """One stdcopy frame."""
    return bytes((stream, 0, 0, 0)) + len(data).to_bytes(4, "big") + data


async def shout(connection: model.HijackedConnection, *, tty: bool, greeting: bytes = b"") -> None:
    """Serve a hijacked connection: upper-case what comes, and say bye at its end."""
    loop = asyncio.get_running_loop()
    with socket.socket(fileno=connection.fd) as sock:
        sock.setblocking(False)

        async def write(data: bytes) -> None:
            await loop.sock_sendall(sock, data if tty else frame(1, data))

        try:
            if greeting:
                await write(greeting)
            data = connection.unread or await loop.sock_recv(sock, 65536)
            while data:
                await write(data.upper())
                data = await loop.sock_recv(sock, 65536)
            await write(b"bye\n")
            if not tty:
                await loop.sock_sendall(sock, frame(2, b"done\n"))
        except OSError:
            pass


async def items(values: Sequence[Any]) -> AsyncIterator[Any]:
    for value in values:
        yield value


@dataclass
class FakeContainer:
    request: model.ContainerCreate
    id: str
    running: bool = False
    done_before_start: bool = False
    exit_code: int = 0
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    pending: list[model.PendingAnswer] = field(default_factory=list)
    story: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.request.name or "fake_" + self.id[:4]


class FakeContainers:
    """Fits ``ContainerBackend``."""

    def __init__(self) -> None:
        self.all: dict[str, FakeContainer] = {}
        self.tasks: set[asyncio.Task[None]] = set()
        self.cancelled: list[str] = []
        self.uploaded = b""
        self.last_update: model.UpdateConfig | None = None
        self.last_commit: model.CommitRequest | None = None

    def find(self, reference: str) -> FakeContainer:
        name = reference.removeprefix("/")
        for container in self.all.values():
            if container.id.startswith(name) or container.name == name:
                return container
        raise NotFound(f"No such container: {reference}")

    async def create(self, request: model.ContainerCreate) -> model.ContainerCreateResponse:
        if request.config.image == "missing":
            raise NotFound("No such image: missing:latest")
        for other in self.all.values():
            if request.name and other.name == request.name:
                raise Conflict(
                    f'Conflict. The container name "/{request.name}" is already in use by '
                    f'container "{other.id}". You have to remove (or rename) that container to be '
                    "able to reuse that name."
                )
        container = FakeContainer(request, f"{len(self.all):x}".rjust(2, "c").ljust(64, "0"))
        self.all[container.id] = container
        return model.ContainerCreateResponse(id=container.id)

    async def start(self, reference: str) -> None:
        container = self.find(reference)
        if container.running:
            raise NotModified("it runs already")
        container.running = True
        container.story.append("started")
        if container.request.config.cmd == ("true",):
            self._end(container, 0)
        elif container.done_before_start:
            self._end(container, 3)

    def _end(self, container: FakeContainer, code: int) -> None:
        container.running, container.exit_code = False, code
        for pending in container.pending:
            if pending.fd is not None:
                os.close(pending.fd)
        container.pending.clear()
        container.ended.set()

    async def stop(self, reference: str, *, signal: str = "", timeout_s: int | None = None) -> None:
        container = self.find(reference)
        if not container.running:
            raise NotModified("it does not run")
        container.story.append(f"stop {signal} {timeout_s}")
        self._end(container, 137)

    async def restart(
        self, reference: str, *, signal: str = "", timeout_s: int | None = None
    ) -> None:
        self.find(reference).running = True

    async def kill(self, reference: str, *, signal: str = "") -> None:
        container = self.find(reference)
        if not container.running:
            raise Conflict(f"cannot kill container: {reference}: container is not running")
        container.story.append(f"kill {signal}")
        self._end(container, 137)

    async def pause(self, reference: str) -> None:
        self.find(reference)

    async def unpause(self, reference: str) -> None:
        raise Conflict(f"Container {self.find(reference).id} is not paused")

    async def rename(self, reference: str, *, name: str) -> None:
        container = self.find(reference)
        container.request = model.ContainerCreate(
            name=name, config=container.request.config, host_config=container.request.host_config
        )

    async def update(
        self, reference: str, changes: model.UpdateConfig
    ) -> model.ContainerUpdateResponse:
        self.find(reference)
        self.last_update = changes
        return model.ContainerUpdateResponse()

    async def resize(self, reference: str, *, height: int, width: int) -> None:
        self.find(reference).story.append(f"resize {height}x{width}")

    async def remove(
        self, reference: str, *, force: bool = False, volumes: bool = False, link: bool = False
    ) -> None:
        container = self.find(reference)
        if container.running and not force:
            raise Conflict(
                f'cannot remove container "/{container.name}": container is running: stop the '
                "container before removing or force remove"
            )
        del self.all[container.id]

    async def inspect(self, reference: str, *, size: bool = False) -> model.ContainerInspect:
        container = self.find(reference)
        request = container.request
        endpoint = model.EndpointSettings(
            network_id="n" * 64, ip_address="172.17.0.2", dns_names=("web",), gw_priority=0
        )
        return model.ContainerInspect(
            id=container.id,
            created=NOW,
            name="/" + container.name,
            path="sh",
            image=IMAGE_ID,
            state=model.ContainerState(
                status="running" if container.running else "exited", running=container.running
            ),
            config=request.config,
            host_config=request.host_config,
            size_rw=1 if size else None,
            network_settings=model.NetworkSettings(networks={"bridge": endpoint}),
        )

    async def list(self, options: model.ContainerListOptions) -> Sequence[model.ContainerSummary]:
        return [
            model.ContainerSummary(
                id=c.id,
                names=("/" + c.name,),
                image=c.request.config.image,
                image_id=IMAGE_ID,
                command="sh",
                created=1,
                state="running" if c.running else "exited",
                status="Up" if c.running else "Exited (0)",
            )
            for c in self.all.values()
            if options.all or c.running
        ]

    async def logs(self, reference: str, options: model.LogsOptions) -> model.LogStream:
        container = self.find(reference)
        tty = container.request.config.tty

        async def chunks() -> AsyncIterator[bytes]:
            try:
                for number in range(3):
                    line = f"line {number}\n".encode()
                    yield line if tty else frame(1, line)
                if options.follow:
                    await container.ended.wait()
            except (asyncio.CancelledError, GeneratorExit):
                self.cancelled.append("logs")
                raise

        return model.LogStream(tty, chunks())

    async def attach(
        self, reference: str, options: model.AttachOptions, upgrade: model.Upgrade
    ) -> None:
        container = self.find(reference)
        tty = container.request.config.tty
        connection = await upgrade(tty=tty)

        async def serve() -> None:
            await shout(connection, tty=tty)
            if container.running:
                self._end(container, 3)
            container.done_before_start = not container.running

        task = asyncio.create_task(serve())
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def wait(
        self, reference: str, *, condition: str, begin: model.Begin
    ) -> model.ContainerWaitResponse:
        container = self.find(reference)
        pending = await begin()
        if pending is not None:
            container.pending.append(pending)
        if condition == "removed" and container.request.name == "unlucky":
            raise System("the engine lost sight of it")
        try:
            if container.running or condition != "not-running":
                await container.ended.wait()
            elif pending is not None and pending.fd is not None:
                os.close(pending.fd)
                container.pending.clear()
        except asyncio.CancelledError:
            self.cancelled.append("wait")
            raise
        return model.ContainerWaitResponse(status_code=container.exit_code)

    async def top(self, reference: str, *, ps_args: str) -> model.ContainerTop:
        self.find(reference)
        return model.ContainerTop(titles=("PID", "CMD"), processes=(("1", ps_args),))

    async def stats(
        self, reference: str, *, stream: bool, one_shot: bool
    ) -> AsyncIterator[model.ContainerStats]:
        container = self.find(reference)
        sample = model.ContainerStats(id=container.id, name="/" + container.name, read=NOW)
        return items([sample, sample] if stream else [sample])

    async def changes(self, reference: str) -> Sequence[model.FilesystemChange]:
        self.find(reference)
        return [model.FilesystemChange(path="/tmp/x", kind=1)]

    async def export(self, reference: str) -> model.ByteStream:
        self.find(reference)
        return items([b"tar", b"", b"ball"])

    async def archive(self, reference: str, *, path: str) -> model.ArchiveStream:
        return model.ArchiveStream(
            await self.archive_stat(reference, path=path), items([b"x" * 70000])
        )

    async def archive_stat(self, reference: str, *, path: str) -> model.PathStat:
        container = self.find(reference)
        if path == "/absent":
            raise NotFound(f"Could not find the file {path} in container {container.name}")
        return model.PathStat(name=path.rpartition("/")[2], size=3, mode=0o644, mtime=NOW)

    async def archive_put(
        self,
        reference: str,
        *,
        path: str,
        body: model.ByteStream,
        no_overwrite_dir_non_dir: bool,
        copy_uid_gid: bool,
    ) -> None:
        self.find(reference)
        self.uploaded = b"".join([piece async for piece in body])

    async def commit(self, request: model.CommitRequest) -> str:
        self.find(request.container)
        self.last_commit = request
        return IMAGE_ID

    async def prune(self, filters: model.Filters) -> model.ContainerPruneReport:
        gone = [c.id for c in self.all.values() if not c.running]
        for container_id in gone:
            del self.all[container_id]
        return model.ContainerPruneReport(containers_deleted=tuple(gone))

    async def plan(self, request: model.ContainerCreate) -> Any:
        return {"Steps": [request.config.image]}

    async def story(self, reference: str) -> Any:
        return self.find(reference).story


class FakeExecs:
    """Fits ``ExecBackend``."""

    def __init__(self, containers: FakeContainers) -> None:
        self.all: dict[str, model.ExecConfig] = {}
        self.story: list[str] = []
        self._containers = containers

    async def create(self, reference: str, config: model.ExecConfig) -> str:
        self._containers.find(reference)
        exec_id = f"{len(self.all):x}".ljust(64, "e")
        self.all[exec_id] = config
        return exec_id

    def _find(self, exec_id: str) -> model.ExecConfig:
        if exec_id not in self.all:
            raise NotFound(f"No such exec instance: {exec_id}")
        return self.all[exec_id]

    async def start(
        self, exec_id: str, options: model.ExecStartConfig, upgrade: model.Upgrade
    ) -> None:
        config = self._find(exec_id)
        self.story.append(f"start {options.detach} {options.tty} {options.console_size}")
        if config.cmd == ("absent",):
            raise InvalidParameter('exec: "absent": executable file not found in $PATH')
        if options.detach:
            return
        connection = await upgrade(tty=config.tty)
        if config.cmd == ("fail",):
            os.close(connection.fd)
            raise System("it failed after the hijack")
        task = asyncio.create_task(shout(connection, tty=config.tty, greeting=b"first\n"))
        self._containers.tasks.add(task)
        task.add_done_callback(self._containers.tasks.discard)

    async def resize(self, exec_id: str, *, height: int, width: int) -> None:
        self._find(exec_id)
        self.story.append(f"resize {height}x{width}")

    async def inspect(self, exec_id: str) -> model.ExecInspect:
        config = self._find(exec_id)
        process = model.ExecProcessConfig(entrypoint=(config.cmd or ("",))[0])
        return model.ExecInspect(
            id=exec_id, exit_code=4, process_config=process, container_id="c" * 64
        )


class FakeImages:
    """Fits ``ImageBackend``."""

    def __init__(self) -> None:
        self.last_pull: model.PullOptions | None = None
        self.last_push: model.PushOptions | None = None
        self.loaded = b""
        self.imported: model.ImportOptions | None = None
        self.from_host_asked: tuple[str, Sequence[str]] | None = None

    def _find(self, reference: str) -> None:
        if reference.startswith("missing"):
            raise NotFound(f"No such image: {reference}:latest")

    async def list(self, options: model.ImageListOptions) -> Sequence[model.ImageSummary]:
        return [
            model.ImageSummary(id=IMAGE_ID, repo_tags=("busybox:latest",), created=1, size=42),
            model.ImageSummary(id=IMAGE_ID, size=7),
        ]

    async def inspect(
        self, reference: str, *, platform: str = "", manifests: bool = False
    ) -> model.ImageInspect:
        self._find(reference)
        return model.ImageInspect(
            id=IMAGE_ID,
            repo_tags=(reference,),
            parent="sha256:" + "2" * 64,
            config=model.ImageConfig(cmd=("sh",)),
            architecture="amd64",
            os="linux",
            size=42,
            descriptor=model.OCIDescriptor(digest=IMAGE_ID),
        )

    async def history(
        self, reference: str, *, platform: str = ""
    ) -> Sequence[model.ImageHistoryItem]:
        self._find(reference)
        return [model.ImageHistoryItem(id=IMAGE_ID, created=1, created_by="COPY")]

    async def tag(self, reference: str, *, repo: str, tag: str) -> None:
        self._find(reference)

    async def remove(
        self, reference: str, *, force: bool, prune_children: bool, platforms: Sequence[str] = ()
    ) -> Sequence[model.ImageDeleteItem]:
        self._find(reference)
        return [model.ImageDeleteItem(untagged=reference), model.ImageDeleteItem(deleted=IMAGE_ID)]

    async def pull(self, options: model.PullOptions) -> AsyncIterator[model.ProgressMessage]:
        self.last_pull = options
        if options.image == "private":
            raise Unauthorized("pull access denied for private")

        async def messages() -> AsyncIterator[model.ProgressMessage]:
            yield model.ProgressMessage(status=f"Pulling from {options.image}", id=options.tag)
            if options.image.endswith("broken"):
                raise System("the registry went away")
            yield model.ProgressMessage(
                status="Downloading", id="abc", progress_detail=model.ProgressDetail(current=1)
            )
            yield model.ProgressMessage(status="Status: Downloaded newer image")

        return messages()

    async def push(self, options: model.PushOptions) -> AsyncIterator[model.ProgressMessage]:
        self.last_push = options
        return items([model.ProgressMessage(status="pushed")])

    async def save(
        self, names: Sequence[str], *, platforms: Sequence[str] = ()
    ) -> model.ByteStream:
        for name in names:
            self._find(name)
        return items([f"tar of {','.join(names)}".encode()])

    async def load(
        self, body: model.ByteStream, *, quiet: bool, platforms: Sequence[str] = ()
    ) -> AsyncIterator[model.ProgressMessage]:
        self.loaded = b"".join([piece async for piece in body])
        return items([model.ProgressMessage(stream="Loaded image: busybox:latest\n")])

    async def import_tar(
        self, options: model.ImportOptions, body: model.ByteStream
    ) -> AsyncIterator[model.ProgressMessage]:
        self.imported = options
        self.loaded = b"".join([piece async for piece in body])
        return items([model.ProgressMessage(status=IMAGE_ID)])

    async def prune(self, filters: model.Filters) -> model.ImagePruneReport:
        return model.ImagePruneReport(space_reclaimed=5)

    async def search(
        self, term: str, *, limit: int, filters: model.Filters, auth: model.AuthConfig | None
    ) -> Sequence[model.ImageSearchResult]:
        return [model.ImageSearchResult(name=term)]

    async def distribution(
        self,
        reference: str,
        *,
        auth: model.AuthConfig | None,
        trust: model.RegistryTrust | None = None,
    ) -> model.DistributionInspect:
        return model.DistributionInspect(descriptor=model.OCIDescriptor(digest=IMAGE_ID))

    async def attestations(
        self, reference: str, *, platform: str, types: Sequence[str], statement: bool
    ) -> Sequence[model.AttestationStatement]:
        return []

    async def from_host(
        self, name: str, programs: Sequence[str]
    ) -> AsyncIterator[model.ProgressMessage]:
        self.from_host_asked = (name, programs)
        return items([model.ProgressMessage(aux={"ID": IMAGE_ID})])


class FakeSystem:
    """Fits ``SystemBackend``."""

    def __init__(self) -> None:
        self.last_events: model.EventsOptions | None = None

    async def version(self) -> model.SystemVersion:
        return model.SystemVersion(version="28.5.2", arch="amd64")

    async def info(self) -> model.SystemInfo:
        return model.SystemInfo(
            id="fake",
            cgroup_version="2",
            security_options=("name=seccomp,profile=builtin",),
            firewall_backend=model.FirewallInfo(driver="nftables"),
        )

    async def disk_usage(self, kinds: frozenset[str]) -> model.DiskUsage:
        images = (model.ImageSummary(id=IMAGE_ID, size=10, containers=1, shared_size=4),)
        volume = model.Volume(name="v", usage_data=model.VolumeUsage(size=3, ref_count=0))
        return model.DiskUsage(
            layers_size=10,
            images=images if "image" in kinds else None,
            containers=() if "container" in kinds else None,
            volumes=(volume,) if "volume" in kinds else None,
            build_cache=() if "build-cache" in kinds else None,
        )

    async def events(self, options: model.EventsOptions) -> AsyncIterator[model.EventMessage]:
        self.last_events = options
        actor = model.EventActor(id="c" * 64, attributes={"image": "busybox", "name": "web"})
        return items(
            [model.EventMessage(type="container", action="start", actor=actor, time=1, time_nano=1)]
        )

    async def login(
        self, auth: model.AuthConfig, *, trust: model.RegistryTrust | None = None
    ) -> model.AuthResponse:
        if auth.password != "right":
            raise Unauthorized("Get https://r/v2/: unauthorized: incorrect username or password")
        return model.AuthResponse(status="Login Succeeded")


class FakeNetworks:
    """Fits ``NetworkBackend``."""

    def __init__(self) -> None:
        self.calls: list[Any] = []
        self.one = model.NetworkInspect(name="bridge", id="b" * 64, driver="bridge", created=NOW)

    async def list(self, filters: model.Filters) -> Sequence[model.Network]:
        return [model.Network(name="bridge", id="b" * 64, driver="bridge", created=NOW)]

    async def inspect(
        self, reference: str, *, verbose: bool = False, scope: str = ""
    ) -> model.NetworkInspect:
        if reference not in ("bridge", "b" * 64):
            raise NotFound(f"network {reference} not found")
        return self.one

    async def create(self, request: model.NetworkCreateRequest) -> model.NetworkCreateResponse:
        self.calls.append(request)
        return model.NetworkCreateResponse(id="d" * 64)

    async def remove(self, reference: str) -> None:
        await self.inspect(reference)

    async def connect(self, reference: str, request: model.NetworkConnectRequest) -> None:
        self.calls.append(request)

    async def disconnect(self, reference: str, request: model.NetworkDisconnectRequest) -> None:
        self.calls.append(request)

    async def prune(self, filters: model.Filters) -> model.NetworkPruneReport:
        return model.NetworkPruneReport(networks_deleted=("old",))


class FakeVolumes:
    """Fits ``VolumeBackend``."""

    def __init__(self) -> None:
        self.last_prune: model.Filters | None = None
        self.one = model.Volume(name="v", mountpoint="/v", created_at=NOW)

    async def list(self, filters: model.Filters) -> model.VolumeList:
        return model.VolumeList(volumes=(self.one,))

    async def inspect(self, name: str) -> model.Volume:
        if name != "v":
            raise NotFound(f"get {name}: no such volume")
        return self.one

    async def create(self, request: model.VolumeCreateRequest) -> model.Volume:
        return replace(self.one, name=request.name or "a" * 64)

    async def remove(self, name: str, *, force: bool = False) -> None:
        await self.inspect(name)

    async def prune(self, filters: model.Filters) -> model.VolumePruneReport:
        self.last_prune = filters
        return model.VolumePruneReport()


class FakeBuilds:
    """Fits ``BuildBackend``."""

    def __init__(self) -> None:
        self.last: model.BuildRequest | None = None
        self.context = b""
        self.cancelled: list[str] = []

    async def build(
        self, request: model.BuildRequest, context: model.ByteStream
    ) -> AsyncIterator[model.ProgressMessage]:
        self.last = request
        self.context = b"".join([piece async for piece in context])
        if request.dockerfile == "slow":
            return self._never_begins()
        return items(
            [
                model.ProgressMessage(stream="Step 1/1 : FROM busybox\n"),
                model.ProgressMessage(aux={"ID": IMAGE_ID}),
                model.ProgressMessage(stream="Successfully built 111111111111\n"),
            ]
        )

    async def _never_begins(self) -> AsyncIterator[model.ProgressMessage]:
        try:
            await asyncio.Event().wait()
        finally:
            self.cancelled.append("slow")
        yield model.ProgressMessage()

    async def prune(
        self, options: model.BuildPruneOptions, filters: model.Filters
    ) -> model.BuildPruneReport:
        return model.BuildPruneReport(space_reclaimed=options.reserved_space)

    async def open_session(self, session: model.BuildSession) -> str:
        return "5e55"

    async def export_cache(self, selection: model.CacheSelection) -> model.ByteStream:
        return items([b"tar"])

    async def push_cache(
        self,
        name: str,
        selection: model.CacheSelection,
        *,
        auth: model.AuthConfig | None,
        trust: model.RegistryTrust | None,
    ) -> model.CacheReport:
        return model.CacheReport(origin=name)

    async def import_cache(
        self, origin: str, body: model.ByteStream, *, mounts: bool
    ) -> model.CacheReport:
        return model.CacheReport(origin=origin)

    async def pull_cache(
        self,
        name: str,
        *,
        mounts: bool,
        auth: model.AuthConfig | None,
        trust: model.RegistryTrust | None,
    ) -> model.CacheReport:
        return model.CacheReport(origin=name)

    async def cancel(self, build_id: str) -> None:
        self.cancelled.append(build_id)


class FakeEngine:
    """All fakes of one engine."""

    def __init__(self) -> None:
        self.containers = FakeContainers()
        self.execs = FakeExecs(self.containers)
        self.images = FakeImages()
        self.system = FakeSystem()
        self.networks = FakeNetworks()
        self.volumes = FakeVolumes()
        self.builds = FakeBuilds()

    def backends(self) -> Backends:
        return Backends(
            containers=self.containers,
            execs=self.execs,
            images=self.images,
            system=self.system,
            networks=self.networks,
            volumes=self.volumes,
            builds=self.builds,
        )
