"""Which mounts show which snapshots: whole values, no kernel."""

import pytest

from cutaway.errors import InvalidParameter
from cutaway.images.mount import Mount
from cutaway.images.snapshots.mounts import check_root, plan_bind, plan_overlay

ALWAYS = ("index=off", "metacopy=off", "redirect_dir=nofollow")


def test_active_snapshot_on_two_layers_is_one_overlay() -> None:
    assert plan_overlay("/r", [2, 1], upper=3, is_volatile=False) == (
        Mount(
            "overlay",
            "overlay",
            ("lowerdir=/r/2/fs:/r/1/fs", "upperdir=/r/3/fs", "workdir=/r/3/work", *ALWAYS),
        ),
    )


def test_volatile_is_the_last_option() -> None:
    (mount,) = plan_overlay("/r", [1], upper=2, is_volatile=True)
    assert mount.options[-1] == "volatile"


def test_view_has_no_upper_directory() -> None:
    (mount,) = plan_overlay("/r", [2, 1], upper=None, is_volatile=False)
    assert mount.options == ("lowerdir=/r/2/fs:/r/1/fs", *ALWAYS, "ro")


def test_long_chain_is_said_relative_to_the_root_so_that_it_fits_one_page() -> None:
    root = "/var/lib/cutaway/snapshots"
    (mount,) = plan_overlay(root, list(range(1000, 1300)), upper=7, is_volatile=False)
    assert mount.directory == root
    assert mount.options[0].startswith("lowerdir=1000/fs:1001/fs:")
    assert mount.options[1:3] == ("upperdir=7/fs", "workdir=7/work")
    assert len(",".join(mount.options)) < 4096


def test_more_layers_than_overlay_stacks_are_refused() -> None:
    with pytest.raises(InvalidParameter, match="501 layers"):
        plan_overlay("/r", list(range(501)), upper=1, is_volatile=False)


def test_layers_that_fit_no_page_are_refused() -> None:
    with pytest.raises(InvalidParameter, match="do not fit"):
        plan_overlay("/r", list(range(100000, 100490)), upper=1, is_volatile=False)


@pytest.mark.parametrize("root", ["relative", "/a:b", "/a,b", "/a\\b", "/a b"])
def test_root_that_options_can_not_hold_is_refused(root: str) -> None:
    with pytest.raises(InvalidParameter):
        check_root(root)


def test_mounts_round_trip_through_json() -> None:
    for mount in (*plan_bind("/x", is_read_only=True), Mount("overlay", "o", ("a=b",), "/d")):
        assert Mount.from_json(mount.to_json()) == mount
