"""The compiler: intervals of call numbers, a binary search over them, one program."""

from cutaway.errors import InvalidParameter
from cutaway.linux.abi import SECCOMP_RET
from cutaway.oci.runtime_spec import Seccomp, SeccompArch
from cutaway.security.seccomp.bpf import (
    LOAD_ARCHITECTURE,
    LOAD_NUMBER,
    MAX_INSTRUCTIONS,
    Code,
    answer,
    branch_below,
    branch_equal,
    encode,
    match,
)
from cutaway.security.seccomp.rules import (
    ARCHITECTURES,
    ENOSYS,
    X32_BIT,
    Clause,
    Handler,
    collect_handlers,
    default_answer,
    last_number,
    select_architectures,
    wants_enosys,
)

# (first number, what is done from there to the next interval, registers have 64 bits)
Interval = tuple[int, Handler, bool]

_BAD_ARCHITECTURE: Handler = (Clause((), SECCOMP_RET.KILL_THREAD),)
_ENOSYS: Handler = (Clause((), SECCOMP_RET.ERRNO | ENOSYS),)
_NO_CALL = 0xFFFFFFFF  # a tracer's "skip this call"


def compile_filter(seccomp: Seccomp, machine: str = "x86_64") -> bytes:
    """Return the BPF program of a filter, for ``linux.seccomp``.

    Args:
        seccomp: ``linux.seccomp`` of the runtime specification.
        machine: uname(2)'s, ``x86_64`` or ``aarch64``.

    Raises:
        InvalidParameter: an errno where none can be, a machine without a table, or more than
            4096 instructions.
    """
    groups: dict[int, list[Interval]] = {}
    selected = select_architectures(seccomp, machine)
    for arch in selected:
        intervals = groups.setdefault(ARCHITECTURES[arch].audit, [])
        intervals += _plan_intervals(seccomp, arch)
    if SeccompArch.X86_64 in selected and SeccompArch.X32 not in selected:
        native = groups[ARCHITECTURES[SeccompArch.X86_64].audit]
        last = native[-1]
        native += [(X32_BIT, _BAD_ARCHITECTURE, True), (_NO_CALL, *last[1:])]
    code = _compile_groups(groups)
    if len(code) > MAX_INSTRUCTIONS:
        raise InvalidParameter(
            f"seccomp: the profile needs {len(code)} instructions, the kernel takes "
            f"{MAX_INSTRUCTIONS}: use fewer conditions"
        )
    return encode(code)


def _plan_intervals(seccomp: Seccomp, arch: SeccompArch) -> list[Interval]:
    """Cover an architecture's numbers, from its first on, by intervals with different handlers."""
    architecture = ARCHITECTURES[arch]
    default: Handler = (Clause((), default_answer(seccomp)),)
    handlers = collect_handlers(seccomp, arch)
    last = last_number(seccomp, arch)
    intervals: list[Interval] = []

    def start(number: int, handler: Handler) -> None:
        if not intervals or intervals[-1][1] != handler:
            intervals.append((number, handler, architecture.is_wide))

    unclaimed = X32_BIT if arch is SeccompArch.X32 else 0
    for number in sorted(handlers):
        if number > unclaimed:
            start(unclaimed, default)
        start(number, handlers[number])
        unclaimed = number + 1
    if last is not None and wants_enosys(seccomp):
        if last >= unclaimed:
            start(unclaimed, default)
        start(last + 1, _ENOSYS)
    else:
        start(unclaimed, default)
    return intervals


def _compile_groups(groups: dict[int, list[Interval]]) -> Code:
    """Choose by architecture, then search by number; an unknown architecture is killed."""
    code: Code = [LOAD_ARCHITECTURE]
    for audit, intervals in groups.items():
        search = [LOAD_NUMBER, *_compile_search(intervals)]
        code += branch_equal(audit, len(search)) + search
    return [*code, answer(SECCOMP_RET.KILL_THREAD)]


def _compile_search(intervals: list[Interval]) -> Code:
    """Halve the intervals until one is left, and put its handler there."""
    if len(intervals) == 1:
        _, handler, is_wide = intervals[0]
        return _compile_handler(handler, is_wide)
    middle = len(intervals) // 2
    below = _compile_search(intervals[:middle])
    return [
        *branch_below(intervals[middle][0], len(below)),
        *below,
        *_compile_search(intervals[middle:]),
    ]


def _compile_handler(handler: Handler, is_wide: bool) -> Code:
    code: Code = []
    for clause in handler:
        clause_code: Code = [answer(clause.answer)]
        for condition in reversed(clause.conditions):
            fail = len(clause_code)
            clause_code = match(condition, fail, is_wide=is_wide) + clause_code
        code += clause_code
    return code
