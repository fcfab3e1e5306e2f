"""Which namespaces are made, which are joined, and by whom. Pure."""

from dataclasses import dataclass

from cutaway.linux.abi import CLONE
from cutaway.oci.runtime_spec import Linux, TimeOffsets
from cutaway.runtime.scope import InitScope
from cutaway.runtime.steps.namespaces import CLONE_FLAGS, JoinNamespace, SetTimeOffsets
from cutaway.steps import Step

_WHY = "runtime-spec linux.namespaces"

HANDED_OVER = "(handed over)"  # in the place of a path: the parent has a descriptor of it

# A user namespace is joined first: it gives the rights in those that belong to it.
_JOIN_ORDER = ("user", "network", "ipc", "uts", "cgroup", "mount")
_JOINED_FOR_CHILDREN = ("pid", "time")


@dataclass(frozen=True, slots=True)
class NamespacePlan:
    """What clone3(2) makes and what the init joins.

    Attributes:
        new: kinds made, the cgroup namespace included.
        joined: ``(kind, path)`` of those joined; the parent opens the paths, or is given
            descriptors in their place.
        clone_flags: for clone3(2); without CGROUP, which is made later, and without what a
            joined one replaces.
        join_steps: done by the init, in order.
        stage_steps: done by the stage before it makes the init.
        needs_stage: a user namespace is involved, or clocks are shifted.
    """

    new: tuple[str, ...]
    joined: tuple[tuple[str, str], ...]
    clone_flags: int
    join_steps: tuple[Step[InitScope], ...]
    stage_steps: tuple[Step[InitScope], ...]
    needs_stage: bool

    def is_new(self, kind: str) -> bool:
        """Whether a namespace of this kind is made."""
        return kind in self.new

    def is_joined(self, kind: str) -> bool:
        """Whether a namespace of this kind is joined."""
        return any(name == kind for name, _ in self.joined)


def plan_namespaces(linux: Linux) -> NamespacePlan:
    """Decide how the init gets its namespaces.

    Pid and time namespaces can't be entered by a process itself: the parent points its children
    there before clone3(2) and itself back after. All else the init joins itself, unless it would
    by then have lost the right to: with a new user namespace the stage joins them all before.
    """
    new = tuple(n.type.value for n in linux.namespaces if not n.path)
    joined = tuple((n.type.value, n.path) for n in linux.namespaces if n.path)
    offsets = plan_time_offsets(linux.time_offsets) if "time" in new else ()
    has_user = "user" in new or any(kind == "user" for kind, _ in joined)
    needs_stage = has_user or bool(offsets)
    flags = CLONE(0)
    for kind in new:
        if kind not in ("cgroup",) and not (kind == "time" and offsets):
            flags |= CLONE_FLAGS[kind]
    paths = dict(joined)
    order = (*_JOIN_ORDER, *(_JOINED_FOR_CHILDREN if needs_stage else ()))
    joins = tuple(
        JoinNamespace(kind=kind, path=paths[kind], why=f"{_WHY}[{kind}].path")
        for kind in order
        if kind in paths
    )
    shifts = (SetTimeOffsets(offsets=offsets, why="runtime-spec linux.timeOffsets"),)
    return NamespacePlan(
        new=new,
        joined=joined,
        clone_flags=int(flags),
        join_steps=() if needs_stage else joins,
        stage_steps=(*(shifts if offsets else ()), *joins) if needs_stage else (),
        needs_stage=needs_stage,
    )


def plan_time_offsets(offsets: TimeOffsets | None) -> tuple[str, ...]:
    """Return the lines of ``/proc/self/timens_offsets``."""
    lines = []
    if offsets is not None:
        for clock, offset in (("monotonic", offsets.monotonic), ("boottime", offsets.boottime)):
            if offset is not None:
                lines.append(f"{clock} {offset.secs} {offset.nanosecs}")
    return tuple(lines)
