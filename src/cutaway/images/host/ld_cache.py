"""The loader's cache, ``/etc/ld.so.cache``: soname to path; read, and written for fewer files.

Layout (glibc's ``struct cache_file_new``): a header of 48 bytes, entries of 24, then strings whose
offsets count from the header. Entries are in the loader's own order, which a subset keeps.

Source: glibc sysdeps/generic/dl-cache.h.
"""

import struct
from dataclasses import dataclass

_MAGIC = b"glibc-ld.so.cache1.1"
_HEADER = struct.Struct("=20sIIB3xI12x")
_ENTRY = struct.Struct("=iIIIQ")
_LITTLE_ENDIAN = 2
_TYPE_MASK, _ELF_LIBC6 = 0xFF, 3
_ARCHITECTURE_MASK = 0xFF00
# FLAG_…_LIB64 by e_machine; others have no flag of their own.
_ARCHITECTURES = {62: 0x0300, 183: 0x0A00, 243: 0x1000, 22: 0x0400}


@dataclass(frozen=True, slots=True)
class CacheEntry:
    """One line of ``ldconfig -p``."""

    flags: int
    soname: str
    path: str
    hwcap: int


def parse_cache(data: bytes) -> tuple[CacheEntry, ...]:
    """Read a cache; an unknown or damaged one is as good as none.

    Returns:
        Entries in their order; empty when it is in an older format or torn.
    """
    try:
        magic, count, *_ = _HEADER.unpack_from(data)
        if magic != _MAGIC:
            return ()
        return tuple(_entry(data, _HEADER.size + at * _ENTRY.size) for at in range(count))
    except (struct.error, ValueError):
        return ()


def _entry(data: bytes, at: int) -> CacheEntry:
    flags, key, value, _, hwcap = _ENTRY.unpack_from(data, at)
    return CacheEntry(flags, _text(data, key), _text(data, value), hwcap)


def _text(data: bytes, at: int) -> str:
    return data[at : data.index(b"\0", at)].decode()


def find_in_cache(entries: tuple[CacheEntry, ...], soname: str, machine: int) -> list[str]:
    """Return the paths that a program of ``machine`` would get for a soname, plain builds first."""
    architecture = _ARCHITECTURES.get(machine, 0)
    fitting = [
        entry
        for entry in entries
        if entry.soname == soname
        and entry.flags & _TYPE_MASK == _ELF_LIBC6
        and entry.flags & _ARCHITECTURE_MASK == architecture
    ]
    # Builds for newer processors (glibc-hwcaps) have a hwcap; the image must run anywhere.
    return [entry.path for entry in sorted(fitting, key=lambda entry: entry.hwcap != 0)]


def format_cache(entries: list[CacheEntry]) -> bytes:
    """Write a cache of some entries, in the order in which the whole cache had them."""
    start = _HEADER.size + len(entries) * _ENTRY.size
    strings = bytearray()
    lines = []
    for entry in entries:
        key = start + len(strings)
        strings += entry.soname.encode() + b"\0"
        value = start + len(strings)
        strings += entry.path.encode() + b"\0"
        lines.append(_ENTRY.pack(entry.flags, key, value, 0, entry.hwcap))
    header = _HEADER.pack(_MAGIC, len(entries), len(strings), _LITTLE_ENDIAN, 0)
    return header + b"".join(lines) + bytes(strings)
