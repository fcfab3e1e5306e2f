"""Reading ELF files and the loader's cache, without running anything."""

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cutaway.errors import InvalidParameter
from cutaway.images.host.elf import ElfFile, read_elf
from cutaway.images.host.ld_cache import CacheEntry, find_in_cache, format_cache, parse_cache

X86_64 = 62
PLAIN = 0x0303


def read(data: bytes) -> ElfFile | None:
    fd = os.memfd_create("elf")
    try:
        os.write(fd, data)
        return read_elf(fd, "test")
    finally:
        os.close(fd)


def test_script_is_no_elf_file() -> None:
    assert read(b"#!/bin/sh\n" + bytes(100)) is None
    assert read(b"") is None


def test_program_of_this_machine_names_its_loader_and_libraries() -> None:
    elf = read(Path("/bin/sh").resolve().read_bytes())
    assert elf is not None
    assert "libc.so.6" in elf.needed
    assert elf.interpreter.startswith("/lib")


def test_needed_libraries_are_those_that_ldd_lists_directly() -> None:
    program = Path("/usr/bin/env").resolve()
    listed = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    elf = read(program.read_bytes())
    assert elf is not None
    assert all(name in listed for name in elf.needed)


@given(st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 255)), max_size=8))
@settings(max_examples=200)
def test_damaged_elf_is_read_or_refused(changes: list[tuple[int, int]]) -> None:
    data = bytearray(Path(sys.executable).resolve().read_bytes()[:4096])
    for at, value in changes:
        data[at] = value
    with contextlib.suppress(InvalidParameter):
        read(bytes(data))


ENTRIES = [
    CacheEntry(PLAIN, "libz.so.1", "/lib/x86_64-linux-gnu/libz.so.1", 0),
    CacheEntry(PLAIN, "liba.so.1", "/opt/hw/liba.so.1", 1 << 62),
    CacheEntry(PLAIN, "liba.so.1", "/opt/liba.so.1", 0),
    CacheEntry(0x0803, "liba.so.1", "/opt/32/liba.so.1", 0),
]


def test_cache_round_trips() -> None:
    assert parse_cache(format_cache(ENTRIES)) == tuple(ENTRIES)


def test_cache_of_this_machine_is_what_ldconfig_prints() -> None:
    cache = Path("/etc/ld.so.cache")
    if not cache.exists():
        pytest.skip("probe: this machine has no loader cache")
    printed = subprocess.run(
        ["/sbin/ldconfig", "-p"], capture_output=True, text=True, check=True
    ).stdout.splitlines()[1:]
    ours = [(e.soname, e.path) for e in parse_cache(cache.read_bytes())]
    assert ours == [
        (line.split(" (")[0].strip(), line.split(" => ")[1]) for line in printed if " => " in line
    ]


def test_plain_builds_come_before_those_for_some_processors() -> None:
    found = find_in_cache(tuple(ENTRIES), "liba.so.1", X86_64)
    assert found == ["/opt/liba.so.1", "/opt/hw/liba.so.1"]


@given(st.binary(max_size=200))
def test_any_cache_is_read_or_taken_as_none(tail: bytes) -> None:
    parse_cache(format_cache(ENTRIES)[:48] + tail)
