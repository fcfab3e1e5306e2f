"""Which namespaces are made, which are joined, and by whom. Pure."""

from dataclasses import dataclass

from cutaway.linux.abi import CLONE
from cutaway.oci.runtime_spec import Linux, TimeOffsets
from cutaway.runtime.scope import InitScope
from cutaway.runtime.steps.namespaces import (
    CLONE_FLAGS,
    EnterNamespaces,
    JoinNamespace,
    SetTimeOffsets,
    UnshareNamespaces,
    WaitForMaker,
)
from cutaway.steps import Step

_WHY = "runtime-spec linux.namespaces"

HANDED_OVER = "(handed over)"  # in the place of a path: the maker was given a descriptor of it

# What a process can't enter itself, only its children; and what needs its cgroups first.
_FOR_CHILDREN = ("pid", "user")
_LATER = ("cgroup",)
# A user namespace is joined first: it gives the rights in those that belong to it.
_JOIN_ORDER = ("user", "network", "ipc", "uts", "cgroup", "time", "pid", "mount")


@dataclass(frozen=True, slots=True)
class NamespacePlan:
    """How the init gets its namespaces.

    Attributes:
        new: kinds made, the cgroup namespace included.
        joined: ``(kind, path)`` of those joined; the maker opens the paths, or was given
            descriptors in their place.
        has_user: a user namespace is new or joined: the others are made with it.
        made_by_clone: kinds that clone3(2) makes.
        clone_flags: the same as bits.
        outside_steps: done by the maker before it opens anything of the host's.
        late_steps: done by the maker after: what takes its rights or its view away.
    """

    new: tuple[str, ...]
    joined: tuple[tuple[str, str], ...]
    has_user: bool
    made_by_clone: tuple[str, ...]
    clone_flags: int
    outside_steps: tuple[Step[InitScope], ...]
    late_steps: tuple[Step[InitScope], ...]

    def is_new(self, kind: str) -> bool:
        """Whether a namespace of this kind is made."""
        return kind in self.new

    @property
    def entry(self) -> tuple[Step[InitScope], ...]:
        """Return how an init that is no copy of the maker gets to where that is."""
        if not self.can_be_joined:
            return ()
        return WaitForMaker(why=_WHY), EnterNamespaces(kinds=self.entered, why=_WHY)

    @property
    def entered(self) -> tuple[str, ...]:
        """Return the kinds that such an init enters."""
        kinds = (*self.new, *(kind for kind, _ in self.joined))
        return tuple(kind for kind in kinds if kind not in (*_FOR_CHILDREN, *_LATER))

    @property
    def can_be_joined(self) -> bool:
        """Whether a process made anywhere can get into all of them by itself."""
        joined = {kind for kind, _ in self.joined}
        return not (self.has_user or self.is_new("time") or joined - {"network", "ipc", "uts"})

    def is_joined(self, kind: str) -> bool:
        """Whether a namespace of this kind is joined."""
        return any(name == kind for name, _ in self.joined)


def plan_namespaces(linux: Linux) -> NamespacePlan:
    """Decide how the init gets its namespaces.

    The maker enters them and the init inherits them, but for the pid namespace (whose first
    process the init is), the cgroup namespace (made when the init is in its cgroups), and all
    that belongs to a user namespace (made with it). A time namespace is entered by children only,
    which comes to the same.
    """
    new = tuple(n.type.value for n in linux.namespaces if not n.path)
    joined = tuple((n.type.value, n.path) for n in linux.namespaces if n.path)
    paths = dict(joined)
    has_user = "user" in new or "user" in paths
    offsets = plan_time_offsets(linux.time_offsets) if "time" in new else ()
    if has_user:
        by_clone = tuple(k for k in new if k not in _LATER and not (k == "time" and offsets))
        by_maker: tuple[str, ...] = ("mount",)
    else:
        by_clone = tuple(kind for kind in new if kind in _FOR_CHILDREN)
        by_maker = tuple(
            k for k in new if k not in (*by_clone, *_LATER) and not (k == "time" and offsets)
        )
        if "mount" in paths:
            by_maker = (*by_maker, "mount")  # its own, so that nothing is mounted on the host
    flags = CLONE(0)
    for kind in by_clone:
        flags |= CLONE_FLAGS[kind]
    joins = tuple(
        JoinNamespace(kind=kind, path=paths[kind], why=f"{_WHY}[{kind}].path")
        for kind in _JOIN_ORDER
        if kind in paths
    )
    shifts = SetTimeOffsets(offsets=offsets, why="runtime-spec linux.timeOffsets")
    return NamespacePlan(
        new=new,
        joined=joined,
        has_user=has_user,
        made_by_clone=by_clone,
        clone_flags=int(flags),
        outside_steps=(UnshareNamespaces(kinds=by_maker, why=_WHY),),
        late_steps=((shifts, *joins) if offsets else joins),
    )


def plan_time_offsets(offsets: TimeOffsets | None) -> tuple[str, ...]:
    """Return the lines of ``/proc/self/timens_offsets``."""
    lines = []
    if offsets is not None:
        for clock, offset in (("monotonic", offsets.monotonic), ("boottime", offsets.boottime)):
            if offset is not None:
                lines.append(f"{clock} {offset.secs} {offset.nanosecs}")
    return tuple(lines)
