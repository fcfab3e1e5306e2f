"""The tar reader and writer: against Python's tarfile, against each other, against anything."""

import io
import tarfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cutaway.images.layers import pax
from cutaway.images.layers import tar_header as tar
from cutaway.images.layers.errors import BadLayer
from cutaway.images.layers.tar_read import Entry, Limits, TarReader
from cutaway.images.layers.tar_write import TarWriter
from support.tars import END, build, file, raw_entry
from support.tars import pax as pax_header


def read_all(data: bytes, chunk: int = 100_000, limits: Limits | None = None) -> list[tuple]:
    stream = io.BytesIO(data)
    reader = TarReader(lambda: stream.read(chunk), limits)
    return [(entry, b"".join(bytes(p) for p in reader.pieces())) for entry in reader]


def tarfile_bytes(*members: tuple[tarfile.TarInfo, bytes], dialect: int) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=dialect) as archive:
        for info, data in members:
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


@pytest.mark.parametrize("dialect", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_reads_what_tarfile_writes(dialect: int) -> None:
    long = "d" * 90 + "/" + "f" * 90
    info = tarfile.TarInfo(long)
    info.mtime, info.uid, info.gid, info.mode = 1234567890, 7, 8, 0o4755
    ((entry, data),) = read_all(tarfile_bytes((info, b"x" * 1000), dialect=dialect))
    assert entry == Entry(
        name=long.encode(),
        kind=tar.REGULAR,
        mode=0o4755,
        uid=7,
        gid=8,
        size=1000,
        stored_size=1000,
        mtime_ns=1234567890 * 10**9,
    )
    assert data == b"x" * 1000


@pytest.mark.parametrize("dialect", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_reads_numbers_and_links_beyond_the_fields(dialect: int) -> None:
    info = tarfile.TarInfo("a" * 300)
    info.type, info.linkname, info.uid, info.mtime = tarfile.SYMTYPE, "t" * 200, 1 << 30, 1 << 34
    ((entry, _),) = read_all(tarfile_bytes((info, b""), dialect=dialect))
    assert (entry.name, entry.link) == (b"a" * 300, b"t" * 200)
    assert (entry.uid, entry.mtime_ns) == (1 << 30, (1 << 34) * 10**9)


@pytest.mark.parametrize("chunk", [1, 7, 511, 512, 513, 100_000])
def test_chunk_boundaries_do_not_matter(chunk: int) -> None:
    data = build([file("a", b"1" * 700), file("b" * 200, b"2"), file("c", b"")])
    assert read_all(data, chunk) == read_all(data)


def test_nanoseconds_are_exact_before_and_after_the_epoch() -> None:
    for text, expected in (
        (b"1.5", 1_500_000_000),
        (b"-1.5", -1_500_000_000),
        (b"1700000000.123456789", 1_700_000_000_123_456_789),
        (b"0.0000000019", 1),
        (b"5", 5_000_000_000),
    ):
        ((entry, _),) = read_all(pax_header([(b"mtime", text)]) + raw_entry(b"0") + END)
        assert entry.mtime_ns == expected


def test_end_without_zero_blocks_is_an_end() -> None:
    assert len(read_all(raw_entry(b"0", b"x"))) == 1


def test_end_without_padding_is_an_end() -> None:
    """As docker sends the context of ``build -f -``; data that is cut is damage all the same."""
    whole = raw_entry(b"0", b"xyz")
    assert read_all(whole[:515]) == read_all(whole)
    with pytest.raises(BadLayer, match="cut short"):
        read_all(whole[:514])


def test_what_follows_the_end_mark_is_not_read_as_entries() -> None:
    assert len(read_all(build([file("a")]) + build([file("b")]))) == 1


def test_old_tar_names_directories_by_a_slash() -> None:
    ((entry, _),) = read_all(raw_entry(b"\0", name=b"dir/", magic=bytes(8)) + END)
    assert entry.kind == tar.DIRECTORY


def test_link_with_a_size_has_no_data_as_in_go() -> None:
    link = raw_entry(b"1", size=b"%011o\0" % 512)
    assert [e.kind for e, _ in read_all(link + raw_entry(b"0", b"x") + END)] == [b"1", b"0"]


def test_global_header_is_passed_over() -> None:
    header = raw_entry(b"g", pax.format_records([(b"path", b"evil")]))
    ((entry, _),) = read_all(header + raw_entry(b"0", name=b"good") + END)
    assert entry.name == b"good"


def test_sparse_file_of_gnu_tar_1_0() -> None:
    records = [
        (b"GNU.sparse.major", b"1"),
        (b"GNU.sparse.minor", b"0"),
        (b"GNU.sparse.name", b"real"),
        (b"GNU.sparse.realsize", b"100000"),
    ]
    data = b"2\n0\n4\n90000\n3\n".ljust(512, b"\0") + b"headend"
    ((entry, stored),) = read_all(pax_header(records) + raw_entry(b"0", data) + END)
    assert (entry.name, entry.size, entry.sparse) == (b"real", 100000, ((0, 4), (90000, 3)))
    assert stored == b"headend"


def test_sparse_file_of_gnu_tar_0_1() -> None:
    records = [(b"GNU.sparse.map", b"10,2"), (b"GNU.sparse.size", b"50")]
    ((entry, stored),) = read_all(pax_header(records) + raw_entry(b"0", b"ab") + END)
    assert (entry.size, entry.sparse, stored) == (50, ((10, 2),), b"ab")


def test_obsolete_sparse_notation_is_refused_not_misread() -> None:
    records = [(b"GNU.sparse.numblocks", b"1"), (b"GNU.sparse.offset", b"0")]
    with pytest.raises(BadLayer, match=r"0\.0"):
        read_all(pax_header(records) + raw_entry(b"0", b"ab") + END)


names = st.binary(min_size=1, max_size=300).filter(lambda n: b"\0" not in n)
entries = st.builds(
    Entry,
    name=names,
    kind=st.sampled_from([tar.REGULAR, tar.SYMLINK, tar.HARD_LINK, tar.DIRECTORY, tar.FIFO]),
    mode=st.integers(0, 0o7777),
    uid=st.integers(0, (1 << 32) - 2),
    gid=st.integers(0, (1 << 32) - 2),
    mtime_ns=st.integers(-(10**18), 10**19),
    link=names,
    xattrs=st.dictionaries(
        st.binary(min_size=1, max_size=20).filter(lambda k: b"=" not in k and b"\0" not in k),
        st.binary(max_size=50),
        max_size=3,
    ),
)


@given(st.lists(st.tuples(entries, st.binary(max_size=1500)), max_size=5))
@settings(max_examples=150)
def test_reader_gives_back_what_the_writer_was_given(members: list[tuple[Entry, bytes]]) -> None:
    out = bytearray()
    writer = TarWriter(out.extend)
    expected = []
    for entry, data in members:
        if entry.kind == tar.REGULAR:
            entry.size = entry.stored_size = len(data)
            writer.add(entry, (data,))
        else:
            data = b""
            writer.add(entry)
        expected.append((entry, data))
    writer.close()
    assert read_all(bytes(out)) == expected
    with tarfile.open(fileobj=io.BytesIO(bytes(out))) as archive:
        assert len(archive.getmembers()) == len(expected)


@given(st.binary(max_size=3000))
@settings(max_examples=300)
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        found = read_all(data)
    except BadLayer:
        return
    assert len(found) <= len(data) // 512


@st.composite
def mutated_tars(draw: st.DrawFn) -> bytes:
    """A good tar with a few bytes changed, and the checksums made right again."""
    records = [
        (b"path", b"p" * 120), (b"mtime", b"1.5"), (b"SCHILY.xattr.user.a", b"v"),
        (b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0"), (b"GNU.sparse.realsize", b"9"),
    ]  # fmt: skip
    data = bytearray(
        raw_entry(b"L", b"n" * 150 + b"\0") + raw_entry(b"0", b"abc")
        + pax_header(records) + raw_entry(b"0", b"1\n0\n9\n".ljust(512, b"\0") + b"123456789")
        + raw_entry(b"S", b"1234", sparse=b"%011o\0%011o\0" % (0, 4) + bytes(72) + b"\0%011o\0" % 9)
        + END
    )  # fmt: skip
    for _ in range(draw(st.integers(1, 6))):
        data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
    for at in range(0, len(data), 512):
        if data[at + 257 : at + 262] == b"ustar":
            data[at + 148 : at + 156] = b" " * 8
            data[at + 148 : at + 156] = b"%06o\0 " % sum(data[at : at + 512])
    return bytes(data)


@given(mutated_tars())
@settings(max_examples=400)
def test_damaged_tars_are_read_or_refused(data: bytes) -> None:
    try:
        for entry, stored in read_all(data, limits=Limits(path_bytes=500)):
            assert len(stored) == (entry.stored_size if entry.kind == tar.REGULAR else len(stored))
            assert len(entry.name) <= 500
    except BadLayer:
        pass


@given(st.dictionaries(st.binary(min_size=1, max_size=9), st.binary(max_size=99), max_size=9))
def test_pax_records_round_trip(records: dict[bytes, bytes]) -> None:
    records = {k: v for k, v in records.items() if b"=" not in k and b"\0" not in k}
    assert pax.parse_records(pax.format_records(records.items())) == records


@given(st.integers(-(10**18), 10**18))
def test_times_round_trip(time_ns: int) -> None:
    assert pax.parse_time_ns(pax.format_time(time_ns)) == time_ns
