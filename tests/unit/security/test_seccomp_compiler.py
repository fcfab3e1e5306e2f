"""The compiler against libseccomp: same profile, same answers, for every call number."""

import random
import tempfile
from collections.abc import Callable, Iterable

import pytest

from cutaway.errors import InvalidParameter
from cutaway.linux.abi import (
    AUDIT_ARCH_AARCH64,
    AUDIT_ARCH_ARM,
    AUDIT_ARCH_I386,
    AUDIT_ARCH_X86_64,
)
from cutaway.oci.runtime_spec import (
    Seccomp,
    SeccompAction,
    SeccompArch,
    SeccompArg,
    SeccompOperator,
    SeccompRule,
)
from cutaway.security import syscalls
from cutaway.security.capabilities import ALL_CAPABILITIES, DEFAULT_CAPABILITIES
from cutaway.security.seccomp import compile_filter, default_profile, resolve_profile
from cutaway.security.seccomp.bpf import branch_below, branch_equal
from cutaway.security.seccomp.rules import ARCHITECTURES, last_number

pyseccomp = pytest.importorskip("pyseccomp")

Run = Callable[..., int]
ERRNO, ALLOW = SeccompAction.ERRNO, SeccompAction.ALLOW
EQ, GT = SeccompOperator.EQ, SeccompOperator.GT
ALL_X86 = (SeccompArch.X86_64, SeccompArch.X86, SeccompArch.X32)
ALLOWED, REFUSED, KILLED, MISSING = 0x7FFF0000, 0x00050001, 0, 0x00050026
X32 = 0x40000000

AUDIT = {
    SeccompArch.X86_64: AUDIT_ARCH_X86_64,
    SeccompArch.X86: AUDIT_ARCH_I386,
    SeccompArch.X32: AUDIT_ARCH_X86_64,
    SeccompArch.AARCH64: AUDIT_ARCH_AARCH64,
    SeccompArch.ARM: AUDIT_ARCH_ARM,
}
LIBSECCOMP_ARCH = {
    SeccompArch.X86_64: pyseccomp.Arch.X86_64,
    SeccompArch.X86: pyseccomp.Arch.X86,
    SeccompArch.X32: pyseccomp.Arch.X32,
    SeccompArch.AARCH64: pyseccomp.Arch.AARCH64,
    SeccompArch.ARM: pyseccomp.Arch.ARM,
}


def libseccomp_action(action: SeccompAction, errno_ret: int | None) -> int:
    if action in (SeccompAction.ERRNO, SeccompAction.TRACE):
        make = pyseccomp.ERRNO if action is ERRNO else pyseccomp.TRACE
        return int(make(1 if errno_ret is None else errno_ret))
    return int(getattr(pyseccomp, action.name))


def libseccomp_args(args: Iterable[SeccompArg]) -> list[object]:
    operators = {op: getattr(pyseccomp, op.name) for op in SeccompOperator}
    return [pyseccomp.Arg(a.index, operators[a.op], a.value, a.value_two) for a in args]


def known(name: str) -> bool:
    """Whether this libseccomp knows the name; multiplexed calls have negative numbers."""
    return pyseccomp.resolve_syscall(pyseccomp.Arch.X86_64, name) != -1


def libseccomp_program(seccomp: Seccomp, native: SeccompArch = SeccompArch.X86_64) -> bytes:
    """Compile as runc does: ``libcontainer/seccomp/seccomp_linux.go``."""
    default = libseccomp_action(seccomp.default_action, seccomp.default_errno_ret)
    oracle = pyseccomp.SyscallFilter(default)
    if native is not SeccompArch.X86_64:
        oracle.add_arch(LIBSECCOMP_ARCH[native])
        oracle.remove_arch(pyseccomp.Arch.X86_64)
    for arch in seccomp.architectures:
        if arch is not native:
            oracle.add_arch(LIBSECCOMP_ARCH[arch])
    for rule in seccomp.syscalls:
        action = libseccomp_action(rule.action, rule.errno_ret)
        if action == default:
            continue
        repeated = len({a.index for a in rule.args}) < len(rule.args)
        groups = [(a,) for a in rule.args] if repeated else [rule.args]
        for name in rule.names:
            for group in groups:
                oracle.add_rule(action, name, *libseccomp_args(group))
    with tempfile.TemporaryFile() as file:
        oracle.export_bpf(file)
        file.seek(0)
        return file.read()


def only_known(seccomp: Seccomp) -> Seccomp:
    """Leave out the names that are too new for the oracle."""
    rules = []
    for rule in seccomp.syscalls:
        names = tuple(name for name in rule.names if known(name))
        if names:
            rules.append(SeccompRule(names, rule.action, rule.errno_ret, rule.args))
    return Seccomp(
        default_action=seccomp.default_action,
        default_errno_ret=seccomp.default_errno_ret,
        architectures=seccomp.architectures,
        syscalls=tuple(rules),
    )


def interesting_arguments(seccomp: Seccomp) -> list[tuple[int, ...]]:
    """Arguments at and around every value that a condition compares with."""
    values = {0, 1, 0xFFFFFFFF, 2**32, 2**64 - 1}
    for rule in seccomp.syscalls:
        for a in rule.args:
            for value in (a.value, a.value_two, a.value & a.value_two, ~a.value):
                around = (value - 1, value, value + 1, value ^ 2**32, value | 2**40)
                values |= {v & (2**64 - 1) for v in around}
    chosen = random.Random(5)
    ordered = sorted(values)
    same = [(v,) * 6 for v in ordered]
    return same + [tuple(chosen.choices(ordered, k=6)) for _ in range(60)]


def compare(seccomp: Seccomp, run: Run, native: SeccompArch = SeccompArch.X86_64) -> int:
    """Ask both programs about everything; return how many answers were compared."""
    machine = {SeccompArch.X86_64: "x86_64", SeccompArch.AARCH64: "aarch64"}[native]
    ours = compile_filter(seccomp, machine)
    theirs = libseccomp_program(seccomp, native)
    architectures = (native, *(a for a in seccomp.architectures if a is not native))
    arguments = interesting_arguments(seccomp)
    enosys = seccomp.default_action is ERRNO
    compared = 0
    for arch in architectures:
        last = last_number(seccomp, arch)
        conditional = {
            ARCHITECTURES[arch].numbers.get(name)
            for rule in seccomp.syscalls
            if rule.args
            for name in rule.names
        }
        start = X32 if arch is SeccompArch.X32 else 0
        for number in [*range(start, start + 560), start + 2**29, start + 983041]:
            is_newer = enosys and last is not None and number > last
            for args in arguments if number in conditional else [(1, 2, 3, 4, 5, 6)]:
                answer = run(ours, number, AUDIT[arch], args)
                expected = MISSING if is_newer else run(theirs, number, AUDIT[arch], args)
                assert answer == expected, (arch, number, args)
                compared += 1
    assert run(ours, 0, 0xC000F00D) == run(theirs, 0, 0xC000F00D) == KILLED
    return compared


@pytest.mark.parametrize("capabilities", [(), DEFAULT_CAPABILITIES, ALL_CAPABILITIES])
def test_dockers_profile_answers_as_with_libseccomp(
    run_filter: Run, capabilities: tuple[str, ...]
) -> None:
    seccomp = only_known(resolve_profile(default_profile(), capabilities, kernel=(6, 18)))
    assert compare(seccomp, run_filter) > 2000


def test_dockers_profile_answers_as_with_libseccomp_on_arm(run_filter: Run) -> None:
    resolved = resolve_profile(default_profile(), DEFAULT_CAPABILITIES, machine="aarch64")
    assert compare(only_known(resolved), run_filter, SeccompArch.AARCH64) > 1000


MULTIPLEXED = ("socket", "bind", "shmget", "msgctl", "semop")
PLAIN = ("read", "clone", "personality", "prctl", "ioctl", "mmap", "openat", "kill", "futex")


def random_rule(chosen: random.Random) -> SeccompRule:
    action = chosen.choice((ALLOW, SeccompAction.LOG, SeccompAction.TRAP, ERRNO))
    errno_ret = 95 if action is ERRNO else None
    if chosen.random() < 0.3:
        return SeccompRule((*chosen.sample(MULTIPLEXED, 2), "uname"), action, errno_ret)
    args = tuple(
        SeccompArg(
            index,
            chosen.choice((0, 7, 0x7E020000, 2**32 - 1, 2**32, 2**33 + 5, 2**64 - 1)),
            chosen.choice(list(SeccompOperator)),
            chosen.choice((0, 7, 2**33 + 4, 0x20000)),
        )
        for index in chosen.choices(range(6), k=chosen.randint(0, 3))
    )
    return SeccompRule((chosen.choice(PLAIN),), action, errno_ret, args)


def one_action_each(rules: list[SeccompRule]) -> tuple[SeccompRule, ...]:
    """Drop rules that give a call a second action: there the orders differ."""
    seen: dict[str, tuple[SeccompAction, int | None]] = {}
    kept = []
    for rule in rules:
        action = (rule.action, rule.errno_ret)
        if all(seen.setdefault(name, action) == action for name in rule.names):
            kept.append(rule)
    return tuple(kept)


@pytest.mark.parametrize("seed", range(40))
def test_random_profiles_answer_as_with_libseccomp(run_filter: Run, seed: int) -> None:
    chosen = random.Random(seed)
    default = chosen.choice((ERRNO, ALLOW, SeccompAction.KILL_PROCESS, SeccompAction.TRACE))
    seccomp = Seccomp(
        default_action=default,
        default_errno_ret=38 if default is ERRNO and seed % 2 else None,
        architectures=tuple(chosen.sample(ALL_X86, chosen.randint(0, 3))),
        syscalls=one_action_each([random_rule(chosen) for _ in range(chosen.randint(1, 12))]),
    )
    program = compile_filter(seccomp)
    oracle = libseccomp_program(seccomp)
    arguments = interesting_arguments(seccomp)
    architectures = {SeccompArch.X86_64, *seccomp.architectures}
    for arch in architectures:
        numbers = ARCHITECTURES[arch].numbers
        interesting = {numbers[n] for n in (*PLAIN, *MULTIPLEXED, "uname") if n in numbers}
        interesting |= {102, 117, 400} if arch is SeccompArch.X86 else set()
        last = last_number(seccomp, arch)
        for number in interesting:
            if last is not None and number > last and default in (
                ERRNO, SeccompAction.KILL_PROCESS,
            ):  # fmt: skip
                continue  # ENOSYS instead of the default; tested on its own
            for args in arguments:
                expected = run_filter(oracle, number, AUDIT[arch], args)
                assert run_filter(program, number, AUDIT[arch], args) == expected, (arch, number)


def profile(*rules: SeccompRule, default: SeccompAction = ERRNO) -> Seccomp:
    return Seccomp(default_action=default, architectures=ALL_X86, syscalls=rules)


def test_the_first_condition_that_holds_decides(run_filter: Run) -> None:
    program = compile_filter(
        profile(
            SeccompRule(("socket",), ERRNO, 97, (SeccompArg(0, 38, EQ),)),
            SeccompRule(("socket",), ALLOW, None, (SeccompArg(0, 30, GT),)),
        )
    )
    number = syscalls.X86_64["socket"]
    answers = [run_filter(program, number, AUDIT_ARCH_X86_64, (f,)) for f in (30, 31, 38)]
    assert answers == [REFUSED, ALLOWED, 0x00050000 | 97]


@pytest.mark.parametrize("order", [1, -1])
def test_a_rule_without_conditions_decides_wherever_it_stands(run_filter: Run, order: int) -> None:
    rules = (
        SeccompRule(("socket",), ERRNO, 97, (SeccompArg(0, 38, EQ),)),
        SeccompRule(("socket",), ALLOW),
    )
    program = compile_filter(profile(*rules[::order]))
    assert run_filter(program, syscalls.X86_64["socket"], AUDIT_ARCH_X86_64, (38,)) == ALLOWED


def test_a_call_newer_than_the_profile_is_enosys_and_an_older_one_eperm(run_filter: Run) -> None:
    program = compile_filter(profile(SeccompRule(("openat2",), ALLOW)))
    for arch, base in ((AUDIT_ARCH_X86_64, 0), (AUDIT_ARCH_I386, 0), (AUDIT_ARCH_X86_64, X32)):
        assert run_filter(program, base + 437, arch) == ALLOWED
        assert run_filter(program, base + 436, arch) == REFUSED
        assert run_filter(program, base + 438, arch) == MISSING


def test_a_newest_call_refused_by_name_is_eperm(run_filter: Run) -> None:
    rules = (SeccompRule(("read",), ALLOW), SeccompRule(("mseal",), ERRNO))
    program = compile_filter(profile(*rules))
    assert run_filter(program, syscalls.X86_64["mseal"], AUDIT_ARCH_X86_64) == REFUSED
    assert run_filter(program, syscalls.X86_64["mseal"] + 1, AUDIT_ARCH_X86_64) == MISSING


def test_a_profile_that_allows_by_default_allows_new_calls(run_filter: Run) -> None:
    program = compile_filter(profile(SeccompRule(("mount",), ERRNO), default=ALLOW))
    assert run_filter(program, 9999, AUDIT_ARCH_X86_64) == ALLOWED
    assert run_filter(program, syscalls.X86_64["mount"], AUDIT_ARCH_X86_64) == REFUSED


def test_a_profile_without_rules_gives_the_default(run_filter: Run) -> None:
    program = compile_filter(profile())
    assert run_filter(program, 0, AUDIT_ARCH_X86_64) == REFUSED


def test_x32_calls_are_killed_unless_the_profile_has_x32(run_filter: Run) -> None:
    rules = (SeccompRule(("read",), ALLOW),)
    program = compile_filter(Seccomp(default_action=ERRNO, syscalls=rules))
    assert run_filter(program, X32, AUDIT_ARCH_X86_64) == KILLED
    assert run_filter(program, 0xFFFFFFFE, AUDIT_ARCH_X86_64) == KILLED
    assert run_filter(program, 0xFFFFFFFF, AUDIT_ARCH_X86_64) == MISSING
    assert run_filter(program, 0, AUDIT_ARCH_I386) == KILLED


def test_i386_sockets_through_socketcall_follow_the_rule(run_filter: Run) -> None:
    """A filter can't see the family behind socketcall's pointer: allowing with a condition stays
    refused there, refusing with a condition refuses all of it."""
    family = (SeccompArg(0, 2, EQ),)
    socketcall = syscalls.I386["socketcall"]

    def ask(seccomp: Seccomp, which: int) -> int:
        return run_filter(compile_filter(seccomp), socketcall, AUDIT_ARCH_I386, (which, 0x1000))

    assert ask(profile(SeccompRule(("socket",), ALLOW)), 1) == ALLOWED
    assert ask(profile(SeccompRule(("socket",), ALLOW)), 2) == REFUSED
    assert ask(profile(SeccompRule(("socket",), ALLOW, None, family)), 1) == REFUSED
    denying = profile(SeccompRule(("socket",), ERRNO, None, family), default=ALLOW)
    assert ask(denying, 1) == REFUSED
    assert ask(denying, 2) == ALLOWED


def test_a_multiplexer_beyond_the_last_named_call_keeps_the_intervals_in_order(
    run_filter: Run,
) -> None:
    program = compile_filter(profile(SeccompRule(("send",), ALLOW)))
    socketcall = syscalls.I386["socketcall"]
    assert run_filter(program, socketcall, AUDIT_ARCH_I386, (9,)) == ALLOWED
    assert run_filter(program, socketcall, AUDIT_ARCH_I386, (1,)) == REFUSED
    assert run_filter(program, socketcall + 1, AUDIT_ARCH_I386) == MISSING


def test_docker_blocks_vsock_and_the_kernels_crypto_sockets(run_filter: Run) -> None:
    program = compile_filter(resolve_profile(default_profile(), DEFAULT_CAPABILITIES))
    number = syscalls.X86_64["socket"]

    def ask(family: int) -> int:
        return run_filter(program, number, AUDIT_ARCH_X86_64, (family, 1, 0))

    assert [ask(f) for f in (1, 2, 10, 16, 39, 41)] == [ALLOWED] * 6
    assert [ask(f) for f in (38, 40)] == [REFUSED] * 2


def test_docker_blocks_a_clone_with_namespaces(run_filter: Run) -> None:
    program = compile_filter(resolve_profile(default_profile(), DEFAULT_CAPABILITIES))
    number = syscalls.X86_64["clone"]
    assert run_filter(program, number, AUDIT_ARCH_X86_64, (0x11,)) == ALLOWED
    assert run_filter(program, number, AUDIT_ARCH_X86_64, (0x11 | 0x10000000,)) == REFUSED


def test_the_search_is_short(count_steps: Run) -> None:
    """A list would need some 400 comparisons for the last call."""
    program = compile_filter(resolve_profile(default_profile(), DEFAULT_CAPABILITIES))
    steps = [count_steps(program, number, AUDIT_ARCH_X86_64) for number in range(470)]
    assert max(steps) <= 20


def test_far_blocks_are_reached_by_a_long_jump() -> None:
    assert branch_equal(7, 255) == [(0x15, 0, 255, 7)]
    assert branch_equal(7, 256) == [(0x15, 1, 0, 7), (0x05, 0, 0, 256)]
    assert branch_below(7, 255) == [(0x35, 255, 0, 7)]
    assert branch_below(7, 256) == [(0x35, 0, 1, 7), (0x05, 0, 0, 256)]


def test_too_many_conditions_are_refused() -> None:
    args = [(SeccompArg(0, value, EQ),) for value in range(1000)]
    rules = (SeccompRule(("read",), ALLOW, None, arg) for arg in args)
    with pytest.raises(InvalidParameter, match="the kernel takes 4096: use fewer conditions"):
        compile_filter(profile(*rules))


@pytest.mark.parametrize(
    ("seccomp", "text"),
    [
        (
            Seccomp(default_action=ALLOW, default_errno_ret=1),
            "defaultErrnoRet: SCMP_ACT_ALLOW has no errno",
        ),
        (
            profile(SeccompRule(("read",), SeccompAction.KILL, 5)),
            "syscalls[0].errnoRet: SCMP_ACT_KILL has no errno",
        ),
        (
            profile(SeccompRule(("read",), SeccompAction.TRACE, 70000)),
            "syscalls[0].errnoRet: not an errno: 70000",
        ),
    ],
)
def test_an_errno_where_none_can_be_is_refused(seccomp: Seccomp, text: str) -> None:
    with pytest.raises(InvalidParameter) as error:
        compile_filter(seccomp)
    assert str(error.value) == text


def test_a_machine_without_a_table_is_refused() -> None:
    with pytest.raises(InvalidParameter, match="no system call table for riscv64"):
        compile_filter(profile(), "riscv64")


def test_architectures_that_cannot_run_here_are_left_out() -> None:
    foreign = Seccomp(default_action=ALLOW, architectures=(SeccompArch.S390X,))
    assert compile_filter(foreign) == compile_filter(Seccomp(default_action=ALLOW))


@pytest.mark.parametrize(
    ("arch", "table"),
    [
        ("X86_64", syscalls.X86_64),
        ("X86", syscalls.I386),
        ("X32", syscalls.X32),
        ("AARCH64", syscalls.AARCH64),
        ("ARM", syscalls.ARM),
    ],
)
def test_numbers_are_libseccomps_where_it_knows_them(arch: str, table: dict[str, int]) -> None:
    oracle = getattr(pyseccomp.Arch, arch)
    known_names = 0
    for name, number in table.items():
        answer = pyseccomp.resolve_syscall(oracle, name)
        if answer >= 0:
            known_names += 1
            assert answer == number, name
    assert known_names > 300


def test_newest_calls_have_one_number_everywhere() -> None:
    for table in (syscalls.X86_64, syscalls.I386, syscalls.AARCH64, syscalls.ARM):
        assert (table["mseal"], table["listns"], table["openat2"]) == (462, 470, 437)
    assert syscalls.X32["mseal"] == 462 | X32
