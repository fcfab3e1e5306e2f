"""Each extraction attack at every door by which a stranger's tar comes in.

The doors: ``load``, ``import``, a build's context, ``ADD`` of an archive, ``cp`` into a container.
An attack is refused, or lands inside; nothing outside is touched, and nothing is left behind.
"""

import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from cutaway.build.solve.origins import OriginStore
from cutaway.errors import CutawayError
from cutaway.images.archives.import_tar import import_tar
from cutaway.images.archives.load import load_images
from cutaway.images.trees.copying import CopyRequest, copy_files
from cutaway.images.trees.tree import Tree, put_archive
from support.attacks import ESCAPES
from support.images import docker_archive
from support.tars import build, directory, file, symlink

ROOT = [directory("./"), directory("etc"), file("etc/passwd", b"root:x:0:0::/:\n")]


@pytest.fixture
def outside(tmp_path: Path):
    """A directory beside the store's; whatever happens it stays as it is."""
    place = tmp_path / "outside"
    place.mkdir()
    (place / "canary").write_bytes(b"tweet")
    before = picture(place)
    yield place
    assert picture(place) == before


def picture(place: Path) -> list:
    found = []
    for path in [place, *place.iterdir()]:
        status = path.lstat()
        found.append((path.name, status.st_mode, status.st_nlink, status.st_mtime_ns))
    return [*found, (place / "canary").read_bytes(), os.listxattr(place)]


def opened(data: bytes) -> int:
    fd = os.memfd_create("tar")
    os.write(fd, data)
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


def load(store, tar: bytes, tmp_path: Path) -> None:
    docker_archive(tmp_path / "archive.tar", "evil:latest", [tar])
    with open(tmp_path / "archive.tar", "rb") as archive:
        load_images(store.images, store.snapshots, archive.read)


def import_(store, tar: bytes, tmp_path: Path) -> None:
    import_tar(store.images, store.snapshots, io.BytesIO(tar).read)


def context(store, tar: bytes, tmp_path: Path) -> None:
    origins = OriginStore(store.snapshots)
    fd = opened(tar)
    try:
        origins.add_archive(fd)
    finally:
        os.close(fd)
        origins.close()


def add(store, tar: bytes, tmp_path: Path) -> None:
    for key, entries in (("context", [file("evil.tar", tar)]), ("work", ROOT)):
        store.snapshots.prepare(key, None)
        put(store, build(entries), key)
    try:
        request = CopyRequest(patterns=("evil.tar",), destination="/a/b/", unpack=True)
        copy_files(
            Tree.stopped(store.snapshots, "work"),
            Tree.of_snapshot(store.snapshots, "context"),
            request,
        )
    finally:
        store.snapshots.remove("context")
        store.snapshots.remove("work")


def put(store, tar: bytes, key: str, path: str = "/") -> None:
    fd = opened(tar)
    try:
        put_archive(Tree.stopped(store.snapshots, key), path, fd)
    finally:
        os.close(fd)


def cp(store, tar: bytes, tmp_path: Path) -> None:
    store.snapshots.prepare("container", None)
    try:
        put(
            store,
            build([*ROOT, directory("a"), directory("a/b"), symlink("out", "/..")]),
            "container",
        )
        put(store, tar, "container", "/a/b")
    finally:
        store.snapshots.remove("container")


DOORS: dict[str, Callable] = {
    "load": load,
    "import": import_,
    "context": context,
    "ADD": add,
    "cp": cp,
}
# A user's own archive has no whiteouts: these are files of odd names there.
_ODD_NAMES = {"whiteout of the directory", "whiteout of the parent", "whiteout of nothing"}
# What begins like no tar is copied by ADD as the file it is.
_NO_TAR = {"root replaced by a file", "path over PATH_MAX"}
HARMLESS = {"context": _ODD_NAMES, "ADD": _ODD_NAMES | _NO_TAR, "cp": _ODD_NAMES}


@pytest.mark.parametrize("attack", ESCAPES)
@pytest.mark.parametrize("door", DOORS)
def test_attack_is_refused_and_leaves_nothing(
    door: str, attack: str, store, outside: Path, tmp_path: Path
) -> None:
    tar = build(ESCAPES[attack](outside))
    if attack in HARMLESS.get(door, ()):
        DOORS[door](store, tar, tmp_path)
    else:
        with pytest.raises(CutawayError):
            DOORS[door](store, tar, tmp_path)
        assert store.images.list() == []
    store.images.collect_garbage(grace_s=0)
    assert store.is_empty()


@pytest.mark.parametrize("door", DOORS)
def test_an_archive_of_this_machine_s_own_tar_passes(door: str, store, tmp_path: Path) -> None:
    """The doors are no walls: what is refused above is refused for what it is."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        info = tarfile.TarInfo("usr/lib/x")
        info.size = 2
        tar.addfile(info, io.BytesIO(b"ok"))
    DOORS[door](store, out.getvalue(), tmp_path)
