"""``docker create``: check the request, find the image, give it a layer and a name.

Nothing runs. What a create leaves is complete or gone: the layer and the directory are made
first and the row in the store last, so a crash in between leaves only what the sweep removes.
"""

import contextlib
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import msgspec
from msgspec.structs import replace

from cutaway.engine.container import Container, ContainerDocument, ContainerState
from cutaway.engine.containers.defaults import complete_host_config
from cutaway.engine.containers.names import generate_name
from cutaway.engine.core import Core, event_attributes
from cutaway.engine.ids import NameInUse, new_id, parse_name, short_id
from cutaway.engine.networking.endpoints import plan_endpoint
from cutaway.engine.networking.legacy_links import split_link
from cutaway.engine.output.log_sinks import LogSubject
from cutaway.engine.output.logs import plan_log
from cutaway.engine.running.restarts import plan_restart
from cutaway.engine.spec.confinement import parse_security_options
from cutaway.engine.spec.merge import command_line, complete, merge_image
from cutaway.engine.spec.namespaces import shares
from cutaway.engine.spec.security import plan_capabilities
from cutaway.engine.validate import validate_config, validate_host_config
from cutaway.engine.volumes import mounting
from cutaway.engine.volumes.filling import fill_volumes
from cutaway.errors import Conflict, CutawayError, InvalidParameter, NotFound
from cutaway.files import write_atomic
from cutaway.images.assemble import this_platform
from cutaway.images.image import Image
from cutaway.images.variants import find_variant, register_variant
from cutaway.model import (
    ContainerConfig,
    ContainerCreate,
    ContainerCreateResponse,
    EndpointSettings,
    HostConfig,
)
from cutaway.network.decisions.endpoints import check_endpoint_request
from cutaway.volumes import MountPoint


@dataclass(frozen=True, slots=True)
class Checked:
    """A request that can work: image and request joined, defaults filled in."""

    image: Image
    config: ContainerConfig
    host: HostConfig
    networks: Mapping[str, EndpointSettings]
    points: tuple[MountPoint, ...]
    warnings: tuple[str, ...]


async def create(core: Core, request: ContainerCreate) -> ContainerCreateResponse:
    """Make a container.

    Raises:
        InvalidParameter: a field can never work. NoSuchImage: the image is not here.
        NameInUse: the name is taken.
    """
    name = _choose_name(core, request.name)
    image = await choose_image(core, request.config.image, request.platform)
    checked = check(core, request, image)
    identifier = new_id()
    points, anonymous = await make_volumes(core, checked.points, str(image.chain_id or ""))
    document = ContainerDocument(
        id=identifier,
        name=name,
        created_ns=time.time_ns(),
        image=request.config.image,
        image_id=str(image.id),
        chain_id=str(image.chain_id or ""),
        platform=image.config.os,
        config=_name_host(checked, identifier, core.machine.hostname),
        host_config=checked.host,
        networks=dict(checked.networks),
        mounts=tuple(point.to_json() for point in points),
        anonymous_volumes=anonymous,
    )
    container = Container(document, ContainerState())
    container.cleaned.set()
    await _keep(core, container)
    return ContainerCreateResponse(id=identifier, warnings=checked.warnings)


def _choose_name(core: Core, asked: str) -> str:
    if not asked:
        return generate_name(core.containers.names)
    name = parse_name(asked)
    if name in core.containers.names:
        raise NameInUse(name, core.containers.find(name).id)
    return name


def find_image(core: Core, reference: str, platform: str) -> Image:
    """Return the image a container is to be made of; it may not be unpacked yet.

    Raises:
        NoSuchImage: Docker's clients then pull it. NotFound: it is for another platform.
    """
    return find_variant(core.images, core.images.resolve(reference), reference, platform)


async def choose_image(core: Core, reference: str, platform: str) -> Image:
    """Return the image like ``find_image``, ready to make containers of.

    Raises:
        NoSuchImage, NotFound: as ``find_image``. BadLayer: it can't be unpacked.
    """
    named = core.images.resolve(reference)
    image = find_variant(core.images, named, reference, platform)
    if image.id == named.id:
        return image
    return await core.in_thread(register_variant, core.images, core.snapshots, image)


def check(core: Core, request: ContainerCreate, image: Image) -> Checked:
    """Join a request with its image and check it whole; nothing is made.

    Raises:
        InvalidParameter, NotFound, NotImplemented: in Docker's words.
    """
    validate_config(request.config)
    config = complete(merge_image(request.config, image.config.config))
    validate_config(config)
    warnings = [
        *validate_host_config(config, request.host_config, core.machine),
        *_warn_of_platform(image, request.platform),
    ]
    confinement = parse_security_options(
        request.host_config.security_opt or (),
        core.settings,
        privileged=request.host_config.privileged,
    )
    host = complete_host_config(request.host_config, core.settings, core.machine, confinement)
    plan_capabilities(host, core.machine)
    subject = LogSubject("", request.name, config.image, str(image.id), command_line(config))
    plan_log(host.log_config, config, "", subject)
    _check_restart(config, host)
    _check_runtime(core, host.runtime)
    requested = request.networking_config.endpoints_config or {}
    networks = {} if config.network_disabled else plan_networks(host, requested)
    _check_endpoints(core, networks, config.mac_address)
    try:
        _find_others(core, host)
        points = mounting.plan_mount_points(config, host, core.containers)
    except NotFound as error:
        # A 404 makes Docker's clients pull the image, which is here, and try again.
        raise InvalidParameter(str(error)) from None
    return Checked(image, config, host, networks, points, tuple(warnings))


def _warn_of_platform(image: Image, asked: str) -> Iterator[str]:
    machine = this_platform()
    if not asked and image.platform not in machine.runnable():
        yield (
            f"The requested image's platform ({image.platform}) does not match the detected host "
            f"platform ({machine}) and no specific platform was requested"
        )


def _find_others(core: Core, host: HostConfig) -> None:
    for mode in (host.ipc_mode, host.pid_mode, host.network_mode):
        if shares(mode):
            core.containers.find(shares(mode))
    for link in host.links or ():
        name, _ = split_link(link)
        try:
            core.containers.find(name)
        except NotFound as error:
            raise InvalidParameter(f"could not get container for {name}: {error}") from None


def _check_restart(config: ContainerConfig, host: HostConfig) -> None:
    policy = plan_restart(host.restart_policy, config.labels or {})
    if host.auto_remove and policy.name != "no":
        raise InvalidParameter("can't create 'AutoRemove' container with restart policy")


def _check_runtime(core: Core, name: str) -> None:
    if name not in ("cutaway", "runc", *core.settings.runtimes):
        raise InvalidParameter(f"unknown or invalid runtime name: {name}")


def _check_endpoints(core: Core, networks: Mapping[str, EndpointSettings], mac: str) -> None:
    """Check addresses now; a network that is not there yet is looked for again at start."""
    for name, settings in networks.items():
        try:
            network = core.network.network(name)
        except NotFound:
            continue
        try:
            check_endpoint_request(plan_endpoint(name, settings, mac=mac), network)
        except InvalidParameter as error:
            raise InvalidParameter(f"invalid config for network {name}: {error}") from None


def plan_networks(
    host: HostConfig, requested: Mapping[str, EndpointSettings]
) -> dict[str, EndpointSettings]:
    """Decide the endpoints: those requested and the one that the network mode names.

    Raises:
        InvalidParameter: the mode allows no endpoint of one's own.
    """
    networks = {("bridge" if n == "default" else n): e for n, e in requested.items()}
    mode = host.network_mode
    if shares(mode):
        if networks:
            raise InvalidParameter(
                "conflicting options: cannot attach both user-defined and "
                "non-user-defined network-modes"
            )
        return {}
    if mode in ("host", "none"):
        if set(networks) - {mode}:
            raise InvalidParameter(
                f"conflicting options: cannot connect a container in network mode {mode} "
                "to other networks"
            )
        return {mode: networks.get(mode) or EndpointSettings()}
    if mode not in networks:
        networks = {mode: EndpointSettings(), **networks}
    return networks


def _name_host(checked: Checked, identifier: str, machine: str) -> ContainerConfig:
    config, host = checked.config, checked.host
    if config.hostname or shares(host.network_mode):
        return config
    shown = machine if host.network_mode == "host" or host.uts_mode == "host" else ""
    return replace(config, hostname=shown or short_id(identifier))


async def make_volumes(
    core: Core, points: tuple[MountPoint, ...], chain_id: str
) -> tuple[tuple[MountPoint, ...], tuple[str, ...]]:
    """Make the volumes that are missing, and fill the new ones from the image.

    Returns:
        As ``mounting.make_volumes``.
    """
    if not points:
        return (), ()
    try:
        make = mounting.make_volumes
        made, anonymous = await core.in_long_thread(make, points, core.volumes, core.images)
    except NotFound as error:
        # An image to mount, or a driver. A 404 makes clients pull the container's image, in vain.
        raise InvalidParameter(str(error)) from None
    try:
        await core.in_thread(fill_volumes, made, chain_id, core.volumes, core.snapshots)
    except BaseException:
        _remove_volumes(core, anonymous)
        raise
    return made, anonymous


async def _keep(core: Core, container: Container) -> None:
    document = container.document
    temporary = document.host_config.auto_remove
    directory = core.paths.container(container.id)
    try:
        core.snapshots.prepare(container.id, document.chain_id or None, is_volatile=temporary)
        mounting.prepare_views(container, core.images, core.snapshots)
        os.mkdir(directory, 0o700)
        write_atomic(f"{directory}/config.json", msgspec.json.encode(document), durable=False)
        with core.bus.telling() as tell, core.store.change() as transaction:
            transaction.insert_container(container.to_row())
            tell("container", "create", container.id, event_attributes(container, {}))
    except BaseException:
        _take_back(core, container)
        raise
    core.containers.add(container)
    for point in document.mount_points:
        if point.name:
            core.volumes.reference(point.name, container.id)
    if not temporary:
        container.kept = core.spawn(core.store.flush(), f"keeping container {container.id}")


def _take_back(core: Core, container: Container) -> None:
    directory = core.paths.container(container.id)
    with contextlib.suppress(OSError):
        os.unlink(f"{directory}/config.json")
    with contextlib.suppress(OSError):
        os.rmdir(directory)
    with contextlib.suppress(CutawayError, OSError):
        core.snapshots.remove(container.id)
    with contextlib.suppress(CutawayError, OSError):
        mounting.remove_views(container, core.snapshots)
    _remove_volumes(core, container.document.anonymous_volumes)


def _remove_volumes(core: Core, names: tuple[str, ...]) -> None:
    for name in names:
        with contextlib.suppress(Conflict, NotFound, OSError):
            core.volumes.remove(name)
