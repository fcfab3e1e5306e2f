"""What an ELF file asks for: its loader, its libraries and where to look for them.

Source: System V ABI, "Object Files" and "Dynamic Linking"; ld.so(8).
"""

import os
import struct
from dataclasses import dataclass

from cutaway.errors import InvalidParameter

_MAGIC = b"\x7fELF"
_PT_LOAD, _PT_DYNAMIC, _PT_INTERP = 1, 2, 3
_DT_NULL, _DT_NEEDED, _DT_STRTAB, _DT_STRSZ, _DT_SONAME = 0, 1, 5, 10, 14
_DT_RPATH, _DT_RUNPATH = 15, 29
_MAX_TABLE = 1 << 20
_MAX_HEADERS = 1024


@dataclass(frozen=True, slots=True)
class ElfFile:
    """The dynamic needs of one file.

    Attributes:
        machine: ``e_machine``: 62 x86-64, 183 aarch64.
        is_64_bit: ELF class.
        interpreter: the loader's path, empty for a library or a static program.
        needed: sonames in order.
        rpath: DT_RPATH, ``$ORIGIN`` not yet replaced.
        runpath: DT_RUNPATH; when there is one, rpath has no meaning.
        soname: empty for a program.
    """

    machine: int
    is_64_bit: bool
    interpreter: str = ""
    needed: tuple[str, ...] = ()
    rpath: tuple[str, ...] = ()
    runpath: tuple[str, ...] = ()
    soname: str = ""


def read_elf(fd: int, name: str) -> ElfFile | None:
    """Read the headers of an open file.

    Returns:
        None when it is not an ELF file.

    Raises:
        InvalidParameter: it starts like one and is damaged.
    """
    identification = os.pread(fd, 64, 0)
    if not identification.startswith(_MAGIC) or len(identification) < 52:
        return None
    try:
        return _read(fd, identification)
    except (struct.error, IndexError, ValueError, OverflowError, OSError) as error:
        raise InvalidParameter(f"{name}: damaged ELF file: {error}") from error


def _read(fd: int, head: bytes) -> ElfFile:
    is_64_bit = head[4] == 2
    order = "<" if head[5] == 1 else ">"
    machine = struct.unpack_from(order + "H", head, 18)[0]
    if is_64_bit:
        table, size, count = (
            struct.unpack_from(order + "Q", head, 32)[0],
            *struct.unpack_from(order + "HH", head, 54),
        )
    else:
        table, size, count = (
            struct.unpack_from(order + "I", head, 28)[0],
            *struct.unpack_from(order + "HH", head, 42),
        )
    if count > _MAX_HEADERS:
        raise ValueError("too many program headers")
    headers = os.pread(fd, size * count, table)
    segments = [_segment(headers, at, order, is_64_bit) for at in range(0, size * count, size)]
    interpreter = ""
    dynamic: dict[int, list[int]] = {}
    for kind, offset, _address, length in segments:
        if kind == _PT_INTERP:
            interpreter = os.pread(fd, min(length, 4096), offset).split(b"\0")[0].decode()
        elif kind == _PT_DYNAMIC:
            dynamic = _dynamic(os.pread(fd, min(length, _MAX_TABLE), offset), order, is_64_bit)
    text = _strings(fd, dynamic, segments)
    return ElfFile(
        machine=machine,
        is_64_bit=is_64_bit,
        interpreter=interpreter,
        needed=tuple(text(at) for at in dynamic.get(_DT_NEEDED, ())),
        rpath=_paths(dynamic.get(_DT_RPATH), text),
        runpath=_paths(dynamic.get(_DT_RUNPATH), text),
        soname=next((text(at) for at in dynamic.get(_DT_SONAME, ())), ""),
    )


def _segment(headers: bytes, at: int, order: str, is_64_bit: bool) -> tuple[int, int, int, int]:
    """Return (type, file offset, virtual address, size in the file) of a program header."""
    if is_64_bit:
        kind, _flags, offset, address, _, size = struct.unpack_from(order + "IIQQQQ", headers, at)
    else:
        kind, offset, address, _, size = struct.unpack_from(order + "IIIII", headers, at)
    return kind, offset, address, size


def _dynamic(data: bytes, order: str, is_64_bit: bool) -> dict[int, list[int]]:
    """Return the values of the dynamic section by tag."""
    entry = struct.Struct(order + ("qQ" if is_64_bit else "iI"))
    values: dict[int, list[int]] = {}
    for tag, value in entry.iter_unpack(data[: len(data) - len(data) % entry.size]):
        if tag == _DT_NULL:
            break
        values.setdefault(tag, []).append(value)
    return values


class _strings:  # noqa: N801 - used as a function
    """The string table: offset to text."""

    def __init__(
        self, fd: int, dynamic: dict[int, list[int]], segments: list[tuple[int, int, int, int]]
    ) -> None:
        self._data = b""
        if _DT_STRTAB not in dynamic:
            return
        address = dynamic[_DT_STRTAB][0]
        size = min(dynamic.get(_DT_STRSZ, [0])[0], _MAX_TABLE)
        for kind, offset, start, length in segments:
            if kind == _PT_LOAD and start <= address < start + length:
                self._data = os.pread(fd, size, offset + address - start)

    def __call__(self, at: int) -> str:
        if at >= len(self._data):
            raise ValueError("a name lies outside the string table")
        return os.fsdecode(self._data[at : self._data.index(b"\0", at)])


def _paths(values: list[int] | None, text: _strings) -> tuple[str, ...]:
    return tuple(p for at in values or () for p in text(at).split(":") if p)
