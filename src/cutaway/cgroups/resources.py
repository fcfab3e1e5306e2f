"""From ``linux.resources`` of config.json to what is written, for any kind of cgroup."""

from dataclasses import replace

from cutaway.cgroups.devices import plan_device_rules
from cutaway.cgroups.layout import CgroupLayout, CgroupMode
from cutaway.cgroups.settings import ResourcePlan
from cutaway.cgroups.v1 import plan_v1, plan_v1_devices
from cutaway.cgroups.v2 import plan_v2
from cutaway.oci.runtime_spec import DeviceRule, Resources


def plan_resources(
    resources: Resources,
    layout: CgroupLayout,
    *,
    with_devices: bool = True,
    current_memory_bytes: int | None = None,
) -> ResourcePlan:
    """Decide all settings of a container's cgroup.

    Args:
        resources: ``linux.resources``.
        layout: this machine's hierarchies.
        with_devices: False when a living container's limits are updated: its devices stay.
        current_memory_bytes: the memory limit in force then; None for a new cgroup.

    Returns:
        Settings in the order they must be written; on v2 the device rules are in
        ``device_rules_v2`` instead, because they become a program.

    Raises:
        NotImplemented: a limit needs a controller that this machine lacks.
        InvalidParameter: values contradict each other or the kind of cgroup.
    """
    if layout.mode is CgroupMode.UNIFIED:
        return plan_v2(resources, layout)
    plan = plan_v1(resources, layout, current_memory_bytes=current_memory_bytes)
    if with_devices:
        devices = plan_v1_devices(resources.devices, layout)
        plan = replace(plan, settings=(*plan.settings, *devices))
    return plan


def device_rules_v2(resources: Resources, layout: CgroupLayout) -> tuple[DeviceRule, ...]:
    """Return the rules that a device program must enforce; empty where v1 enforces them."""
    if layout.mode is not CgroupMode.UNIFIED:
        return ()
    return plan_device_rules(resources.devices)
