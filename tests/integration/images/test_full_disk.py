"""A disk that fills up: one sentence, nothing left, and removing always works."""

import subprocess

import pytest

from cutaway.errors import System
from support.hostile_registry import make_image


@pytest.fixture
def small_disk(tmp_path, request):
    """Mount a tmpfs of 8 MiB below the test's directory."""
    target = tmp_path / "disk"
    target.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "none", str(target)], check=True)
    yield target
    subprocess.run(["umount", "-l", str(target)], check=True)


def test_a_pull_onto_a_full_disk(small_disk, registry, store):
    small = type(store)(small_disk)
    registry.put(make_image(size=1000), name="little")
    small.pull(f"{registry.address}/little")
    before = small.blobs()
    registry.put(make_image(layers=4, size=3_000_000, salt="big"))

    with pytest.raises(System, match="no space left on device|free space"):
        small.pull(f"{registry.address}/app")

    assert small.blobs() == before
    assert small.partial() == []
    small.open()
    assert [n.familiar for i in small.images.list() for n in i.names] == [
        f"{registry.address}/little:latest"
    ]
    (small_disk / "filler").write_bytes(b"x" * 1000)
    small.images.remove(f"{registry.address}/little")
    assert small.blobs() == set()
