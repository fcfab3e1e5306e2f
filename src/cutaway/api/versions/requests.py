"""What older clients mean by what they leave unsaid.

A field that a version does not have is ignored when its client sends it, as dockerd does; a default
that changed keeps its old value for old clients.

Source: moby ``daemon/server/router/container/container_routes.go`` (postContainersCreate).
"""

from typing import Any

from msgspec.structs import replace

from cutaway import model
from cutaway.api.version import Version
from cutaway.errors import InvalidParameter


def adapt_create(
    config: model.ContainerConfig,
    host: model.HostConfig,
    networking: model.NetworkingConfig,
    version: Version,
) -> tuple[model.ContainerConfig, model.HostConfig, model.NetworkingConfig]:
    """Return the newest meaning of a create request of ``version``.

    Raises:
        InvalidParameter: the MAC address is given twice, differently.
    """
    if version < (1, 48):
        host = _without_image_mount_options(host)
    if version < (1, 44):
        config = _without_start_interval(config)
        host = _without_new_bind_options(host)
    host = replace(host, **_host_changes(host, version))
    networking = _one_endpoint(host, networking) if version < (1, 44) else networking
    return _mac_address(config, host, networking)


def _host_changes(host: model.HostConfig, version: Version) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    if version < (1, 43):
        changes["annotations"] = None
    if version < (1, 42):
        changes["console_size"] = (0, 0)
        # -1 was "as the machine has it" long before null was.
        if host.memory_swappiness == -1:
            changes["memory_swappiness"] = None
    else:
        changes.update(kernel_memory=0, kernel_memory_tcp=0)
    if version < (1, 41) and not host.cgroupns_mode:
        changes["cgroupns_mode"] = "host"
    if version < (1, 40):
        changes["device_requests"] = None
        if not host.ipc_mode:
            changes["ipc_mode"] = "shareable"
    if version < (1, 25):
        changes["auto_remove"] = False  # the client removed the container itself
    return changes


def _without_start_interval(config: model.ContainerConfig) -> model.ContainerConfig:
    check = config.healthcheck
    if check is None or not check.start_interval:
        return config
    return replace(config, healthcheck=replace(check, start_interval=0))


def _without_new_bind_options(host: model.HostConfig) -> model.HostConfig:
    """Below 1.44 a read-only bind was so at its top only: that stays what it means."""
    if not host.mounts:
        return host
    mounts = tuple(
        mount
        if mount.bind_options is None
        else replace(
            mount,
            bind_options=replace(
                mount.bind_options,
                read_only_non_recursive=mount.read_only,
                read_only_force_recursive=False,
            ),
        )
        for mount in host.mounts
    )
    return replace(host, mounts=mounts)


def _without_image_mount_options(host: model.HostConfig) -> model.HostConfig:
    if not host.mounts:
        return host
    return replace(host, mounts=tuple(replace(m, image_options=None) for m in host.mounts))


def _one_endpoint(
    host: model.HostConfig, networking: model.NetworkingConfig
) -> model.NetworkingConfig:
    """Refuse several endpoints: create took one network before 1.44.

    Raises:
        InvalidParameter: there are more.
    """
    endpoints = networking.endpoints_config or {}
    if len(endpoints) > 1:
        names = ", ".join(sorted(endpoints))
        raise InvalidParameter(
            f"Container cannot be created with multiple network endpoints: {names}"
        )
    return networking


def _mac_address(
    config: model.ContainerConfig, host: model.HostConfig, networking: model.NetworkingConfig
) -> tuple[model.ContainerConfig, model.HostConfig, model.NetworkingConfig]:
    """Move the MAC address from the container to the endpoint that it was always meant for.

    Raises:
        InvalidParameter: the endpoint has another one.
    """
    if not config.mac_address:
        return config, host, networking
    mode = host.network_mode
    if mode in ("none", "host") or mode.startswith("container:"):
        raise InvalidParameter("conflicting options: mac-address and the network mode")
    network = "bridge" if mode in ("", "default") else mode
    endpoints = dict(networking.endpoints_config or {})
    endpoint = endpoints.get(network, model.EndpointSettings())
    if endpoint.mac_address not in ("", config.mac_address):
        raise InvalidParameter(
            "the container-wide MAC address must match the endpoint-specific MAC address for the "
            "main network, or be left empty"
        )
    endpoints[network] = replace(endpoint, mac_address=config.mac_address)
    return config, host, replace(networking, endpoints_config=endpoints)
