"""The local driver's options."""

import pytest

from cutaway.errors import InvalidParameter
from cutaway.linux.abi import MS
from cutaway.volumes.errors import InvalidVolumeName
from cutaway.volumes.local.driver import DISK, plan_creation, plan_mount, plan_removal
from cutaway.volumes.local.options import (
    LocalPlan,
    VolumeMount,
    check_volume_name,
    parse_size,
    plan_local,
)
from cutaway.volumes.local.steps import FormatDisk, LiftQuota, LimitByQuota, MountDisk
from cutaway.volumes.volume import Volume


@pytest.mark.parametrize("name", ["a1", "Data.v1_x-2", "f" * 64])
def test_names(name):
    assert check_volume_name(name) == name


@pytest.mark.parametrize("name", ["", "a", ".a", "a/b", "-a", "a b", "..", "a\n", "é1", "a" * 256])
def test_bad_names(name):
    with pytest.raises(InvalidVolumeName, match="(includes invalid characters|too short)"):
        check_volume_name(name)


def test_a_plain_volume_is_no_mount():
    assert plan_local({}) == LocalPlan()


def test_mounts():
    nfs = {"type": "nfs", "device": ":/x", "o": "addr=10.0.0.1,ro,nosuid,rw,vers=4"}
    assert plan_local(nfs).mount == VolumeMount(
        fstype="nfs", device=":/x", flags=int(MS.NOSUID), data="addr=10.0.0.1,vers=4"
    )
    bind = {"type": "none", "device": "/srv", "o": "bind"}
    assert plan_local(bind).mount == VolumeMount(
        fstype="", device="/srv", flags=int(MS.BIND), data=""
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"foo": "x"}, 'invalid option: "foo"'),
        ({"type": "tmpfs"}, 'missing required option: "device"'),
        ({"device": "/srv"}, 'missing required option: "type"'),
        ({"size": "a lot"}, "invalid size: 'a lot'"),
        ({"size": "1k"}, "the smallest volume has 2 MiB"),
        ({"size": "1g", "type": "tmpfs", "device": "tmpfs"}, "size limits a directory"),
        ({"access": "all"}, 'invalid access "all": the only one is single-writer'),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(InvalidParameter, match=message):
        plan_local(options)


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [
        ("2097152", 2 << 20),
        ("10m", 10 << 20),
        ("1.5G", 3 << 29),
        ("1TiB", 1 << 40),
        ("5gb", 5 << 30),
    ],
)
def test_sizes(text, size_bytes):
    assert parse_size(text) == size_bytes


def volume(**facts):
    return Volume(
        name="data",
        driver="local",
        mountpoint="/v/data/_data",
        created_at="",
        options={"size": "10m"},
        **facts,
    )


def test_a_size_is_a_quota_where_the_file_system_has_them():
    limited = volume(project=7)
    assert plan_creation(limited, "/v/.data.new") == [
        LimitByQuota(
            why="volume data: size", path="/v/.data.new/_data", project=7, size_bytes=10 << 20
        )
    ]
    assert plan_mount(limited) is None
    assert plan_removal(limited, "/v") == [LiftQuota(why="volume rm data", path="/v", project=7)]


def test_a_size_is_a_disk_elsewhere():
    limited = volume(has_disk=True)
    (step,) = plan_creation(limited, "/v/.data.new")
    assert isinstance(step, FormatDisk)
    assert (step.path, step.size_bytes) == (f"/v/.data.new/{DISK}", 10 << 20)
    assert plan_mount(limited) == MountDisk(
        why="volume data: size", path=f"/v/data/{DISK}", target="/v/data/_data"
    )
    assert plan_removal(limited, "/v") == []
