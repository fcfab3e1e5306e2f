"""Sparse files in tars: four notations for one list of (offset, length).

GNU's own header (``S``), and three PAX notations: 0.0 (a record for each number), 0.1 (one record
with commas), 1.0 (decimal lines at the head of the file's data). Holes are never written: a
petabyte of zeros in 512 bytes of tar stays a hole.

Source: GNU tar manual "Storing Sparse Files"; Go archive/tar.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from cutaway.images.layers.errors import BadLayer
from cutaway.images.layers.pax import parse_integer
from cutaway.images.layers.tar_header import BLOCK_SIZE, parse_number

Segment: TypeAlias = tuple[int, int]

_MAX_OFFSET = (1 << 63) - 1


@dataclass(slots=True)
class SparseMap:
    """Where the stored bytes of a file belong.

    Attributes:
        segments: (offset, length) pairs in ascending order.
        real_size: of the file with its holes.
        name: PAX keeps the true name here; empty when the header's is the true one.
    """

    segments: list[Segment]
    real_size: int
    name: bytes = b""


def check_map(sparse: SparseMap, *, stored_size: int) -> None:
    """Refuse a map that overlaps, runs backwards, or does not fit the file or the stored data.

    Raises:
        BadLayer: one of these.
    """
    end = 0
    total = 0
    for offset, length in sparse.segments:
        if offset < end or offset + length > sparse.real_size:
            raise BadLayer("layer is damaged: a sparse file's pieces overlap or leave the file")
        end = offset + length
        total += length
    if total != stored_size or sparse.real_size > _MAX_OFFSET:
        raise BadLayer("layer is damaged: a sparse file's map does not fit its data")


def parse_gnu_entries(block: bytes, *, is_extension: bool = False) -> tuple[SparseMap, bool]:
    """Read the sparse entries of a GNU header or extension block.

    Returns:
        The map so far (``real_size`` only from the header) and whether another block follows.
    """
    start, count, more_at = (0, 21, 504) if is_extension else (386, 4, 482)
    segments = []
    for at in range(start, start + 24 * count, 24):
        if not block[at]:
            break
        offset = parse_number(block[at : at + 12], "sparse offset")
        length = parse_number(block[at + 12 : at + 24], "sparse length")
        segments.append((offset, length))
    real_size = 0 if is_extension else parse_number(block[483:495], "sparse size")
    return SparseMap(segments, real_size), bool(block[more_at])


def parse_pax_map_0(records: dict[bytes, bytes], *, limit: int) -> SparseMap | None:
    """Read notation 0.1 (``GNU.sparse.map``); None when the file is not sparse.

    Notation 0.0 repeats one key for each number, which a dictionary of records can't hold; no
    known writer uses it, and it is refused.

    Raises:
        BadLayer: the map is malformed, too long, or in notation 0.0.
    """
    text = records.get(b"GNU.sparse.map")
    size = records.get(b"GNU.sparse.size") or records.get(b"GNU.sparse.realsize")
    if text is None or size is None:
        if b"GNU.sparse.offset" in records or b"GNU.sparse.numblocks" in records:
            raise BadLayer("layer has a sparse file in the obsolete PAX notation 0.0: unsupported")
        return None
    if text.count(b",") >= 2 * limit:
        raise BadLayer(f"layer has a sparse file of more than {limit} pieces")
    numbers = [parse_integer(item, "GNU.sparse.map") for item in text.split(b",")] if text else []
    return _map(numbers, records, real_size=parse_integer(size, "GNU.sparse.size"))


def parse_pax_map_1(
    records: dict[bytes, bytes], next_block: Callable[[], bytes], *, limit: int
) -> SparseMap:
    """Read notation 1.0: decimal lines in whole blocks at the head of the data.

    Raises:
        BadLayer: malformed or too long.
    """
    text = next_block()
    if (end := text.find(b"\n")) < 0:
        raise BadLayer("layer is damaged: a sparse map has no count")
    count = parse_integer(text[:end], "sparse count")
    if count > limit:
        raise BadLayer(f"layer has a sparse file of more than {limit} pieces")
    newlines = text.count(b"\n")
    gathered = [text]
    while newlines < 1 + 2 * count:
        block = next_block()
        newlines += block.count(b"\n")
        gathered.append(block)
    lines = b"".join(gathered).split(b"\n")[1 : 1 + 2 * count]
    numbers = [parse_integer(line, "sparse map") for line in lines]
    real_size = parse_integer(records.get(b"GNU.sparse.realsize", b""), "GNU.sparse.realsize")
    return _map(numbers, records, real_size=real_size)


def format_pax_map_1(segments: tuple[Segment, ...], real_size: int) -> bytes:
    """Return a map in notation 1.0, as ``parse_pax_map_1`` reads it: whole blocks."""
    if not segments or sum(segments[-1]) < real_size:
        segments = (*segments, (real_size, 0))  # GNU tar takes the end of the last for the file's
    numbers = [len(segments), *(number for segment in segments for number in segment)]
    text = b"".join(b"%d\n" % number for number in numbers)
    return text + bytes(-len(text) % BLOCK_SIZE)


def _map(numbers: list[int], records: dict[bytes, bytes], *, real_size: int) -> SparseMap:
    if len(numbers) % 2:
        raise BadLayer("layer is damaged: a sparse map has an odd count of numbers")
    pairs = list(zip(numbers[::2], numbers[1::2], strict=True))
    return SparseMap(pairs, real_size, records.get(b"GNU.sparse.name", b""))
