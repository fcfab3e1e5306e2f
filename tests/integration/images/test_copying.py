"""COPY and ADD between trees: Docker's rules, and origins and destinations made to break out."""

import io
import os
import tarfile
from pathlib import Path

import pytest

from cutaway.errors import InvalidParameter
from cutaway.images.layers import tar_header as tar
from cutaway.images.layers.errors import BadLayer
from cutaway.images.snapshots import Snapshots
from cutaway.images.trees.copying import CopyRequest, copy_files, digest_files, make_directory
from cutaway.images.trees.linking import SharedFiles
from cutaway.images.trees.tree import Tree, export_tree, put_archive, stat_path
from support.tars import build, directory, file, gzipped, hard_link, node, symlink

BASE = [
    directory("./"), directory("etc"), directory("run"), directory("var"),
    symlink("var/run", "/run"), directory("app", 0o750),
    file("etc/passwd", b"root:x:0:0::/:\nwww:x:33:34::/:\n"), file("etc/group", b"adm:x:4:\n"),
]  # fmt: skip


class Builder:
    """An image to copy into and a context to copy from."""

    def __init__(self, root: Path) -> None:
        self.snapshots = Snapshots(str(root / "snapshots"))
        self.snapshots.prepare("context", None)
        self.snapshots.prepare("work", None)
        self.put("work", BASE)

    def put(self, key: str, entries: list) -> None:
        fd = os.memfd_create("tar")
        os.write(fd, build(entries))
        os.lseek(fd, 0, os.SEEK_SET)
        put_archive(Tree.stopped(self.snapshots, key), "/", fd)
        os.close(fd)

    def copy(
        self, *patterns: str, to: str, shared: SharedFiles | None = None, **options: object
    ) -> int:
        request = CopyRequest(patterns=patterns, destination=to, **options)  # type: ignore[arg-type]
        return copy_files(
            Tree.stopped(self.snapshots, "work"),
            Tree.of_snapshot(self.snapshots, "context"),
            request,
            shared=shared,
        )

    def digest(self, *patterns: str) -> str:
        return digest_files(Tree.of_snapshot(self.snapshots, "context"), patterns)

    def files(self) -> dict[str, tarfile.TarInfo]:
        with export_tree(Tree.stopped(self.snapshots, "work")) as stream:
            data = b"".join(iter(lambda: os.read(stream.fd, 65536), b""))
            stream.finish()
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            return {member.name: member for member in archive}


@pytest.fixture
def builder(tmp_path: Path) -> Builder:
    return Builder(tmp_path)


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    place = tmp_path / "outside"
    place.mkdir()
    (place / "canary").write_bytes(b"tweet")
    return place


@pytest.mark.parametrize(
    ("patterns", "destination", "made"),
    [
        (["f"], "/new", {"new"}),
        (["f"], "/new/", {"new", "new/f"}),
        (["f"], "/app", {"app/f"}),
        (["d"], "/new", {"new", "new/x", "new/sub", "new/sub/y"}),
        (["d/"], "/app/", {"app/x", "app/sub", "app/sub/y"}),
        (["f", "d"], "/app/", {"app/f", "app/x", "app/sub", "app/sub/y"}),
        (["*"], "/app/", {"app/f", "app/x", "app/sub", "app/sub/y"}),
        (["d/?"], "/app/", {"app/x"}),
        (["[a-f]"], "/app/", {"app/f", "app/x", "app/sub", "app/sub/y"}),
        ([""], "/app/", {"app/f", "app/d", "app/d/x", "app/d/sub", "app/d/sub/y"}),
        (["f"], "/var/run/", {"run/f"}),
        (["f"], "/a/b/c/", {"a", "a/b", "a/b/c", "a/b/c/f"}),
    ],
)
def test_where_sources_go(
    patterns: list[str], destination: str, made: set[str], builder: Builder
) -> None:
    builder.put("context", [file("f", b"1"), directory("d"), file("d/x"), directory("d/sub"),
                            file("d/sub/y")])  # fmt: skip
    before = set(builder.files())
    builder.copy(*patterns, to=destination)
    assert set(builder.files()) - before == made


def test_owner_mode_and_times(builder: Builder) -> None:
    entry, data = file("f", b"x", mode=0o600)
    entry.uid = entry.gid = 77
    entry.mtime_ns = 5_000_000_000_000_000_000
    builder.put("context", [(entry, data), directory("d", 0o700), file("d/x", mode=0o644)])
    builder.copy("f", to="/plain")
    builder.copy("f", to="/owned", owner="www:adm", mode="0751", epoch=1000)
    builder.copy("d", to="/tree", owner="5", mode="go+rX,u-w")
    found = builder.files()
    assert (found["plain"].uid, found["plain"].mode) == (0, 0o600)
    owned = found["owned"]
    assert (owned.uid, owned.gid, owned.mode, owned.mtime) == (33, 4, 0o751, 1000)
    assert [(found[n].uid, found[n].gid) for n in ("tree", "tree/x")] == [(5, 5), (5, 5)]
    assert found["tree/x"].mode == 0o444
    builder.copy("f", to="/group", owner=":adm")
    assert (builder.files()["group"].uid, builder.files()["group"].gid) == (0, 4)
    for wrong in ("nobody-here", "www:none", "5000000000"):
        with pytest.raises(InvalidParameter):
            builder.copy("f", to="/x", owner=wrong)
    for wrong in ("u+q", "999", "77777", "x", "²"):
        with pytest.raises(InvalidParameter):
            builder.copy("f", to="/x", mode=wrong)


def test_missing_sources_are_named(builder: Builder) -> None:
    builder.put("context", [file("f")])
    with pytest.raises(InvalidParameter, match=r"COPY failed: file not found .* stat nope"):
        builder.copy("nope", to="/x")
    with pytest.raises(InvalidParameter, match="ADD failed: no source files"):
        builder.copy("n*", to="/x", keyword="ADD")
    with pytest.raises(InvalidParameter, match="syntax error in pattern"):
        builder.copy("[a", to="/x")


@pytest.mark.parametrize("link", ["/../../../../../../{out}", "{out}", "../../../../../{out}"])
def test_link_in_the_context_leads_nowhere_but_into_the_context(
    link: str, builder: Builder, outside: Path
) -> None:
    target = link.format(out=str(outside).lstrip("/") if ".." in link else str(outside))
    builder.put("context", [symlink("s", target), directory("d"), symlink("d/deep", target)])
    for pattern in ("s", "s/canary", "s/*", "s/../canary", "d/deep/canary", "*/canary"):
        with pytest.raises(InvalidParameter, match="COPY failed"):
            builder.copy(pattern, to="/got/")
    builder.copy("d", to="/got/")
    assert builder.files()["got/deep"].linkname == target
    assert (outside / "canary").read_bytes() == b"tweet"


def test_dots_in_a_pattern_stay_in_the_context(builder: Builder) -> None:
    builder.put("context", [file("f", b"mine")])
    builder.copy("../../../f", to="/got")
    assert builder.files()["got"].size == 4
    with pytest.raises(InvalidParameter):
        builder.copy("../../../etc/hostname", to="/got")


def test_link_in_the_destination_stays_in_the_image(builder: Builder, outside: Path) -> None:
    builder.put("context", [file("canary", b"owned"), directory("link"), file("link/canary")])
    builder.put("work", [symlink("out", str(outside)), symlink("up", "/../../../.."),
                         symlink("app/link", str(outside))])  # fmt: skip
    builder.copy("canary", to="/out/")
    builder.copy("canary", to="/up/")
    builder.copy("", to="/app/")
    assert (outside / "canary").read_bytes() == b"tweet"
    found = builder.files()
    assert str(outside).lstrip("/") + "/canary" in found
    assert found["canary"].size == 5


def test_file_replaces_a_link_of_its_name(builder: Builder, outside: Path) -> None:
    builder.put("context", [file("canary", b"owned")])
    builder.put("work", [symlink("app/canary", f"{outside}/canary")])
    builder.copy("canary", to="/app/")
    assert builder.files()["app/canary"].isreg()
    assert (outside / "canary").read_bytes() == b"tweet"


def test_user_table_that_is_a_trap_names_nobody(builder: Builder) -> None:
    builder.put("context", [file("f")])
    for trap in (symlink("etc/passwd", "/dev/zero"), symlink("etc/passwd", "../../../etc/passwd"),
                 node("etc/passwd", tar.FIFO)):  # fmt: skip
        builder.put("work", [trap])
        with pytest.raises(InvalidParameter, match="no such user"):
            builder.copy("f", to="/x", owner="daemon")


def test_archives_are_unpacked_by_add_only(builder: Builder) -> None:
    inner = build([directory("in"), file("in/a", b"1"), hard_link("b", "in/a")])
    builder.put("context", [file("t.tgz", gzipped(inner)), file("t.tar", inner), file("no.tgz")])
    builder.copy("t.tgz", to="/app/")
    assert "app/t.tgz" in builder.files()
    builder.copy("t.tgz", "no.tgz", to="/unpacked/", unpack=True, keyword="ADD")
    found = builder.files()
    assert {"unpacked/in/a", "unpacked/b", "unpacked/no.tgz"} <= set(found)
    assert "unpacked/t.tgz" not in found


@pytest.mark.parametrize(
    "entries",
    [
        [file("../etc/passwd")],
        [hard_link("h", "../etc/passwd")],
        [hard_link("h", "/../../etc/passwd")],
        [symlink("s", ".."), hard_link("h", "s/nothing-there")],
    ],
)
def test_hostile_archive_is_refused(entries: list, builder: Builder, outside: Path) -> None:
    builder.put("context", [file("t.tar", build(entries))])
    with pytest.raises(BadLayer):
        builder.copy("t.tar", to="/app/", unpack=True)
    assert (outside / "canary").read_bytes() == b"tweet"


@pytest.mark.timeout(30)
def test_pattern_of_many_stars_takes_no_time(builder: Builder) -> None:
    builder.put("context", [file("a" * 250)])
    with pytest.raises(InvalidParameter, match="no source files"):
        builder.copy("*a" * 40 + "*b", to="/x/")
    assert builder.copy("*a" * 40 + "*", to="/x/") >= 1


@pytest.mark.timeout(60)
def test_links_that_lead_back_up_are_not_followed_without_end(builder: Builder) -> None:
    builder.put("context", [symlink(f"l{n}", ".") for n in range(60)])
    with pytest.raises(InvalidParameter, match="more than"):
        builder.copy("*/*/*/*/*/*/*/*", to="/x/")


def test_digest_knows_content_names_and_modes_but_no_times(builder: Builder) -> None:
    entry, data = file("d/x", b"1")
    builder.put("context", [directory("d"), (entry, data)])
    first = builder.digest("d")
    entry.mtime_ns = 7 * 10**9
    builder.put("context", [(entry, data)])
    assert builder.digest("d") == first
    seen = {first}
    for changed in (file("d/x", b"2"), file("d/x", b"2", mode=0o755), file("d/y", b"2"),
                    symlink("d/x", "y")):  # fmt: skip
        builder.put("context", [changed])
        seen.add(builder.digest("d"))
    assert len(seen) == 5


def test_directories_are_made_in_the_image_only(builder: Builder, outside: Path) -> None:
    tree = Tree.stopped(builder.snapshots, "work")
    assert make_directory(tree, "/srv/a/b") is True
    assert make_directory(tree, "/srv/a/b") is False
    builder.put("work", [symlink("out", str(outside))])
    make_directory(tree, "/out/new")
    assert os.listdir(outside) == ["canary"]
    assert stat_path(tree, f"{outside}/new").mode & 0o777 == 0o755
    with pytest.raises(InvalidParameter, match="not a directory"):
        make_directory(tree, "/etc/passwd/x")


def test_devices_and_pipes_block_nobody(builder: Builder) -> None:
    builder.put("context", [node("pipe", tar.FIFO), node("zero", tar.CHARACTER, 1, 5)])
    builder.digest("")
    builder.copy("", to="/app/")
    assert builder.files()["app/zero"].ischr()


def test_excluded_files_are_left_out(builder: Builder) -> None:
    builder.put("context", [directory("d"), file("d/a.py"), file("d/b.pyc"), directory("d/__x"),
                            file("d/__x/c.py")])  # fmt: skip
    builder.copy("d", to="/app/", exclude_regexes=(r"[^/]*\.pyc", "__x"))
    assert {n for n in builder.files() if n.startswith("app/")} == {"app/a.py"}
    builder.copy("d", to="/but/", exclude_regexes=("__x", r".*\.py", "!__x/c.py", "!b.*"))
    assert {n for n in builder.files() if n.startswith("but/")} == {
        "but/b.pyc", "but/__x", "but/__x/c.py",
    }  # fmt: skip


LARGE = b"large" * 100_000


class Linker(Builder):
    """A builder whose copies go onto a layer and may link."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.snapshots.commit("base", "work")
        self.snapshots.prepare("work", "base")

    def copy(self, *patterns: str, to: str, **options: object) -> int:
        directories = map(self.snapshots.directory, ("context", "work"))
        return super().copy(*patterns, to=to, shared=SharedFiles(*directories), **options)

    def inode(self, key: str, path: str) -> int:
        return os.lstat(f"{self.snapshots.directory(key)}/{path}").st_ino


@pytest.fixture
def linker(tmp_path: Path) -> Linker:
    return Linker(tmp_path)


def test_large_file_that_a_copy_leaves_as_it_is_is_linked_once(linker: Linker) -> None:
    linker.put("context", [directory("d"), file("d/large", LARGE), file("d/small", b"x"),
                           symlink("d/again", "large"), symlink("s", "d/large")])  # fmt: skip
    linker.copy("d", "s", to="/app/")
    assert linker.inode("work", "app/large") == linker.inode("context", "d/large")
    assert linker.inode("work", "app/small") != linker.inode("context", "d/small")
    assert linker.inode("work", "app/s") != linker.inode("context", "d/large")
    found = linker.files()
    assert [found[f"app/{name}"].size for name in ("large", "s")] == [len(LARGE)] * 2
    assert all(found[f"app/{name}"].isreg() for name in ("large", "s"))
    assert linker.copy("d/large", to="/second") == 1
    assert linker.inode("work", "second") != linker.inode("context", "d/large")


@pytest.mark.parametrize("option", [{"owner": "7"}, {"mode": "0600"}, {"epoch": 1000}])
def test_large_file_that_a_copy_changes_is_copied(linker: Linker, option: dict) -> None:
    entry, data = file("large", LARGE)
    entry.mtime_ns = 2000 * 10**9
    linker.put("context", [(entry, data)])
    linker.copy("large", to="/app/", **option)
    assert linker.inode("work", "app/large") != linker.inode("context", "large")
    origin = os.stat(f"{linker.snapshots.directory('context')}/large")
    assert (origin.st_uid, origin.st_mode & 0o777, origin.st_mtime) == (0, 0o644, 2000)
    assert linker.files()["app/large"].size == len(LARGE)


def test_linking_keeps_times_of_directories_and_goes_where_links_of_the_image_lead(
    linker: Linker, outside: Path
) -> None:
    timed, _ = directory("d/timed")
    timed.mtime_ns = 3000 * 10**9
    linker.put("context", [file("d/timed/large", LARGE), file("d/sub/large", LARGE), (timed, b"")])
    linker.put("work", [directory("dst"), symlink("dst/sub", str(outside)),
                        directory(str(outside).lstrip("/"))])  # fmt: skip
    linker.copy("d", to="/dst/")
    inside = str(outside).lstrip("/")
    assert linker.inode("work", f"{inside}/large") == linker.inode("context", "d/sub/large")
    assert os.listdir(outside) == ["canary"]
    assert linker.inode("work", "dst/timed/large") == linker.inode("context", "d/timed/large")
    assert linker.files()["dst/timed"].mtime == 3000


def test_what_a_later_source_puts_in_the_place_of_a_large_file_stays(linker: Linker) -> None:
    later = [file("later/x", b"later"), file("later/d", b"no directory"), file("later/e", b"")]
    large = [file("large/x", LARGE), file("large/d/y", LARGE), file("large/e", LARGE)]
    linker.put("context", [*large, *later])
    linker.copy("large", "later", to="/app/")
    found = linker.files()
    assert {name: found[f"app/{name}"].size for name in "xde"} == {"x": 5, "d": 12, "e": 0}


@pytest.mark.parametrize("destination", ["/", "/app", "/app/"])
def test_large_files_of_directories_and_globs_are_linked(linker: Linker, destination: str) -> None:
    linker.put("context", [file("d/s/one", LARGE), file("two", LARGE)])
    linker.copy("d", to=destination)
    linker.copy("t*", to=destination + "/")
    place = destination.strip("/")
    assert linker.inode("work", f"{place}/s/one") == linker.inode("context", "d/s/one")
    assert linker.inode("work", f"{place}/two") == linker.inode("context", "two")
