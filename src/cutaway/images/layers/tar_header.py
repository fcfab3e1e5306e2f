"""One tar header, from its 512 bytes: the numbers and names, checked, before any meaning.

Tar has three dialects that matter: USTAR (a ``prefix`` field for long names), GNU (base-256
numbers, ``L``/``K`` entries for long names, its own sparse maps) and PAX (an ``x`` entry of
``length key=value`` lines before the entry it describes). Layers in the wild mix them.

Where readers differ this one follows Go's ``archive/tar``, because Docker's scanners and builders
read layers with it, and a layer must not mean one thing to a scanner and another to us.

Source: POSIX pax "ustar Interchange Format"; GNU tar manual "Basic Tar Format"; Go archive/tar.
"""

import struct
from dataclasses import dataclass

from cutaway.images.layers.errors import BadLayer

BLOCK_SIZE = 512
ZERO_BLOCK = bytes(BLOCK_SIZE)

REGULAR = b"0"
HARD_LINK = b"1"
SYMLINK = b"2"
CHARACTER = b"3"
BLOCK = b"4"
DIRECTORY = b"5"
FIFO = b"6"
CONTIGUOUS = b"7"
GNU_LONG_NAME = b"L"
GNU_LONG_LINK = b"K"
GNU_SPARSE = b"S"
PAX_NEXT = b"x"
PAX_GLOBAL = b"g"

# "isHeaderOnlyType": the size field of these says nothing about data that follows.
WITHOUT_DATA = frozenset({HARD_LINK, SYMLINK, CHARACTER, BLOCK, DIRECTORY, FIFO})

_FIELDS = struct.Struct("100s8s8s8s12s12s8sc100s8s32s32s8s8s155s12s")


@dataclass(slots=True)
class RawHeader:
    """The fields of one header block; ``block`` is kept for GNU's sparse map."""

    block: bytes
    typeflag: bytes
    name: bytes
    linkname: bytes
    mode: int
    uid: int
    gid: int
    size: int
    mtime_s: int
    device_major: int
    device_minor: int


def parse_header(block: bytes) -> RawHeader:
    """Read one header block.

    Args:
        block: 512 bytes, not all zero.

    Raises:
        BadLayer: the checksum is wrong or a number is not one.
    """
    (
        name, mode, uid, gid, size, mtime, checksum, typeflag, linkname, magic,
        _uname, _gname, major, minor, prefix, _padding,
    ) = _FIELDS.unpack(block)  # fmt: skip
    _check_sum(block, checksum)
    name = _text(name)
    if magic == b"ustar\x0000" and prefix[0]:
        name = _text(prefix) + b"/" + name
    is_device = typeflag in (CHARACTER, BLOCK)
    return RawHeader(
        block=block,
        typeflag=typeflag,
        name=name,
        linkname=_text(linkname),
        mode=parse_number(mode, "mode") & 0o7777,
        uid=parse_number(uid, "uid"),
        gid=parse_number(gid, "gid"),
        size=parse_number(size, "size"),
        mtime_s=parse_number(mtime, "mtime", is_signed=True),
        device_major=parse_number(major, "devmajor") if is_device else 0,
        device_minor=parse_number(minor, "devminor") if is_device else 0,
    )


def parse_number(field: bytes, what: str, *, is_signed: bool = False) -> int:
    """Read a numeric field: octal text, or GNU's base-256 when the first bit is set.

    Raises:
        BadLayer: not a number, or negative where that has no meaning.
    """
    if field[0] & 0x80:
        value = int.from_bytes(field, "big")
        bits = 8 * len(field)
        if field[0] & 0x40:
            value -= 1 << bits  # two's complement, the sign in the second bit
        else:
            value &= (1 << (bits - 1)) - 1
        if value < 0 and not is_signed:
            raise BadLayer(f"layer is damaged: a tar header has a negative {what}, {value}")
        return value
    text = field.split(b"\0", 1)[0].strip(b" ")
    if not text:
        return 0
    # int() takes "0o7", "1_0" and "+1"; a tar number is octal digits alone.
    if not text.isdigit() or b"8" in text or b"9" in text:
        raise BadLayer(f"layer is damaged: a tar header's {what} is {field!r}, not an octal number")
    return int(text, 8)


def _text(field: bytes) -> bytes:
    return field.split(b"\0", 1)[0]


def _check_sum(block: bytes, field: bytes) -> None:
    expected = parse_number(field, "checksum")
    unsigned = sum(block) - sum(field) + 8 * 0x20
    if unsigned == expected:
        return
    # Old tars summed signed bytes.
    high = sum(byte >= 0x80 for byte in block) - sum(byte >= 0x80 for byte in field)
    if unsigned - 256 * high != expected:
        raise BadLayer(
            "layer is damaged: a tar header's checksum does not match (or this is not a tar)"
        )
