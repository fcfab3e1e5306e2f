"""A classic BPF interpreter, to ask a filter what it answers without a kernel."""

import struct
from collections.abc import Callable

import pytest

Run = Callable[..., int]

_SOCK_FILTER = struct.Struct("=HBBI")
_SECCOMP_DATA = struct.Struct("<IIQ6Q")


def run_bpf(program: bytes, data: bytes) -> tuple[int, int]:
    """Return what a program answers for one struct seccomp_data, and after how many steps."""
    code = list(_SOCK_FILTER.iter_unpack(program))
    accumulator = index = steps = 0
    memory = [0] * 16
    while True:
        operation, if_true, if_false, k = code[index]
        index += 1
        steps += 1
        if operation == 0x20:  # ld [k]
            accumulator = struct.unpack_from("<I", data, k)[0]
        elif operation == 0x06:  # ret k
            return k, steps
        elif operation == 0x05:  # ja
            index += k
        elif operation == 0x15:  # jeq
            index += if_true if accumulator == k else if_false
        elif operation == 0x25:  # jgt
            index += if_true if accumulator > k else if_false
        elif operation == 0x35:  # jge
            index += if_true if accumulator >= k else if_false
        elif operation == 0x45:  # jset
            index += if_true if accumulator & k else if_false
        elif operation == 0x54:  # and
            accumulator &= k
        elif operation == 0x02:  # st
            memory[k] = accumulator
        elif operation == 0x60:  # ld M[k]
            accumulator = memory[k]
        else:
            raise AssertionError(f"unexpected BPF operation {operation:#x}")


@pytest.fixture
def run_filter() -> Run:
    """Return ``run(program, number, arch, args)``."""

    def run(program: bytes, number: int, arch: int, args: tuple[int, ...] = ()) -> int:
        padded = (*args, *([0] * (6 - len(args))))
        return run_bpf(program, _SECCOMP_DATA.pack(number, arch, 0x7FFF_0000_0000, *padded))[0]

    return run


@pytest.fixture
def count_steps() -> Run:
    """Return ``count(program, number, arch)``: how many instructions one decision takes."""

    def count(program: bytes, number: int, arch: int) -> int:
        return run_bpf(program, _SECCOMP_DATA.pack(number, arch, 0, *([0] * 6)))[1]

    return count
