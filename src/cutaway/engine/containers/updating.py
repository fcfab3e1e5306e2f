"""``docker update`` and ``docker rename``: changes to a container that may be running.

Source: moby ``daemon/update.go``, ``container.UpdateContainer``.
"""

from collections.abc import Mapping

import msgspec
from msgspec.structs import fields, replace

from cutaway.engine.container import Container
from cutaway.engine.core import Core, event_attributes
from cutaway.engine.ids import NameInUse, parse_name
from cutaway.engine.lifecycle import Status
from cutaway.engine.running.restarts import POLICY_LABEL, plan_restart
from cutaway.engine.spec.namespaces import shares
from cutaway.engine.spec.resources import plan_limits
from cutaway.engine.starts.devices import find_block_devices
from cutaway.engine.validate.host import validate_restart_policy
from cutaway.engine.validate.limits import validate_resources
from cutaway.errors import Conflict, InvalidParameter
from cutaway.model import ContainerUpdateResponse, HostConfig, Resources, UpdateConfig
from cutaway.shim.protocol import Update

# Limits that a cgroup takes while processes run in it; the others need a new container.
_LIVE = frozenset(
    {
        *("cpu_shares", "cpu_period", "cpu_quota", "cpuset_cpus", "cpuset_mems", "nano_cpus"),
        *("cpu_realtime_period", "cpu_realtime_runtime", "blkio_weight", "pids_limit"),
        *("memory", "memory_swap", "memory_reservation", "kernel_memory"),
    }
)

_NO_CHANGES = UpdateConfig()


async def update(
    core: Core, container: Container, changes: UpdateConfig
) -> ContainerUpdateResponse:
    """Change limits and restart policy.

    Raises:
        InvalidParameter: a limit that can't be, or can't be changed. Conflict: it is removed.
    """
    async with container.lock:
        if container.state.status in (Status.REMOVING, Status.DEAD):
            raise Conflict(f"Cannot update container {container.id}: container is being removed")
        host = merge_limits(container.host_config, changes)
        warnings = validate_resources(host, core.machine)
        policy = changes.restart_policy
        if policy.name:
            validate_restart_policy(policy)
            if POLICY_LABEL in (container.config.labels or {}):
                raise InvalidParameter(
                    f"Restart policy cannot be updated because the label {POLICY_LABEL} sets it"
                )
            if host.auto_remove and policy.name != "no":
                raise InvalidParameter(
                    "Restart policy cannot be updated because AutoRemove is enabled for "
                    "the container"
                )
            host = replace(host, restart_policy=policy)
        await _apply(container, host, changes)
        document = replace(container.document, host_config=host)
        core.commit(container, document=document, told=[("update", {})])
        return ContainerUpdateResponse(warnings=tuple(warnings) or None)


def merge_limits(host: HostConfig, changes: UpdateConfig) -> HostConfig:
    """Return the HostConfig with the changed limits.

    Raises:
        InvalidParameter: a limit that a living cgroup doesn't take.
    """
    changed: dict[str, object] = {}
    for field in fields(Resources):
        value = getattr(changes, field.name)
        if value is None or value is False or value in (getattr(_NO_CHANGES, field.name), ()):
            continue  # of PidsLimit alone 0 says something: no limit
        if field.name not in _LIVE:
            raise InvalidParameter(f"{field.encode_name} can't be changed by an update")
        changed[field.name] = value
    if "nano_cpus" in changed and (host.cpu_quota or host.cpu_period):
        raise InvalidParameter(
            "Conflicting options: Nano CPUs cannot be updated as CPU Period or Quota is set"
        )
    if {"cpu_period", "cpu_quota"} & changed.keys() and host.nano_cpus:
        raise InvalidParameter(
            "Conflicting options: CPU Period or Quota cannot be updated as NanoCPUs is set"
        )
    memory = changed.get("memory", 0)
    new_swap = changed.get("memory_swap", 0)
    if isinstance(memory, int) and memory and not new_swap and 0 < host.memory_swap < memory:
        raise InvalidParameter(
            "Memory limit should be smaller than already set memoryswap limit, "
            "update the memoryswap at the same time"
        )
    return msgspec.structs.replace(host, **changed)


async def _apply(container: Container, host: HostConfig, changes: UpdateConfig) -> None:
    if container.shim is None:
        return
    limits = plan_limits(host, find_block_devices(host)).to_json()
    restart = None
    if changes.restart_policy.name:
        restart = plan_restart(host.restart_policy, container.config.labels or {})
    await container.shim.request(Update(resources=limits, restart=restart))


async def rename(core: Core, container: Container, new_name: str) -> None:
    """Give a container another name.

    Raises:
        NameInUse: another one has it. InvalidParameter: it is none, or its own.
    """
    if not new_name:
        raise InvalidParameter("Neither old nor new names may be empty")
    async with container.lock:
        try:
            name = parse_name("/" + new_name.removeprefix("/"))
        except InvalidParameter as error:
            raise InvalidParameter(f"Error when allocating new name: {error}") from None
        old = container.name
        if name == old:
            raise InvalidParameter("Renaming a container with the same name as its current name")
        if name in core.containers.names:
            raise NameInUse(name, core.containers.find(name).id)
        attributes: Mapping[str, str] = {"oldName": f"/{old}"}
        document = replace(container.document, name=name)
        with core.bus.telling() as tell, core.store.change() as transaction:
            transaction.rename_container(container.id, name)
            transaction.set_container_document(container.id, msgspec.json.encode(document))
            told = event_attributes(container, attributes) | {"name": name}
            tell("container", "rename", container.id, told)
        core.containers.rename(container, name)
        if container.is_alive and not shares(container.host_config.network_mode):
            core.network.rename(container.id, name)
