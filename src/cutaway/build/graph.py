"""The build as a graph of vertices: what the solver is given, whoever wrote the build down.

A vertex describes a file system as a function of other vertices. Two vertices that are equal are
the same work and are done once. Vertices are values: no vertex knows its result.
"""

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Scratch:
    """The empty file system."""


@dataclass(frozen=True, slots=True)
class BaseImage:
    """An image's file system.

    Attributes:
        image_id: the config's digest: the content is fixed when the graph is made.
        chain_id: the snapshot of its top layer; empty for an image without layers.
        name: for people.
    """

    image_id: str
    chain_id: str
    name: str


@dataclass(frozen=True, slots=True)
class Context:
    """The files that the client sent."""


@dataclass(frozen=True, slots=True)
class Remote:
    """A file fetched by URL.

    Attributes:
        url: http or https.
        checksum: ``sha256:…`` that its content must have, or empty.
    """

    url: str
    checksum: str = ""


@dataclass(frozen=True, slots=True)
class Git:
    """A commit's files, fetched from a git address.

    Attributes:
        address: without the fragment.
        ref: branch, tag or commit; empty is the remote's HEAD.
        subdirectory: of the tree.
        keep_git_dir: ``.git`` is part of the result.
    """

    address: str
    ref: str = ""
    subdirectory: str = ""
    keep_git_dir: bool = False


@dataclass(frozen=True, slots=True)
class Inline:
    """One file whose content stands in the Dockerfile (a heredoc)."""

    name: str
    content: str
    mode: int = 0o644


@dataclass(frozen=True, slots=True)
class CopySource:
    """Where a copy takes files from.

    Attributes:
        origin: a context, another file system, or a fetched thing.
        pattern: a path or glob below it.
        skip: how many of its leading directories ``--parents`` leaves out (``a/./b`` keeps b).
    """

    origin: "Vertex"
    pattern: str
    skip: int = 0


@dataclass(frozen=True, slots=True)
class CopyFiles:
    """Files copied onto a file system.

    Attributes:
        base: what they are copied onto.
        sources: in order.
        destination: absolute; ends with a slash when it must be a directory.
        owner: ``USER[:GROUP]`` looked up in ``base``; empty for root (``ADD`` of archives: as is).
        mode: octal or symbolic chmod; empty keeps.
        unpack: local archives are unpacked (ADD).
        parents: keep the sources' directories.
        exclude: patterns that are left out.
        link: made as a layer of its own that does not read ``base``.
        epoch: SOURCE_DATE_EPOCH: no file gets a later time; None keeps the times.
    """

    base: "Vertex"
    sources: tuple[CopySource, ...]
    destination: str
    owner: str = ""
    mode: str = ""
    unpack: bool = False
    parents: bool = False
    exclude: tuple[str, ...] = ()
    link: bool = False
    epoch: int | None = None


@dataclass(frozen=True, slots=True)
class MakeDirectory:
    """A directory that exists (WORKDIR), made with its parents where they are missing.

    Attributes:
        owner: of what is made, as USER says it; a name that ``base`` does not know is root.
        epoch: SOURCE_DATE_EPOCH: what is made gets no later time.
    """

    base: "Vertex"
    path: str
    epoch: int | None = None
    owner: str = ""


@dataclass(frozen=True, slots=True)
class MountSpec:
    """One extra mount of a command.

    Attributes:
        kind: ``bind cache tmpfs secret ssh``.
        target: absolute.
        origin: for bind and cache: what is mounted; None is an empty directory.
        source: path below it.
        read_only: writes are refused; a writable bind forgets what was written.
        identifier: of cache, secret or agent.
        sharing: of a cache.
        required: a missing secret or agent fails.
        mode, uid, gid: of what is made; None is the kind's default.
        size_bytes: of a tmpfs.
        env: a secret's variable.
    """

    kind: str
    target: str
    origin: "Vertex | None" = None
    source: str = ""
    read_only: bool = True
    identifier: str = ""
    sharing: str = "shared"
    required: bool = False
    mode: int | None = None
    uid: int | None = None
    gid: int | None = None
    size_bytes: int = 0
    env: str = ""


@dataclass(frozen=True, slots=True)
class RunCommand:
    """A command run on a file system; what it changes is the result.

    Attributes:
        base: its root.
        args: the whole command line.
        env: ``NAME=VALUE`` in order; part of the cache key.
        hidden_env: proxies and their kin: seen by the command, not by the cache.
        cwd: working directory.
        user: Docker's user string.
        mounts: in order.
        network: ``default none host``, or the name of a network.
        asks_for_host_network: the Dockerfile wants the host's network and its build does not.
        security: ``sandbox insecure``.
        epoch: SOURCE_DATE_EPOCH for the layer's times.
    """

    base: "Vertex"
    args: tuple[str, ...]
    env: tuple[str, ...] = ()
    hidden_env: tuple[str, ...] = ()
    cwd: str = "/"
    user: str = ""
    mounts: tuple[MountSpec, ...] = ()
    network: str = "default"
    asks_for_host_network: bool = False
    security: str = "sandbox"
    epoch: int | None = None


Vertex: TypeAlias = (
    Scratch | BaseImage | Context | Remote | Git | Inline | CopyFiles | MakeDirectory | RunCommand
)
