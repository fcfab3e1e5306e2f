"""A program for another processor, and the emulator that the kernel finds for it alone."""

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.host import TestHost

EMULATOR = Path("/usr/bin/qemu-s390x-static")
# The padding of the ELF header is ours: no other program of this machine has these bytes.
_IDENT = b"\x7fELF\x02\x02\x01\x00cutaway\x00"
_EXECUTABLE, _S390X = 2, 22
_MOUNT_POINT = "/proc/sys/fs/binfmt_misc"
_NAME = "cutaway-test-s390x"


def uname_s390x() -> bytes:
    """Return a static program for s390x that prints uname(2)'s machine: ``s390x``."""
    address, code_at, buffer_at, length = 0x1000000, 0x78, 0x200, 390
    code = _larl(2, code_at, buffer_at) + _svc(122)  # uname(buffer)
    code += _lghi(2, 1)  # write(1, buffer.machine, 5)
    code += _larl(3, code_at + len(code), buffer_at + 4 * 65) + _lghi(4, 5) + _svc(4)
    code += _lghi(2, 0) + _svc(1)  # exit(0)
    size = buffer_at + length
    header = struct.pack(
        ">HHIQQQIHHHHHH",
        *(_EXECUTABLE, _S390X, 1, address + code_at, 64, 0, 0),
        *(64, 56, 1, 0, 0, 0),
    )
    segment = struct.pack(">IIQQQQQQ", 1, 7, 0, address, address, size, size, 0x1000)
    return (_IDENT + header + segment + code).ljust(size, b"\0")


def _larl(register: int, here: int, target: int) -> bytes:
    return bytes((0xC0, register << 4)) + struct.pack(">i", (target - here) // 2)


def _lghi(register: int, value: int) -> bytes:
    return bytes((0xA7, register << 4 | 9)) + struct.pack(">h", value)


def _svc(number: int) -> bytes:
    return bytes((0x0A, number))


@contextmanager
def emulated(host: TestHost) -> Iterator[None]:
    """Have the kernel run ``uname_s390x`` by qemu, and no other program, until the block ends.

    binfmt_misc belongs to a user namespace, so this is the machine's own: only the test's bytes
    match, and as only the test's mount namespace has it mounted, the entry goes with that too.
    """
    magic = _IDENT + struct.pack(">HH", _EXECUTABLE, _S390X)
    escaped = "".join(f"\\x{byte:02x}" for byte in magic)
    entry = f":{_NAME}:M::{escaped}::{EMULATOR}:F"
    host.run("mount", "-t", "binfmt_misc", "none", _MOUNT_POINT)
    try:
        script = f"printf %s '{entry}' > {_MOUNT_POINT}/register"
        host.run("sh", "-c", script)
        yield
        host.run("sh", "-c", f"echo -1 > {_MOUNT_POINT}/{_NAME}")
    finally:
        host.run("umount", _MOUNT_POINT)
