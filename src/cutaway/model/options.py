"""What a request asks beside its body: the query parameters of the larger operations, as values.

Every field has the default that Docker documents for the parameter.
"""

from dataclasses import dataclass, field

from cutaway.model.config import ContainerConfig
from cutaway.model.host import HostConfig
from cutaway.model.network import NetworkingConfig
from cutaway.model.registry import AuthConfig
from cutaway.model.streams import Filters


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerCreate:
    """Everything that makes a container.

    Attributes:
        name: without slash; empty: make one up. Matches ``[a-zA-Z0-9][a-zA-Z0-9_.-]+``.
        platform: ``os[/arch[/variant]]``; empty: this machine's.
    """

    name: str = ""
    platform: str = ""
    config: ContainerConfig = ContainerConfig()
    host_config: HostConfig = HostConfig()
    networking_config: NetworkingConfig = NetworkingConfig()


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerListOptions:
    """``GET /containers/json``.

    Attributes:
        all: also those that do not run.
        limit: the newest so many, whatever they do; 0: no limit. Implies ``all``.
        size: fill in ``size_rw`` and ``size_root_fs``.
    """

    all: bool = False
    limit: int = 0
    size: bool = False
    filters: Filters = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class LogsOptions:
    """``GET /containers/ID/logs``.

    Attributes:
        since, until: nanoseconds since the epoch; 0: no bound.
        tail: the last so many lines; None: all.
        details: put the log options' labels and environment before each line.
    """

    follow: bool = False
    stdout: bool = False
    stderr: bool = False
    since_ns: int = 0
    until_ns: int = 0
    timestamps: bool = False
    tail: int | None = None
    details: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AttachOptions:
    """``POST /containers/ID/attach``.

    Attributes:
        logs: first what was written before. stream: then what comes.
        detach_keys: such as ``ctrl-p,ctrl-q``; None: the engine's default, empty: none.
    """

    stdin: bool = False
    stdout: bool = False
    stderr: bool = False
    logs: bool = False
    stream: bool = False
    detach_keys: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EventsOptions:
    """``GET /events``.

    Attributes:
        since_ns, until_ns: nanoseconds since the epoch; None: from now on, without end.
    """

    since_ns: int | None = None
    until_ns: int | None = None
    filters: Filters = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageListOptions:
    """``GET /images/json``.

    Attributes:
        all: intermediate images too.
        shared_size: fill in ``shared_size``. manifests: fill in ``manifests``.
        containers: fill in ``containers``.
    """

    all: bool = False
    shared_size: bool = False
    digests: bool = False
    manifests: bool = False
    containers: bool = False
    filters: Filters = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryTrust:
    """What one command says about a registry's certificate.

    Attributes:
        tls_verify: False accepts any certificate.
        ca: one more trusted issuer, as PEM text.
    """

    tls_verify: bool = True
    ca: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PullOptions:
    """``POST /images/create?fromImage=…``.

    Attributes:
        image: as the user wrote it, without tag.
        tag: a tag or a digest ``sha256:…``; empty: all tags.
        platform: ``os[/arch[/variant]]``; empty: this machine's.
        all_platforms: of an index, keep the images of every platform.
        explain: tell each request and decision.
    """

    image: str
    tag: str = "latest"
    platform: str = ""
    auth: AuthConfig | None = None
    trust: RegistryTrust = RegistryTrust()
    all_platforms: bool = False
    explain: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PushOptions:
    """``POST /images/NAME/push``; an empty tag pushes all tags."""

    image: str
    tag: str = ""
    platform: str = ""
    auth: AuthConfig | None = None
    trust: RegistryTrust = RegistryTrust()
    explain: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportOptions:
    """``POST /images/create?fromSrc=…``.

    Attributes:
        source: ``-`` for the body, else a URL.
        changes: Dockerfile instructions.
    """

    source: str = "-"
    repo: str = ""
    tag: str = ""
    message: str = ""
    changes: tuple[str, ...] = ()
    platform: str = ""
