"""From config.json to the steps that make the container. Pure.

``plan`` is read from top to bottom: it is the order of a container's birth. Who does what:

======== ========= ==============================================================================
part     done by   what
======== ========= ==============================================================================
host     maker     cgroups and limits, on the host
outside  maker     in the container's namespaces already: root, mounts, devices
make     stem      clone3(2): the init, first of its pid namespace, born in its v2 cgroup
beside   maker     /proc of that pid namespace, masks in it; kernel parameters; who the user is
init     init      what only it can do: v1 cgroups, pivot, the process itself
after    maker     id maps and OOM score, from outside
======== ========= ==============================================================================

Before Linux 6.18 a procfs shows its maker's pid namespace: /proc is then the init's, too.

The more the maker does, the less the init, whose every touched page is copied anew. The stem works
beside the maker (``birth``), and the init is in its cgroups before it has to wait. Where a user
namespace is new or joined, only the init has the rights in the other new namespaces: the maker then
opens what needs the host's rights (sources, overlay) and forks the init itself, which does all
else.
"""

import shlex
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from cutaway.cgroups import (
    AttachDeviceProgram,
    CgroupMode,
    ContainerCgroup,
    CreateCgroup,
    WriteCgroupFile,
    cgroup_directory,
    device_rules_v2,
    plan_resources,
    resolve_cgroups_path,
)
from cutaway.cgroups.devices import format_v1_rule
from cutaway.oci.runtime_spec import Linux, Namespace, Process, Resources, Spec
from cutaway.runtime.extensions import Extensions
from cutaway.runtime.facts import HostFacts
from cutaway.runtime.plan_mounts import MountPlan, plan_mounts, plan_root_propagation
from cutaway.runtime.plan_namespaces import HANDED_OVER, NamespacePlan, plan_namespaces
from cutaway.runtime.plan_process import ProcessPlan, plan_process, plan_seccomp
from cutaway.runtime.scope import InitScope
from cutaway.runtime.steps.host import MakeInit, RaiseHardLimit, WriteProcessFile
from cutaway.runtime.steps.kernel import (
    SetDomainname,
    SetHostname,
    WriteSysctl,
)
from cutaway.runtime.steps.namespaces import JoinCgroups, UnshareCgroupNamespace, WaitForIdMaps
from cutaway.runtime.steps.rootfs import (
    EnterRoot,
    PivotRoot,
)
from cutaway.runtime.validate import validate_spec
from cutaway.security.device_filter import build_device_filter
from cutaway.steps import Step

InitStep = Step[InitScope]

_MOST_SOURCES = 150  # one message carries 253 descriptors, of which some are for others


@dataclass(frozen=True, slots=True)
class Stage:
    """A named part of the init's work; failures are reported by this name."""

    name: str
    steps: tuple[InitStep, ...]


def steps_of(stages: tuple[Stage, ...]) -> tuple[InitStep, ...]:
    """Return the steps of some stages, in order."""
    return tuple(step for stage in stages for step in stage.steps)


@dataclass(frozen=True, slots=True)
class RuntimePlan:
    """Everything that will be done to make one container.

    Attributes:
        container_id: its id.
        bundle: host directory that holds config.json; covered by the root file system, in the
            container's mount namespace only.
        spec: what was asked.
        extensions: what was asked beside it.
        facts: of the machine it was made for.
        cgroup: where it is limited and counted.
        namespaces: made and joined.
        host: see the table above.
        outside: see there, in stages.
        make: see there.
        beside: see there, in stages; the init's, too, when the maker has to fork it.
        init: see there, in stages.
        after: see there.
        warnings: what is done otherwise than asked, harmlessly; sentences.
    """

    container_id: str
    bundle: str
    spec: Spec
    extensions: Extensions
    facts: HostFacts
    cgroup: ContainerCgroup
    namespaces: NamespacePlan
    host: tuple[Step[Any], ...]
    outside: tuple[Stage, ...]
    make: MakeInit
    beside: tuple[Stage, ...]
    init: tuple[Stage, ...]
    after: tuple[Step[Any], ...]
    warnings: tuple[str, ...]

    @property
    def process(self) -> Process:
        """The program to run; ``validate_spec`` made sure that there is one."""
        if self.spec.process is None:  # pragma: no cover
            raise ValueError("a validated spec has a process")
        return self.spec.process

    @property
    def is_for_stem(self) -> bool:
        """Whether a stem can fork the init: it can join, and be sent, what the maker makes."""
        sources = sum(len(stage.steps) for stage in self.outside if stage.name == "sources")
        return self.namespaces.can_be_joined and sources <= _MOST_SOURCES

    def steps(self) -> tuple[Step[Any], ...]:
        """Return every step in the order done (``after`` runs beside ``init``)."""
        outside, inside = steps_of(self.outside), steps_of((*self.beside, *self.init))
        return (*self.host, *outside, self.make, *inside, *self.after)

    def to_shell(self) -> str:
        """Return the plan as a script that a person can read, or try line by line."""
        lines = ["#!/bin/sh", f"# container {self.container_id}", f"ROOTFS={self.bundle}"]
        for step in self.steps():
            lines += ["", f"# {step.describe()}  [{step.why}]", step.shell()]
        return "\n".join([*lines, "", f"exec {shlex.join(self.process.args)}", ""])


class _OwnSteps(NamedTuple):
    """Steps that neither the file system tree nor the process asks for."""

    cgroup: tuple[InitStep, ...]
    pivot: tuple[InitStep, ...]
    kernel: tuple[InitStep, ...]


class _Arrangement(NamedTuple):
    """Stages, some of them empty, by who does them when; see the table above."""

    outside: tuple[Stage, ...]
    beside: tuple[Stage, ...]
    init: tuple[Stage, ...]


def plan(
    spec: Spec,
    facts: HostFacts,
    *,
    id: str,  # noqa: A002 - the specification's word
    bundle: str,
    extensions: Extensions | None = None,
    handed_over: tuple[str, ...] = (),
) -> RuntimePlan:
    """Decide everything that makes a container.

    Args:
        spec: config.json.
        facts: of this machine.
        id: the container's.
        bundle: absolute host directory of config.json.
        extensions: rootfs.json, if there is one.
        handed_over: kinds of namespaces that config.json wants new and that the caller has made
            already, to outlive this container: it passes descriptors of them to ``create``.

    Raises:
        InvalidParameter: the config is wrong; the message names the field.
        NotImplemented: this machine or version can't do it.
        Forbidden: it needs a privilege that this machine does not give.
    """
    extensions = extensions or Extensions()
    validate_spec(spec, facts, extensions, id)
    linux, process = spec.linux, spec.process
    if linux is None or process is None:  # pragma: no cover - validate_spec refuses it
        raise ValueError("a validated spec has linux and process")
    namespaces = plan_namespaces(_hand_over(linux, handed_over))
    cgroup = ContainerCgroup(facts.cgroups, resolve_cgroups_path(linux.cgroups_path, id))
    inside = plan_process(
        process,
        facts,
        extensions,
        container_id=id,
        seccomp=plan_seccomp(linux.seccomp),
        personality=linux.personality.domain if linux.personality else None,
    )
    host, warnings = _plan_cgroups(linux, cgroup)
    mounts = plan_mounts(spec, extensions, cgroup, namespaces, bundle=bundle)
    own = _plan_own(spec, linux, cgroup, namespaces)
    order = _arrange(namespaces, mounts, inside, own, can_show_pids=facts.can_show_pids)
    return RuntimePlan(
        container_id=id,
        bundle=bundle,
        spec=spec,
        extensions=extensions,
        facts=facts,
        cgroup=cgroup,
        namespaces=namespaces,
        host=host,
        outside=_without_empty(order.outside),
        make=_plan_make(namespaces, cgroup),
        beside=_without_empty(order.beside),
        init=_without_empty(order.init),
        after=_plan_after(linux, process, facts, namespaces),
        warnings=(*warnings, *inside.warnings),
    )


def _plan_make(namespaces: NamespacePlan, cgroup: ContainerCgroup) -> MakeInit:
    return MakeInit(
        namespaces=namespaces.made_by_clone,
        joined=tuple(kind for kind, _ in namespaces.joined if kind in ("pid", "user")),
        cgroup=cgroup.v2_directory() or "",
        why="runtime-spec linux.namespaces",
    )


def _plan_after(
    linux: Linux, process: Process, facts: HostFacts, namespaces: NamespacePlan
) -> tuple[Step[Any], ...]:
    return (
        *_plan_id_maps(linux, namespaces),
        *_plan_raised_limits(process, facts, namespaces),
        *_plan_oom_score(process, facts),
    )


def _hand_over(linux: Linux, kinds: tuple[str, ...]) -> Linux:
    """Return the config with those namespaces joined rather than made."""
    namespaces = tuple(
        Namespace(n.type, HANDED_OVER) if n.type.value in kinds and not n.path else n
        for n in linux.namespaces
    )
    return replace(linux, namespaces=namespaces)


def _plan_own(
    spec: Spec, linux: Linux, cgroup: ContainerCgroup, namespaces: NamespacePlan
) -> _OwnSteps:
    return _OwnSteps(
        cgroup=_plan_cgroup_entry(cgroup, namespaces),
        pivot=_plan_pivot(spec, linux, namespaces),
        kernel=_plan_kernel(spec, linux),
    )


def _arrange(
    namespaces: NamespacePlan,
    mounts: MountPlan,
    inside: ProcessPlan,
    own: _OwnSteps,
    *,
    can_show_pids: bool,
) -> _Arrangement:
    """Put all steps in order, and give each to the maker or the init.

    Why each stands where it does: namespaces before the file systems that show them (sysfs,
    mqueue); devices and console in the mounted ``/dev``; cgroups before the mounts that show them
    by a cgroup namespace; masks last of all that is mounted, on what they hide; the pivot when
    nothing of the host is needed any more; and then the process gives up, step by step, what it
    needed for all this.
    """
    early = (
        Stage("namespaces", namespaces.outside_steps),
        Stage("sources", mounts.sources),
        Stage("namespaces", namespaces.late_steps),
    )
    tree = (
        Stage("rootfs", mounts.rootfs),
        Stage("mounts", mounts.common),
        Stage("devices", mounts.devices),
        Stage("paths", mounts.common_paths),
    )
    proc = (
        Stage("mounts", (*mounts.proc, *mounts.on_proc, *mounts.cwd)),
        Stage("paths", mounts.proc_paths),
    )
    rest = (
        Stage("mounts", mounts.in_cgroups),
        Stage("console", mounts.console),
        Stage("paths", mounts.last_paths),
    )
    pivot, kernel = Stage("pivot", own.pivot), Stage("kernel", own.kernel)
    user = Stage("user", (inside.resolve,))  # a mask may be on the file that tells
    place = (Stage("cgroup", own.cgroup), Stage("keyring", (inside.keyring,)))
    end = (Stage("user", inside.user), Stage("security", inside.security))
    if namespaces.can_be_joined:
        outside, entry = (*early, *tree), Stage("namespaces", namespaces.entry)
        if not can_show_pids or mounts.on_proc:
            own_proc = (*place, entry, *proc, *rest, pivot, user, *end)
            return _Arrangement(outside, (kernel,), own_proc)
        if mounts.in_cgroups or mounts.console:
            own_console = (*place, entry, *rest, pivot, user, *end)
            return _Arrangement(outside, (*proc, kernel), own_console)
        return _Arrangement(outside, (*proc, *rest, kernel, user), (*place, entry, pivot, *end))
    late = (*place, *proc, *rest, pivot, kernel, user, *end)
    if namespaces.has_user:
        wait = Stage("user namespace", (WaitForIdMaps(why="runtime-spec linux.uidMappings"),))
        return _Arrangement(early, (), (wait, *tree, *late))
    return _Arrangement((*early, *tree), (), late)


def _without_empty(stages: tuple[Stage, ...]) -> tuple[Stage, ...]:
    return tuple(stage for stage in stages if stage.steps)


def _plan_pivot(spec: Spec, linux: Linux, namespaces: NamespacePlan) -> tuple[InitStep, ...]:
    if namespaces.is_joined("mount"):
        path = spec.root.path if spec.root else "/"
        return (EnterRoot(path=path, why="runtime-spec linux.namespaces[mount].path"),)
    return (PivotRoot(why="runtime-spec root"), *plan_root_propagation(linux))


def _plan_kernel(spec: Spec, linux: Linux) -> tuple[InitStep, ...]:
    steps: list[InitStep] = []
    if spec.hostname:
        steps.append(SetHostname(name=spec.hostname, why="runtime-spec hostname"))
    if spec.domainname:
        steps.append(SetDomainname(name=spec.domainname, why="runtime-spec domainname"))
    steps += (
        WriteSysctl(name=name.replace("/", "."), value=value, why="runtime-spec linux.sysctl")
        for name, value in linux.sysctl.items()
    )
    return tuple(steps)


def _plan_cgroup_entry(cgroup: ContainerCgroup, namespaces: NamespacePlan) -> tuple[InitStep, ...]:
    steps: list[InitStep] = []
    v1 = tuple(cgroup_directory(h, cgroup.path) for h in cgroup.layout.v1)
    if v1:  # the v2 cgroup it is born in
        steps.append(JoinCgroups(directories=v1, why="runtime-spec linux.cgroupsPath"))
    if namespaces.is_new("cgroup"):
        steps.append(UnshareCgroupNamespace(why="runtime-spec linux.namespaces[cgroup]"))
    return tuple(steps)


def _plan_cgroups(
    linux: Linux, cgroup: ContainerCgroup
) -> tuple[tuple[Step[Any], ...], tuple[str, ...]]:
    """Return the steps that make and limit the cgroups, and warnings about limits."""
    layout = cgroup.layout
    resources = linux.resources or Resources()
    limits = plan_resources(resources, layout)
    used_v2 = {s.controller for s in limits.settings}
    steps: list[Step[Any]] = []
    for hierarchy in layout.hierarchies:
        controllers = hierarchy.controllers
        if hierarchy.is_v2 and layout.mode is CgroupMode.HYBRID:
            controllers = tuple(c for c in controllers if c in used_v2)
        steps.append(
            CreateCgroup(
                mountpoint=hierarchy.mountpoint,
                path=cgroup.path,
                controllers=controllers,
                is_v2=hierarchy.is_v2,
                why="runtime-spec linux.cgroupsPath",
            )
        )
    for setting in limits.settings:
        directory = cgroup.directory(setting.controller) or ""
        steps.append(
            WriteCgroupFile(
                directory=directory, files=setting.files, value=setting.value, why=setting.why
            )
        )
    rules = device_rules_v2(resources, layout)
    if rules:
        steps.append(
            AttachDeviceProgram(
                directory=cgroup.v2_directory() or "",
                program_hex=build_device_filter(rules).hex(),
                rules=tuple(f"{'allow' if r.allow else 'deny'} {format_v1_rule(r)}" for r in rules),
                why="runtime-spec linux.resources.devices",
            )
        )
    return tuple(steps), limits.warnings


def _plan_id_maps(linux: Linux, namespaces: NamespacePlan) -> tuple[Step[Any], ...]:
    if not namespaces.is_new("user"):
        return ()
    return tuple(
        WriteProcessFile(
            name=name,
            value="".join(f"{m.container_id} {m.host_id} {m.size}\n" for m in mappings),
            why=f"runtime-spec linux.{field}",
        )
        for name, field, mappings in (
            ("uid_map", "uidMappings", linux.uid_mappings),
            ("gid_map", "gidMappings", linux.gid_mappings),
        )
    )


def _plan_oom_score(process: Process, facts: HostFacts) -> tuple[Step[Any], ...]:
    adjustment = process.oom_score_adj
    if adjustment is None or adjustment == facts.oom_score_adj:
        return ()
    why = "runtime-spec process.oomScoreAdj"
    return (WriteProcessFile(name="oom_score_adj", value=str(adjustment), why=why),)


def _plan_raised_limits(
    process: Process, facts: HostFacts, namespaces: NamespacePlan
) -> tuple[Step[Any], ...]:
    """Raise hard limits from outside where the init, in a user namespace, could not."""
    if not namespaces.has_user:
        return ()
    ours = {name: (soft, hard) for name, soft, hard in facts.rlimits}
    return tuple(
        RaiseHardLimit(
            resource=limit.type,
            soft=ours[limit.type][0],
            hard=limit.hard,
            why="runtime-spec process.rlimits",
        )
        for limit in process.rlimits
        if limit.hard > ours[limit.type][1]
    )
