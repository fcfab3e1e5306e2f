"""What is mounted where: Docker's kernel file systems, then /etc files, then what was asked.

Source: moby ``oci/defaults.go``, ``daemon/oci_linux.go`` ``WithMounts``.
"""

from cutaway.engine.spec.intent import ContainerIntent
from cutaway.engine.spec.namespaces import shares
from cutaway.oci.runtime_spec import Mount, RootfsPropagation
from cutaway.volumes import MountPoint

_QUIET = ("nosuid", "noexec", "nodev")
_SHARED = frozenset({"shared", "rshared"})
_SLAVE = frozenset({"slave", "rslave"})


def plan_mounts(intent: ContainerIntent) -> tuple[Mount, ...]:
    """Decide every mount in the order it is made.

    A mount that was asked for takes the place of a default at the same destination; shorter
    destinations come first, so that none is hidden by its own parent.
    """
    asked = [Mount.from_json(point.to_oci()) for point in intent.mounts]
    asked += [_plan_etc(path, source) for path, source in intent.etc.items()]
    taken = {mount.destination for mount in asked}
    # A mount below /dev/shm or /sys keeps its parent; one *at* a default's place replaces it.
    defaults = [mount for mount in default_mounts(intent) if mount.destination not in taken]
    asked.sort(key=lambda mount: (mount.destination.count("/"), mount.destination))
    return (*defaults, *asked)


def default_mounts(intent: ContainerIntent) -> list[Mount]:
    """Return the kernel file systems of a container, as Docker has them."""
    privileged = intent.host.privileged
    read_only = () if privileged else ("ro",)
    mounts = [
        Mount("/proc", "proc", "proc", _QUIET),
        Mount("/dev", "tmpfs", "tmpfs", ("nosuid", "strictatime", "mode=755", "size=65536k")),
        Mount("/dev/pts", "devpts", "devpts", _devpts_options()),
        Mount("/sys", "sysfs", "sysfs", (*_QUIET, *read_only)),
        Mount("/sys/fs/cgroup", "cgroup", "cgroup", (*_QUIET, *read_only)),
    ]
    return mounts + _ipc(intent)


def _devpts_options() -> tuple[str, ...]:
    return ("nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5")


def _ipc(intent: ContainerIntent) -> list[Mount]:
    mode = intent.host.ipc_mode or intent.settings.default_ipc_mode
    if mode == "host":
        return [
            # In the host's IPC namespace a fresh mount shows the host's queues, mounted or not.
            Mount("/dev/mqueue", "mqueue", "mqueue", _QUIET),
            Mount("/dev/shm", "bind", "/dev/shm", ("rbind", *_QUIET)),  # noqa: S108, RUF100
        ]
    mounts = [Mount("/dev/mqueue", "mqueue", "mqueue", _QUIET)]
    if mode == "none":
        return mounts
    if intent.shm_path and (mode == "shareable" or shares(mode)):
        mounts.append(Mount("/dev/shm", "bind", intent.shm_path, ("rbind", "rprivate", *_QUIET)))
    else:
        size = intent.host.shm_size or intent.settings.default_shm_size
        options = (*_QUIET, "mode=1777", f"size={size}")
        mounts.append(Mount("/dev/shm", "tmpfs", "shm", options))
    return mounts


def _plan_etc(path: str, source: str) -> Mount:
    return Mount(path, "bind", source, ("rbind", "rprivate"))


def plan_propagation(mounts: tuple[MountPoint, ...]) -> RootfsPropagation | None:
    """Decide the root's propagation: one shared mount below needs it shared, a slave one slave.

    The kernel passes mount events through the root's peer group; a private root would cut it.
    """
    wanted = {mount.propagation for mount in mounts}
    if wanted & _SHARED:
        return RootfsPropagation.SHARED
    if wanted & _SLAVE:
        return RootfsPropagation.RSLAVE
    return None
