"""Cgroups that only a ``--cgroup-parent`` called for: they go with the last container in them.

The runtime makes what is missing above a container's cgroup. runc and dockerd leave it for ever;
here the engine notes before a start what was missing, so that what somebody else made stays. The
note is in the exec root: like cgroups it does not outlive the machine's run.

Docker's counterpart: none.
"""

import os

from cutaway.cgroups import cgroup_directory, probe_cgroup_layout
from cutaway.engine.container import Container
from cutaway.engine.core import Core
from cutaway.engine.spec.build import cgroup_path
from cutaway.engine.starts.steps import RemoveCgroupParent
from cutaway.files import read_json, write_json
from cutaway.steps import Ledger

_VERSION = 1


def note_missing(core: Core, container: Container) -> None:
    """Note which parents of a container's cgroup its start will make."""
    if not container.host_config.cgroup_parent.strip("/"):
        return
    path = cgroup_path(container.id, container.host_config, core.settings)
    missing = set()
    for hierarchy in probe_cgroup_layout().hierarchies:
        directory = os.path.dirname(cgroup_directory(hierarchy, path))
        while directory != hierarchy.mountpoint and not os.path.exists(directory):
            missing.add(directory)
            directory = os.path.dirname(directory)
    if missing:
        _write(core, missing | _read(core))


def remove_unused(core: Core) -> None:
    """Remove the parents that were noted and have nothing below them any more.

    Not while a container is being started, which may be about to use them: its own end, or its
    failure, comes here again.
    """
    noted = _read(core)
    if not noted or any(container.early is not None for container in core.containers):
        return
    ledger, left = Ledger("engine"), set()
    for directory in sorted(noted, key=len, reverse=True):
        try:
            ledger.apply(RemoveCgroupParent(why="its last container ended", path=directory), None)
        except OSError:  # EBUSY: somebody is in it
            left.add(directory)
    if left != noted:
        _write(core, left)


def _read(core: Core) -> set[str]:
    try:
        return set(read_json(core.paths.cgroup_parents)["directories"])
    except FileNotFoundError:
        return set()


def _write(core: Core, directories: set[str]) -> None:
    document = {"version": _VERSION, "directories": sorted(directories)}
    write_json(core.paths.cgroup_parents, document)
