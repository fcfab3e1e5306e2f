"""Why a program does not run, from its first bytes."""

import errno
import os
import struct
from pathlib import Path

import pytest

from cutaway.runtime.executables import explain_exec_error, find_interpreter, find_program
from cutaway.runtime.failures import RuntimeFailure, failure_of


def elf(machine: int, interpreter: bytes = b"", *, is_64: bool = True) -> bytes:
    """Return the start of an ELF file with one program header."""
    start = 64 + 56
    if is_64:
        fields = struct.pack("<HHIQQQIHHH", 2, machine, 1, 0, 64, 0, 0, 64, 56, 1)
        head = b"\x7fELF\x02\x01" + bytes(10) + fields
        program = struct.pack("<IIQQQQ", 3, 4, start, 0, 0, len(interpreter))
    else:
        fields = struct.pack("<HHIIIIIHHH", 2, machine, 1, 0, 64, 0, 0, 52, 32, 1)
        head = b"\x7fELF\x01\x01" + bytes(10) + fields
        program = struct.pack("<IIIII", 3, start, 0, 0, len(interpreter))
    return (head.ljust(64, b"\0") + program).ljust(start, b"\0") + interpreter


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (b"#!/bin/sh -e\n", "/bin/sh"),
        (b"#! /usr/bin/env python\n", "/usr/bin/env"),
        (b"#!\n", ""),
        (elf(62, b"/lib64/ld-linux-x86-64.so.2\0"), "/lib64/ld-linux-x86-64.so.2"),
        (elf(3, b"/lib/ld-linux.so.2\0", is_64=False), "/lib/ld-linux.so.2"),
        (elf(62)[:70], ""),
        (b"plain text", ""),
    ],
)
def test_interpreter(header: bytes, expected: str) -> None:
    assert find_interpreter(header) == expected


def test_carriage_return_is_pointed_out() -> None:
    assert "carriage return" in find_interpreter(b"#!/bin/sh\r\necho\r\n")


@pytest.mark.parametrize(
    ("number", "header", "code", "hint"),
    [
        (errno.ENOENT, b"#!/bin/bash\n", 127, "/x needs /bin/bash, which the image does not have"),
        (errno.ENOENT, b"", 127, ""),
        (errno.ENOEXEC, b"", 126, "/x is empty"),
        (errno.ENOEXEC, b"echo hi\n", 126, 'lacks "#!"'),
        (errno.ENOEXEC, elf(183), 126, "/x is built for arm64, this machine is amd64"),
        (errno.ENOEXEC, elf(9999), 126, "ELF machine 9999"),
        (errno.ENOEXEC, elf(62), 126, "/x is damaged"),
        (errno.EACCES, b"", 126, "noexec"),
        (errno.EIO, b"", 126, ""),
    ],
)
def test_explained(number: int, header: bytes, code: int, hint: str) -> None:
    failure = explain_exec_error("/x", number, header, "x86_64")
    assert failure.exit_code == code
    assert hint in failure.hint
    assert failure.message == f"error during container init: exec /x: {os.strerror(number).lower()}"


def test_search_finds_the_first_that_may_run(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()
    (tmp_path / "a" / "tool").mkdir()
    (tmp_path / "b" / "tool").write_text("x")
    with pytest.raises(RuntimeFailure, match="permission denied"):
        find_program("tool", f"{tmp_path}/a:{tmp_path}/b")
    (tmp_path / "c" / "tool").write_text("x")
    (tmp_path / "c" / "tool").chmod(0o755)
    path = ":".join(str(tmp_path / name) for name in "abc")
    assert find_program("tool", path) == f"{tmp_path}/c/tool"
    assert find_program(f"{tmp_path}/c/tool", "") == f"{tmp_path}/c/tool"
    with pytest.raises(RuntimeFailure) as caught:
        find_program("none", f"{tmp_path}/a")
    assert caught.value.exit_code == 127


def test_failure_survives_the_way_between_processes() -> None:
    failure = failure_of("mounts", "mounting x", OSError(errno.ENOTDIR, "no"))
    assert failure.category == "InvalidParameter"
    assert RuntimeFailure.from_json(failure.to_json()).to_json() == failure.to_json()
    assert failure_of("later", "again", failure) is failure
