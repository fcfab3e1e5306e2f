"""The container's file system tree: root, mounts, devices, hidden paths. Pure."""

import os
from collections.abc import Iterable
from dataclasses import dataclass

from cutaway.cgroups import CgroupMode, ContainerCgroup, cgroup_directory
from cutaway.errors import InvalidParameter
from cutaway.linux.abi import MOUNT_ATTR, MS
from cutaway.oci.runtime_spec import Linux, Mount, RootfsPropagation, Spec, User
from cutaway.runtime.extensions import Extensions, RootfsMount
from cutaway.runtime.mount_options import IdMap, MountOptions, parse_mount_options
from cutaway.runtime.plan_devices import merge_devices, open_devices, plan_devices
from cutaway.runtime.plan_namespaces import NamespacePlan
from cutaway.runtime.scope import InitScope
from cutaway.runtime.steps.devices import MakeSymlink, SetUpConsole
from cutaway.runtime.steps.mounts import (
    AttachBind,
    BindCgroup,
    MountFilesystem,
    OpenNullDevice,
    SetMountAttributes,
)
from cutaway.runtime.steps.paths import MakeReadonly, MaskPath
from cutaway.runtime.steps.process import (
    MakeWorkingDirectory,
)
from cutaway.runtime.steps.rootfs import (
    AttachRootfs,
    DetachRootfs,
    MountRootfs,
    SeparateMounts,
    SetRootPropagation,
)
from cutaway.runtime.steps.sources import MapSourceIds, OpenBindSource, OpenImageSource
from cutaway.steps import Step

InitStep = Step[InitScope]

_ROOT_PROPAGATION = {
    RootfsPropagation.PRIVATE: MS.PRIVATE,
    RootfsPropagation.RPRIVATE: MS.PRIVATE,
    RootfsPropagation.SLAVE: MS.SLAVE,
    RootfsPropagation.RSLAVE: MS.SLAVE,
    RootfsPropagation.SHARED: MS.SHARED,
    RootfsPropagation.RSHARED: MS.SHARED,
    RootfsPropagation.UNBINDABLE: MS.UNBINDABLE,
    RootfsPropagation.RUNBINDABLE: MS.UNBINDABLE,
}
_CGROUP_ATTRIBUTES = MOUNT_ATTR.NOSUID | MOUNT_ATTR.NODEV | MOUNT_ATTR.NOEXEC
_READONLY = int(MOUNT_ATTR.RDONLY)
_CGROUP_TYPES = ("cgroup", "cgroup2")
_USER_WHY = "a user namespace: mounted with the host's rights, used without"


@dataclass(frozen=True, slots=True)
class MountPlan:
    """Steps about the file system tree, by where they stand in the order.

    Attributes:
        sources: with the host's tree and privileges.
        rootfs: what puts the root in place.
        common: mounts that the init need not do itself.
        devices: nodes and links in ``/dev``.
        common_paths: hidden paths that the init need not hide itself.
        proc: /proc, which shows the pid namespace and so comes after the init.
        on_proc: what is mounted in it; what ``/proc/self`` is there, only the init can see.
        cwd: the working directory.
        proc_paths: hidden and read-only paths in /proc.
        in_cgroups: cgroups by a cgroup namespace, which only the init is in, and what is mounted
            in these.
        console: the pty.
        last_paths: the other hidden and read-only paths, the read-only root.
    """

    sources: tuple[InitStep, ...] = ()
    rootfs: tuple[InitStep, ...] = ()
    common: tuple[InitStep, ...] = ()
    devices: tuple[InitStep, ...] = ()
    common_paths: tuple[InitStep, ...] = ()
    proc: tuple[InitStep, ...] = ()
    on_proc: tuple[InitStep, ...] = ()
    cwd: tuple[InitStep, ...] = ()
    proc_paths: tuple[InitStep, ...] = ()
    in_cgroups: tuple[InitStep, ...] = ()
    console: tuple[InitStep, ...] = ()
    last_paths: tuple[InitStep, ...] = ()


@dataclass(frozen=True, slots=True)
class _Entry:
    """One of config.json's mounts, parsed."""

    index: int
    mount: Mount
    options: MountOptions
    target: str

    @property
    def why(self) -> str:
        """Where it stands in config.json."""
        return f"runtime-spec mounts[{self.index}]"

    @property
    def is_bind(self) -> bool:
        """Whether it shows an existing file or directory."""
        return self.options.is_bind or self.mount.type == "bind"


@dataclass(frozen=True, slots=True)
class _Owner:
    """The container's user, to whom sources are given: Docker's words for it, or the ids."""

    user: str
    ids: tuple[int, int]


def plan_mounts(
    spec: Spec,
    extensions: Extensions,
    cgroup: ContainerCgroup,
    namespaces: NamespacePlan,
    *,
    bundle: str,
) -> MountPlan:
    """Decide the whole tree.

    Raises:
        InvalidParameter: a mount's options or target can't be.
    """
    linux = spec.linux or Linux()
    if namespaces.is_joined("mount"):
        return MountPlan()
    entries = [_read_entry(index, mount) for index, mount in enumerate(spec.mounts)]
    in_proc = _find_below(entries, ("proc",))
    in_cgroups = (
        _find_below(entries, _CGROUP_TYPES) - in_proc if namespaces.is_new("cgroup") else set()
    )
    common = set(range(len(entries))) - in_proc - in_cgroups
    proc = {entry.index for entry in entries if entry.mount.type == "proc"}
    owner = _find_owner(spec, extensions)
    mounts = [_plan_entry(entry, linux, cgroup, namespaces, owner=owner) for entry in entries]
    images = dict(extensions.images)
    binds = [entry for entry in entries if entry.is_bind]
    has_own_dev = any(entry.is_bind and entry.target == "/dev" for entry in entries)
    devices = merge_devices(linux)
    cwd = spec.process.cwd if spec.process else "/"
    common_paths, proc_paths, last_paths = _plan_paths(spec, linux, entries)
    detach = (DetachRootfs(why=_USER_WHY),) if namespaces.has_user else ()
    attach = (AttachRootfs(why=_USER_WHY),) if namespaces.has_user else ()
    return MountPlan(
        sources=(
            *(_open_source(entry, bundle) for entry in binds if entry.target not in images),
            *(open_devices(devices) if namespaces.has_user and not has_own_dev else ()),
            SeparateMounts(why="default"),
            *(
                _open_image(entry, images[entry.target], bundle)
                for entry in binds
                if entry.target in images
            ),
            *_plan_rootfs(spec, extensions, bundle),
            *(_map_ids(entry, linux, owner) for entry in binds if entry.options.id_map),
            *detach,
        ),
        rootfs=(OpenNullDevice(why="runtime-spec linux.maskedPaths"), *attach),
        common=_select(mounts, common),
        devices=() if has_own_dev else plan_devices(devices, namespaces.has_user),
        common_paths=common_paths,
        proc=_select(mounts, proc),
        on_proc=_select(mounts, in_proc - proc),
        cwd=(MakeWorkingDirectory(path=cwd, why="runtime-spec process.cwd"),),
        proc_paths=proc_paths,
        in_cgroups=_select(mounts, in_cgroups),
        console=_plan_console(spec),
        last_paths=last_paths,
    )


def plan_added_mounts(
    mounts: tuple[Mount, ...], *, user: str, ids: tuple[int, int]
) -> tuple[tuple[InitStep, ...], tuple[AttachBind, ...]]:
    """Decide what adds bind mounts to a container that runs.

    Args:
        mounts: binds, as in config.json; sources are absolute.
        user: Docker's words for the container's user, for ``chown`` and ``idmap-owner``.
        ids: uid and gid when ``user`` is empty.

    Returns:
        The steps to do among the host's mounts, and those among the container's.

    Raises:
        InvalidParameter: a mount's options or target can't be.
    """
    owner = _Owner(user, ids)
    entries = [_read_entry(index, mount) for index, mount in enumerate(mounts)]
    sources: list[InitStep] = [_open_source(entry, "/") for entry in entries]
    sources += (_map_ids(e, Linux(), owner) for e in entries if e.options.id_map)
    return tuple(sources), tuple(_plan_bind(entry, Linux(), owner) for entry in entries)


def _select(mounts: list[tuple[InitStep, ...]], indexes: Iterable[int]) -> tuple[InitStep, ...]:
    """Return the steps of some mounts, in config.json's order."""
    steps: list[InitStep] = []
    for index in sorted(indexes):
        steps += mounts[index]
    return tuple(steps)


def _find_below(entries: list[_Entry], types: tuple[str, ...]) -> set[int]:
    """Return the indexes of the mounts of these types, and of those on top of them."""
    found: set[int] = set()
    places: list[str] = []
    for entry in entries:
        is_below = any(entry.target.startswith(place + "/") for place in places)
        if is_below or entry.mount.type in types:
            found.add(entry.index)
            places.append(entry.target)
    return found


def _read_entry(index: int, mount: Mount) -> _Entry:
    where = f"mounts[{index}]"
    if not mount.destination:
        raise InvalidParameter(f"{where}.destination: required")
    target = os.path.normpath("/" + mount.destination.lstrip("/"))
    if target == "/":
        raise InvalidParameter(f'{where}.destination: "/" is the root file system itself')
    entry = _Entry(index, mount, parse_mount_options(mount.options, where), target)
    if entry.is_bind and not mount.source:
        raise InvalidParameter(f"{where}.source: a bind mount needs one")
    if not entry.is_bind and mount.type in ("", "none"):
        raise InvalidParameter(f"{where}.type: required unless it is a bind mount")
    return entry


def _open_source(entry: _Entry, bundle: str) -> OpenBindSource:
    # "A source path for bind mounts is … relative to the bundle" (config.md "Mounts")
    return OpenBindSource(
        index=entry.index,
        source=os.path.join(bundle, entry.mount.source),
        is_recursive=entry.options.is_recursive,
        subpath=entry.options.subpath,
        why=entry.why,
    )


def _open_image(entry: _Entry, mount: RootfsMount, bundle: str) -> OpenImageSource:
    return OpenImageSource(
        index=entry.index,
        fstype=mount.fstype,
        source=mount.source,
        options=mount.options,
        directory=mount.directory,
        mountpoint=bundle,
        subpath=entry.options.subpath,
        why="rootfs.json images",
    )


def _find_owner(spec: Spec, extensions: Extensions) -> _Owner:
    user = spec.process.user if spec.process else User()
    return _Owner(extensions.user, (user.uid, user.gid))


def _map_ids(entry: _Entry, linux: Linux, owner: _Owner) -> MapSourceIds:
    options = entry.options
    if options.id_map is IdMap.OWNER:
        return MapSourceIds(index=entry.index, user=owner.user, ids=owner.ids, why="-v …:idmap")
    # "If no mapping is specified, the container's user namespace mapping is used"
    # (config.md "Linux mount options")
    uids = entry.mount.uid_mappings or linux.uid_mappings
    gids = entry.mount.gid_mappings or linux.gid_mappings
    if not uids or not gids:
        raise InvalidParameter(
            f"mounts[{entry.index}]: {options.id_map} needs uidMappings and gidMappings, or a "
            "container with a user namespace"
        )
    return MapSourceIds(
        index=entry.index,
        uid_map=tuple((m.container_id, m.host_id, m.size) for m in uids),
        gid_map=tuple((m.container_id, m.host_id, m.size) for m in gids),
        is_recursive=options.id_map is IdMap.MAPPINGS_RECURSIVE,
        why=entry.why,
    )


def _plan_rootfs(spec: Spec, extensions: Extensions, bundle: str) -> tuple[InitStep, ...]:
    if extensions.mounts:
        why, mounts = "rootfs.json mounts", extensions.mounts
    else:
        path = os.path.join(bundle, spec.root.path if spec.root else "rootfs")
        why, mounts = "runtime-spec root.path", (RootfsMount("bind", path, ("rbind",)),)
    return tuple(
        MountRootfs(
            fstype=mount.fstype,
            source=mount.source,
            options=mount.options,
            directory=mount.directory,
            mountpoint=bundle,
            why=why,
        )
        for mount in mounts
    )


def _plan_entry(
    entry: _Entry,
    linux: Linux,
    cgroup: ContainerCgroup,
    namespaces: NamespacePlan,
    *,
    owner: _Owner,
) -> tuple[InitStep, ...]:
    if entry.is_bind:
        return (_plan_bind(entry, linux, owner),)
    if entry.mount.type in _CGROUP_TYPES:
        return _plan_cgroup_mount(entry, cgroup, namespaces)
    options = entry.options
    # /dev must be writable until its nodes are made
    late = _READONLY if entry.target == "/dev" else 0
    superblock = options.superblock
    if options.attr_set & _READONLY and entry.mount.type not in ("tmpfs", "ramfs"):
        superblock = ("ro", *superblock)
    return (
        MountFilesystem(
            fstype=entry.mount.type,
            source=entry.mount.source or entry.mount.type,
            target=entry.target,
            attributes=int((options.attr_set | options.rec_attr_set) & ~late),
            options=(*superblock, *options.data),
            propagation=int(options.propagation),
            copies_up=options.copies_up,
            why=entry.why,
        ),
    )


def _plan_bind(entry: _Entry, linux: Linux, owner: _Owner) -> AttachBind:
    options = entry.options
    if options.data:
        raise InvalidParameter(
            f"mounts[{entry.index}].options: {options.data[0]!r} means nothing to a bind mount"
        )
    propagation = options.propagation
    if not propagation:
        # what a bind mount gets by default: the host's later mounts appear, ours stay here
        root = _ROOT_PROPAGATION[linux.rootfs_propagation or RootfsPropagation.RSLAVE]
        propagation = 0 if root == MS.SHARED else root | MS.REC
    return AttachBind(
        index=entry.index,
        source=entry.mount.source,
        target=entry.target,
        attr_set=int(options.attr_set),
        attr_clr=int(options.attr_clr),
        rec_attr_set=int(options.rec_attr_set),
        rec_attr_clr=int(options.rec_attr_clr),
        propagation=int(propagation),
        copies_up=options.copies_up,
        user=owner.user if options.gives_to_user else "",
        ids=owner.ids if options.gives_to_user else (),
        why=entry.why,
    )


def _plan_cgroup_mount(
    entry: _Entry, cgroup: ContainerCgroup, namespaces: NamespacePlan
) -> tuple[InitStep, ...]:
    """Show the cgroups: v2's one tree, or v1's many side by side on a tmpfs."""
    if cgroup.layout.mode is CgroupMode.UNIFIED:
        return (_plan_cgroup2_mount(entry, cgroup, namespaces),)
    attributes = int(entry.options.attr_set | entry.options.rec_attr_set)
    steps: list[InitStep] = [
        MountFilesystem(
            fstype="tmpfs",
            source="tmpfs",
            target=entry.target,
            attributes=int(_CGROUP_ATTRIBUTES),
            options=("mode=755",),
            why=entry.why,
        )
    ]
    for hierarchy in cgroup.layout.v1:
        name = os.path.basename(hierarchy.mountpoint)
        target = f"{entry.target}/{name}"
        if namespaces.is_new("cgroup"):
            options = hierarchy.controllers or ("none", f"name={hierarchy.name}")
            steps.append(
                MountFilesystem(
                    fstype="cgroup",
                    source="cgroup" if hierarchy.controllers else hierarchy.name,
                    target=target,
                    attributes=attributes,
                    options=options,
                    why=entry.why,
                )
            )
        else:
            source = cgroup_directory(hierarchy, cgroup.path)
            steps.append(
                BindCgroup(source=source, target=target, attributes=attributes, why=entry.why)
            )
        if len(hierarchy.controllers) > 1:
            steps += (
                MakeSymlink(path=f"{entry.target}/{controller}", target=name, why=entry.why)
                for controller in hierarchy.controllers
            )
    if attributes & _READONLY:
        steps.append(SetMountAttributes(target=entry.target, attributes=_READONLY, why=entry.why))
    return tuple(steps)


def _plan_cgroup2_mount(
    entry: _Entry, cgroup: ContainerCgroup, namespaces: NamespacePlan
) -> BindCgroup | MountFilesystem:
    """Show v2's tree: who owns no cgroup namespace may not mount it, only bind a part of it.

    Source: runc issue 2158.
    """
    attributes = int(entry.options.attr_set | entry.options.rec_attr_set)
    source = cgroup.v2_directory()
    if source and namespaces.has_user and not namespaces.is_new("cgroup"):
        return BindCgroup(source=source, target=entry.target, attributes=attributes, why=entry.why)
    return MountFilesystem(
        fstype="cgroup2",
        source="cgroup",
        target=entry.target,
        attributes=attributes,
        propagation=int(entry.options.propagation),
        why=entry.why,
    )


def _plan_console(spec: Spec) -> tuple[InitStep, ...]:
    if spec.process is None or not spec.process.terminal:
        return ()
    size = spec.process.console_size
    return (
        SetUpConsole(
            rows=size.height if size else 0,
            columns=size.width if size else 0,
            why="runtime-spec process.terminal",
        ),
    )


def _plan_paths(
    spec: Spec, linux: Linux, entries: list[_Entry]
) -> tuple[tuple[InitStep, ...], tuple[InitStep, ...], tuple[InitStep, ...]]:
    """Return the steps that hide paths: in /sys, in /proc, elsewhere.

    Only what is in /sys can't lead to /proc by a link, so only that may be hidden before /proc is
    there.
    """
    hidden: list[tuple[str, InitStep]] = [
        (path, MakeReadonly(path=path, why="runtime-spec linux.readonlyPaths"))
        for path in linux.readonly_paths
    ]
    hidden += (
        (path, MaskPath(path=path, why="runtime-spec linux.maskedPaths"))
        for path in linux.masked_paths
    )
    in_sys = tuple(step for path, step in hidden if path.startswith("/sys/"))
    in_proc = tuple(step for path, step in hidden if path.startswith("/proc/"))
    late = [step for path, step in hidden if not path.startswith(("/sys/", "/proc/"))]
    for entry in entries:
        is_readonly = entry.options.attr_set & _READONLY
        if entry.target == "/dev" and is_readonly and not entry.is_bind:
            late.append(SetMountAttributes(target="/dev", attributes=_READONLY, why=entry.why))
    if spec.root is not None and spec.root.readonly:
        why = "runtime-spec root.readonly"
        late.append(SetMountAttributes(target="/", attributes=_READONLY, why=why))
    return in_sys, in_proc, tuple(late)


def plan_root_propagation(linux: Linux) -> tuple[InitStep, ...]:
    """Decide the propagation of ``/``; done after pivot_root(2), which refuses a shared root."""
    propagation = _ROOT_PROPAGATION[linux.rootfs_propagation or RootfsPropagation.PRIVATE]
    if propagation == MS.PRIVATE:
        return ()
    why = "runtime-spec linux.rootfsPropagation"
    return (SetRootPropagation(propagation=int(propagation), why=why),)
