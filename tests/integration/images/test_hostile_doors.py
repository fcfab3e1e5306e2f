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
from cutaway.client import ApiError
from cutaway.errors import CutawayError
from cutaway.images.archives.import_tar import import_tar
from cutaway.images.archives.load import load_images
from cutaway.images.trees.copying import CopyRequest, copy_files
from cutaway.images.trees.tree import Tree, put_archive
from support.attacks import ESCAPES
from support.images import docker_archive
from support.tars import build, directory, file, symlink
from support.waiting import eventually

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


# The same by the engine's API


def post(engine, path: str, tar: bytes, **query: str) -> str:
    """Send a tar; return the error that the answer or its stream ends with, or nothing."""
    headers = {"Content-Type": "application/x-tar"}
    try:
        response = engine.client.request("POST", path, query=query, body=tar, headers=headers)
        return "".join(document.get("error", "") for document in response.documents())
    except ApiError as error:
        return str(error)


def load_by_api(engine, tar: bytes, tmp_path: Path) -> str:
    docker_archive(tmp_path / "archive.tar", "evil:latest", [tar])
    return post(engine, "/images/load", (tmp_path / "archive.tar").read_bytes())


def import_by_api(engine, tar: bytes, tmp_path: Path) -> str:
    return post(engine, "/images/create", tar, fromSrc="-", repo="evil")


def context_by_api(engine, tar: bytes, tmp_path: Path) -> str:
    dockerfile = build([file("Dockerfile", b"FROM scratch\nCOPY . /\n")])
    return post(engine, "/build", dockerfile[: -2 * 512] + tar, t="evil")


def add_by_api(engine, tar: bytes, tmp_path: Path) -> str:
    dockerfile = b"FROM scratch\nADD evil.tar /a/b/\n"
    files = [file("Dockerfile", dockerfile), file("evil.tar", tar)]
    return post(engine, "/build", build(files), t="evil")


def cp_by_api(engine, tar: bytes, tmp_path: Path) -> str:
    victim = engine.client.post("/containers/create", {"Image": "busybox"})["Id"]
    path = f"/containers/{victim}/archive"
    place = build([directory("a"), directory("a/b"), symlink("out", "/..")])
    try:
        engine.client.request("PUT", path, query={"path": "/"}, body=place).read()
        engine.client.request("PUT", path, query={"path": "/a/b"}, body=tar).read()
    except ApiError as error:
        return str(error)
    finally:
        engine.client.delete(f"/containers/{victim}")
    return ""


DOORS_BY_API: dict[str, Callable] = {
    "load": load_by_api,
    "import": import_by_api,
    "context": context_by_api,
    "ADD": add_by_api,
    "cp": cp_by_api,
}
# A build refuses to make a layer of the odd names.
HARMLESS_BY_API = {"ADD": _NO_TAR, "cp": _ODD_NAMES}


@pytest.mark.parametrize("door", DOORS_BY_API)
def test_every_attack_by_the_engines_own_door(door: str, engine, tmp_path: Path) -> None:
    outside = engine.data_root / "outside"
    outside.mkdir(exist_ok=True)
    (outside / "canary").write_bytes(b"tweet")
    untouched, before = picture(outside), engine.image_files()
    for name, attack in ESCAPES.items():
        said = DOORS_BY_API[door](engine, build(attack(outside)), tmp_path)
        assert bool(said) is (name not in HARMLESS_BY_API.get(door, ())), (name, said)
        assert "Traceback" not in said
        assert picture(outside) == untouched, name
    engine.docker("rmi", "evil", check=False)
    engine.docker("image", "prune", "-f")
    engine.client.post("/build/prune", all="1")
    eventually(lambda: engine.image_files() == before)
