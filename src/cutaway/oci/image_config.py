"""The image config: what a container made from the image starts with, and how it was built."""

from dataclasses import dataclass, field
from typing import Any

from cutaway.errors import InvalidParameter
from cutaway.oci.codec import JsonObject, parse_document
from cutaway.oci.digest import Digest
from cutaway.oci.platform import Platform


@dataclass(frozen=True, slots=True)
class HealthConfig(JsonObject):
    """How to find out whether the container works. Times are nanoseconds; 0 inherits.

    Attributes:
        test: ``()`` inherits, ``("NONE",)`` disables, ``("CMD", …)`` or ``("CMD-SHELL", line)``.
        interval: between two checks.
        timeout: of one check.
        start_period: in which failures don't count.
        start_interval: between checks in the start period.
        retries: failures in a row that make it unhealthy.
    """

    test: tuple[str, ...] = field(default=(), metadata={"json": "Test"})
    interval: int = field(default=0, metadata={"json": "Interval"})
    timeout: int = field(default=0, metadata={"json": "Timeout"})
    start_period: int = field(default=0, metadata={"json": "StartPeriod"})
    start_interval: int = field(default=0, metadata={"json": "StartInterval"})
    retries: int = field(default=0, metadata={"json": "Retries"})


@dataclass(frozen=True, slots=True)
class ContainerDefaults(JsonObject):
    """The config's ``config`` object: defaults of ``docker run``.

    ``None`` and empty differ for ``entrypoint`` and ``cmd``: an empty one was cleared on purpose.

    Source: image-spec config.md "Properties"; moby ``DockerOCIImageConfig``.
    """

    user: str = field(default="", metadata={"json": "User"})
    exposed_ports: dict[str, Any] = field(default_factory=dict, metadata={"json": "ExposedPorts"})
    env: tuple[str, ...] = field(default=(), metadata={"json": "Env"})
    entrypoint: tuple[str, ...] | None = field(default=None, metadata={"json": "Entrypoint"})
    cmd: tuple[str, ...] | None = field(default=None, metadata={"json": "Cmd"})
    volumes: dict[str, Any] = field(default_factory=dict, metadata={"json": "Volumes"})
    working_dir: str = field(default="", metadata={"json": "WorkingDir"})
    labels: dict[str, str] = field(default_factory=dict, metadata={"json": "Labels"})
    stop_signal: str = field(default="", metadata={"json": "StopSignal"})
    healthcheck: HealthConfig | None = field(default=None, metadata={"json": "Healthcheck"})
    on_build: tuple[str, ...] = field(default=(), metadata={"json": "OnBuild"})
    shell: tuple[str, ...] = field(default=(), metadata={"json": "Shell"})
    args_escaped: bool = field(default=False, metadata={"json": "ArgsEscaped"})


@dataclass(frozen=True, slots=True)
class RootFS(JsonObject):
    """The layers by the digests of their uncompressed archives, lowest first."""

    type: str
    diff_ids: tuple[Digest, ...] = field(default=(), metadata={"json": "diff_ids"})

    def validate(self, path: str) -> None:
        """Refuse a root file system that isn't made of layers."""
        if self.type != "layers":
            raise InvalidParameter(f"{path}.type: expected 'layers', got {self.type!r}")


@dataclass(frozen=True, slots=True)
class History(JsonObject):
    """One instruction of the build; ``empty_layer`` when it changed no file."""

    created: str = ""
    created_by: str = field(default="", metadata={"json": "created_by"})
    author: str = ""
    comment: str = ""
    empty_layer: bool = field(default=False, metadata={"json": "empty_layer"})


@dataclass(frozen=True, slots=True)
class ImageConfig(JsonObject):
    """The document whose digest is Docker's image id.

    Attributes:
        architecture: Go's GOARCH.
        os: Go's GOOS.
        rootfs: layers by diff id.
        config: defaults of a container.
        history: of the build, oldest first.
        created: RFC 3339, empty if unknown.
        author: who to ask.
        variant: of the processor.
        os_version: Windows only.
        os_features: Windows only.
        comment: Docker's; the last history entry has it too.
        docker_version: Docker's; of the engine that built the image.
        container: Docker's; the container that was committed.
        container_config: Docker's; that container's own config.
        parent: Docker's; the image id it was built on, only in a local store.

    Source: image-spec config.md; moby ``image.V1Image``.
    """

    architecture: str
    os: str
    rootfs: RootFS
    config: ContainerDefaults = field(default_factory=ContainerDefaults)
    history: tuple[History, ...] = ()
    created: str = ""
    author: str = ""
    variant: str = ""
    os_version: str = field(default="", metadata={"json": "os.version"})
    os_features: tuple[str, ...] = field(default=(), metadata={"json": "os.features"})
    comment: str = ""
    docker_version: str = field(default="", metadata={"json": "docker_version"})
    container: str = ""
    container_config: dict[str, Any] = field(
        default_factory=dict, metadata={"json": "container_config"}
    )
    parent: str = ""

    @property
    def platform(self) -> Platform:
        """What the image runs on, normalised."""
        return Platform(
            self.architecture, self.os, self.os_version, self.os_features, self.variant
        ).normalized()


def parse_image_config(data: bytes) -> ImageConfig:
    """Read an image config from its bytes.

    Raises:
        InvalidParameter: not JSON, or a field is missing or wrong; the message names its path.
    """
    return ImageConfig.from_json(parse_document(data, "image config"))
