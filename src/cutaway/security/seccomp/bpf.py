"""Classic BPF: the instructions a seccomp filter is made of, and code for one condition.

A program is a list of ``(code, jump if true, jump if false, k)``. Jumps only go forward and count
the instructions skipped; a conditional one skips at most 255. There is one register, A. The data
are struct seccomp_data: the call's number at 0, the architecture at 4, six 64-bit arguments
from 16 on, of which only 32 bits can be loaded at a time.

Source: Documentation/networking/filter.rst; include/uapi/linux/seccomp.h.
"""

import struct

from cutaway.oci.runtime_spec import SeccompArg, SeccompOperator

Instruction = tuple[int, int, int, int]
Code = list[Instruction]

MAX_INSTRUCTIONS = 4096
MAX_JUMP = 255

_LD_ABS = 0x20
_AND = 0x54
_JA = 0x05
_JEQ = 0x15
_JGT = 0x25
_JGE = 0x35
_RET = 0x06

_OFFSET_NUMBER = 0
_OFFSET_ARCHITECTURE = 4
_OFFSET_ARGUMENTS = 16
_LOW = 0xFFFFFFFF
_SOCK_FILTER = struct.Struct("=HBBI")

LOAD_NUMBER: Instruction = (_LD_ABS, 0, 0, _OFFSET_NUMBER)
LOAD_ARCHITECTURE: Instruction = (_LD_ABS, 0, 0, _OFFSET_ARCHITECTURE)


def encode(code: Code) -> bytes:
    """Return the program as struct sock_filter after struct sock_filter."""
    return b"".join(_SOCK_FILTER.pack(*instruction) for instruction in code)


def answer(value: int) -> Instruction:
    """End the program with this answer."""
    return (_RET, 0, 0, value)


def skip(count: int) -> Instruction:
    """Jump over ``count`` instructions, however many."""
    return (_JA, 0, 0, count)


def branch_equal(value: int, otherwise: int) -> Code:
    """Go on if A is ``value``, else skip ``otherwise`` instructions."""
    if otherwise <= MAX_JUMP:
        return [(_JEQ, 0, otherwise, value)]
    return [(_JEQ, 1, 0, value), skip(otherwise)]


def branch_below(value: int, otherwise: int) -> Code:
    """Go on if A is less than ``value``, else skip ``otherwise`` instructions."""
    if otherwise <= MAX_JUMP:
        return [(_JGE, otherwise, 0, value)]
    return [(_JGE, 0, 1, value), skip(otherwise)]


def _load_argument(index: int, *, high: bool) -> Instruction:
    # every architecture known here is little-endian: the low half comes first
    return (_LD_ABS, 0, 0, _OFFSET_ARGUMENTS + 8 * index + (4 if high else 0))


def _split(value: int) -> tuple[int, int]:
    return value >> 32, value & _LOW


def match(argument: SeccompArg, fail: int, *, is_wide: bool) -> Code:
    """Go on if the condition holds, else skip ``fail`` instructions after this code.

    Args:
        argument: the condition.
        fail: at most 255 less the 5 instructions of the longest condition.
        is_wide: the architecture's registers have 64 bits; else only the low half counts.

    Source: seccomp_rule_add(3), "Argument comparisons are unsigned".
    """
    high, low = _split(argument.value)
    if argument.op is SeccompOperator.MASKED_EQ:
        return _match_masked(argument, fail, is_wide=is_wide)
    if argument.op is SeccompOperator.EQ:
        return _match_equal(argument.index, high, low, fail, is_wide=is_wide)
    if argument.op is SeccompOperator.NE:
        tail = [_load_argument(argument.index, high=False), (_JEQ, fail, 0, low)]
        return _before_low(argument.index, (_JEQ, 0, len(tail), high), tail, is_wide)
    return _match_order(argument, fail, is_wide=is_wide)


def _before_low(index: int, test: Instruction, tail: Code, is_wide: bool) -> Code:
    """Put the test of the high half before the code for the low half."""
    return [_load_argument(index, high=True), test, *tail] if is_wide else tail


def _match_equal(index: int, high: int, low: int, fail: int, *, is_wide: bool) -> Code:
    tail = [_load_argument(index, high=False), (_JEQ, 0, fail, low)]
    return _before_low(index, (_JEQ, 0, fail + len(tail), high), tail, is_wide)


def _match_masked(argument: SeccompArg, fail: int, *, is_wide: bool) -> Code:
    """``arg & value == value_two``; bits of ``value_two`` outside the mask are ignored."""
    masks = _split(argument.value)
    data = _split(argument.value_two & argument.value)
    code: Code = []
    for half in (1, 0) if is_wide else (1,):
        load = _load_argument(argument.index, high=half == 0)
        code = [load, (_AND, 0, 0, masks[half]), (_JEQ, 0, fail + len(code), data[half]), *code]
    return code


# For each comparison: the jump on the low halves, and whether its "true" means that it holds.
_ORDERS = {
    SeccompOperator.GT: (_JGT, True),
    SeccompOperator.GE: (_JGE, True),
    SeccompOperator.LT: (_JGE, False),
    SeccompOperator.LE: (_JGT, False),
}


def _match_order(argument: SeccompArg, fail: int, *, is_wide: bool) -> Code:
    high, low = _split(argument.value)
    jump, holds_if_true = _ORDERS[argument.op]
    if_true, if_false = (0, fail) if holds_if_true else (fail, 0)
    tail = [_load_argument(argument.index, high=False), (jump, if_true, if_false, low)]
    if not is_wide:
        return tail
    # A greater high half decides, a smaller one too; only equal ones leave it to the low halves.
    length = len(tail)
    greater = length + 1 + (0 if holds_if_true else fail)
    smaller = length + (fail if holds_if_true else 0)
    return [
        _load_argument(argument.index, high=True),
        (_JGT, greater, 0, high),
        (_JEQ, 0, smaller, high),
        *tail,
    ]
