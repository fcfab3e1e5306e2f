"""Which cgroup hierarchies this machine has, and where: v1, v2, or both at once.

Decided by two files that every process can read: ``/proc/self/mountinfo`` says where hierarchies
are mounted, ``/proc/self/cgroup`` which of their cgroups this process is in.
"""

import os
from dataclasses import dataclass
from enum import StrEnum

from cutaway import errors
from cutaway.errors import InvalidParameter

CGROUP_MOUNT_ROOT = "/sys/fs/cgroup"
V2_NAME = "unified"


class CgroupMode(StrEnum):
    """How the machine's hierarchies are arranged, in systemd's words.

    ====== =================================================================
    LEGACY  v1 only: one hierarchy for each controller or pair of controllers
    HYBRID  v1 controllers, and a v2 hierarchy beside them that has none
    UNIFIED v2 only: one hierarchy with all controllers
    ====== =================================================================
    """

    LEGACY = "legacy"
    HYBRID = "hybrid"
    UNIFIED = "unified"


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """One mounted tree of cgroups.

    Attributes:
        name: the controllers joined by commas, ``systemd`` for the named one, or ``unified``.
        controllers: what can be limited in it; for v2, what its root's children may use.
        mountpoint: where it is mounted on the host.
        root: the cgroup at the mount point; ``/`` unless the host is itself a container.
        own: the cgroup this process was in when it was probed.
        is_v2: a cgroup v2 tree.
    """

    name: str
    controllers: tuple[str, ...]
    mountpoint: str
    root: str = "/"
    own: str = "/"
    is_v2: bool = False


@dataclass(frozen=True, slots=True)
class CgroupLayout:
    """All hierarchies of the machine, those of v1 first.

    Attributes:
        mode: how they are arranged.
        hierarchies: in the order of the mount table; v2 last.
        has_swap_accounting: limits of memory plus swap can be set (v1: ``memory.memsw.*``).
    """

    mode: CgroupMode
    hierarchies: tuple[Hierarchy, ...]
    has_swap_accounting: bool = True

    @property
    def v1(self) -> tuple[Hierarchy, ...]:
        """The v1 hierarchies."""
        return tuple(h for h in self.hierarchies if not h.is_v2)

    @property
    def v2(self) -> Hierarchy | None:
        """The v2 hierarchy, if it is mounted."""
        return next((h for h in self.hierarchies if h.is_v2), None)

    def find(self, controller: str) -> Hierarchy | None:
        """Return the hierarchy in which ``controller`` can be set, or None."""
        for hierarchy in self.hierarchies:
            if controller in hierarchy.controllers:
                return hierarchy
        return None

    def require(self, controller: str, what: str) -> Hierarchy:
        """Return the hierarchy of ``controller``, which ``what`` needs.

        Raises:
            NotImplemented: the kernel lacks it or nobody mounted it.
        """
        hierarchy = self.find(controller)
        if hierarchy is None:
            raise errors.NotImplemented(
                f"{what} needs the cgroup controller {controller!r}, which this machine does not "
                "offer: it is not in the kernel, or not mounted"
            )
        return hierarchy


def cgroup_directory(hierarchy: Hierarchy, cgroups_path: str) -> str:
    """Return the host directory of a container's cgroup in one hierarchy.

    Args:
        hierarchy: where.
        cgroups_path: ``linux.cgroupsPath`` as ``resolve_cgroups_path`` returned it.
    """
    return hierarchy.mountpoint + cgroups_path


def resolve_cgroups_path(cgroups_path: str, container_id: str) -> str:
    """Return the absolute cgroup of a container, below each hierarchy's mount point.

    "The value of cgroupsPath MUST be either an absolute path or a relative path … relative … the
    runtime MAY interpret the path relative to a runtime-determined location" (config-linux.md
    "Cgroups Path"): ours is the mount point itself, so that both mean the same.

    Raises:
        InvalidParameter: it would leave the hierarchy, or is systemd's ``slice:prefix:name``.
    """
    path = cgroups_path or f"/{container_id}"
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if ".." in parts or "\n" in path or "\0" in path:
        raise InvalidParameter(f"linux.cgroupsPath: {path!r} is not a path below the cgroup root")
    if path.count(":") == 2:
        raise InvalidParameter(
            f"linux.cgroupsPath: {path!r} is for the systemd cgroup driver; this one is cgroupfs: "
            "give a path such as /parent/name"
        )
    if not parts:
        raise InvalidParameter("linux.cgroupsPath: the root cgroup can't be a container's")
    return "/" + "/".join(parts)


def parse_layout(
    mountinfo: str, own_cgroups: str, v2_controllers: str = "", *, has_swap_accounting: bool = True
) -> CgroupLayout:
    """Read the layout from the kernel's tables.

    Args:
        mountinfo: ``/proc/self/mountinfo``.
        own_cgroups: ``/proc/self/cgroup``.
        v2_controllers: ``cgroup.controllers`` of the v2 root, if there is one.
        has_swap_accounting: probed.
    """
    own = _parse_own_cgroups(own_cgroups)
    v1: dict[str, Hierarchy] = {}
    v2: Hierarchy | None = None
    for line in mountinfo.splitlines():
        left, _, right = line.partition(" - ")
        fstype, _, options = right.split(" ", 2)
        if fstype not in ("cgroup", "cgroup2"):
            continue
        root, mountpoint = left.split(" ")[3:5]
        if not _is_below_mount_root(mountpoint):
            continue
        if fstype == "cgroup2":
            v2 = v2 or Hierarchy(
                V2_NAME, tuple(v2_controllers.split()), mountpoint, root, own.get("", "/"), True
            )
            continue
        controllers, key = _match_controllers(options, own)
        name = ",".join(controllers) or key.removeprefix("name=")
        v1.setdefault(name, Hierarchy(name, controllers, mountpoint, root, own.get(key, "/")))
    return _make_layout(v1, v2, has_swap_accounting)


def _make_layout(
    v1: dict[str, Hierarchy], v2: Hierarchy | None, has_swap_accounting: bool
) -> CgroupLayout:
    if not any(h.controllers for h in v1.values()) and v2 is not None:
        return CgroupLayout(CgroupMode.UNIFIED, (v2,), has_swap_accounting)
    if v2 is None:
        return CgroupLayout(CgroupMode.LEGACY, tuple(v1.values()), has_swap_accounting)
    return CgroupLayout(CgroupMode.HYBRID, (*v1.values(), v2), has_swap_accounting)


def _is_below_mount_root(mountpoint: str) -> bool:
    return mountpoint == CGROUP_MOUNT_ROOT or mountpoint.startswith(CGROUP_MOUNT_ROOT + "/")


def _parse_own_cgroups(text: str) -> dict[str, str]:
    """Return controllers-as-written → own cgroup: ``{"cpu,cpuacct": "/x", "": "/y"}``."""
    result = {}
    for line in text.splitlines():
        _, controllers, path = line.split(":", 2)
        result[controllers] = path
    return result


def _match_controllers(options: str, own: dict[str, str]) -> tuple[tuple[str, ...], str]:
    """Return the hierarchy's controllers and its key in ``/proc/self/cgroup``.

    Superblock options mix controllers with flags (``rw,noprefix,cpu,cpuacct``); only what
    ``/proc/self/cgroup`` lists is a controller.
    """
    words = set(options.split(","))
    for key in own:
        if key and set(key.split(",")) <= words:
            if key.startswith("name="):
                return (), key
            return tuple(key.split(",")), key
    named = next((word for word in words if word.startswith("name=")), "name=unknown")
    return (), named


def probe_cgroup_layout() -> CgroupLayout:
    """Return this machine's layout; called once, in the launcher or the engine."""
    with open("/proc/self/mountinfo") as file:
        mountinfo = file.read()
    with open("/proc/self/cgroup") as file:
        own = file.read()
    layout = parse_layout(mountinfo, own)
    v2 = layout.v2
    controllers = _read(f"{v2.mountpoint}/cgroup.controllers") if v2 else ""
    memory = layout.find("memory")
    if memory is not None:
        swap_file = f"{memory.mountpoint}/memory.memsw.limit_in_bytes"
        has_swap_accounting = os.path.exists(swap_file)
    else:
        has_swap_accounting = os.path.exists("/proc/swaps")
    return parse_layout(mountinfo, own, controllers, has_swap_accounting=has_swap_accounting)


def _read(path: str) -> str:
    with open(path) as file:
        return file.read()
