"""Who the program runs as, and what it may do. Pure."""

from dataclasses import dataclass

from cutaway.linux.abi import CAP
from cutaway.oci.runtime_spec import IOPriorityClass, PersonalityDomain, Process, Seccomp
from cutaway.runtime.extensions import Extensions
from cutaway.runtime.facts import HostFacts
from cutaway.runtime.scope import InitScope
from cutaway.runtime.steps.kernel import (
    JoinKeyring,
    SetIoPriority,
    SetPersonality,
    SetProfile,
)
from cutaway.runtime.steps.process import (
    EnterWorkingDirectory,
    FindProgram,
    GiveStdio,
    ResolveUser,
    SetRlimit,
    SwitchUser,
)
from cutaway.runtime.steps.security import (
    CloseDescriptors,
    DropBoundingSet,
    LoadSeccomp,
    SetCapabilities,
    SetNoNewPrivileges,
)
from cutaway.security.capabilities import restrict, to_bits
from cutaway.security.seccomp import filter_flags
from cutaway.steps import Step

InitStep = Step[InitScope]

_DEFAULT_UMASK = 0o022
_PERSONALITIES = {PersonalityDomain.LINUX: 0, PersonalityDomain.LINUX32: 8}
_IO_CLASSES = {IOPriorityClass.RT: 1, IOPriorityClass.BE: 2, IOPriorityClass.IDLE: 3}


@dataclass(frozen=True, slots=True)
class ProcessPlan:
    """Steps about the process itself.

    Attributes:
        keyring: of its session.
        resolve: finds out who it is, in the container's files.
        user: what this user owns and where it stands.
        security: what it gives up, in the only order that works.
        warnings: capabilities this machine can't give.
    """

    keyring: InitStep
    resolve: InitStep
    user: tuple[InitStep, ...]
    security: tuple[InitStep, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CapabilitySets:
    """The five sets as bits, none above what the machine gives."""

    bounding: int = 0
    effective: int = 0
    permitted: int = 0
    inheritable: int = 0
    ambient: int = 0


def plan_process(
    process: Process,
    facts: HostFacts,
    extensions: Extensions,
    *,
    container_id: str,
    seccomp: LoadSeccomp | None,
    personality: PersonalityDomain | None = None,
    may_set_groups: bool = True,
) -> ProcessPlan:
    """Decide the last part of a container's init, or the whole of an exec's.

    Args:
        process: what to run.
        facts: for what this machine can give.
        extensions: for names of users and groups.
        container_id: names the session keyring.
        seccomp: the step that loads the container's filter, or None.
        personality: the container's execution domain.
        may_set_groups: see ``SwitchUser``.
    """
    sets, warnings = plan_capabilities(process, facts)
    resolve = ResolveUser(
        user=extensions.user,
        extra_groups=extensions.groups,
        uid=process.user.uid,
        gid=process.user.gid,
        groups=process.user.additional_gids,
        environment=process.env,
        why="--user" if extensions.user else "runtime-spec process.user",
    )
    user: list[InitStep] = [
        GiveStdio(why="default"),
        EnterWorkingDirectory(path=process.cwd, why="runtime-spec process.cwd"),
    ]
    if personality is not None:
        persona = _PERSONALITIES[personality]
        user.append(SetPersonality(persona=persona, why="runtime-spec linux.personality"))
    if process.io_priority is not None:
        user.append(
            SetIoPriority(
                io_class=_IO_CLASSES[process.io_priority.class_],
                priority=process.io_priority.priority,
                why="runtime-spec process.ioPriority",
            )
        )
    user += _plan_labels(process)
    umask = process.user.umask
    switch = SwitchUser(
        umask=_DEFAULT_UMASK if umask is None else umask,
        may_set_groups=may_set_groups,
        why="runtime-spec process.user",
    )
    security = _plan_security(process, sets, seccomp, switch)
    keyring = JoinKeyring(name=f"_ses.{container_id}", why="default")
    return ProcessPlan(keyring, resolve, tuple(user), security, warnings)


def _plan_labels(process: Process) -> list[InitStep]:
    steps: list[InitStep] = []
    if process.apparmor_profile and process.apparmor_profile != "unconfined":
        steps.append(
            SetProfile(
                attribute="apparmor/exec",
                value=f"exec {process.apparmor_profile}",
                why="runtime-spec process.apparmorProfile",
            )
        )
    if process.selinux_label:
        why = "runtime-spec process.selinuxLabel"
        steps.append(SetProfile(attribute="exec", value=process.selinux_label, why=why))
    return steps


def plan_capabilities(process: Process, facts: HostFacts) -> tuple[CapabilitySets, tuple[str, ...]]:
    """Return the sets, reduced to what this machine can give, and a warning if that is less."""
    asked = process.capabilities
    if asked is None:
        return CapabilitySets(), ()
    bits: dict[str, int] = {}
    lost: set[str] = set()
    for name in ("bounding", "effective", "permitted", "inheritable", "ambient"):
        kept, missing = restrict(getattr(asked, name), facts.capabilities)
        bits[name] = to_bits(kept)
        lost |= set(missing)
    # "effective" beyond "permitted" and "ambient" beyond both are refused by the kernel
    bits["effective"] &= bits["permitted"]
    bits["ambient"] &= bits["permitted"] & bits["inheritable"]
    names = ", ".join(sorted(lost))
    warnings = (f"this machine can't give {names}: the container runs without",) if lost else ()
    return CapabilitySets(**bits), warnings


def _plan_security(
    process: Process, sets: CapabilitySets, load: LoadSeccomp | None, switch: SwitchUser
) -> tuple[InitStep, ...]:
    """Order what is given up.

    Without no_new_privs, seccomp(2) needs CAP_SYS_ADMIN in force: so it is kept over the change of
    user, the filter loaded, and only then dropped. Dropping it first would make the kernel
    demand no_new_privs (DESIGN section 7, trap 5). With no_new_privs the filter comes last of
    all, so that a profile need not allow what we did before.
    """
    why = "runtime-spec process.capabilities"
    final = SetCapabilities(
        effective=sets.effective,
        permitted=sets.permitted,
        inheritable=sets.inheritable,
        ambient=sets.ambient,
        why=why,
    )
    cwd = EnterWorkingDirectory(path=process.cwd, as_user=True, why="runtime-spec process.cwd")
    find = FindProgram(name=process.args[0], why="runtime-spec process.args")
    close = CloseDescriptors(why="default")
    drop = DropBoundingSet(keep=sets.bounding, why=why)
    limits = plan_rlimits(process)
    if process.no_new_privileges or load is None:
        promise = SetNoNewPrivileges(why="runtime-spec process.noNewPrivileges")
        promises = (promise,) if process.no_new_privileges else ()
        loads = (load,) if load is not None else ()
        return (drop, *limits, switch, final, cwd, find, close, *promises, *loads)
    admin = 1 << CAP.SYS_ADMIN
    first = SetCapabilities(
        effective=sets.effective | admin,
        permitted=sets.permitted | admin,
        inheritable=sets.inheritable,
        ambient=sets.ambient,
        why=f"{why}, and SYS_ADMIN until the filter is loaded",
    )
    last = SetCapabilities(
        effective=sets.effective, permitted=sets.permitted, inheritable=sets.inheritable, why=why
    )
    return (drop, *limits, switch, first, cwd, find, close, load, last)


def plan_rlimits(process: Process) -> tuple[InitStep, ...]:
    """Decide the resource limits, set while the process may still raise them."""
    why = "runtime-spec process.rlimits"
    return tuple(
        SetRlimit(resource=limit.type, soft=limit.soft, hard=limit.hard, why=why)
        for limit in process.rlimits
    )


def plan_seccomp(seccomp: Seccomp | None) -> LoadSeccomp | None:
    """Decide the filter's flags; None when there is no filter."""
    if seccomp is None:
        return None
    names = sum(len(rule.names) for rule in seccomp.syscalls)
    return LoadSeccomp(
        flags=int(filter_flags(seccomp)), call_names=names, why="runtime-spec linux.seccomp"
    )
