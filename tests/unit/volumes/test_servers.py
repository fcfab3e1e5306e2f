"""Volumes on a server: whose address is looked up, and what is said when it fails."""

import errno
import socket

import pytest

from cutaway.linux import KernelError
from cutaway.volumes.errors import ServerUnknown
from cutaway.volumes.local.servers import explain_failure, look_up, resolve_server
from cutaway.volumes.local.steps import MountDisk, MountVolume

NAMES = {"filer": "10.0.0.9", "10.0.0.9": "10.0.0.9", "fd00::9": "fd00::9"}


def mount(fstype="nfs", device=":/x", data=""):
    return MountVolume(why="", device=device, target="/v/_data", fstype=fstype, flags=0, data=data)


@pytest.mark.parametrize(
    ("step", "data"),
    [
        (mount(data="soft,addr=filer,vers=4"), "soft,vers=4,addr=10.0.0.9"),
        (mount(data="addr=10.0.0.9"), "addr=10.0.0.9"),
        (mount(device="filer:/x", data="vers=4"), "vers=4,addr=10.0.0.9"),
        (mount(device="[fd00::9]:/x"), "addr=fd00::9"),
        (mount("cifs", "//filer/share", "username=me"), "username=me,addr=10.0.0.9"),
        (mount(device=":/x", data="vers=4"), "vers=4"),
        (mount("tmpfs", "filer:/x", "addr=filer"), "addr=filer"),
    ],
)
def test_the_server_is_named_by_its_address(step, data):
    resolved = resolve_server(step, NAMES.__getitem__)
    assert isinstance(resolved, MountVolume)
    assert resolved.data == data


def test_a_disk_has_no_server():
    disk = MountDisk(why="", path="/v/disk.ext4", target="/v/_data")
    assert resolve_server(disk, NAMES.__getitem__) is disk


def test_an_address_of_version_4_comes_first(monkeypatch):
    found = [
        (socket.AF_INET6, 0, 0, "", ("fd00::9", 0, 0, 0)),
        (socket.AF_INET, 0, 0, "", ("10.0.0.9", 0)),
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    assert look_up("filer") == "10.0.0.9"


def test_a_name_that_nobody_knows_is_said(monkeypatch):
    def refuse(*_, **__):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    with pytest.raises(ServerUnknown, match="address: lookup filer: Name or service not known"):
        look_up("filer")


@pytest.mark.parametrize(
    ("step", "number", "sentence"),
    [
        (
            mount(data="vers=4,addr=10.0.0.9"),
            errno.ECONNREFUSED,
            "failed to mount local volume: mount :/x (nfs): no server answers at 10.0.0.9: "
            "connection refused",
        ),
        (
            mount(data="addr=10.0.0.9"),
            errno.ECONNREFUSED,
            "failed to mount local volume: mount :/x (nfs): no server answers at 10.0.0.9 (by "
            "version 3, as o= says no vers=4): connection refused",
        ),
        (
            mount(data="addr=10.0.0.9"),
            errno.EACCES,
            "failed to mount local volume: mount :/x (nfs): the server 10.0.0.9 does not give it "
            "to this host: permission denied",
        ),
        (
            mount("zfs", "pool"),
            errno.ENODEV,
            "failed to mount local volume: mount pool (zfs): this kernel has no file system zfs",
        ),
        (mount("cifs", "//f/s", "password=a"), errno.EINVAL, "mount(…): Invalid argument"),
        (mount("ext4", "/dev/x"), errno.ENOENT, "mount(…): No such file or directory"),
    ],
)
def test_why_it_failed(step, number, sentence):
    assert explain_failure(step, KernelError(number, "mount(…)")) == sentence


def test_a_password_is_told_to_nobody():
    error = KernelError(errno.EINVAL, 'mount("//f/s", "cifs", 0, "username=me,password=secret,ro")')
    assert "username=me,password=********,ro" in explain_failure(mount("cifs", "//f/s"), error)
