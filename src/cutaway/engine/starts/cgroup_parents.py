"""Cgroups that only a ``--cgroup-parent`` called for: they go with the last container in them.

The runtime makes what is missing above a container's cgroup. runc and dockerd leave it for ever;
here the engine notes before a start what was missing, so that what somebody else made stays. The
note is in the exec root: like cgroups it does not outlive the machine's run.

Docker's counterpart: none.
"""

import os
from contextlib import suppress

from cutaway.cgroups import cgroup_directory, probe_cgroup_layout
from cutaway.engine.container import Container
from cutaway.engine.core import Core
from cutaway.engine.lifecycle import Status
from cutaway.engine.spec.build import cgroup_path
from cutaway.engine.starts.steps import RemoveCgroupParent
from cutaway.files import read_json, write_json
from cutaway.steps import Ledger

_VERSION = 1


def note_missing(core: Core, container: Container) -> None:
    """Note which parents of a container's cgroup its start will make."""
    missing = {path for path in _parents(core, container) if not os.path.exists(path)}
    if missing:
        _write(core, missing | _read(core))


def remove_unused(core: Core) -> None:
    """Remove the parents that were noted and have nothing below them any more.

    Those of a container that is being started, or started again by its shim, are needed though
    nothing may be in them just now: its own end, or its failure, comes here again.
    """
    noted = _read(core)
    if not noted:
        return
    needed = {path for container in core.containers if _runs(container)
              for path in _parents(core, container)}  # fmt: skip
    ledger, left = Ledger("engine"), noted & needed
    for directory in sorted(noted - needed, key=len, reverse=True):
        try:
            ledger.apply(RemoveCgroupParent(why="its last container ended", path=directory), None)
        except OSError:  # EBUSY: somebody is in it
            left.add(directory)
    if left != noted:
        with suppress(OSError):  # no space: who cleans up goes on, and is told the same next time
            _write(core, left)


def _parents(core: Core, container: Container) -> set[str]:
    """Return the cgroups above that of a container with a ``--cgroup-parent``."""
    found: set[str] = set()
    if container.host_config.cgroup_parent.strip("/"):
        path = cgroup_path(container.id, container.host_config, core.settings)
        for hierarchy in probe_cgroup_layout().hierarchies:
            directory = os.path.dirname(cgroup_directory(hierarchy, path))
            while directory != hierarchy.mountpoint:
                found.add(directory)
                directory = os.path.dirname(directory)
    return found


def _runs(container: Container) -> bool:
    is_started = container.is_alive or container.state.status is Status.RESTARTING
    return is_started or container.early is not None


def _read(core: Core) -> set[str]:
    try:
        return set(read_json(core.paths.cgroup_parents)["directories"])
    except FileNotFoundError:
        return set()


def _write(core: Core, directories: set[str]) -> None:
    document = {"version": _VERSION, "directories": sorted(directories)}
    write_json(core.paths.cgroup_parents, document)
