"""Options as text, and the bits they become."""

import pytest

from cutaway.errors import InvalidParameter
from cutaway.linux.abi import MOUNT_ATTR, MS
from cutaway.runtime.mount_options import (
    IdMap,
    MountOptions,
    format_attributes,
    format_propagation,
    parse_mount_options,
)


def parse(*options: str) -> MountOptions:
    return parse_mount_options(options, "mounts[0]")


def test_flags_propagation_words_and_data() -> None:
    assert parse("rbind", "ro", "nosuid", "rslave", "size=1k", "sync", "loud", "copy-up") == (
        MountOptions(
            attr_set=MOUNT_ATTR.RDONLY | MOUNT_ATTR.NOSUID,
            superblock=("sync",),
            propagation=MS.SLAVE | MS.REC,
            is_bind=True,
            is_recursive=True,
            copies_up=True,
            data=("size=1k",),
        )
    )


def test_later_option_overrides_an_earlier_one() -> None:
    options = parse("ro", "rw", "noatime", "strictatime")
    assert options.attr_set == MOUNT_ATTR.STRICTATIME
    assert options.attr_clr & MOUNT_ATTR.RDONLY


def test_recursive_flags_are_apart() -> None:
    options = parse("rbind", "rro", "rnosuid", "relatime")
    assert options.rec_attr_set == MOUNT_ATTR.RDONLY | MOUNT_ATTR.NOSUID
    assert options.attr_set == 0


def test_our_own_words() -> None:
    options = parse("rbind", "subpath=a/b=c", "chown", "idmap-owner")
    assert (options.subpath, options.gives_to_user, options.id_map) == ("a/b=c", True, IdMap.OWNER)
    assert parse("bind", "ridmap").id_map is IdMap.MAPPINGS_RECURSIVE


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["x=" + "y" * 256], "longer than 255 bytes"),
        ([f"option{n}={'y' * 200}" for n in range(20)], "longer than the kernel's one page"),
    ],
)
def test_refused(options: list[str], text: str) -> None:
    with pytest.raises(InvalidParameter, match=text):
        parse(*options)


def test_bits_are_named_as_options() -> None:
    bits = MOUNT_ATTR.RDONLY | MOUNT_ATTR.NOEXEC | MOUNT_ATTR.NOATIME
    assert format_attributes(bits) == ["ro", "noexec", "noatime"]
    assert format_attributes(MOUNT_ATTR.STRICTATIME) == ["strictatime"]
    assert format_propagation(MS.SHARED | MS.REC) == "rshared"
    assert format_propagation(0) == ""
