"""Snapshots on the real kernel: what containerd's own suite asks of a snapshotter, and crashes."""

import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from cutaway.errors import Conflict, InvalidParameter, NotFound
from cutaway.images.cancellation import Cancelled
from cutaway.images.layers.errors import BadLayer
from cutaway.images.snapshots import Kind, LayerBlob, Mount, SnapshotInfo, Snapshots, unpack_image
from cutaway.images.snapshots.index import SnapshotNotFound
from cutaway.images.snapshots.steps import PrepareSnapshot
from cutaway.oci import Digest
from cutaway.oci.hashing import chain_ids
from cutaway.steps import Ledger
from support.tars import build, diff_id, directory, file, gzipped, symlink


@pytest.fixture
def snapshots(tmp_path: Path) -> Snapshots:
    return Snapshots(str(tmp_path / "snapshots"))


def blob_fd(data: bytes) -> int:
    fd = os.memfd_create("blob")
    os.write(fd, data)
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


def add_layer(snapshots: Snapshots, name: str, entries: list, parent: str | None = None) -> None:
    fd = blob_fd(gzipped(build(entries)))
    try:
        unpacked = snapshots.unpack(fd, diff_id=None)
    finally:
        os.close(fd)
    snapshots.adopt([(unpacked, name, parent)])


def in_mount(mounts: tuple[Mount, ...], where: Path, script: str) -> str:
    """Run a shell script in the mounted snapshot, in a mount namespace of its own."""
    where.mkdir(exist_ok=True)
    (mount,) = mounts
    if mount.fstype == "bind":
        options = "bind,ro" if "ro" in mount.options else "bind"
        command = f"mount --rbind {mount.source} {where}"
        command += f" && mount -o remount,{options} {where}" if "ro" in mount.options else ""
    else:
        flag = "-r" if "ro" in mount.options else ""
        data = ",".join(o for o in mount.options if o != "ro")
        command = f"mount {flag} -i -t overlay overlay -o '{data}' {where}"
    cd = f"cd {mount.directory} && " if mount.directory else ""
    done = subprocess.run(
        ["unshare", "-m", "--propagation", "private", "sh", "-ec",
         f"{cd}{command}\ncd {where}\n{script}"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_changes_go_to_the_active_snapshot_and_the_layer_stays(
    snapshots: Snapshots, tmp_path: Path
) -> None:
    add_layer(snapshots, "base", [file("a", b"1"), file("b", b"2")])
    mounts = snapshots.prepare("c1", "base")
    said = in_mount(mounts, tmp_path / "m", "cat a b; echo 3 >a; rm b; echo new >c; ls")
    assert said == "12a\nc\n"
    layer = Path(snapshots.directory("base"))
    assert ((layer / "a").read_text(), (layer / "b").read_text()) == ("1", "2")
    assert in_mount(snapshots.mounts("c1"), tmp_path / "m", "cat a; ls") == "3\na\nc\n"


def test_commit_makes_a_layer_that_others_can_stand_on(
    snapshots: Snapshots, tmp_path: Path
) -> None:
    add_layer(snapshots, "base", [file("a", b"1")])
    in_mount(snapshots.prepare("k", "base"), tmp_path / "m", "rm a; echo 2 >b")
    snapshots.commit("top", "k")
    assert snapshots.stat("top") == SnapshotInfo("top", Kind.COMMITTED, "base")
    assert "k" not in snapshots
    assert snapshots.chain("top") == ("base",)
    assert in_mount(snapshots.prepare("k2", "top"), tmp_path / "m", "ls") == "b\n"
    assert snapshots.usage("top").size_bytes == 2


def test_view_can_not_be_written(snapshots: Snapshots, tmp_path: Path) -> None:
    add_layer(snapshots, "one", [file("a")])
    add_layer(snapshots, "two", [file("b")], "one")
    for number, parent in enumerate(("one", "two")):
        said = in_mount(
            snapshots.view(f"v{number}", parent), tmp_path / "m", "touch x || echo refused"
        )
        assert said == "refused\n"


def test_snapshot_without_a_parent_is_an_empty_directory(
    snapshots: Snapshots, tmp_path: Path
) -> None:
    assert in_mount(snapshots.prepare("k", None), tmp_path / "m", "ls; echo x >f; ls") == "f\n"
    assert (Path(snapshots.directory("k")) / "f").read_text() == "x\n"


def test_whiteouts_and_opaque_marks_of_layers_hide_what_is_below(
    snapshots: Snapshots, tmp_path: Path
) -> None:
    add_layer(snapshots, "1", [directory("d"), file("d/a"), file("d/b"), file("e/x"), file("f")])
    add_layer(
        snapshots,
        "2",
        [file("d/.wh.a", b""), directory("e"), file("e/.wh..wh..opq", b""), file("e/y"),
         file(".wh.f", b"")],
        "1",
    )  # fmt: skip
    said = in_mount(snapshots.prepare("k", "2"), tmp_path / "m", "find . -type f | sort")
    assert said == "./d/b\n./e/y\n"


def test_opaque_mark_at_the_root_hides_all_layers_below(
    snapshots: Snapshots, tmp_path: Path
) -> None:
    add_layer(snapshots, "1", [file("old")])
    add_layer(snapshots, "2", [file(".wh..wh..opq", b""), file("new")], "1")
    add_layer(snapshots, "3", [file("newer")], "2")
    assert in_mount(snapshots.prepare("k", "3"), tmp_path / "m", "ls") == "new\nnewer\n"
    again = Snapshots(snapshots.root)
    assert in_mount(again.mounts("k"), tmp_path / "m", "ls") == "new\nnewer\n"
    assert in_mount(again.reading_mounts("2"), tmp_path / "m", "ls") == "new\n"


def test_directories_that_a_layer_only_implies_keep_the_attributes_from_below(
    snapshots: Snapshots, tmp_path: Path
) -> None:
    entry, data = directory("var/secret", 0o2710)
    entry.uid, entry.gid = 12, 34
    add_layer(snapshots, "1", [directory("./", 0o711), directory("var"), (entry, data)])
    add_layer(snapshots, "2", [file("var/secret/x")], "1")
    add_layer(snapshots, "3", [file("y")], "2")
    said = in_mount(snapshots.prepare("k", "3"), tmp_path / "m", "stat -c '%a %u %g' . var/secret")
    assert said == "711 0 0\n2710 12 34\n"


def test_chain_of_two_hundred_layers_mounts(snapshots: Snapshots, tmp_path: Path) -> None:
    layers = []
    for number in range(200):
        data = build([file(f"f{number}", b"%d" % number)])
        layers.append((data, Digest(diff_id(data))))
    chains = chain_ids([d for _, d in layers])
    blobs = [
        LayerBlob(lambda data=data: blob_fd(data), d, c)  # type: ignore[misc]
        for (data, d), c in zip(layers, chains, strict=True)
    ]
    assert unpack_image(snapshots, blobs) == chains[-1]
    mounts = snapshots.prepare("k", chains[-1])
    assert in_mount(mounts, tmp_path / "m", "ls | wc -l; cat f0 f199; echo x >y") == "200\n0199"


def test_volatile_snapshot_can_be_mounted_again(snapshots: Snapshots, tmp_path: Path) -> None:
    add_layer(snapshots, "1", [file("a")])
    in_mount(snapshots.prepare("k", "1", is_volatile=True), tmp_path / "m", "echo x >b; ls")
    assert Path(snapshots.directory("k"), "../work/work/incompat/volatile").exists()
    again = Snapshots(snapshots.root)
    assert in_mount(again.mounts("k"), tmp_path / "m", "ls") == "a\nb\n"


def test_names_that_are_taken_or_missing_or_stood_on(snapshots: Snapshots) -> None:
    add_layer(snapshots, "1", [file("a")])
    snapshots.prepare("k", "1")
    with pytest.raises(Conflict):
        snapshots.prepare("k", "1")
    with pytest.raises(Conflict):
        snapshots.view("1", None)
    with pytest.raises(SnapshotNotFound):
        snapshots.prepare("k2", "missing")
    with pytest.raises(Conflict):
        snapshots.prepare("k2", "k")
    with pytest.raises(Conflict, match="stacked"):
        snapshots.remove("1")
    with pytest.raises(Conflict):
        snapshots.mounts("1")
    with pytest.raises(Conflict):
        snapshots.commit("1", "k")
    with pytest.raises(NotFound):
        snapshots.remove("nothing")
    snapshots.remove("k")
    snapshots.remove("1")
    assert snapshots.walk() == []


def test_name_can_not_be_a_way_out(snapshots: Snapshots, tmp_path: Path) -> None:
    for key in ("../../escaped", "/tmp/escaped", "..", "a/b"):
        snapshots.prepare(key, None)
        assert Snapshots(snapshots.root).stat(key).name == key
        snapshots.remove(key)
    assert sorted(os.listdir(tmp_path)) == ["snapshots"]
    for key in ("", "x" * 201, "/" * 100):
        with pytest.raises(InvalidParameter):
            snapshots.prepare(key, None)


def test_removal_is_a_rename_and_the_trash_is_emptied_later(snapshots: Snapshots) -> None:
    add_layer(snapshots, "1", [file("a")])
    number = Path(snapshots.directory("1")).parent
    snapshots.remove("1")
    assert not number.exists()
    assert len(os.listdir(f"{snapshots.root}/trash")) == 1
    snapshots.empty_trash()
    assert os.listdir(f"{snapshots.root}/trash") == []


def test_trash_of_any_depth_is_emptied(snapshots: Snapshots) -> None:
    snapshots.prepare("k", None)
    fd = os.open(snapshots.directory("k"), os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("d", dir_fd=fd)
        below = os.open("d", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(fd)
    snapshots.usage("k")
    snapshots.remove("k")
    snapshots.empty_trash()
    assert os.listdir(f"{snapshots.root}/trash") == []


def test_trash_is_emptied_by_many_threads_at_once(snapshots: Snapshots) -> None:
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for turn in range(20):
                key = f"{number}-{turn}"
                snapshots.prepare(key, None)
                os.makedirs(f"{snapshots.directory(key)}/a/b/c")
                snapshots.remove(key)
                snapshots.empty_trash()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    snapshots.empty_trash()
    assert os.listdir(f"{snapshots.root}/trash") == []


def test_failed_unpacking_leaves_nothing(snapshots: Snapshots) -> None:
    for data in (b"no tar at all" * 100, gzipped(build([file("a"), file("../../b")]))):
        fd = blob_fd(data)
        with pytest.raises(BadLayer):
            snapshots.unpack(fd, diff_id=None)
        os.close(fd)
    snapshots.empty_trash()
    assert os.listdir(f"{snapshots.root}/tmp") == os.listdir(f"{snapshots.root}/trash") == []
    assert snapshots.walk() == []


def test_one_bad_layer_discards_its_image(snapshots: Snapshots) -> None:
    good = build([file("a", os.urandom(100_000))])
    blobs = [
        LayerBlob(lambda: blob_fd(good), diff_id(good), "c1"),
        LayerBlob(lambda: blob_fd(b"bad" * 1000), diff_id(good), "c2"),
    ]
    with pytest.raises(BadLayer):
        unpack_image(snapshots, blobs)
    assert snapshots.walk() == []
    assert os.listdir(f"{snapshots.root}/tmp") == []


def test_two_pulls_of_one_layer_keep_one(snapshots: Snapshots) -> None:
    data = build([file("a", b"x")])
    threads = [
        threading.Thread(
            target=unpack_image,
            args=(snapshots, [LayerBlob(lambda: blob_fd(data), diff_id(data), "c")]),
        )
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [info.name for info in snapshots.walk()] == ["c"]
    assert os.listdir(f"{snapshots.root}/tmp") == []


def test_cancelling_stops_the_worker(snapshots: Snapshots) -> None:
    reader, writer = os.pipe()  # never gives a byte
    with pytest.raises(Cancelled):
        snapshots.unpack(reader, diff_id=None, is_cancelled=lambda: True)
    os.close(reader)
    os.close(writer)
    assert os.listdir(f"{snapshots.root}/tmp") == []


def test_what_a_killed_engine_left_is_swept(snapshots: Snapshots) -> None:
    add_layer(snapshots, "1", [file("a")])
    add_layer(snapshots, "2", [file("b")], "1")
    snapshots.prepare("k", "2")
    root = Path(snapshots.root)
    os.makedirs(root / "tmp/unpack-77/fs")  # unpacking
    os.makedirs(root / "99/fs")  # renamed, not yet named
    os.symlink("../98", root / "active/ghost")  # named, directory gone
    os.symlink(os.readlink(root / "committed/2"), root / "active/committing")
    again = Snapshots(snapshots.root)
    assert {info.name for info in again.walk()} == {"1", "2", "k"}
    assert os.listdir(root / "tmp") == []
    assert not (root / "99").exists()
    number = os.path.basename(os.path.dirname(again.directory("1")))
    shutil.rmtree(root / number)  # a layer lost: what stands on it is no use
    assert Snapshots(snapshots.root).walk() == []


_WORK_FOREVER = """
import os, sys
sys.path.insert(0, sys.argv[2])
from support.tars import build, file
from cutaway.images.snapshots import Snapshots
s = Snapshots(sys.argv[1])
print("up", flush=True)
me, n = os.getpid(), 0
while True:
    n += 1
    fd = os.memfd_create("b"); os.write(fd, build([file("a")])); os.lseek(fd, 0, 0)
    u = s.unpack(fd, diff_id=None); os.close(fd)
    s.adopt([(u, f"{me}-l{n}", None)])
    s.prepare(f"{me}-k{n}", f"{me}-l{n}")
    if n % 2: s.commit(f"{me}-m{n}", f"{me}-k{n}")
    else: s.remove(f"{me}-k{n}")
"""


@pytest.mark.parametrize("delay_s", [0.05, 0.1, 0.15, 0.21, 0.32, 0.4])
def test_kill_at_any_moment_leaves_whole_snapshots(delay_s: float, tmp_path: Path) -> None:
    root = tmp_path / "snapshots"
    child = subprocess.Popen(
        [sys.executable, "-c", _WORK_FOREVER, str(root), str(Path(__file__).parents[2])],
        stdout=subprocess.PIPE,
    )
    assert child.stdout is not None
    child.stdout.readline()
    with pytest.raises(subprocess.TimeoutExpired):
        child.wait(delay_s)
    child.kill()
    child.wait()
    child.stdout.close()
    snapshots = Snapshots(str(root))
    for info in snapshots.walk():
        directory_path = Path(snapshots.directory(info.name))
        assert directory_path.is_dir()
        if info.kind is Kind.COMMITTED and "-l" in info.name:
            assert (directory_path / "a").read_bytes() == b"owned"
        if info.kind is Kind.ACTIVE:
            assert (directory_path / "../work").is_dir()
    assert os.listdir(root / "tmp") == []
    named = sum(len(os.listdir(root / d)) for d in ("committed", "active", "views"))
    assert len([n for n in os.listdir(root) if n.isdigit()]) == named


def test_step_prepares_and_undoes(snapshots: Snapshots) -> None:
    add_layer(snapshots, "1", [file("a"), symlink("s", "a")])
    ledger = Ledger("engine")
    ledger.apply(PrepareSnapshot(key="k", parent="1", is_volatile=True, why="run"), snapshots)
    assert "k" in snapshots
    assert "writable layer on top of 1" in ledger.records()[0].what
    assert ledger.undo_all() == []
    assert "k" not in snapshots
    PrepareSnapshot(key="k", parent="1", why="run").undo(snapshots, None)
