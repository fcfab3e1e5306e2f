"""Containers as requests and answers: create, inspect, list.

Source: Engine API ``ContainerInspectResponse``, ``ContainerSummary``, ``ContainerCreateResponse``.
"""

from cutaway.model.base import Int64, Model, always
from cutaway.model.config import ContainerConfig
from cutaway.model.content import OCIDescriptor
from cutaway.model.host import HostConfig
from cutaway.model.mount import DriverData, MountPoint, Storage
from cutaway.model.network import EndpointSettings, NetworkingConfig, NetworkSettings
from cutaway.model.port import PortSummary
from cutaway.model.state import ContainerState, HealthSummary


class ContainerCreateRequest(ContainerConfig):
    """The body of ``POST /containers/create``: a ContainerConfig with two members more.

    Attributes:
        runtime: where docker-py puts what belongs into the HostConfig.
    """

    runtime: str = ""
    host_config: HostConfig | None = None
    networking_config: NetworkingConfig | None = None


class ContainerCreateResponse(Model):
    """The id of the made container, and what the engine wants the user to know."""

    id: str = always("")
    warnings: tuple[str, ...] = always(())


class ContainerInspect(Model):
    """All that is known about one container.

    Attributes:
        created: RFC 3339 with nanoseconds.
        path, args: the program and its arguments after entrypoint and cmd are joined.
        image: the image's id.
        name: with its leading slash.
        driver: of the storage: ``overlay2``.
        platform: the operating system: ``linux``.
        exec_ids: of running execs; None when there are none.
        size_rw, size_root_fs: bytes, only when asked for (``size=1``).
    """

    id: str = always("")
    created: str = always("")
    path: str = always("")
    args: tuple[str, ...] = always(())
    state: ContainerState = always(ContainerState())
    image: str = always("")
    resolv_conf_path: str = always("")
    hostname_path: str = always("")
    hosts_path: str = always("")
    log_path: str = always("")
    name: str = always("")
    restart_count: Int64 = always(0)
    driver: str = always("")
    platform: str = always("linux")
    image_manifest_descriptor: OCIDescriptor | None = None
    mount_label: str = always("")
    process_label: str = always("")
    app_armor_profile: str = always("")
    exec_ids: tuple[str, ...] | None = always(None, name="ExecIDs")
    host_config: HostConfig = always(HostConfig())
    graph_driver: DriverData | None = None
    storage: Storage | None = None
    size_rw: Int64 | None = None
    size_root_fs: Int64 | None = None
    mounts: tuple[MountPoint, ...] = always(())
    config: ContainerConfig = always(ContainerConfig())
    network_settings: NetworkSettings = always(NetworkSettings())


class HostConfigSummary(Model):
    """The part of the HostConfig that a list shows."""

    network_mode: str = ""
    annotations: dict[str, str] | None = None


class NetworkSettingsSummary(Model):
    """The networks of a container as a list shows them."""

    networks: dict[str, EndpointSettings] = always({})


class ContainerSummary(Model):
    """A container as ``GET /containers/json`` lists it.

    Attributes:
        names: with their leading slashes.
        image: as the user wrote it, or the id when that name has moved to another image.
        command: the program and its arguments, joined by spaces.
        created: seconds since the epoch.
        state: as in ``ContainerState.status``.
        status: for people: ``Up 3 minutes (healthy)``, ``Exited (137) 2 hours ago``.
    """

    id: str = always("")
    names: tuple[str, ...] = always(())
    image: str = always("")
    image_id: str = always("", name="ImageID")
    image_manifest_descriptor: OCIDescriptor | None = None
    command: str = always("")
    created: Int64 = always(0)
    ports: tuple[PortSummary, ...] = always(())
    size_rw: Int64 | None = None
    size_root_fs: Int64 | None = None
    labels: dict[str, str] = always({})
    state: str = always("")
    status: str = always("")
    host_config: HostConfigSummary = always(HostConfigSummary())
    network_settings: NetworkSettingsSummary = always(NetworkSettingsSummary())
    mounts: tuple[MountPoint, ...] = always(())
    health: HealthSummary | None = None


class ContainerPruneReport(Model):
    """What ``docker container prune`` removed, and the bytes that freed."""

    containers_deleted: tuple[str, ...] | None = always(None)
    space_reclaimed: Int64 = always(0)


class CommitRequest(Model):
    """What ``docker commit`` asks; its query joined with its body.

    Attributes:
        container: name or id.
        changes: Dockerfile instructions.
        config: replaces the container's fields where it has values; None: as the container.
    """

    container: str
    repo: str = ""
    tag: str = ""
    comment: str = ""
    author: str = ""
    pause: bool = True
    changes: tuple[str, ...] = ()
    config: ContainerConfig | None = None


class IDResponse(Model):
    """The id of what was made."""

    id: str = always("")


class ErrorResponse(Model):
    """The body of every answer of status 400 or above."""

    message: str = always("", name="message")
