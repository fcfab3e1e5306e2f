"""``-v``, ``--mount``, ``--tmpfs``, ``--volumes-from`` as mount points, and Docker's texts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cutaway.errors import CutawayError, InvalidParameter
from cutaway.volumes import (
    BindOptions,
    MountKind,
    MountPoint,
    MountRequest,
    TmpfsOptions,
    VolumeOptions,
    merge_mount_points,
    parse_binds,
    parse_mounts,
    parse_tmpfs,
    parse_volumes_from,
)
from cutaway.volumes.errors import DuplicateMountPoint


def bind(text, **options) -> MountPoint:
    (point,) = parse_binds([text], **options)
    return point


def mount(path_exists=lambda path: True, **request) -> MountPoint:
    (point,) = parse_mounts([MountRequest(**request)], path_exists=path_exists)
    return point


def test_a_bind():
    assert bind("/src/:/dst:ro,z") == MountPoint(
        kind=MountKind.BIND,
        source="/src",
        destination="/dst",
        read_write=False,
        mode="ro,z",
        propagation="rprivate",
        create_source=True,
        relabel="z",
    )
    assert bind("/a:/b:rslave").propagation == "rslave"
    assert bind("/a:/b:rw,idmap").id_mapped
    assert bind("/a:/b:U,z").chown
    ranges = bind("/a:/b:idmap=uids=0-1000-10#20-5-1;gids=7-8-1")
    assert (ranges.id_mapped, ranges.id_ranges) == (True, "uids=0-1000-10#20-5-1;gids=7-8-1")
    assert bind("/a://b//c/../d/").destination == "/b/d"


def test_a_volume():
    assert bind("data:/dst") == MountPoint(
        kind=MountKind.VOLUME, name="data", destination="/dst", copy_up=True
    )
    assert not bind("data:/dst:nocopy").copy_up
    assert bind("data:/dst", volume_driver="nfs").driver == "nfs"
    assert bind("/dst") == MountPoint(kind=MountKind.VOLUME, destination="/dst", copy_up=True)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "invalid volume specification: ''"),
        (":/dst", "invalid volume specification: ':/dst'"),
        ("/a:/b:ro:x", "invalid volume specification: '/a:/b:ro:x'"),
        ("/dst:ro", "invalid volume specification: '/dst:ro'"),
        ("/a:/b:xyz", "invalid mode: xyz"),
        ("/a:/b:ro,rw", "invalid mode: ro,rw"),
        (
            "/a:b",
            "invalid volume specification: '/a:b': invalid mount config for type \"bind\": "
            "invalid mount path: 'b' mount path must be absolute",
        ),
        (
            "/a:/",
            "invalid volume specification: '/a:/': invalid mount config for type \"bind\": "
            "invalid specification: destination can't be '/'",
        ),
        ("data:/b:shared", "invalid propagation mode: shared"),
        ("a/b:/c", '"a/b" includes invalid characters for a local volume name'),
        ("/a:/b:nocopy", "nocopy"),
        ("/a:/b:idmap=uids=0-1", "invalid idmap 'uids=0-1'"),
        ("/a:/b:idmap=uids=0-1-0", "invalid idmap"),
        ("/a:/b:idmap=uids=0-1-1;uids=0-1-1", "invalid idmap"),
        ("/a:/b:U,U", "invalid mode: U,U"),
    ],
)
def test_bad_binds(text, message):
    with pytest.raises(InvalidParameter) as refused:
        parse_binds([text])
    assert message in str(refused.value)


def test_mounts():
    options = BindOptions(propagation="rshared", non_recursive=True)
    assert mount(
        type="bind", source="/a", target="/b/", read_only=True, bind=options
    ) == MountPoint(
        kind=MountKind.BIND,
        source="/a",
        destination="/b",
        read_write=False,
        propagation="rshared",
        non_recursive=True,
    )
    volume = VolumeOptions(no_copy=True, labels={"a": "b"}, subpath="x/y")
    point = mount(type="volume", source="data", target="/b", volume=volume)
    assert (point.name, point.copy_up, point.labels, point.subpath) == (
        "data",
        False,
        {"a": "b"},
        "x/y",
    )
    tmpfs = TmpfsOptions(size_bytes=65536, mode=0o700, options=(("exec",), ("nr_inodes", "10")))
    assert mount(type="tmpfs", target="/t", tmpfs=tmpfs).tmpfs_options == (
        "nosuid",
        "nodev",
        "exec",
        "nr_inodes=10",
        "mode=700",
        "size=65536",
    )
    assert mount(type="image", source="busybox", target="/i").read_write is False


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"type": "x", "target": "/b"}, 'invalid mount config for type "x": mount type unknown'),
        ({"type": "bind", "source": "/a"}, "field Target must not be empty"),
        ({"type": "bind", "target": "/b"}, "field Source must not be empty"),
        ({"type": "bind", "source": "/a", "target": "/"}, "destination can't be '/'"),
        ({"type": "bind", "source": "a", "target": "/b"}, "mount path must be absolute"),
        ({"type": "tmpfs", "source": "a", "target": "/b"}, "field Source must not be specified"),
        (
            {"type": "bind", "source": "/a", "target": "/b", "volume": VolumeOptions()},
            "field VolumeOptions must not be specified",
        ),
        (
            {"type": "volume", "target": "/b", "read_only": True},
            "must not set ReadOnly mode when using anonymous volumes",
        ),
        (
            {
                "type": "volume",
                "source": "data",
                "target": "/b",
                "volume": VolumeOptions(subpath="../x"),
            },
            "relative path within the volume",
        ),
        (
            {
                "type": "bind",
                "source": "/a",
                "target": "/b",
                "bind": BindOptions(read_only_force_recursive=True),
            },
            "ReadOnlyForceRecursive",
        ),
        (
            {"type": "tmpfs", "target": "/b", "tmpfs": TmpfsOptions(options=(("evil",),))},
            "invalid tmpfs option 'evil'",
        ),
    ],
)
def test_bad_mounts(request_, message):
    with pytest.raises(InvalidParameter) as refused:
        mount(**request_)
    assert message in str(refused.value)


def test_a_missing_bind_source():
    with pytest.raises(InvalidParameter) as refused:
        mount(path_exists=lambda path: False, type="bind", source="/x", target="/b")
    assert str(refused.value) == (
        'invalid mount config for type "bind": bind source path does not exist: /x'
    )
    made = mount(
        path_exists=lambda path: False,
        type="bind",
        source="/x",
        target="/b",
        bind=BindOptions(create_mountpoint=True),
    )
    assert made.create_source


def test_one_place_twice():
    with pytest.raises(DuplicateMountPoint, match="Duplicate mount point: /b"):
        parse_binds(["/a:/b", "/c:/b/"])
    with pytest.raises(DuplicateMountPoint, match="Duplicate mount point: /b"):
        merge_mount_points(binds=parse_binds(["/a:/b"]), tmpfs=parse_tmpfs({"/b": ""}))


def test_tmpfs():
    (point,) = parse_tmpfs({"/run": "size=64k,exec,ro"})
    assert point.tmpfs_options == ("nosuid", "nodev", "size=64k", "exec", "ro")
    assert not point.read_write
    with pytest.raises(InvalidParameter, match="invalid tmpfs option"):
        parse_tmpfs({"/run": "size"})


def test_volumes_from():
    assert parse_volumes_from(["web", "db:ro,z"]) == (("web", "rw"), ("db", "ro,z"))
    for bad in ("", "web:xyz", "web:nocopy", "web:rshared"):
        with pytest.raises(InvalidParameter):
            parse_volumes_from([bad])


def test_the_most_explicit_wins_and_parents_come_first():
    (inherited,) = parse_binds(["shared:/data/deep"])
    points = merge_mount_points(
        inherited=[(inherited, "ro"), (bind("old:/etc/x"), "rw")],
        binds=parse_binds(["/new:/etc/x"]),
        image_volumes=["/data", "/data/deep/", "/etc/x"],
    )
    assert [(p.destination, p.kind, p.name or p.source, p.read_write) for p in points] == [
        ("/data", MountKind.VOLUME, "", True),
        ("/data/deep", MountKind.VOLUME, "shared", False),
        ("/etc/x", MountKind.BIND, "/new", True),
    ]
    assert [p.from_image for p in points] == [True, False, False]


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("/a:/b", ["rbind", "rw", "rprivate"]),
        ("/a:/b:ro", ["rbind", "rro", "rprivate"]),
        ("/a:/b:shared,idmap", ["rbind", "rw", "shared", "idmap-owner"]),
        ("/a:/b:U", ["rbind", "rw", "rprivate", "chown"]),
        ("data:/b", ["rbind", "rw", "rprivate", "copy-up"]),
    ],
)
def test_for_the_runtime(text, options):
    point = bind(text)
    assert point.to_oci() == {
        "destination": "/b",
        "type": "bind",
        "source": point.source,
        "options": options,
    }
    assert MountPoint.from_json(point.to_json()) == point


def test_id_ranges_for_the_runtime():
    entry = bind("/a:/b:idmap=uids=0-1000-10").to_oci()
    assert entry["options"] == ["rbind", "rw", "rprivate", "ridmap"]
    mapping = [{"containerID": 0, "hostID": 1000, "size": 10}]
    assert (entry["uidMappings"], entry["gidMappings"]) == (mapping, mapping)


def test_a_part_of_a_volume_for_the_runtime():
    point = mount(type="volume", source="data", target="/b", volume=VolumeOptions(subpath="x/y"))
    assert "subpath=x/y" in point.to_oci()["options"]


def test_tmpfs_for_the_runtime():
    assert mount(type="tmpfs", target="/t", read_only=True).to_oci()["options"] == [
        "noexec",
        "nosuid",
        "nodev",
        "ro",
    ]


@given(st.text(alphabet="/:ab.,ro zZ\n\0é", max_size=24))
def test_no_text_breaks_it(text):
    try:
        points = parse_binds([text])
    except CutawayError:
        return
    assert points[0].destination.startswith("/")
    assert points[0].destination != "/"
    assert "/../" not in points[0].destination + "/"
