"""How images relate: files that differ, by layer; layers squashed, with what that costs."""

import pytest

from cutaway.errors import InvalidParameter
from cutaway.images.comparison import FileChange, Side, compare_images
from cutaway.images.squashing import squash_image
from cutaway.oci import Reference
from support.hostile_registry import make_image

BASE = {"etc/passwd": b"root", "bin/sh": b"shell", "var/lib/old/a": b"1", "var/lib/old/b": b"2"}


@pytest.fixture
def pull(store, registry):
    """Pull an image of these layers, each a dictionary of files."""

    def pull(name, *layers):
        image = make_image(layers=0, salt="same")
        image.config["history"] = [
            {"created_by": f"step {number}"} for number, _ in enumerate(layers)
        ]
        for files in layers:
            image.add_layer(files)
        registry.put(image, name=name)
        return store.pull(f"{registry.address}/{name}")

    return pull


def changes(store, old, new):
    return [
        (c.kind, c.path, c.old_bytes, c.new_bytes)
        for c in compare_images(store.snapshots, old, new).files
    ]


def test_files_that_differ_are_told_with_their_layer(store, pull) -> None:
    old = pull("old", BASE, {"etc/passwd": b"root user"})
    new = pull("new", BASE, {"etc/motd": b"hi"}, {"bin/sh": b"SHELL", "var/lib/.wh.old": b""})
    found = compare_images(store.snapshots, old, new)
    assert [(layer.side, layer.created_by) for layer in found.layers] == [
        (Side.SHARED, "step 0"),
        (Side.OLD, "step 1"),
        (Side.NEW, "step 1"),
        (Side.NEW, "step 2"),
    ]
    ids = new.config.rootfs.diff_ids
    assert found.files == (
        FileChange("C", "/bin/sh", ids[2], 5, 5),
        FileChange("A", "/etc/motd", ids[1], 0, 2),
        FileChange("C", "/etc/passwd", ids[0], 9, 4),
        FileChange("D", "/var/lib/old", ids[0], 0, 0),
    )


def test_a_rebuild_with_the_same_content_differs_in_layers_only(store, pull) -> None:
    old = pull("old", BASE, {"app": b"1", "more": b"x"})
    new = pull("new", BASE, {"app": b"1"}, {"more": b"x"})
    assert changes(store, old, new) == []
    sides = [layer.side for layer in compare_images(store.snapshots, old, new).layers]
    assert sides == [Side.SHARED, Side.OLD, Side.NEW, Side.NEW]


def test_opaque_directories_and_kinds_that_change(store, pull) -> None:
    old = pull("old", BASE)
    new = pull("new", BASE, {"var/lib/old/.wh..wh..opq": b"", "var/lib/old/c": b"3"}, {"bin": b""})
    assert changes(store, old, new) == [
        ("C", "/bin", 0, 0),
        ("D", "/bin/sh", 5, 0),
        ("D", "/var/lib/old/a", 1, 0),
        ("D", "/var/lib/old/b", 1, 0),
        ("A", "/var/lib/old/c", 0, 1),
    ]


def test_an_image_does_not_differ_from_itself(store, pull) -> None:
    image = pull("app", BASE, {"x": b"y"})
    assert changes(store, image, image) == []


def test_squashed_above_a_base_it_has_the_same_files_in_fewer_layers(store, pull) -> None:
    base = pull("base", BASE)
    image = pull("app", BASE, {"big": b"x" * 9000}, {".wh.big": b"", "app": b"1"}, {"app": b"22"})
    other = pull("other", BASE, {"big": b"x" * 9000})
    name = Reference.parse("flat:1")
    report = squash_image(store.images, store.snapshots, image, keep=base, name=name)
    made = store.images.find_name(name)
    assert (report.image_id, report.old_id) == (made.id, image.id)
    assert (report.layers_before, report.layers_after) == (4, 2)
    assert report.size_before_bytes - report.size_after_bytes == 9000 + 1
    assert report.merged_steps == ("step 1", "step 2", "step 3")
    assert [(lost.name, lost.size_bytes) for lost in report.lost_sharing] == [
        (other.names[0].familiar, 9000)
    ]
    assert report.pull_again_bytes == made.layers[1].size
    assert made.chain_ids[0] == base.chain_ids[0]
    assert changes(store, image, made) == []
    assert [step.created_by for step in made.config.history] == ["step 0", "cutaway image squash"]


def test_squashing_all_twice_gives_the_same_image(store, pull) -> None:
    image = pull("app", BASE, {"var/lib/old/.wh.a": b""})
    first = squash_image(store.images, store.snapshots, image)
    second = squash_image(store.images, store.snapshots, image)
    assert first.image_id == second.image_id
    made = store.images.get(first.image_id)
    assert len(made.layers) == 1
    assert changes(store, image, made) == []


def test_what_can_not_be_squashed(store, pull) -> None:
    base, image = pull("base", BASE), pull("app", BASE, {"a": b"1"})
    stranger = pull("stranger", {"z": b"1"})
    for arguments, message in (
        ({"keep": base}, "has 1 layers above what is kept"),
        ({"keep": stranger}, "is not built on"),
    ):
        with pytest.raises(InvalidParameter, match=message):
            squash_image(store.images, store.snapshots, image, **arguments)


def test_an_image_of_many_layers_is_squashed_in_rounds(store, pull) -> None:
    layers = [{f"d/f{n}": b"x", "d/last": str(n).encode()} for n in range(230)]
    image = pull("deep", *layers)
    report = squash_image(store.images, store.snapshots, image)
    made = store.images.get(report.image_id)
    assert (report.layers_before, report.layers_after) == (230, 1)
    assert changes(store, image, made) == []
