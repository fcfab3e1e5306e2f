"""Look up what a container's config.json needs to know, and decide it: the intent of one start."""

from collections.abc import Mapping
from typing import Any

import msgspec

from cutaway.engine.container import Container
from cutaway.engine.core import Core
from cutaway.engine.networking.legacy_links import link_variables
from cutaway.engine.spec.confinement import parse_security_options
from cutaway.engine.spec.intent import ContainerIntent
from cutaway.engine.spec.namespaces import shares
from cutaway.engine.spec.security import plan_capabilities, plan_seccomp
from cutaway.engine.starts.devices import find_block_devices, find_devices
from cutaway.engine.volumes.mounting import image_mounts
from cutaway.errors import Conflict
from cutaway.images.snapshots import Mount
from cutaway.oci.runtime_spec import Spec
from cutaway.volumes import MountPoint

_ETC_FILES = ("hostname", "hosts", "resolv.conf")
EXTENSIONS_VERSION = 1


def find_join(core: Core, mode: str, kind: str) -> tuple[str, Container] | None:
    """Return the path of the namespace that ``container:NAME`` shares, and its owner.

    Raises:
        NoSuchContainer: there is no such container. Conflict: it does not run, or shares nothing.
    """
    reference = shares(mode)
    if not reference:
        return None
    other = core.containers.find(reference)
    if not other.is_alive:
        raise Conflict(f"cannot join {kind} of a non running container: {other.id}")
    if kind == "ipc" and other.host_config.ipc_mode in ("private", "none"):
        raise Conflict(
            f"cannot join IPC of container {other.id}: non-shareable IPC (hint: use "
            "IpcMode:shareable for the donor container)"
        )
    namespace = {"network": "net"}.get(kind, kind)
    return f"/proc/{other.state.pid}/ns/{namespace}", other


def make_intent(
    core: Core, container: Container, mounts: tuple[MountPoint, ...]
) -> ContainerIntent:
    """Gather everything about one container into a value.

    Args:
        core: the engine.
        container: about to be started.
        mounts: its mount points with their sources ready.

    Raises:
        InvalidParameter, Conflict: a device, profile or container to join is not as asked.
    """
    host = container.host_config
    confinement = parse_security_options(
        host.security_opt or (), core.settings, privileged=host.privileged
    )
    granted = plan_capabilities(host, core.machine)
    joins: dict[str, str] = {}
    shm_path = core.paths.shm(container.id) if host.ipc_mode == "shareable" else ""
    etc_owner = container
    for kind, mode in (
        ("ipc", host.ipc_mode),
        ("pid", host.pid_mode),
        ("network", host.network_mode),
    ):
        found = find_join(core, mode, kind)
        if found is None:
            continue
        joins[kind], other = found
        if kind == "ipc":
            shm_path = core.paths.shm(other.id)
        if kind == "network":
            etc_owner = other
    return ContainerIntent(
        id=container.id,
        config=container.config,
        host=host,
        settings=core.settings,
        machine=core.machine,
        capabilities=granted,
        seccomp=plan_seccomp(confinement, granted),
        no_new_privileges=confinement.no_new_privileges,
        mounts=mounts,
        etc=etc_files(core, container, etc_owner, mounts),
        joins=joins,
        link_variables=link_variables(core, container),
        shm_path=shm_path,
        devices=find_devices(host),
        block_devices=find_block_devices(host),
        masked_paths=host.masked_paths or (),
        readonly_paths=host.readonly_paths or (),
    )


def etc_files(
    core: Core, container: Container, owner: Container, mounts: tuple[MountPoint, ...]
) -> Mapping[str, str]:
    """Return the host paths of a container's files about names, by destination.

    Args:
        core: the engine.
        container: that has them mounted, from its first start on.
        owner: whose network it has: these share hosts and resolv.conf, but no hostname.
        mounts: what the user mounts; a file that is among them is the user's.
    """
    taken = {point.destination for point in mounts}
    files = {}
    for name in _ETC_FILES:
        holder = container if name == "hostname" else owner
        if f"/etc/{name}" not in taken:
            files[f"/etc/{name}"] = core.paths.etc(holder.id, name)
    return files


def make_extensions(
    core: Core, container: Container, mounts: tuple[Mount, ...] | None = None
) -> dict[str, Any]:
    """Decide rootfs.json: the overlay, the user by name, the init.

    Args:
        core: the engine.
        container: whose root it is.
        mounts: what makes the root; None asks the snapshotter.
    """
    if mounts is None:
        mounts = container.root_mounts
    if mounts is None:
        mounts = core.snapshots.mounts(container.id)
    extensions: dict[str, Any] = {
        "version": EXTENSIONS_VERSION,
        "mounts": [mount.to_json() for mount in mounts],
        "user": container.config.user,
        "groups": list(container.host_config.group_add or ()),
    }
    if container.host_config.init:
        extensions["init"] = True
    images = image_mounts(container, core.images, core.snapshots)
    if images:
        extensions["images"] = [
            {"destination": destination, "mount": mount.to_json()}
            for destination, mount in images.items()
        ]
    return extensions


def encode_spec(spec: Spec) -> bytes:
    """Return config.json's bytes."""
    return msgspec.json.encode(spec.to_json())
