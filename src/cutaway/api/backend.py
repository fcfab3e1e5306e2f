"""What the API needs of an engine: one Protocol for each group of the Engine API.

The API owns these; ``engine`` fits them without importing them, and tests fit them with fakes.

Rules for all methods:

- A ``reference`` names a container by id, unique id prefix, or name with or without slash; an
  image by id, id prefix, ``name``, ``name:tag`` or ``name@digest``. It is not checked before.
- What is refused is raised as a ``cutaway.errors`` category, its text in Docker's words; the API
  turns it into status and ``{"message": …}``. Anything else that is raised is answered with 500
  and logged with its traceback.
- Coroutines may be cancelled when the client has gone (only reading and streaming ones:
  ``events``, ``logs``, ``stats``, ``wait``, ``pull``, ``push``, ``load``, ``save``, ``build``);
  all others run to their end.
- A method that returns an async iterator raises its first errors when it is *called* (awaited),
  because an HTTP status can only be sent before the first piece. It is closed by ``aclose``.
- Times are RFC 3339 texts in documents, nanoseconds since the epoch in options.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from cutaway import model
from cutaway.api import own_backend as own
from cutaway.api.build_backend import BuildBackend


class ContainerBackend(Protocol):
    """Containers: their life, streams and files."""

    async def create(self, request: model.ContainerCreate) -> model.ContainerCreateResponse:
        """Make a container; nothing runs yet.

        Raises:
            InvalidParameter: a field can never work. NotFound: ``No such image: x``.
            Conflict: ``Conflict. The container name "/x" is already in use by container "ID". You
                have to remove (or rename) that container to be able to reuse that name.``
        """
        ...

    async def start(self, reference: str) -> None:
        """Run it. Returns once the program has been executed.

        Raises:
            NotModified: it runs already. InvalidParameter: the program can't be executed.
            Conflict: it is paused or being removed.
        """
        ...

    async def stop(self, reference: str, *, signal: str = "", timeout_s: int | None = None) -> None:
        """Signal it, and SIGKILL it when it has not ended after ``timeout_s``; -1 waits for ever.

        Empty or None: the container's own. Returns when it has ended.

        Raises:
            NotModified: it does not run.
        """
        ...

    async def restart(
        self, reference: str, *, signal: str = "", timeout_s: int | None = None
    ) -> None:
        """Stop it if it runs, then start it."""
        ...

    async def kill(self, reference: str, *, signal: str = "") -> None:
        """Send a signal (name with or without SIG, or number; empty: SIGKILL) to its PID 1.

        Raises:
            Conflict: ``container ID is not running``.
        """
        ...

    async def pause(self, reference: str) -> None:
        """Freeze all its processes.

        Raises:
            Conflict: it does not run, or is frozen already.
        """
        ...

    async def unpause(self, reference: str) -> None:
        """Let its processes go on.

        Raises:
            Conflict: it is not frozen.
        """
        ...

    async def rename(self, reference: str, *, name: str) -> None:
        """Give it another name.

        Raises:
            Conflict: that name is taken. InvalidParameter: it is no name.
        """
        ...

    async def update(
        self, reference: str, changes: model.UpdateConfig
    ) -> model.ContainerUpdateResponse:
        """Change limits and restart policy, also while it runs."""
        ...

    async def resize(self, reference: str, *, height: int, width: int) -> None:
        """Set the size of its terminal.

        Raises:
            Conflict: ``container ID is not running``.
        """
        ...

    async def remove(
        self, reference: str, *, force: bool = False, volumes: bool = False, link: bool = False
    ) -> None:
        """Remove it; ``force`` kills it first; ``volumes`` removes its anonymous volumes too.

        Raises:
            Conflict: it runs and ``force`` is not set.
        """
        ...

    async def inspect(self, reference: str, *, size: bool = False) -> model.ContainerInspect:
        """Tell all about it."""
        ...

    async def list(self, options: model.ContainerListOptions) -> Sequence[model.ContainerSummary]:
        """List containers, newest first."""
        ...

    async def logs(self, reference: str, options: model.LogsOptions) -> model.LogStream:
        """Read its output as it was kept; with ``follow`` until it ends or the reader leaves."""
        ...

    async def attach(
        self, reference: str, options: model.AttachOptions, upgrade: model.Upgrade
    ) -> None:
        """Join the client's connection to its streams.

        Check everything, then call ``upgrade``, then hand the connection to the shim. May return
        at once: the connection belongs to whoever was given it.

        Raises:
            Conflict: it is paused or restarting (only before ``upgrade`` is called).
        """
        ...

    async def wait(
        self, reference: str, *, condition: str, begin: model.Begin
    ) -> model.ContainerWaitResponse:
        """Wait for it to end.

        Args:
            reference: checked before ``begin`` is called.
            condition: ``not-running`` (at once if it does not run), ``next-exit``, ``removed``.
            begin: to be called as soon as no later exit can be missed; the client is told so by
                getting its headers. The answer it returns may be passed to the shim.
        """
        ...

    async def top(self, reference: str, *, ps_args: str) -> model.ContainerTop:
        """List its processes as ps(1) with these arguments would, seen from the host."""
        ...

    async def stats(
        self, reference: str, *, stream: bool, one_shot: bool
    ) -> AsyncIterator[model.ContainerStats]:
        """Sample its resource use: each second, once after two samples, or ``one_shot`` at once."""
        ...

    async def changes(self, reference: str) -> Sequence[model.FilesystemChange]:
        """List paths that differ from its image."""
        ...

    async def export(self, reference: str) -> model.ByteStream:
        """Read its whole file system as a tar."""
        ...

    async def archive(self, reference: str, *, path: str) -> model.ArchiveStream:
        """Read ``path`` in it as a tar whose top name is the path's last part.

        Raises:
            NotFound: ``Could not find the file PATH in container ID``.
        """
        ...

    async def archive_stat(self, reference: str, *, path: str) -> model.PathStat:
        """Tell what ``path`` in it is."""
        ...

    async def archive_put(
        self,
        reference: str,
        *,
        path: str,
        body: model.ByteStream,
        no_overwrite_dir_non_dir: bool,
        copy_uid_gid: bool,
    ) -> None:
        """Unpack a tar (also gzip, bzip2, xz, zstd) at the directory ``path`` in it."""
        ...

    async def commit(self, request: model.CommitRequest) -> str:
        """Make an image of it; returns the image's id."""
        ...

    async def prune(self, filters: model.Filters) -> model.ContainerPruneReport:
        """Remove all containers that do not run and match."""
        ...

    async def plan(self, request: model.ContainerCreate) -> Any:
        """Tell, as JSON, the steps that create and start would do. Nothing is done."""
        ...

    async def story(self, reference: str) -> Any:
        """Tell, as JSON, the recorded steps of its last start: the ledger."""
        ...


class ExecBackend(Protocol):
    """Further processes in running containers."""

    async def create(self, reference: str, config: model.ExecConfig) -> str:
        """Note which process to run; returns the exec's id.

        Raises:
            Conflict: ``container ID is not running``, ``Container ID is paused, unpause the
                container before exec``. InvalidParameter: no command.
        """
        ...

    async def start(
        self, exec_id: str, options: model.ExecStartConfig, upgrade: model.Upgrade
    ) -> None:
        """Run it, joined to the client's connection; with ``detach`` never call ``upgrade``.

        Raises:
            NotFound: ``No such exec instance: ID``. Conflict: it was started already.
            InvalidParameter: the program can't be executed (found before ``upgrade`` where
                possible; later the text goes to the stream and the exit code is 126 or 127).
        """
        ...

    async def resize(self, exec_id: str, *, height: int, width: int) -> None:
        """Set the size of its terminal."""
        ...

    async def inspect(self, exec_id: str) -> model.ExecInspect:
        """Tell all about it."""
        ...


class ImageBackend(Protocol):
    """Images: names, content, transport."""

    async def list(self, options: model.ImageListOptions) -> Sequence[model.ImageSummary]:
        """List images, newest first."""
        ...

    async def inspect(
        self, reference: str, *, platform: str = "", manifests: bool = False
    ) -> model.ImageInspect:
        """Tell all about one.

        Raises:
            NotFound: ``No such image: x:latest``.
        """
        ...

    async def history(
        self, reference: str, *, platform: str = ""
    ) -> Sequence[model.ImageHistoryItem]:
        """List the steps that made it, newest first."""
        ...

    async def tag(self, reference: str, *, repo: str, tag: str) -> None:
        """Give it one more name."""
        ...

    async def remove(
        self, reference: str, *, force: bool, prune_children: bool, platforms: Sequence[str] = ()
    ) -> Sequence[model.ImageDeleteItem]:
        """Take a name away, and the content when that was the last.

        Raises:
            Conflict: a container uses it.
        """
        ...

    async def pull(self, options: model.PullOptions) -> AsyncIterator[model.ProgressMessage]:
        """Fetch it from its registry, telling the progress.

        Raises:
            NotFound, Unauthorized, Unavailable: before the first message; later ones end the
                iterator with the exception, which becomes the stream's last message.
        """
        ...

    async def push(self, options: model.PushOptions) -> AsyncIterator[model.ProgressMessage]:
        """Send it to its registry, telling the progress."""
        ...

    async def save(
        self, names: Sequence[str], *, platforms: Sequence[str] = ()
    ) -> model.ByteStream:
        """Read images as one tar that is both Docker's and OCI's layout."""
        ...

    async def load(
        self, body: model.ByteStream, *, quiet: bool, platforms: Sequence[str] = ()
    ) -> AsyncIterator[model.ProgressMessage]:
        """Take images from a tar, telling the progress; last ``Loaded image: x:y``."""
        ...

    async def import_tar(
        self, options: model.ImportOptions, body: model.ByteStream
    ) -> AsyncIterator[model.ProgressMessage]:
        """Make an image of one file system tar; the last message's status is its id."""
        ...

    async def prune(self, filters: model.Filters) -> model.ImagePruneReport:
        """Remove images without name (``dangling=true``) or without container."""
        ...

    async def search(
        self, term: str, *, limit: int, filters: model.Filters, auth: model.AuthConfig | None
    ) -> Sequence[model.ImageSearchResult]:
        """Ask a registry for repositories by a word."""
        ...

    async def distribution(
        self,
        reference: str,
        *,
        auth: model.AuthConfig | None,
        trust: model.RegistryTrust | None = None,
    ) -> model.DistributionInspect:
        """Ask a registry what a reference is, without fetching it."""
        ...

    async def attestations(
        self, reference: str, *, platform: str, types: Sequence[str], statement: bool
    ) -> Sequence[model.AttestationStatement]:
        """List in-toto statements attached to it."""
        ...

    async def from_host(
        self, name: str, programs: Sequence[str]
    ) -> AsyncIterator[model.ProgressMessage]:
        """Make an image of this machine's own programs; last message's ``aux`` holds the id."""
        ...


class SystemBackend(Protocol):
    """The engine itself."""

    async def version(self) -> model.SystemVersion:
        """Tell the engine's version; the API fills in its own versions."""
        ...

    async def info(self) -> model.SystemInfo:
        """Tell about this machine and engine."""
        ...

    async def disk_usage(self, kinds: frozenset[str]) -> model.DiskUsage:
        """Measure the kinds asked for: ``container image volume build-cache``."""
        ...

    async def events(self, options: model.EventsOptions) -> AsyncIterator[model.EventMessage]:
        """Tell kept events since a moment, then new ones until a moment or without end.

        When this returns, no event that happens afterwards is missed.
        """
        ...

    async def login(
        self, auth: model.AuthConfig, *, trust: model.RegistryTrust | None = None
    ) -> model.AuthResponse:
        """Try credentials at their registry.

        Raises:
            Unauthorized: the registry refuses them.
        """
        ...


class NetworkBackend(Protocol):
    """Networks and who is in them."""

    async def list(self, filters: model.Filters) -> Sequence[model.Network]:
        """List networks."""
        ...

    async def inspect(
        self, reference: str, *, verbose: bool = False, scope: str = ""
    ) -> model.NetworkInspect:
        """Tell all about one.

        Raises:
            NotFound: ``network x not found``.
        """
        ...

    async def create(self, request: model.NetworkCreateRequest) -> model.NetworkCreateResponse:
        """Make one.

        Raises:
            Conflict: ``network with name x already exists``. Forbidden: a predefined name.
        """
        ...

    async def remove(self, reference: str) -> None:
        """Remove it.

        Raises:
            Forbidden: it is predefined, or has endpoints.
        """
        ...

    async def connect(self, reference: str, request: model.NetworkConnectRequest) -> None:
        """Put a container into it, running or not."""
        ...

    async def disconnect(self, reference: str, request: model.NetworkDisconnectRequest) -> None:
        """Take a container out of it."""
        ...

    async def prune(self, filters: model.Filters) -> model.NetworkPruneReport:
        """Remove networks that no container uses."""
        ...


class VolumeBackend(Protocol):
    """Volumes."""

    async def list(self, filters: model.Filters) -> model.VolumeList:
        """List volumes."""
        ...

    async def inspect(self, name: str) -> model.Volume:
        """Tell all about one.

        Raises:
            NotFound: ``get x: no such volume``.
        """
        ...

    async def create(self, request: model.VolumeCreateRequest) -> model.Volume:
        """Make one, or return the existing one of that name and driver."""
        ...

    async def remove(self, name: str, *, force: bool = False) -> None:
        """Remove it; ``force`` forgives its absence.

        Raises:
            Conflict: ``remove x: volume is in use - [ID]``.
        """
        ...

    async def prune(self, filters: model.Filters) -> model.VolumePruneReport:
        """Remove volumes that no container uses; anonymous ones unless ``all=true``."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Backends:
    """All of an engine, as the API is given it.

    A group that is None is not there yet: its operations answer 501 with a sentence.
    """

    containers: ContainerBackend
    execs: ExecBackend
    images: ImageBackend
    system: SystemBackend
    networks: NetworkBackend | None = None
    volumes: VolumeBackend | None = None
    builds: BuildBackend | None = None
    own_networks: own.OwnNetworkBackend | None = None
    own_volumes: own.OwnVolumeBackend | None = None
    own_images: own.OwnImageBackend | None = None
    manifests: own.ManifestBackend | None = None
