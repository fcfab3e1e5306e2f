"""The volume store on a real file system."""

import os
import traceback

import pytest

from cutaway import linux
from cutaway.linux.abi import CLONE, MS
from cutaway.steps import Ledger
from cutaway.volumes import VolumeStore
from cutaway.volumes.errors import (
    InvalidVolumeName,
    UnknownVolumeDriver,
    VolumeInUse,
    VolumeMountFailed,
    VolumeNotFound,
)
from cutaway.volumes.store import create_bind_source


@pytest.fixture
def store(tmp_path) -> VolumeStore:
    return VolumeStore(str(tmp_path / "volumes"))


def test_create_find_list_remove(store: VolumeStore, tmp_path):
    made = store.create("data", labels={"a": "b"})
    assert made.mountpoint == str(tmp_path / "volumes/data/_data")
    assert os.stat(made.mountpoint).st_mode & 0o7777 == 0o755
    assert store.create("data") == made
    assert store.get("data") == made
    anonymous = store.create()
    assert anonymous.anonymous
    assert len(anonymous.name) == 64
    assert VolumeStore(store.root).volumes() == sorted([anonymous, made], key=lambda v: v.name)
    store.remove("data")
    with pytest.raises(VolumeNotFound, match="get data: no such volume"):
        store.get("data")
    with pytest.raises(VolumeNotFound):
        store.remove("data")
    store.remove("data", force=True)


def test_a_volume_in_use_is_kept(store: VolumeStore):
    store.create("data")
    store.reference("data", "c1")
    with pytest.raises(VolumeInUse, match=r"remove data: volume is in use - \[c1\]"):
        store.remove("data")
    assert store.unused() == []
    store.dereference("c1")
    assert [v.name for v in store.unused()] == ["data"]
    store.remove("data")


@pytest.mark.parametrize("name", ["../x", ".trash", "a/b", ".", ""])
def test_no_name_leads_out_of_the_store(store: VolumeStore, name):
    if name:
        with pytest.raises(InvalidVolumeName):
            store.create(name)
    with pytest.raises(VolumeNotFound):
        store.get(name)


def test_unknown_drivers_are_refused(store: VolumeStore):
    with pytest.raises(UnknownVolumeDriver):
        store.create("data", driver="rexray")
    assert store.volumes() == []


def test_removing_follows_no_symlink(store: VolumeStore, tmp_path):
    canary = tmp_path / "canary"
    canary.mkdir()
    (canary / "file").write_text("here")
    volume = store.create("data")
    os.symlink(canary, f"{volume.mountpoint}/link")
    store.remove("data")
    assert (canary / "file").read_text() == "here"


def test_what_a_crash_left_is_deleted_at_the_next_start(store: VolumeStore):
    os.makedirs(f"{store.root}/.trash/old.1234/_data")
    os.makedirs(f"{store.root}/.half.new/_data")
    again = VolumeStore(store.root)
    assert os.listdir(store.root) == [".trash"]
    assert os.listdir(f"{store.root}/.trash") == []
    assert again.volumes() == []


def test_usage_counts_files_once_and_follows_nothing(store: VolumeStore, tmp_path):
    volume = store.create("data")
    (tmp_path / "outside").write_bytes(bytes(5000))
    with open(f"{volume.mountpoint}/a", "wb") as file:
        file.write(bytes(1000))
    os.link(f"{volume.mountpoint}/a", f"{volume.mountpoint}/b")
    os.mkdir(f"{volume.mountpoint}/d")
    with open(f"{volume.mountpoint}/d/c", "wb") as file:
        file.write(bytes(24))
    os.symlink(tmp_path / "outside", f"{volume.mountpoint}/link")
    os.symlink("/", f"{volume.mountpoint}/root")
    assert store.usage_bytes("data") == 1024


def test_a_bind_source_is_made_once(tmp_path):
    ledger = Ledger("engine")
    create_bind_source(str(tmp_path / "a/b"), ledger)
    create_bind_source(str(tmp_path / "a/b"), ledger)
    assert len(ledger.records()) == 1
    assert (tmp_path / "a/b").is_dir()


def in_own_mounts(function):
    """Run in a child with a mount namespace of its own."""
    pid = linux.fork()
    if pid == 0:
        try:
            linux.unshare(CLONE.NEWNS)
            linux.mount(None, "/", None, MS.REC | MS.PRIVATE)
            function()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    assert status == 0


def test_a_volume_that_is_a_mount_is_mounted_for_its_users(store: VolumeStore):
    options = {"type": "tmpfs", "device": "tmpfs", "o": "size=64k,nosuid"}

    def use():
        volume = store.create("mem", options=options)
        ledger = Ledger("engine")
        assert store.mount("mem", "c1", ledger) == volume.mountpoint
        assert store.mount("mem", "c2", ledger) == volume.mountpoint
        assert os.path.ismount(volume.mountpoint)
        store.unmount("c1")
        assert os.path.ismount(volume.mountpoint)
        store.unmount("c2")
        assert not os.path.ismount(volume.mountpoint)
        assert [r.kind for r in ledger.records()] == ["MountVolume"]

    in_own_mounts(use)


def test_a_device_that_is_not_there_is_named(store: VolumeStore):
    def use():
        store.create("disk", options={"type": "ext4", "device": "/dev/nothing"})
        ledger = Ledger("engine")
        with pytest.raises(VolumeMountFailed, match="error while mounting volume 'disk'"):
            store.mount("disk", "c1", ledger)
        store.unmount("c1")

    in_own_mounts(use)
