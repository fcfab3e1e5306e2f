"""``volume export|import|clone|snapshot``: what was there is there again, all of it."""

import io
import os
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.engine import EngineUnderTest
from support.waiting import eventually

HOLE = 64 << 20


@pytest.fixture
def engine(module_engine: EngineUnderTest) -> Iterator[EngineUnderTest]:
    """An engine with the volume ``data``, which has one of everything in it."""
    module_engine.docker("volume", "create", "--label", "kept=yes", "data")
    fill(content(module_engine, "data"))
    yield module_engine
    module_engine.remove_containers()
    for name in module_engine.docker("volume", "ls", "-q").stdout.split():
        module_engine.docker("volume", "rm", "-f", name)


def content(engine: EngineUnderTest, name: str) -> Path:
    return Path(engine.client.get(f"/volumes/{name}")["Mountpoint"])


def fill(root: Path) -> None:
    (root / "a").mkdir(mode=0o750)
    (root / "a" / "file").write_text("text\n")
    os.link(root / "a" / "file", root / "twin")
    (root / "link").symlink_to("/etc/passwd")
    os.mkfifo(root / "pipe", 0o640)
    with open(root / "holes", "wb") as file:
        file.truncate(HOLE)
        file.seek(HOLE // 2)
        file.write(b"x" * 5000)
    os.setxattr(root / "a" / "file", "user.note", b"kept")
    os.chown(root / "a", 1000, 1001)
    os.chown(root / "link", 5, 6, follow_symlinks=False)
    os.chmod(root / "holes", 0o4711)
    os.utime(root / "a" / "file", ns=(1, 123_456_789_012))
    os.chmod(root, 0o1777)
    os.utime(root / "a", ns=(1, 2_000_000_001))


def picture(root: Path) -> dict[str, object]:
    """Everything about a tree that a copy must keep."""
    found: dict[str, object] = {}
    for path in (root, *sorted(root.rglob("*"))):
        info = path.lstat()
        facts: list[object] = [oct(info.st_mode), info.st_uid, info.st_gid, info.st_nlink]
        if path.is_symlink():
            facts.append(os.readlink(path))
        elif path.is_file():
            facts += [info.st_mtime_ns, path.read_bytes(), info.st_blocks < 1000]
            facts.append({name: os.getxattr(path, name) for name in os.listxattr(path)})
        found[str(path.relative_to(root))] = facts
    return found


def same(engine: EngineUnderTest, name: str) -> bool:
    return picture(content(engine, name)) == picture(content(engine, "data"))


def test_export_and_import_are_one_another_reversed(engine: EngineUnderTest) -> None:
    archive = engine.directory / "data.tar"
    engine.cutaway("volume", "export", "-o", str(archive), "data")
    assert archive.stat().st_size < 1 << 20  # the hole is not in it
    names = subprocess.run(["tar", "-tf", archive], capture_output=True, text=True, check=True)
    assert {"./", "a/", "a/file", "holes", "link", "pipe", "twin"} == set(names.stdout.split())
    assert engine.cutaway("volume", "import", "again", str(archive)).stdout == "again\n"
    assert same(engine, "again")
    (engine.directory / "untarred").mkdir()
    subprocess.run(["tar", "-xf", archive, "-C", engine.directory / "untarred"], check=True)
    assert (engine.directory / "untarred" / "holes").stat().st_size == HOLE
    with open(archive, "rb") as file:
        engine.cutaway("volume", "import", "piped", stdin=file)
    assert same(engine, "piped")
    exported = engine.cutaway("volume", "export", "piped", text=False).stdout
    assert exported == archive.read_bytes()  # type: ignore[comparison-overlap]


def test_what_can_not_be_imported_leaves_nothing(engine: EngineUnderTest) -> None:
    archive = engine.directory / "evil.tar"
    with tarfile.open(archive, "w") as tar:
        tar.addfile(tarfile.TarInfo("fine"))
        tar.addfile(tarfile.TarInfo("../../../escaped"), io.BytesIO())
    refused = engine.cutaway("volume", "import", "evil", str(archive), check=False)
    assert refused.returncode == 1
    assert "leaves the root directory" in refused.stderr
    archive.write_bytes(archive.read_bytes()[:700])
    assert "cut short" in engine.cutaway("volume", "import", "e2", str(archive), check=False).stderr
    taken = engine.cutaway("volume", "import", "data", str(archive), check=False)
    assert "create data: a volume of this name exists already" in taken.stderr
    assert engine.docker("volume", "ls", "-q").stdout == "data\n"
    assert not list(engine.data_root.glob("**/escaped"))
    small = engine.cutaway("volume", "export", "data", text=False).stdout
    archive.write_bytes(small)  # type: ignore[arg-type]
    engine.cutaway("volume", "import", "-o", "size=4m", "small", str(archive))
    seen = engine.docker("run", "--rm", "-v", "small:/x", "busybox", "cat", "/x/a/file").stdout
    assert seen == "text\n"


def test_clones_and_snapshots(engine: EngineUnderTest) -> None:
    assert engine.cutaway("volume", "clone", "data", "twin").stdout == "twin\n"
    assert same(engine, "twin")
    assert engine.client.get("/volumes/twin")["Labels"] == {"kept": "yes"}
    taken = engine.cutaway("volume", "snapshot", "data", "monday")
    assert (taken.stdout, taken.stderr) == ("data@monday\n", "")
    (content(engine, "data") / "later").touch()
    (listed,) = engine.client.get("/volumes/data")["Status"]["Snapshots"]
    assert (listed["Name"], listed["Writers"]) == ("data@monday", "")
    engine.cutaway("volume", "clone", "data@monday", "restored")
    assert picture(content(engine, "restored")) == picture(content(engine, "twin"))
    assert engine.cutaway("volume", "export", "data@monday").stdout
    for words, message in (
        (("clone", "data", "twin"), "a volume of this name exists already"),
        (("clone", "nope", "new"), "get nope: no such volume"),
        (("clone", "data@never", "new"), "get data@never: no such volume"),
        (("clone", "data", "a/b"), "includes invalid characters"),
        (("snapshot", "data", "monday"), "create data@monday: a volume of this name exists"),
        (("snapshot", "data", "../x"), "includes invalid characters"),
        (("snapshot", "nope", "x1"), "get nope: no such volume"),
        (("rm", "data"), "remove data: volume has snapshots - [data@monday]"),
    ):
        refused = engine.cutaway("volume", *words, check=False)
        assert refused.returncode == 1
        assert message in refused.stderr
    used = engine.docker("run", "--rm", "-v", "data@monday:/x", "busybox", "true", check=False)
    assert "includes invalid characters" in used.stderr
    engine.cutaway("volume", "rm", "data@monday")
    assert "Snapshots" not in (engine.client.get("/volumes/data").get("Status") or {})
    engine.cutaway("volume", "rm", "data")


def test_writers_are_named_or_held_still(engine: EngineUnderTest) -> None:
    words = ("while :; do date > /d/now; done",)
    engine.docker("run", "-d", "--name", "web", "-v", "data:/d", "busybox", "sh", "-c", *words)
    warned = engine.cutaway("volume", "snapshot", "data", "live")
    assert "WARNING: web could write to data meanwhile" in warned.stderr
    quiet = engine.cutaway("volume", "snapshot", "--pause", "data", "still")
    assert quiet.stderr == ""
    assert engine.client.get("/containers/web/json")["State"]["Status"] == "running"
    assert "being copied" not in engine.docker("rm", "-f", "web").stderr


def test_a_dead_engine_leaves_no_half_copy_and_nobody_paused(engine: EngineUnderTest) -> None:
    engine.docker("run", "-d", "--name", "web", "-v", "data:/d", "busybox", "sleep", "1000")
    big = content(engine, "data") / "big"
    big.write_bytes(os.urandom(1 << 20) * 256)
    for command in (("snapshot", "--pause", "data", "half"), ("clone", "--pause", "data", "half")):
        copying = engine.host.popen(
            [*engine.our_command, "volume", *command],
            env=engine.environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        eventually(lambda: list((engine.data_root / "volumes").glob("**/big"))[1:])
        engine.kill()
        copying.wait()
        engine.start()
        assert engine.client.get("/containers/web/json")["State"]["Status"] == "running"
        assert engine.docker("volume", "ls", "-q").stdout == "data\n"
        assert list((engine.data_root / "volumes").glob("**/big")) == [big]
        assert not list((engine.data_root / "volumes/data/snapshots").glob("*"))


def test_a_clone_shares_its_blocks_where_the_file_system_can(tmp_path: Path) -> None:
    """The data root is an xfs, which has reflinks."""
    disk = tmp_path / "disk"
    with open(disk, "wb") as file:
        file.truncate(400 << 20)
    engine = EngineUnderTest()
    try:
        engine.host.run("mkfs.xfs", "-q", str(disk))
        engine.data_root.mkdir()
        engine.host.run("mount", "-o", "loop", str(disk), str(engine.data_root))
        engine.start()
        engine.docker("volume", "create", "data")
        name = engine.data_root / "volumes/data/_data/big"
        engine.host.run("dd", "if=/dev/urandom", f"of={name}", "bs=1M", "count=64", "conv=fsync")
        before = used_bytes(engine)
        engine.cutaway("volume", "clone", "data", "twin")
        engine.host.run("sync", "-f", str(engine.data_root))
        engine.host.run("cmp", str(name), str(name).replace("/data/_data", "/twin/_data"))
        assert used_bytes(engine) - before < 16 << 20
    finally:
        engine.stop()
        engine.host.run("umount", "-l", str(engine.data_root), check=False)
        engine.close()


def used_bytes(engine: EngineUnderTest) -> int:
    line = engine.host.run("df", "--output=used", "-B1", str(engine.data_root)).stdout
    return int(line.splitlines()[1])
