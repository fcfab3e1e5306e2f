"""Docker's user strings against passwd files, hostile ones too."""

import pytest

from cutaway.errors import InvalidParameter
from cutaway.runtime.users import Identity, find_home, find_identity

PASSWD = b"root:x:0:0:root:/root:/bin/sh\nwww:x:33:34:w:/srv:/x\nbad\n::\n1000:x:77:77::/t:/x\n"
GROUP = b"root:x:0:\nadm:x:4:www,x\nwww:x:34:\nwheel:x:10:root\nbroken:x:y:\nshort:x:8\n"


@pytest.mark.parametrize(
    ("user", "extra", "expected"),
    [
        ("", (), Identity(0, 0, (10,), "/root")),
        ("www", (), Identity(33, 34, (4,), "/srv")),
        ("33", (), Identity(33, 34, (4,), "/srv")),
        ("www:adm", (), Identity(33, 4, (), "/srv")),
        ("www:5", ("adm", "9"), Identity(33, 5, (4, 9), "/srv")),
        ("4242", (), Identity(4242, 0, (), "/")),
        ("1000", (), Identity(1000, 0, (), "/")),
    ],
)
def test_found(user: str, extra: tuple[str, ...], expected: Identity) -> None:
    assert find_identity(user, extra, PASSWD, GROUP) == expected


@pytest.mark.parametrize(
    ("user", "text"),
    [
        ("nobody", "unable to find user nobody: no matching entries in passwd file"),
        ("www:none", "unable to find group none: no matching entries in group file"),
        ("2147483648", "uids and gids must be in range 0-2147483647"),
        ("4294967296", "uids and gids must be in range"),
        ("9" * 5000, "uids and gids must be in range"),
        ("0:99999999999", "uids and gids must be in range"),
        ("\u0661", "unable to find user"),
    ],
)
def test_refused(user: str, text: str) -> None:
    with pytest.raises(InvalidParameter, match=text):
        find_identity(user, (), PASSWD, GROUP)


def test_entries_with_impossible_ids_are_skipped() -> None:
    hostile = b"a:x:4294967296:0::/:\nb:x:-1:0::/:\nc:x:99999999999999:0::/:\n\xff\xfe:x:1:1:::\n"
    for name in "abc":
        with pytest.raises(InvalidParameter):
            find_identity(name, (), hostile, b"")


def test_home_is_the_users_or_the_root() -> None:
    assert find_home(33, PASSWD) == "/srv"
    assert find_home(5, PASSWD) == "/"
