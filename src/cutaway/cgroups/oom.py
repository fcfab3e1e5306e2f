"""Being told of OOM kills while they happen: eventfd(2) on cgroup v1, inotify(7) on v2.

Source: kernel documentation cgroup-v1/memory.rst "OOM Control", cgroup-v2.rst "memory.events".
"""

import os

from cutaway.cgroups.control import ContainerCgroup
from cutaway.cgroups.layout import CgroupMode
from cutaway.linux.abi import IN
from cutaway.linux.inotify import inotify_add_watch, inotify_init


def watch_oom(cgroup: ContainerCgroup) -> int:
    """Return a descriptor that is readable when memory ran out; -1 without a memory controller.

    Read it empty, then ask ``count_oom_kills``: v1 tells before the kill is counted, v2 tells of
    other memory events too, and v1 also when the cgroup goes.

    Raises:
        OSError: ENOENT (the cgroup has gone), EMFILE.
    """
    directory = cgroup.directory("memory")
    if directory is None:
        return -1
    if cgroup.layout.mode is CgroupMode.UNIFIED:
        fd = inotify_init()
        try:
            inotify_add_watch(fd, f"{directory}/memory.events", IN.MODIFY)
        except OSError:
            os.close(fd)
            raise
        return fd
    return _watch_v1(directory)


def _watch_v1(directory: str) -> int:
    fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
    try:
        control = os.open(f"{directory}/memory.oom_control", os.O_RDONLY | os.O_CLOEXEC)
        try:
            register = os.open(f"{directory}/cgroup.event_control", os.O_WRONLY | os.O_CLOEXEC)
            try:
                os.write(register, b"%d %d" % (fd, control))
            finally:
                os.close(register)
        finally:
            os.close(control)
    except OSError:
        os.close(fd)
        raise
    return fd
