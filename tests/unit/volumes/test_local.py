"""The local driver's options."""

import pytest

from cutaway.errors import InvalidParameter
from cutaway.linux.abi import MS
from cutaway.volumes.errors import InvalidVolumeName
from cutaway.volumes.local import VolumeMount, check_volume_name, plan_local_mount


@pytest.mark.parametrize("name", ["a1", "Data.v1_x-2", "f" * 64])
def test_names(name):
    assert check_volume_name(name) == name


@pytest.mark.parametrize("name", ["", "a", ".a", "a/b", "-a", "a b", "..", "a\n", "é1", "a" * 256])
def test_bad_names(name):
    with pytest.raises(InvalidVolumeName, match="(includes invalid characters|too short)"):
        check_volume_name(name)


def test_a_plain_volume_is_no_mount():
    assert plan_local_mount({}) is None


def test_mounts():
    nfs = {"type": "nfs", "device": ":/x", "o": "addr=10.0.0.1,ro,nosuid,rw,vers=4"}
    assert plan_local_mount(nfs) == VolumeMount(
        fstype="nfs", device=":/x", flags=int(MS.NOSUID), data="addr=10.0.0.1,vers=4"
    )
    bind = {"type": "none", "device": "/srv", "o": "bind"}
    assert plan_local_mount(bind) == VolumeMount(
        fstype="", device="/srv", flags=int(MS.BIND), data=""
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"foo": "x"}, 'invalid option: "foo"'),
        ({"type": "tmpfs"}, 'missing required option: "device"'),
        ({"device": "/srv"}, 'missing required option: "type"'),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(InvalidParameter, match=message):
        plan_local_mount(options)
