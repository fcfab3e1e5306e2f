"""Rules sorted by call number: what a filter answers on each architecture.

How rules on one call combine follows runc and libseccomp, because profiles were written for them:

1. A rule whose action is the default one is left out, even before rules with conditions.
2. A rule without conditions decides for its calls, wherever it stands; the first of several.
3. Conditions of one rule must all hold. But when two of them look at the same argument, each
   counts as a rule of its own (runc: "Revert to old behavior").
4. Of rules with conditions, the first that holds decides (the runtime specification's order;
   libseccomp has an order of its own when their actions differ).
5. A name that an architecture does not have is no error.

Source: runc ``libcontainer/seccomp``; seccomp_rule_add(3).
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from cutaway.errors import InvalidParameter
from cutaway.linux.abi import (
    AUDIT_ARCH_AARCH64,
    AUDIT_ARCH_ARM,
    AUDIT_ARCH_I386,
    AUDIT_ARCH_X86_64,
    SECCOMP_FILTER_FLAG,
    SECCOMP_RET,
)
from cutaway.oci.runtime_spec import (
    Seccomp,
    SeccompAction,
    SeccompArch,
    SeccompArg,
    SeccompFlag,
    SeccompOperator,
    SeccompRule,
)
from cutaway.security import syscalls

EPERM = 1
ENOSYS = 38
X32_BIT = 0x40000000
_MAX_ERRNO = 0xFFFF


@dataclass(frozen=True, slots=True)
class Architecture:
    """An instruction set as seccomp sees it.

    Attributes:
        audit: its AUDIT_ARCH number.
        numbers: its calls.
        is_wide: arguments have 64 bits.
    """

    audit: int
    numbers: Mapping[str, int]
    is_wide: bool


ARCHITECTURES = {
    SeccompArch.X86_64: Architecture(AUDIT_ARCH_X86_64, syscalls.X86_64, True),
    SeccompArch.X86: Architecture(AUDIT_ARCH_I386, syscalls.I386, False),
    SeccompArch.X32: Architecture(AUDIT_ARCH_X86_64, syscalls.X32, False),
    SeccompArch.AARCH64: Architecture(AUDIT_ARCH_AARCH64, syscalls.AARCH64, True),
    SeccompArch.ARM: Architecture(AUDIT_ARCH_ARM, syscalls.ARM, False),
}
NATIVE = {"x86_64": SeccompArch.X86_64, "aarch64": SeccompArch.AARCH64}
_FAMILIES = {
    SeccompArch.X86_64: (SeccompArch.X86_64, SeccompArch.X86, SeccompArch.X32),
    SeccompArch.AARCH64: (SeccompArch.AARCH64, SeccompArch.ARM),
}

# i386 has two calls that stand for many; the first argument says which is meant.
# fmt: off
_MULTIPLEXED = {
    "socketcall": (
        "socket", "bind", "connect", "listen", "accept", "getsockname", "getpeername",
        "socketpair", "send", "recv", "sendto", "recvfrom", "shutdown", "setsockopt",
        "getsockopt", "sendmsg", "recvmsg", "accept4", "recvmmsg", "sendmmsg",
    ),
    "ipc": (
        "semop", "semget", "semctl", "semtimedop", "", "", "", "", "", "",
        "msgsnd", "msgrcv", "msgget", "msgctl", "", "", "", "", "", "",
        "shmat", "shmdt", "shmget", "shmctl",
    ),
}
# fmt: on
_I386_MULTIPLEXERS = {
    name: (multiplexer, number)
    for multiplexer, names in _MULTIPLEXED.items()
    for number, name in enumerate(names, 1)
}

_RETURNS = {
    SeccompAction.KILL: SECCOMP_RET.KILL_THREAD,
    SeccompAction.KILL_THREAD: SECCOMP_RET.KILL_THREAD,
    SeccompAction.KILL_PROCESS: SECCOMP_RET.KILL_PROCESS,
    SeccompAction.TRAP: SECCOMP_RET.TRAP,
    SeccompAction.ERRNO: SECCOMP_RET.ERRNO,
    SeccompAction.TRACE: SECCOMP_RET.TRACE,
    SeccompAction.ALLOW: SECCOMP_RET.ALLOW,
    SeccompAction.LOG: SECCOMP_RET.LOG,
    SeccompAction.NOTIFY: SECCOMP_RET.USER_NOTIF,
}
_WITH_ERRNO = (SeccompAction.ERRNO, SeccompAction.TRACE)
_PERMISSIVE = (SeccompAction.ALLOW, SeccompAction.LOG, SeccompAction.TRACE)

_FLAGS = {
    SeccompFlag.TSYNC: SECCOMP_FILTER_FLAG.TSYNC,
    SeccompFlag.LOG: SECCOMP_FILTER_FLAG.LOG,
    SeccompFlag.SPEC_ALLOW: SECCOMP_FILTER_FLAG.SPEC_ALLOW,
    SeccompFlag.WAIT_KILLABLE_RECV: SECCOMP_FILTER_FLAG.WAIT_KILLABLE_RECV,
}


@dataclass(frozen=True, slots=True)
class Clause:
    """Conditions that must all hold, and the answer then; no conditions always hold."""

    conditions: tuple[SeccompArg, ...]
    answer: int


Handler = tuple[Clause, ...]  # tried in order; the last has no conditions


def encode_action(action: SeccompAction, errno_ret: int | None, field: str) -> int:
    """Return the 32 bits that a filter answers for an action.

    Raises:
        InvalidParameter: an errno with an action that has none, or one that does not fit
            16 bits. "When the action doesn't support an errno, the runtime MUST print an error
            and fail" (runtime-spec config-linux.md, seccomp).
    """
    if action not in _WITH_ERRNO:
        if errno_ret is not None:
            raise InvalidParameter(f"{field}: {action} has no errno")
        return _RETURNS[action]
    errno = EPERM if errno_ret is None else errno_ret
    if errno > _MAX_ERRNO:
        raise InvalidParameter(f"{field}: not an errno: {errno}")
    return _RETURNS[action] | errno


def default_answer(seccomp: Seccomp) -> int:
    """Return the answer for calls that no rule names."""
    return encode_action(seccomp.default_action, seccomp.default_errno_ret, "defaultErrnoRet")


def wants_enosys(seccomp: Seccomp) -> bool:
    """Whether calls newer than the profile are answered ENOSYS instead of the default.

    A C library that gets EPERM for a new call gives up; with ENOSYS it tries the older one.
    Source: runc ``libcontainer/seccomp/patchbpf``.
    """
    is_enosys = seccomp.default_errno_ret == ENOSYS
    return seccomp.default_action not in _PERMISSIVE and not is_enosys


def select_architectures(seccomp: Seccomp, machine: str) -> tuple[SeccompArch, ...]:
    """Return the architectures the filter must know, the machine's own first.

    Those that this machine's kernel can't run are left out: no call of theirs can come.

    Raises:
        InvalidParameter: no table for this machine.
    """
    if machine not in NATIVE:
        raise InvalidParameter(f"seccomp: no system call table for {machine}")
    native, *others = _FAMILIES[NATIVE[machine]]
    return (native, *(other for other in others if other in seccomp.architectures))


def last_number(seccomp: Seccomp, arch: SeccompArch) -> int | None:
    """Return the largest number of the calls a profile names, None when it names none."""
    numbers = ARCHITECTURES[arch].numbers
    named = {numbers[n] for rule in seccomp.syscalls for n in rule.names if n in numbers}
    return max(named | collect_handlers(seccomp, arch).keys(), default=None)


def collect_handlers(seccomp: Seccomp, arch: SeccompArch) -> dict[int, Handler]:
    """Return what is to be done for each call number that a rule speaks of."""
    default = default_answer(seccomp)
    clauses: dict[int, list[Clause]] = {}
    for index, rule in enumerate(seccomp.syscalls):
        answer = encode_action(rule.action, rule.errno_ret, f"syscalls[{index}].errnoRet")
        if answer == default:
            continue
        for number, clause in _expand(rule, answer, arch):
            clauses.setdefault(number, []).append(clause)
    return {number: _combine(found, default) for number, found in clauses.items()}


def _combine(clauses: list[Clause], default: int) -> Handler:
    for clause in clauses:
        if not clause.conditions:
            return (clause,)
    return (*clauses, Clause((), default))


def _expand(rule: SeccompRule, answer: int, arch: SeccompArch) -> Iterator[tuple[int, Clause]]:
    numbers = ARCHITECTURES[arch].numbers
    alternatives = tuple(_alternatives(rule.args))
    for name in rule.names:
        if name in numbers:
            for conditions in alternatives:
                yield numbers[name], Clause(conditions, answer)
        if arch is SeccompArch.X86 and name in _I386_MULTIPLEXERS:
            yield from _expand_multiplexed(rule, answer, name)


def _alternatives(args: tuple[SeccompArg, ...]) -> Iterable[tuple[SeccompArg, ...]]:
    indexes = {argument.index for argument in args}
    if len(indexes) < len(args):
        return ((argument,) for argument in args)
    return (args,)


def _expand_multiplexed(rule: SeccompRule, answer: int, name: str) -> Iterator[tuple[int, Clause]]:
    """Apply a rule to the call through ``socketcall`` or ``ipc`` too.

    The real arguments are behind a pointer there, which a filter can't follow. So a rule with
    conditions that allows is not applied, and one that denies is applied without them.
    """
    if rule.args and rule.action in _PERMISSIVE:
        return
    multiplexer, number = _I386_MULTIPLEXERS[name]
    which = SeccompArg(index=0, value=number, op=SeccompOperator.EQ)
    yield syscalls.I386[multiplexer], Clause((which,), answer)


def filter_flags(seccomp: Seccomp) -> SECCOMP_FILTER_FLAG:
    """Return the flags for seccomp(2); none given means SPEC_ALLOW, as runc does.

    SPEC_ALLOW keeps speculative store bypass as the machine has it; without it every filtered
    process pays for the mitigation.
    """
    flags = SECCOMP_FILTER_FLAG(0)
    for flag in seccomp.flags or (SeccompFlag.SPEC_ALLOW,):
        flags |= _FLAGS[flag]
    if uses_listener(seccomp):
        flags |= SECCOMP_FILTER_FLAG.NEW_LISTENER
    return flags


def uses_listener(seccomp: Seccomp) -> bool:
    """Whether some call is decided by a listener, SCMP_ACT_NOTIFY."""
    return SeccompAction.NOTIFY in (rule.action for rule in seccomp.syscalls)


def unknown_names(seccomp: Seccomp) -> tuple[str, ...]:
    """Return the names that no architecture known here has: misspelled, foreign or too new."""
    names = dict.fromkeys(name for rule in seccomp.syscalls for name in rule.names)
    tables = [architecture.numbers for architecture in ARCHITECTURES.values()]
    return tuple(n for n in names if not any(n in table for table in tables))
