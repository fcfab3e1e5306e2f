"""The process of a container: ``process`` in config.json."""

from dataclasses import dataclass, field
from enum import StrEnum

from cutaway.errors import InvalidParameter
from cutaway.oci.codec import Int32, JsonObject, Uint32, Uint64


@dataclass(frozen=True, slots=True)
class Box(JsonObject):
    """A terminal's size in characters."""

    height: Uint64
    width: Uint64


@dataclass(frozen=True, slots=True)
class User(JsonObject):
    """Ids inside the container's user namespace.

    Attributes:
        uid: user id.
        gid: group id.
        umask: None leaves the runtime's default, 0022.
        additional_gids: supplementary groups.
        username: Windows only.
    """

    uid: Uint32 = 0
    gid: Uint32 = 0
    umask: Uint32 | None = None
    additional_gids: tuple[Uint32, ...] = ()
    username: str = ""


@dataclass(frozen=True, slots=True)
class Capabilities(JsonObject):
    """The five capability sets, by the names of capabilities(7): ``CAP_CHOWN``."""

    bounding: tuple[str, ...] = ()
    effective: tuple[str, ...] = ()
    inheritable: tuple[str, ...] = ()
    permitted: tuple[str, ...] = ()
    ambient: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Rlimit(JsonObject):
    """One resource limit: ``RLIMIT_NOFILE``."""

    type: str
    hard: Uint64
    soft: Uint64

    def validate(self, path: str) -> None:
        """Refuse a name that is no limit's."""
        if not self.type.startswith("RLIMIT_"):
            raise InvalidParameter(f"{path}.type: expected RLIMIT_…, got {self.type!r}")


class IOPriorityClass(StrEnum):
    """Scheduling classes of ioprio_set(2)."""

    RT = "IOPRIO_CLASS_RT"
    BE = "IOPRIO_CLASS_BE"
    IDLE = "IOPRIO_CLASS_IDLE"


@dataclass(frozen=True, slots=True)
class IOPriority(JsonObject):
    """The process's I/O priority; lower ``priority`` is served first."""

    class_: IOPriorityClass = field(metadata={"json": "class"})
    priority: Int32 = 0


class SchedulerPolicy(StrEnum):
    """Policies of sched_setattr(2)."""

    OTHER = "SCHED_OTHER"
    FIFO = "SCHED_FIFO"
    RR = "SCHED_RR"
    BATCH = "SCHED_BATCH"
    ISO = "SCHED_ISO"
    IDLE = "SCHED_IDLE"
    DEADLINE = "SCHED_DEADLINE"


class SchedulerFlag(StrEnum):
    """Flags of sched_setattr(2)."""

    RESET_ON_FORK = "SCHED_FLAG_RESET_ON_FORK"
    RECLAIM = "SCHED_FLAG_RECLAIM"
    DL_OVERRUN = "SCHED_FLAG_DL_OVERRUN"
    KEEP_POLICY = "SCHED_FLAG_KEEP_POLICY"
    KEEP_PARAMS = "SCHED_FLAG_KEEP_PARAMS"
    UTIL_CLAMP_MIN = "SCHED_FLAG_UTIL_CLAMP_MIN"
    UTIL_CLAMP_MAX = "SCHED_FLAG_UTIL_CLAMP_MAX"


@dataclass(frozen=True, slots=True)
class Scheduler(JsonObject):
    """What sched_setattr(2) is given; times in nanoseconds."""

    policy: SchedulerPolicy
    nice: Int32 = 0
    priority: Int32 = 0
    flags: tuple[SchedulerFlag, ...] = ()
    runtime: Uint64 = 0
    deadline: Uint64 = 0
    period: Uint64 = 0


@dataclass(frozen=True, slots=True)
class CPUAffinity(JsonObject):
    """Processors an exec'd process may use, as lists: ``0-3,7``.

    Attributes:
        initial: while it is set up, before it joins the cgroup.
        final: afterwards.
    """

    initial: str = ""
    final: str = ""


@dataclass(frozen=True, slots=True)
class Process(JsonObject):
    """What runs in the container, and as whom.

    Source: runtime-spec config.md "Process".
    """

    cwd: str
    args: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    terminal: bool = False
    console_size: Box | None = None
    user: User = User()
    capabilities: Capabilities | None = None
    rlimits: tuple[Rlimit, ...] = ()
    no_new_privileges: bool = False
    apparmor_profile: str = ""
    selinux_label: str = ""
    oom_score_adj: int | None = None
    scheduler: Scheduler | None = None
    io_priority: IOPriority | None = None
    exec_cpu_affinity: CPUAffinity | None = field(
        default=None, metadata={"json": "execCPUAffinity"}
    )
    command_line: str = ""

    def validate(self, path: str) -> None:
        """Refuse a relative working directory."""
        if not self.cwd.startswith("/"):
            raise InvalidParameter(f"{path}.cwd: expected an absolute path, got {self.cwd!r}")
