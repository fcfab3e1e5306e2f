"""Device rules as an eBPF program for cgroup v2.

cgroup v1 has an allow-list in the kernel; cgroup v2 asks a program at each open and mknod of a
device: may this process do *access* to device *type major:minor*? The program built here holds
the bits that are still undecided in a register and goes through the rules from the last to the
first: a rule that matches the device decides its own bits. So each of read, write and mknod is
decided by the last rule that speaks of it, as on v1, and what no rule speaks of is denied.

Source: Documentation/admin-guide/cgroup-v2.rst "Device controller"; bpf-helpers' struct
bpf_cgroup_dev_ctx; runtime-spec config-linux.md "Allowed Device list".
"""

import struct
from collections.abc import Iterable, Sequence

from cutaway.errors import InvalidParameter
from cutaway.oci.runtime_spec import DeviceRule

_TYPES = {"b": 1, "c": 2, "u": 2}
_ANY_TYPES = ("a", "")
_ACCESS = {"m": 1, "r": 2, "w": 4}
_ALL_ACCESS = 7
_MAX_NUMBER = 0x7FFFFFFF

# r0 is the answer, r1 the context, r2 the type, r3 the undecided access, r4 major, r5 minor,
# r6 scratch
_LDX_W = 0x61
_AND32_K = 0x54
_RSH32_K = 0x74
_MOV32_X = 0xBC
_MOV64_K = 0xB7
_JNE_K = 0x55
_JEQ_K = 0x15
_EXIT = 0x95
_BPF_INSN = struct.Struct("=BBhi")
_MAX_INSTRUCTIONS = 4096

Code = list[tuple[int, int, int, int]]


def build_device_filter(rules: Iterable[DeviceRule]) -> bytes:
    """Return a program for ``linux.bpf.bpf_prog_load_cgroup_device``.

    Args:
        rules: in the specification's order; the last that matches decides. Without any, every
            device is denied.

    Raises:
        InvalidParameter: an unknown type or access, or too many rules for one program.
    """
    code: Code = [
        (_LDX_W, 2 | 1 << 4, 0, 0),
        (_MOV32_X, 3 | 2 << 4, 0, 0),
        (_AND32_K, 2, 0, 0xFFFF),
        (_RSH32_K, 3, 0, 16),
        (_LDX_W, 4 | 1 << 4, 4, 0),
        (_LDX_W, 5 | 1 << 4, 8, 0),
    ]
    for rule in reversed(_decisive(rules)):
        code += _compile_rule(rule)
    code += _answer(allowed=False)
    if len(code) > _MAX_INSTRUCTIONS:
        raise InvalidParameter(f"too many device rules for one program: {len(code)} instructions")
    return b"".join(
        _BPF_INSN.pack(operation, registers, jump, value)
        for operation, registers, jump, value in code
    )


def _decisive(rules: Iterable[DeviceRule]) -> Sequence[DeviceRule]:
    """Drop what a later rule about every device and every access makes void."""
    kept: list[DeviceRule] = []
    for rule in rules:
        if _covers_all(rule):
            kept.clear()
        kept.append(rule)
    return kept


def _covers_all(rule: DeviceRule) -> bool:
    return not _tests(rule) and _access_bits(rule) == _ALL_ACCESS


def _access_bits(rule: DeviceRule) -> int:
    bits = 0
    for letter in rule.access or "rwm":
        if letter not in _ACCESS:
            raise InvalidParameter(f"device access: expected r, w or m, got {letter!r}")
        bits |= _ACCESS[letter]
    return bits


def _answer(*, allowed: bool) -> Code:
    return [(_MOV64_K, 0, 0, int(allowed)), (_EXIT, 0, 0, 0)]


def _compile_rule(rule: DeviceRule) -> Code:
    """Decide the rule's bits if the device is meant, else go on to the rule before it."""
    bits = _access_bits(rule)
    if rule.allow:
        # take the bits off; when none is left, everything asked for was allowed
        code: Code = [(_AND32_K, 3, 0, ~bits), (_JNE_K, 3, 2, 0), *_answer(allowed=True)]
    else:
        code = [
            (_MOV32_X, 6 | 3 << 4, 0, 0),
            (_AND32_K, 6, 0, bits),
            (_JEQ_K, 6, 2, 0),
            *_answer(allowed=False),
        ]
    for register, wanted in _tests(rule):
        code = [(_JNE_K, register, len(code), wanted), *code]
    return code


def _tests(rule: DeviceRule) -> list[tuple[int, int]]:
    """Return which register must hold which number for the device to be meant."""
    tests = []
    for register, number in ((5, rule.minor), (4, rule.major)):
        if number is None or number < 0:
            continue
        if number > _MAX_NUMBER:
            raise InvalidParameter(f"device number: too large: {number}")
        tests.append((register, number))
    if rule.type not in _ANY_TYPES:
        if rule.type not in _TYPES:
            raise InvalidParameter(f"device type: expected a, b, c or u, got {rule.type!r}")
        tests.append((2, _TYPES[rule.type]))
    return tests
