"""Ten gigabytes of zeros in ten megabytes: no process may grow with them."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from isal import igzip

from cutaway.images.layers.errors import DiffIdMismatch, DiskFloor
from support.hostile_registry import LAYER_TYPE, described, make_image
from support.tars import END, raw_entry

MEMBER_BYTES = 64 << 20
MEMBERS = 160  # of 64 MiB: ten GiB
RSS_LIMIT_BYTES = 200 << 20


def bomb(*, in_a_file: bool) -> bytes:
    """Return a gzip stream of zeros: the content of one file, or padding behind the tar's end."""
    size = MEMBER_BYTES * MEMBERS
    head = raw_entry(b"0", name=b"zeros", size=b"\x80" + size.to_bytes(11, "big"))
    zeros = igzip.compress(bytes(MEMBER_BYTES), 3)
    return igzip.compress(head if in_a_file else END) + zeros * MEMBERS


def peak_bytes(pid: int) -> int:
    """Return the most memory that a process has had."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(x.split()[1]) * 1024 for x in lines if x.startswith("VmHWM")), 0)


def workers() -> Iterator[int]:
    for entry in Path("/proc").iterdir():
        try:
            if (entry / "cmdline").read_bytes().startswith(b"cutaway: images"):
                yield int(entry.name)
        except (OSError, ValueError):
            continue


@pytest.fixture
def peak():
    """Watch every worker; gives a function that returns the largest."""
    ended, largest = threading.Event(), [0]

    def watch() -> None:
        while not ended.wait(0.02):  # polling until the test ends
            largest[0] = max(largest[0], *(peak_bytes(pid) for pid in workers()), 0)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    yield lambda: largest[0]
    ended.set()
    thread.join()


def serve(registry, packed: bytes, diff_id: str) -> None:
    image = make_image(layers=0)
    descriptor = described(packed, LAYER_TYPE + "+gzip")
    image.blobs[descriptor["digest"]] = packed
    image.manifest["layers"] = [descriptor]
    image.config["rootfs"]["diff_ids"] = [diff_id]
    registry.put(image)


def test_ten_gigabytes_behind_a_layers_end_take_no_memory(store, registry, peak) -> None:
    serve(registry, bomb(in_a_file=False), "sha256:" + "0" * 64)
    with pytest.raises(DiffIdMismatch):
        store.pull(f"{registry.address}/app")
    assert 0 < peak() < RSS_LIMIT_BYTES
    assert store.is_empty()


def test_ten_gigabytes_in_a_file_stop_at_the_disks_floor(
    store, registry, peak, monkeypatch
) -> None:
    """As if the disk had a gigabyte above its floor: the floor is raised, the disk is spared."""
    state = os.statvfs(store.root)
    floor = state.f_bavail * state.f_frsize - (1 << 30)
    monkeypatch.setattr("cutaway.images.layers.unpack.free_space_floor", lambda directory: floor)
    serve(registry, bomb(in_a_file=True), "sha256:" + "0" * 64)
    with pytest.raises(DiskFloor, match="no space left on device"):
        store.pull(f"{registry.address}/app")
    assert 0 < peak() < RSS_LIMIT_BYTES
    assert store.is_empty()
