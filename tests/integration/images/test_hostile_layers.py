"""Each attack on the unpacker is performed, with a canary outside the layer's directory.

Twice: by the confined worker, whose root is the layer's directory, and by the extractor alone in
this process, where the canary can be reached: one line of defence must not hide that the other
one is broken.
"""

import io
import os
import stat
import subprocess
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from backports import zstd

from cutaway.images.layers.disk_guard import DiskGuard
from cutaway.images.layers.errors import BadLayer, DiffIdMismatch, DiskFloor
from cutaway.images.layers.extract import Extractor
from cutaway.images.layers.tar_read import Limits, TarReader
from cutaway.images.layers.unpack import unpack_layer
from support.attacks import ESCAPES, UP
from support.tars import (
    END,
    build,
    diff_id,
    directory,
    fifo,
    file,
    gzipped,
    hard_link,
    pax,
    raw_entry,
    symlink,
)

Unpack = Callable[[bytes], Path]
CANARY = b"tweet"


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A directory beside the layer's; whatever happens it must stay as it is."""
    place = tmp_path / "outside"
    place.mkdir()
    (place / "canary").write_bytes(CANARY)
    (place / "canary").chmod(0o600)
    os.utime(place / "canary", (1000, 1000))
    os.utime(place, (1000, 1000))
    return place


@pytest.fixture(params=["confined worker", "extractor alone"])
def unpack(request: pytest.FixtureRequest, tmp_path: Path, outside: Path) -> Unpack:
    """Unpack a tar; check that nothing outside has changed, whether it worked or not."""
    place = tmp_path / "layer"
    (place / "fs").mkdir(parents=True)

    def run(data: bytes) -> Path:
        try:
            if request.param == "confined worker":
                unpack_bytes(data, place)
            else:
                extract_here(data, place / "fs")
        finally:
            check_untouched(outside)
        return place / "fs"

    return run


def check_untouched(outside: Path) -> None:
    status = (outside / "canary").lstat()
    assert (outside / "canary").read_bytes() == CANARY
    assert (status.st_mode, status.st_nlink, status.st_mtime) == (stat.S_IFREG | 0o600, 1, 1000)
    assert os.listdir(outside) == ["canary"]
    assert outside.stat().st_mtime == 1000
    assert "trusted.overlay.opaque" not in os.listxattr(outside)
    assert sorted(os.listdir(outside.parent)) == ["layer", "outside"]
    assert os.listdir(outside.parent / "layer") == ["fs"]


def unpack_bytes(data: bytes, place: Path, **options: object) -> object:
    fd = os.memfd_create("blob")
    try:
        os.write(fd, data)
        os.lseek(fd, 0, os.SEEK_SET)
        return unpack_layer(fd, str(place), **options)  # type: ignore[arg-type]
    finally:
        os.close(fd)


def extract_here(data: bytes, root: Path) -> None:
    before = os.umask(0)
    root_fd = os.open(root, os.O_RDONLY)
    try:
        extractor = Extractor(
            root_fd,
            mark_opaque=lambda fd: os.setxattr(fd, "trusted.overlay.opaque", b"y"),
            note_implicit=lambda path: None,
            guard=DiskGuard(root_fd, 0),
        )
        stream = io.BytesIO(data)
        reader = TarReader(lambda: stream.read(65536))
        try:
            for entry in reader:
                extractor.apply(entry, reader.pieces())
        finally:
            extractor.finish()
    finally:
        os.close(root_fd)
        os.umask(before)


@pytest.mark.parametrize("attack", ESCAPES)
def test_attack_is_refused(attack: str, unpack: Unpack, outside: Path) -> None:
    with pytest.raises(BadLayer):
        unpack(build(ESCAPES[attack](outside)))


def test_absolute_name_lands_inside(unpack: Unpack, outside: Path) -> None:
    root = unpack(build([file(f"{outside}/canary")]))
    assert (root / str(outside).lstrip("/") / "canary").read_bytes() == b"owned"


def test_link_to_the_root_stays_inside(unpack: Unpack) -> None:
    # The name is one that does no harm if this test ever fails: it would be made in the real root.
    name = "cutaway-test-of-escape"
    root = unpack(build([symlink("s", "/../../.."), file(f"s/{name}")]))
    assert (root / name).read_bytes() == b"owned"
    assert not Path("/", name).exists()


def test_file_replaces_a_link_of_its_name_instead_of_writing_through_it(
    unpack: Unpack, outside: Path
) -> None:
    root = unpack(build([symlink("s", f"{outside}/canary"), file("s")]))
    assert (root / "s").read_bytes() == b"owned"
    assert not (root / "s").is_symlink()


def test_directory_replaces_a_link_and_sets_no_mode_through_it(
    unpack: Unpack, outside: Path
) -> None:
    root = unpack(build([symlink("s", str(outside)), directory("s", 0o777), file("s/canary")]))
    assert not (root / "s").is_symlink()
    assert (root / "s/canary").read_bytes() == b"owned"


def test_hard_link_to_a_link_is_that_link_and_not_its_target(unpack: Unpack, outside: Path) -> None:
    root = unpack(build([symlink("s", f"{outside}/canary"), hard_link("h", "s"), file("h")]))
    assert (root / "h").read_bytes() == b"owned"
    assert (root / "s").is_symlink()


def test_replacing_a_directory_follows_no_link_in_it(unpack: Unpack, outside: Path) -> None:
    entries = [directory("d"), symlink("d/s", str(outside)), symlink("d/c", f"{outside}/canary")]
    root = unpack(build([*entries, file("d")]))
    assert (root / "d").read_bytes() == b"owned"


def test_parent_replaced_by_a_link_is_not_written_to_by_a_kept_descriptor(
    unpack: Unpack, outside: Path
) -> None:
    entries = [directory("d"), file("d/a"), symlink("d", str(outside)), file("d/canary")]
    with pytest.raises(BadLayer):
        unpack(build(entries))


def test_times_are_not_set_through_a_link_that_replaced_a_directory(
    unpack: Unpack, outside: Path
) -> None:
    entry, data = directory("d")
    entry.mtime_ns = 5 * 10**9
    root = unpack(build([(entry, data), symlink("d", str(outside))]))
    assert (root / "d").is_symlink()


def test_whiteout_makes_a_device_and_removes_nothing(unpack: Unpack) -> None:
    root = unpack(build([file("a/.wh.gone", b"")]))
    status = (root / "a/gone").lstat()
    assert stat.S_ISCHR(status.st_mode)
    assert status.st_rdev == 0


def test_whiteout_of_a_directory_of_the_same_layer_hides_only_what_is_below(
    unpack: Unpack,
) -> None:
    for order in ([file("d/f"), file(".wh.d", b"")], [file(".wh.d", b""), file("d/f")]):
        root = unpack(build(order))
        assert (root / "d/f").read_bytes() == b"owned"
        assert os.getxattr(root / "d", "trusted.overlay.opaque") == b"y"
        (root / "d/f").unlink()
        (root / "d").rmdir()


def test_aufs_bookkeeping_is_skipped(unpack: Unpack) -> None:
    root = unpack(build([file(".wh..wh.aufs", b""), file(".wh..wh.plnk/x", b""), file("a")]))
    assert "a" in os.listdir(root)
    assert not any(name.startswith(".wh..wh.aufs") for name in os.listdir(root))


def test_only_user_attributes_and_capabilities_pass(unpack: Unpack) -> None:
    capability = bytes.fromhex("0100000200200000000000000000000000000000")
    attributes = {
        "user__ok": b"1",
        "security__capability": capability,
        "trusted__overlay__redirect": b"/../../etc",
        "trusted__overlay__opaque": b"y",
        "user__overlay__opaque": b"y",
        "security__selinux": b"x",
        "system__posix_acl_access": b"\x02\0\0\0",
    }
    root = unpack(build([file("f", **attributes), directory("d", **attributes)]))
    assert sorted(os.listxattr(root / "f")) == ["security.capability", "user.ok"]
    assert "trusted.overlay.redirect" not in os.listxattr(root / "d")
    assert "trusted.overlay.opaque" not in os.listxattr(root / "d")


def test_fifo_is_replaced_without_being_opened(unpack: Unpack) -> None:
    root = unpack(build([fifo("p"), file("p"), fifo("q"), hard_link("r", "q"), file("r")]))
    assert (root / "p").read_bytes() == b"owned"
    assert stat.S_ISFIFO((root / "q").lstat().st_mode)


def test_names_in_extended_headers_are_checked_as_well(unpack: Unpack) -> None:
    for header in (
        pax([(b"path", f"{UP}/canary".encode())]),
        raw_entry(b"L", f"{UP}/canary".encode() + b"\0"),
    ):
        with pytest.raises(BadLayer):
            unpack(header + raw_entry(b"0", b"owned") + END)


def test_nul_in_an_extended_name_is_refused(unpack: Unpack) -> None:
    with pytest.raises(BadLayer):
        unpack(pax([(b"path", b"safe\0/../../x")]) + raw_entry(b"0", b"owned") + END)


def test_tree_deeper_than_any_recursion_is_made_and_replaced(unpack: Unpack) -> None:
    deep = []
    for level in range(6):  # each link shortens the path, so the depth is without a limit
        base = "d" if level == 0 else f"s{level}"
        deep.append(file(f"{base}/" + "x/" * 1000 + "f"))
        deep.append(symlink(f"s{level + 1}", f"{base}/" + "x/" * 1000))
    root = unpack(build([*deep, file("d")]))
    assert (root / "d").read_bytes() == b"owned"


DAMAGED = {
    "wrong checksum": build([file("a")])[:10] + b"zz" + build([file("a")])[12:],
    "cut in a header": build([file("a")])[:300],
    "cut in the data": raw_entry(b"0", b"", size=b"%011o\0" % 10**9),
    "ends after an extended header": pax([(b"path", b"x")]) + END,
    "negative size": raw_entry(b"0", size=b"\xff" * 12),
    "size of 2**90": raw_entry(b"0", size=b"\x80" + b"\xff" * 11),
    "size that is no number": raw_entry(b"0", size=b"0o777777777\0"),
    "uid of all ones": raw_entry(b"0", uid=b"\x80\0\0\0\xff\xff\xff\xff") + END,
    "unknown type": raw_entry(b"Q") + END,
    "time out of range": raw_entry(b"0", mtime=b"\x80\x7f" + b"\xff" * 10) + END,
    "PAX header over its limit": raw_entry(b"x", bytes(2 << 20)) + END,
    "PAX header of the claimed size of 1 GiB": raw_entry(b"x", size=b"%011o\0" % (1 << 30)),
    "PAX record without a length": raw_entry(b"x", b"path=x\n") + END,
    "PAX record of length 0": raw_entry(b"x", b"0 a=b\n") + END,
    "PAX record longer than its header": raw_entry(b"x", b"99999 a=b\n") + END,
    "PAX size that is no number": pax([(b"size", b"-1")]) + raw_entry(b"0") + END,
    "long name over its limit": raw_entry(b"L", b"a" * 5000) + raw_entry(b"0") + END,
    "zero block between entries": bytes(512) + build([file("a")]),
    "sparse pieces overlap": raw_entry(
        b"S", b"12345678", size=b"%011o\0" % 8,
        sparse=b"%011o\0%011o\0" % (0, 4) + b"%011o\0%011o\0" % (2, 4) + bytes(48) + b"\0"
        + b"%011o\0" % 100) + END,
    "sparse piece outside the file": raw_entry(
        b"S", b"1234", size=b"%011o\0" % 4,
        sparse=b"%011o\0%011o\0" % (1 << 30, 4) + bytes(72) + b"\0" + b"%011o\0" % 10) + END,
    "sparse map without a count": pax([
        (b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0"), (b"GNU.sparse.realsize", b"9")])
        + raw_entry(b"0", b"x" * 512) + END,
    "sparse map with too many pieces": pax([
        (b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0"), (b"GNU.sparse.realsize", b"9")])
        + raw_entry(b"0", b"999999999\n".ljust(512, b"\0")) + END,
    "sparse directory": pax([(b"GNU.sparse.map", b"0,1"), (b"GNU.sparse.size", b"1")])
        + raw_entry(b"5") + END,
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGED)
def test_damage_is_refused(damage: str, unpack: Unpack) -> None:
    with pytest.raises(BadLayer):
        unpack(DAMAGED[damage])


def test_petabyte_of_holes_stays_a_hole(unpack: Unpack) -> None:
    size = 1 << 43  # 8 TiB, within what ext4 can hold
    header = raw_entry(
        b"S", b"data", size=b"%011o\0" % 4,
        sparse=b"\x80" + (size - 4).to_bytes(11, "big") + b"%011o\0" % 4 + bytes(72) + b"\0"
        + b"\x80" + size.to_bytes(11, "big"),
    )  # fmt: skip
    root = unpack(header + END)
    status = (root / "x").stat()
    assert status.st_size == size
    assert status.st_blocks < 100


# What only the whole path through the worker can show


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "layer/fs").mkdir(parents=True)
    return tmp_path / "layer"


def test_other_bytes_than_the_diff_id_promises_are_refused(place: Path) -> None:
    data = build([file("a")])
    with pytest.raises(DiffIdMismatch) as caught:
        unpack_bytes(gzipped(data), place, diff_id=diff_id(b"another"))
    assert caught.value.actual == diff_id(data)


def test_bytes_after_the_end_mark_count_for_the_diff_id(place: Path) -> None:
    data = build([file("a")])
    with pytest.raises(DiffIdMismatch):
        unpack_bytes(gzipped(data + b"x" * 5000), place, diff_id=diff_id(data))


def test_rubbish_after_the_gzip_stream_is_refused(place: Path) -> None:
    with pytest.raises(BadLayer):
        unpack_bytes(gzipped(build([file("a")])) + b"rubbish", place)


def test_gzip_stream_that_stops_early_is_refused(place: Path) -> None:
    with pytest.raises(BadLayer, match="cut short"):
        unpack_bytes(gzipped(build([file("a", os.urandom(9000))]))[:-20], place)


def test_flipped_bit_in_the_gzip_stream_is_refused(place: Path) -> None:
    data = bytearray(gzipped(build([file("a", os.urandom(9000))])))
    data[-6] ^= 1  # in the checksum
    with pytest.raises(BadLayer):
        unpack_bytes(bytes(data), place)


def test_zstd_frame_that_wants_two_gibibytes_of_memory_is_refused(place: Path) -> None:
    # magic, frame header descriptor 0, window descriptor: exponent 21 (2 GiB), one empty block
    frame = b"\x28\xb5\x2f\xfd\x00" + bytes([21 << 3]) + b"\x01\x00\x00"
    with pytest.raises(BadLayer):
        unpack_bytes(frame, place)


def test_zstd_layer_of_many_frames_with_skippable_ones_is_read(place: Path) -> None:
    data = build([file("a")])
    skippable = b"\x50\x2a\x4d\x18\x04\x00\x00\x00abcd"
    blob = skippable + zstd.compress(data[:700]) + skippable + zstd.compress(data[700:]) + skippable
    assert unpack_bytes(blob, place, diff_id=diff_id(data)).format == "zstd"  # type: ignore[attr-defined]


@pytest.mark.timeout(60)
def test_gzip_members_without_end_cost_no_square(place: Path) -> None:
    empty = gzipped(b"")
    data = build([file("a")])
    unpack_bytes(empty * 200_000 + gzipped(data), place, diff_id=diff_id(data))


@pytest.fixture
def own_disk(place: Path) -> Iterator[Path]:
    """A disk that nobody else writes to, with room for a layer's directory."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300m", "none", str(place)], check=True)
    (place / "fs").mkdir()
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_bomb_stops_at_the_free_space_floor(
    own_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cutaway.images.layers import unpack as module

    state = os.statvfs(own_disk)
    floor = state.f_bavail * state.f_frsize - (64 << 20)
    monkeypatch.setattr(module, "free_space_floor", lambda directory: floor)
    compressor = zlib.compressobj(1, wbits=31)
    bomb = compressor.compress(raw_entry(b"0", size=b"%011o\0" % (8 << 30))[:512])
    bomb += b"".join(compressor.compress(bytes(1 << 20)) for _ in range(600))
    with pytest.raises(DiskFloor, match="no space left on device"):
        unpack_bytes(bomb, own_disk)
    written = sum(f.stat().st_blocks * 512 for f in own_disk.rglob("*"))
    assert written < 200 << 20


def test_bzip2_is_no_layer(place: Path) -> None:
    with pytest.raises(BadLayer, match="bzip2"):
        unpack_bytes(b"BZh91AY&SY", place)


def test_too_many_entries_are_refused() -> None:
    reader = TarReader(iter([build([file(str(n)) for n in range(20)]), b""]).__next__, Limits(10))
    with pytest.raises(BadLayer, match="more than 10 entries"):
        list(reader)
