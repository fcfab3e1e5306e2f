"""docker cp, diff, export and layers of changes, on stopped and running trees, with attackers."""

import io
import os
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cutaway.errors import InvalidParameter, NotFound
from cutaway.images.layers.errors import BadLayer
from cutaway.images.snapshots import Mount, Snapshots
from cutaway.images.trees.changes import ChangeKind
from cutaway.images.trees.tree import (
    ArchiveStream,
    Bind,
    Tree,
    diff_layer,
    export_tree,
    get_archive,
    list_changes,
    put_archive,
    stat_path,
)
from support.tars import build, diff_id, directory, file, hard_link, node, symlink

BASE = [
    directory("./"), directory("etc"), file("etc/passwd", b"root:x:0:0::/:\n"), directory("run"),
    directory("var"), symlink("var/run", "/run"), directory("data"), file("data/a", b"1"),
    hard_link("data/b", "data/a"), symlink("data/out", "/../../../../etc/passwd"),
    directory("old"), file("old/x", b"x"), file("gone", b"y"),
]  # fmt: skip


@pytest.fixture
def snapshots(tmp_path: Path) -> Snapshots:
    snapshots = Snapshots(str(tmp_path / "snapshots"))
    data = build(BASE)
    fd = os.memfd_create("blob")
    os.write(fd, data)
    os.lseek(fd, 0, os.SEEK_SET)
    snapshots.adopt([(snapshots.unpack(fd, diff_id=diff_id(data)), "base", None)])
    os.close(fd)
    snapshots.prepare("c", "base")
    return snapshots


@pytest.fixture
def outside(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "outside"
    place.mkdir()
    (place / "canary").write_bytes(b"tweet")
    yield place
    assert (place / "canary").read_bytes() == b"tweet"
    assert os.listdir(place) == ["canary"]


def overlay_options(mounts: tuple[Mount, ...]) -> str:
    (mount,) = mounts
    return ",".join(mount.options)


def change(snapshots: Snapshots, tmp_path: Path, script: str) -> None:
    """Run a script in the container's tree, as its processes would."""
    where = tmp_path / "mnt"
    where.mkdir(exist_ok=True)
    options = overlay_options(snapshots.mounts("c"))
    command = f"mount -i -t overlay overlay -o '{options}' {where}; cd {where}; {script}"
    subprocess.run(["unshare", "-m", "--propagation", "private", "sh", "-ec", command], check=True)


def members(stream: ArchiveStream) -> list[tarfile.TarInfo]:
    return parse(content(stream))


def parse(data: bytes) -> list[tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return archive.getmembers()


def facts(m: tarfile.TarInfo) -> tuple:
    return m.name, m.mode, m.type, m.size, m.linkname, m.devmajor, m.devminor, m.mtime


def content(stream: ArchiveStream) -> bytes:
    with stream:
        data = b"".join(iter(lambda: os.read(stream.fd, 65536), b""))
        stream.finish()
    return data


def put(tree: Tree, path: str, entries: list, **options: object) -> int:
    fd = os.memfd_create("tar")
    try:
        os.write(fd, build(entries))
        os.lseek(fd, 0, os.SEEK_SET)
        return put_archive(tree, path, fd, **options)  # type: ignore[arg-type]
    finally:
        os.close(fd)


class Running:
    """A process in its own mount namespace whose root is the container's tree."""

    def __init__(self, snapshots: Snapshots, tmp_path: Path, script: str = "") -> None:
        where = tmp_path / "root"
        where.mkdir()
        options = overlay_options(snapshots.mounts("c"))
        code = f"""
import os, subprocess, sys, time
from cutaway import linux
linux.unshare(linux.CLONE.NEWNS)
linux.mount(None, "/", None, linux.MS.REC | linux.MS.PRIVATE)
linux.mount("overlay", {str(where)!r}, "overlay", linux.MS(0), {options!r})
os.chdir({str(where)!r})
os.makedirs("tmp", exist_ok=True)
linux.mount("tmpfs", "tmp", "tmpfs")
linux.pivot_root(".", ".")
linux.umount2(".", linux.MNT.DETACH)
os.chdir("/")
print("up", flush=True)
{script}
time.sleep(1000)
"""
        self.process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
        assert self.process.stdout is not None
        self.process.stdout.readline()
        self.namespace_fd = os.open(f"/proc/{self.process.pid}/ns/mnt", os.O_RDONLY)
        self.root = Path(f"/proc/{self.process.pid}/root")

    def close(self) -> None:
        os.close(self.namespace_fd)
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture
def running(snapshots: Snapshots, tmp_path: Path) -> Iterator[Running]:
    process = Running(snapshots, tmp_path)
    yield process
    process.close()


def test_changes_are_docker_s(snapshots: Snapshots, tmp_path: Path) -> None:
    change(
        snapshots, tmp_path, "rm gone; echo 2 >data/a; mkdir new; touch new/f; rm -r old; mkdir old"
    )
    assert [("CAD"[kind], path) for kind, path in list_changes(snapshots, "c")] == [
        ("C", "/data"), ("C", "/data/a"), ("D", "/gone"), ("A", "/new"), ("A", "/new/f"),
        ("C", "/old"),
    ] or [("CAD"[kind], path) for kind, path in list_changes(snapshots, "c")] == [
        ("C", "/data/a"), ("D", "/gone"), ("A", "/new"), ("A", "/new/f"), ("C", "/old"),
    ]  # fmt: skip


def test_unchanged_container_has_no_changes(snapshots: Snapshots) -> None:
    assert list_changes(snapshots, "c") == []
    assert ChangeKind.MODIFIED == 0


def test_layer_of_changes_gives_the_same_tree_on_another_machine(
    snapshots: Snapshots, tmp_path: Path
) -> None:
    change(
        snapshots,
        tmp_path,
        "rm gone; echo 2 >data/a; rm -r old; mkdir old; echo n >old/n; mkfifo p; "
        "ln data/a hard; chmod 4755 etc/passwd; mknod dev c 1 3; ln -s nowhere soft",
    )
    data = content(diff_layer(snapshots, "c"))
    assert data == content(diff_layer(snapshots, "c")), "not reproducible"
    names = {m.name for m in parse(data)}
    assert {".wh.gone", "old/.wh..wh..opq", "old/n"} <= names
    fd = os.memfd_create("blob")
    os.write(fd, data)
    os.lseek(fd, 0, os.SEEK_SET)
    snapshots.adopt([(snapshots.unpack(fd, diff_id=diff_id(data)), "top", "base")])
    os.close(fd)
    snapshots.prepare("d", "top")
    first, second = (members(export_tree(Tree.stopped(snapshots, key))) for key in ("c", "d"))
    assert list(map(facts, first)) == list(map(facts, second))


def test_file_that_would_mean_a_deletion_can_not_be_committed(
    snapshots: Snapshots, tmp_path: Path
) -> None:
    change(snapshots, tmp_path, "touch data/.wh.a")
    with pytest.raises(InvalidParameter, match=r"\.wh\."):
        content(diff_layer(snapshots, "c"))


def test_export_is_the_whole_tree(snapshots: Snapshots) -> None:
    found = {m.name: m for m in members(export_tree(Tree.stopped(snapshots, "c")))}
    assert found["data/b"].linkname == "data/a"
    assert found["var/run"].linkname == "/run"
    assert found["etc/passwd"].size == 15


@pytest.mark.parametrize("kind", ["stopped", "running"])
def test_paths_mean_what_docker_says(
    kind: str, snapshots: Snapshots, request: pytest.FixtureRequest
) -> None:
    if kind == "running":
        process = request.getfixturevalue("running")
        tree = Tree.running(snapshots, process.namespace_fd)
    else:
        tree = Tree.stopped(snapshots, "c")
    assert stat_path(tree, "/etc/passwd").size == 15
    link = stat_path(tree, "/var/run")
    assert (link.name, link.link_target, link.mode & 1 << 27) == ("run", "/run", 1 << 27)
    assert stat_path(tree, "/var/run/").mode & 1 << 31
    assert stat_path(tree, "/data/out").link_target == "/etc/passwd"
    assert [m.name for m in members(get_archive(tree, "/data"))][:3] == ["data", "data/a", "data/b"]
    assert [m.name for m in members(get_archive(tree, "/data/."))][:2] == [".", "./a"]
    assert [(m.name, m.type) for m in members(get_archive(tree, "/var/run"))] == [("run", b"2")]
    for missing in ("/nope", "/nope/x", "/etc/passwd/x"):
        with pytest.raises(NotFound):
            stat_path(tree, missing)
        with pytest.raises(NotFound):
            get_archive(tree, missing)


def test_archive_goes_in_through_links_of_the_container(snapshots: Snapshots) -> None:
    tree = Tree.stopped(snapshots, "c")
    assert put(tree, "/var/run", [file("pid", b"7")]) == 1
    assert stat_path(tree, "/run/pid").size == 1
    put(tree, "/", [file("data/a", b"new")], owner=(5, 6))
    (info,) = members(get_archive(tree, "/data/a"))
    assert (info.uid, info.gid, info.size) == (5, 6, 3)
    assert (Path(snapshots.directory("base")) / "data/a").read_bytes() == b"1"


def test_archive_needs_a_directory_and_keeps_kinds_if_asked(snapshots: Snapshots) -> None:
    tree = Tree.stopped(snapshots, "c")
    with pytest.raises(NotFound):
        put(tree, "/missing", [file("a")])
    with pytest.raises(InvalidParameter, match="not a directory"):
        put(tree, "/etc/passwd", [file("a")])
    with pytest.raises(InvalidParameter, match="cannot overwrite directory"):
        put(tree, "/", [file("data")], keeps_kinds=True)
    with pytest.raises(InvalidParameter, match="cannot overwrite non-directory"):
        put(tree, "/", [directory("gone")], keeps_kinds=True)
    put(tree, "/", [file("data", b"now a file")])
    assert stat_path(tree, "/data").size == 10


def test_whiteout_in_an_archive_is_a_file_like_others(snapshots: Snapshots) -> None:
    tree = Tree.stopped(snapshots, "c")
    put(tree, "/data", [file(".wh.a", b"plain")])
    assert stat_path(tree, "/data/a").size == 1
    assert stat_path(tree, "/data/.wh.a").size == 5


def test_hostile_archive_stays_inside(snapshots: Snapshots, outside: Path) -> None:
    tree = Tree.stopped(snapshots, "c")
    for entries in (
        [file("../../../../outside/canary")],
        [symlink("s", str(outside)), hard_link("h", "s/canary")],
        [hard_link("h", f"{outside}/canary")],
    ):
        with pytest.raises(BadLayer):
            put(tree, "/data", entries)
    put(tree, "/data", [symlink("s", "/"), file("s/new-at-the-container-s-root")])
    assert stat_path(tree, "/new-at-the-container-s-root").size == 5
    put(tree, "/", [node("null", b"3", 1, 3)])


def test_volume_is_seen_where_it_is_mounted(snapshots: Snapshots, tmp_path: Path) -> None:
    volume = tmp_path / "volume"
    volume.mkdir()
    (volume / "v").write_text("vol")
    tree = Tree.stopped(snapshots, "c", [Bind(str(volume), "/data")])
    assert stat_path(tree, "/data/v").size == 3
    put(tree, "/data", [file("w", b"1234")])
    assert (volume / "w").read_bytes() == b"1234"
    locked = Tree.stopped(snapshots, "c", [Bind(str(volume), "/data", is_read_only=True)])
    with pytest.raises(Exception, match="[Rr]ead-only"):
        put(locked, "/data", [file("x")])
    assert "data/v" not in {m.name for m in members(export_tree(tree))}


def test_volume_s_place_is_made_in_a_container_that_never_ran(
    snapshots: Snapshots, tmp_path: Path, outside: Path
) -> None:
    volume = tmp_path / "volume"
    volume.mkdir()
    (volume / "v").write_text("vol")
    binds = [Bind(str(volume), "/not/there/yet"), Bind(str(volume / "v"), "/etc/new/file")]
    tree = Tree.stopped(snapshots, "c", binds)
    put(tree, "/not/there/yet", [file("w", b"12")])
    assert (volume / "w").read_bytes() == b"12"
    assert stat_path(tree, "/etc/new/file").size == 3
    through_link = Tree.stopped(snapshots, "c", [Bind(str(volume), "/data/out/../../made")])
    with pytest.raises(Exception, match="Not a directory"):  # data/out leads to a file
        stat_path(through_link, "/")


def test_volume_s_place_that_is_a_link_is_found_inside_the_container(
    snapshots: Snapshots, tmp_path: Path, outside: Path
) -> None:
    """CVE-2026-42306: the destination is a link to a host directory."""
    volume = tmp_path / "volume"
    volume.mkdir()
    (volume / "v").write_text("vol")
    change(snapshots, tmp_path, f"rm -r data; ln -s {outside} data; mkdir -p .{outside}")
    tree = Tree.stopped(snapshots, "c", [Bind(str(volume), "/data")])
    assert stat_path(tree, f"{outside}/v").size == 3
    put(tree, "/data", [file("canary", b"changed")])
    assert (volume / "canary").read_bytes() == b"changed"


def test_running_container_is_seen_with_its_own_mounts(
    snapshots: Snapshots, running: Running
) -> None:
    tree = Tree.running(snapshots, running.namespace_fd)
    put(tree, "/tmp", [file("in-tmpfs", b"12")])
    assert (running.root / "tmp/in-tmpfs").read_bytes() == b"12"
    assert stat_path(tree, "/tmp/in-tmpfs").size == 2
    assert "tmp/in-tmpfs" not in {m.name for m in members(export_tree(tree))}


def test_worker_leaves_no_mount_in_the_container_or_on_the_host(
    snapshots: Snapshots, running: Running
) -> None:
    before = (running.root / "../mountinfo", Path("/proc/self/mountinfo").read_text())
    mounts = Path(f"/proc/{running.process.pid}/mountinfo").read_text()
    content(get_archive(Tree.running(snapshots, running.namespace_fd), "/etc"))
    content(export_tree(Tree.running(snapshots, running.namespace_fd)))
    assert Path(f"/proc/{running.process.pid}/mountinfo").read_text() == mounts
    assert Path("/proc/self/mountinfo").read_text() == before[1]


def test_container_that_swaps_a_directory_for_a_link_gets_nothing_out(
    snapshots: Snapshots, tmp_path: Path, outside: Path
) -> None:
    """CVE-2018-15664: while files are copied, a directory is exchanged for a link to the host."""
    swap = f"""
os.makedirs("swap/a/outside", exist_ok=True)
os.symlink({str(tmp_path)!r}, "swap/b")
print("swapping", flush=True)
while True:
    linux.renameat2(-100, "swap/a", -100, "swap/b", linux.RENAME.EXCHANGE)
"""
    process = Running(snapshots, tmp_path, swap)
    try:
        tree = Tree.running(snapshots, process.namespace_fd)
        until = time.monotonic() + 4
        tries = 0
        while time.monotonic() < until:
            tries += 1
            for act in (
                lambda: content(get_archive(tree, "/swap/a/outside/canary")),
                lambda: put(tree, "/swap/a", [file("outside/canary", b"owned")]),
                lambda: put(tree, "/swap/a/outside", [file("new", b"owned")]),
            ):
                try:
                    data = act()
                except (NotFound, InvalidParameter, OSError):
                    continue
                assert not (isinstance(data, bytes) and b"tweet" in data)
        assert tries > 3
    finally:
        process.close()


def test_fifo_in_the_way_blocks_nobody(snapshots: Snapshots, running: Running) -> None:
    os.mkfifo(running.root / "data/pipe")
    names = [m.name for m in members(get_archive(Tree.running(
        snapshots, running.namespace_fd), "/data"))]  # fmt: skip
    assert "data/pipe" in names


def test_reader_that_goes_away_ends_the_worker(snapshots: Snapshots, tmp_path: Path) -> None:
    change(snapshots, tmp_path, "head -c 30000000 /dev/zero >big")
    stream = get_archive(Tree.stopped(snapshots, "c"), "/big")
    assert stream.stat is not None
    assert stream.stat.size == 30_000_000
    os.read(stream.fd, 10)
    stream.close()
    stream.close()


def test_many_readers_and_writers_at_once(snapshots: Snapshots) -> None:
    """Each mounts the tree for itself; a second work directory user would wreck the first."""
    tree = Tree.stopped(snapshots, "c")
    failures: list[BaseException] = []

    def work(act: Callable[[], object]) -> None:
        try:
            for _ in range(25):
                act()
        except BaseException as error:
            failures.append(error)

    acts = [
        lambda: put(tree, "/data", [file("a", b"1")]),
        lambda: put(tree, "/data", [file("new/b", b"1")]),
        *[lambda: stat_path(tree, "/etc/passwd")] * 4,
        *[lambda: content(get_archive(tree, "/etc"))] * 2,
        lambda: content(export_tree(tree)),
    ]
    threads = [threading.Thread(target=work, args=(act,)) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
