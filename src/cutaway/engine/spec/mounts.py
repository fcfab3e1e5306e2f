"""What is mounted where: Docker's kernel file systems, then /etc files, then what was asked.

Source: moby ``oci/defaults.go``, ``daemon/oci_linux.go`` ``WithMounts``.
"""

from cutaway.engine.spec.intent import ContainerIntent, PlannedMount
from cutaway.engine.spec.namespaces import shares
from cutaway.oci.runtime_spec import Mount, RootfsPropagation

_QUIET = ("nosuid", "noexec", "nodev")
TMPFS_DEFAULTS = ("noexec", "nosuid", "nodev")
_SHARED = frozenset({"shared", "rshared"})
_SLAVE = frozenset({"slave", "rslave"})


def plan_mounts(intent: ContainerIntent) -> tuple[Mount, ...]:
    """Decide every mount in the order it is made.

    A mount that was asked for takes the place of a default at the same destination; shorter
    destinations come first, so that none is hidden by its own parent.
    """
    asked = [_plan_asked(mount) for mount in intent.mounts]
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
            Mount("/dev/mqueue", "bind", "/dev/mqueue", ("rbind", *_QUIET)),
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


def _plan_asked(mount: PlannedMount) -> Mount:
    point = mount.point
    if point.type == "tmpfs":
        read_only = () if point.read_write else ("ro",)
        return Mount(point.destination, "tmpfs", "tmpfs", merge_tmpfs(mount.tmpfs_data) + read_only)
    options = ["rbind" if mount.recursive else "bind"]
    if not point.read_write:
        options.append("rro" if mount.recursive_readonly and mount.recursive else "ro")
    options.append(point.propagation or "rprivate")
    if mount.copy_up:
        options.append("copy-up")
    return Mount(point.destination, "bind", point.source, tuple(options))


def merge_tmpfs(options: tuple[str, ...]) -> tuple[str, ...]:
    """Put options behind the defaults; ``exec`` takes ``noexec`` away, a later size wins."""
    opposite = {"exec": "noexec", "suid": "nosuid", "dev": "nodev", "rw": "ro"}
    opposite |= {value: key for key, value in opposite.items()}
    chosen: dict[str, str] = {}
    for option in (*TMPFS_DEFAULTS, *options):
        key = option.partition("=")[0]
        chosen.pop(opposite.get(key, ""), None)
        chosen.pop(key, None)
        chosen[key] = option
    return tuple(chosen.values())


def plan_propagation(mounts: tuple[PlannedMount, ...]) -> RootfsPropagation | None:
    """Decide the root's propagation: one shared mount below needs it shared, a slave one slave.

    The kernel passes mount events through the root's peer group; a private root would cut it.
    """
    wanted = {mount.point.propagation for mount in mounts}
    if wanted & _SHARED:
        return RootfsPropagation.SHARED
    if wanted & _SLAVE:
        return RootfsPropagation.RSLAVE
    return None
