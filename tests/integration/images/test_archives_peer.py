"""dockerd loads what we save, and we load what it saves, old form and new."""

import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from cutaway.images.archives.load import load_images
from cutaway.images.archives.save import save_images
from cutaway.images.snapshots import Snapshots
from cutaway.images.store import ImageStore
from support.images import docker_archive
from support.peer import Dockerd
from support.tars import build, directory, file, hard_link

pytestmark = pytest.mark.peer


@pytest.fixture(scope="module")
def dockerd() -> Iterator[Dockerd]:
    peer = Dockerd()
    try:
        yield peer.start()  # type: ignore[misc]
    finally:
        peer.close()


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    return ImageStore(str(tmp_path), Snapshots(str(tmp_path / "snapshots")))


def test_images_go_to_dockerd_and_back(dockerd: Dockerd, store: ImageStore, tmp_path: Path) -> None:
    layers = [
        build([directory("./"), file("etc/a", b"1"), hard_link("b", "etc/a")]),
        build([file("etc/.wh.a", b""), file("c", b"2" * 5000)]),
    ]
    docker_archive(tmp_path / "in.tar", "to/dockerd:1", layers)
    snapshots: Snapshots = store.snapshots  # type: ignore[assignment]
    load_images(store, snapshots, io.BytesIO((tmp_path / "in.tar").read_bytes()).read)
    image = store.resolve("to/dockerd:1")
    out = bytearray()
    save_images(store, ["to/dockerd:1"], out.extend)
    (tmp_path / "out.tar").write_bytes(out)

    said = dockerd.docker("load", "-i", str(tmp_path / "out.tar"))
    assert "Loaded image: to/dockerd:1" in str(said.stdout if hasattr(said, "stdout") else said)
    dockerd.docker("tag", "to/dockerd:1", "back/again:2")
    dockerd.docker("save", "-o", str(tmp_path / "back.tar"), "back/again:2", "to/dockerd:1")
    with tarfile.open(tmp_path / "back.tar") as tar:
        described = json.load(tar.extractfile("manifest.json"))  # type: ignore[arg-type]
    assert len(described) == 1

    loaded = load_images(store, snapshots, io.BytesIO((tmp_path / "back.tar").read_bytes()).read)
    assert {str(line) for line in loaded} == {
        "Loaded image: to/dockerd:1",
        "Loaded image: back/again:2",
    }
    assert store.resolve("back/again:2").id == image.id
