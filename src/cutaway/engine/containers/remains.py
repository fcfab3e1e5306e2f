"""What a killed shim leaves of its container: processes, cgroups, an external runtime's notes."""

import logging
import shutil

from cutaway.cgroups import (
    CgroupLayout,
    ContainerCgroup,
    cgroup_directory,
    kill_all,
    probe_cgroup_layout,
    remove_cgroup,
)
from cutaway.engine.configuration.settings import instance_name
from cutaway.engine.container import Container
from cutaway.engine.core import Core

log = logging.getLogger(__name__)


def end_orphan(core: Core, container: Container) -> None:
    """Kill what a lost shim's container still runs, and take the rest away."""
    remove_cgroups(core, probe_cgroup_layout(), container.id)
    runtime = container.host_config.runtime
    if runtime:
        directory = f"{core.paths.exec_root}/runtime-{runtime}/{container.id}"
        shutil.rmtree(directory, ignore_errors=True)


def remove_cgroups(core: Core, layout: CgroupLayout, identifier: str) -> None:
    """Empty a container's cgroups and remove them; harmless when there are none."""
    parents = {core.settings.cgroup_parent, instance_name(core.settings)}
    container = core.containers.get(identifier)
    if container is not None:
        parents.add(container.host_config.cgroup_parent)
    for parent in parents - {""}:
        cgroup = ContainerCgroup(layout, f"/{parent.strip('/')}/{identifier}")
        try:
            kill_all(cgroup)
            for hierarchy in layout.hierarchies:
                remove_cgroup(cgroup_directory(hierarchy, cgroup.path))
        except OSError as error:
            log.warning("removing the cgroup of %s: %s", identifier, error)
