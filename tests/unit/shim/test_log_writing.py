"""Lines and json-file entries are what dockerd's copier and encoder would have written."""

import json
import random

import pytest

from cutaway.shim.logs.clock import StampCache, format_fixed, format_rfc3339_nano, parse_stamp
from cutaway.shim.logs.jsonfile import JsonFileFormat, escape
from cutaway.shim.logs.lines import PARTIAL_BYTES, LineSplitter, Segment


def reference_escape(data: bytes) -> bytes:
    """Go's ffjsonWriteJSONBytesAsString, a rune at a time; newlines are left alone."""
    out = bytearray()
    index = 0
    while index < len(data):
        byte = data[index]
        if byte < 0x80:
            if byte in b'\\"':
                out += b"\\" + bytes([byte])
            elif byte == 0x0D:
                out += b"\\r"
            elif byte == 0x0A or (byte >= 0x20 and byte not in b"<>&"):
                out.append(byte)
            else:
                out += b"\\u00%02x" % byte
            index += 1
            continue
        for size in (2, 3, 4):
            rune = data[index : index + size]
            try:
                text = rune.decode()
            except UnicodeDecodeError:
                continue
            out += b"\\u%04x" % ord(text) if text in "\u2028\u2029" else rune
            index += size
            break
        else:
            out += b"\\ufffd"
            index += 1
    return bytes(out)


@pytest.mark.parametrize(
    "data",
    [
        b"plain text",
        b"tab\there \x1b[31mred\x1b[0m \"quoted\" back\\slash <a&b>\r",
        "grüße \u2028 \u2029 \U0001f600".encode(),
        b"\xff\xfe broken \xe2\x82 end",
        b"\xed\xa0\x80 \xc0\x80 \xf5\x80\x80\x80 \xe2\x82\xac",
        b"\x7f\x00\x01",
        bytes(range(256)),
    ],
)  # fmt: skip
def test_escapes_are_those_of_gos_encoder(data):
    assert escape(data) == reference_escape(data)


def test_random_bytes_escape_as_gos_encoder_does():
    source = random.Random(7)
    for _ in range(300):
        data = source.randbytes(60) + bytes(
            source.choices(b"\xe2\x82\xac\xed\xb2\x80a\xf0\x9f", k=40)
        )
        assert escape(data) == reference_escape(data)


def test_a_batch_is_one_entry_a_line_with_one_time():
    entries = JsonFileFormat("stdout").encode(Segment(b"a\n\nb\n", 1_000_000_005, False))
    assert entries == (
        b'{"log":"a\\n","stream":"stdout","time":"1970-01-01T00:00:01.000000005Z"}\n'
        b'{"log":"\\n","stream":"stdout","time":"1970-01-01T00:00:01.000000005Z"}\n'
        b'{"log":"b\\n","stream":"stdout","time":"1970-01-01T00:00:01.000000005Z"}\n'
    )


def test_a_partial_entry_has_no_newline_and_attrs_come_before_the_time():
    entry = JsonFileFormat("stderr", {"env": "x"}).encode(Segment(b"abc", 1, True))
    assert entry == (
        b'{"log":"abc","stream":"stderr","attrs":{"env":"x"},"time":"1970-01-01T00:00:00.000000001Z"}\n'
    )


def split_all(chunks: list[bytes]) -> list[tuple[bytes, bool]]:
    splitter = LineSplitter()
    segments = [s for number, chunk in enumerate(chunks) for s in splitter.feed(chunk, number + 1)]
    segments += splitter.finish(len(chunks) + 1)
    entries: list[tuple[bytes, bool]] = []
    for segment in segments:
        if segment.is_partial:
            entries.append((segment.data, True))
        else:
            assert segment.data.endswith(b"\n")
            entries += [(line, False) for line in segment.data[:-1].split(b"\n")]
    return entries


def reference_split(data: bytes) -> list[tuple[bytes, bool]]:
    entries: list[tuple[bytes, bool]] = []
    *lines, rest = data.split(b"\n")
    for number, line in enumerate([*lines, rest]):
        while len(line) >= PARTIAL_BYTES:
            entries.append((line[:PARTIAL_BYTES], True))
            line = line[PARTIAL_BYTES:]
        if number < len(lines):
            entries.append((line, False))
        elif line:
            entries.append((line, True))
    return entries


@pytest.mark.parametrize("seed", range(20))
def test_lines_are_cut_at_16_kib_however_the_data_arrives(seed):
    source = random.Random(seed)
    data = b""
    for _ in range(source.randrange(1, 12)):
        length = source.choice(
            [
                0,
                1,
                50,
                PARTIAL_BYTES - 1,
                PARTIAL_BYTES,
                PARTIAL_BYTES + 1,
                2 * PARTIAL_BYTES,
                70000,
            ]
        )
        data += source.randbytes(length).replace(b"\n", b"x") + source.choice([b"\n", b"\n", b""])
    chunks = []
    position = 0
    while position < len(data):
        size = source.choice([1, 100, 4096, 65536])
        chunks.append(data[position : position + size])
        position += size
    assert split_all(chunks) == reference_split(data)


def test_the_pieces_of_a_long_line_bear_the_time_of_the_first():
    splitter = LineSplitter()
    segments = splitter.feed(b"a" * PARTIAL_BYTES, 5) + splitter.feed(b"b\nc\n", 9)
    assert segments == [
        Segment(b"a" * PARTIAL_BYTES, 5, True),
        Segment(b"b\n", 5, False),
        Segment(b"c\n", 9, False),
    ]


def test_times_are_written_and_read_as_go_does():
    stamps = StampCache()
    for time_ns, text in [
        (0, b"1970-01-01T00:00:00Z"),
        (1_500_000_000, b"1970-01-01T00:00:01.5Z"),
        (1_709_210_096_000_000_120, b"2024-02-29T12:34:56.00000012Z"),
        (4_107_542_399_999_999_999, b"2100-02-28T23:59:59.999999999Z"),
    ]:
        assert stamps.format(time_ns) == format_rfc3339_nano(time_ns) == text
        assert parse_stamp(text) == time_ns
    assert format_fixed(1_500_000_000) == b"1970-01-01T00:00:01.500000000Z"


def test_an_entry_is_json():
    entry = JsonFileFormat("stdout").encode(Segment(bytes(range(256)) + b"\n", 0, False))
    assert [json.loads(line)["stream"] for line in entry.splitlines()] == ["stdout", "stdout"]
