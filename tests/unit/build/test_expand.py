"""Variable expansion; cases follow the Dockerfile reference and POSIX shells."""

import pytest

from cutaway.build.dockerfile.expand import Expander, ExpansionError

EXPANDER = Expander({"a": "1", "empty": "", "path": "/usr/local/bin", "sp": "x  y"})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$a${a}", "11"),
        ("$a_b", ""),
        ("${a}_b", "1_b"),
        ("'$a'", "$a"),
        ('"$a"', "1"),
        ("\\$a", "$a"),
        ('"\\$a\\x"', "$a\\x"),
        ("${none:-d}${empty:-e}${empty-f}", "de"),
        ("${a:+set}${empty:+x}${empty+y}${none+z}", "sety"),
        ("${none:-$a}", "1"),
        ('${none:-"q q"}', "q q"),
        ("${path#*/}", "usr/local/bin"),
        ("${path##*/}", "bin"),
        ("${path%/*}", "/usr/local"),
        ("${path%%/*}", ""),
        ("${path/l/L}", "/usr/Local/bin"),
        ("${path//l/L}", "/usr/LocaL/bin"),
        ("$", "$"),
        ("a$", "a$"),
        ("$1", ""),
        ("$12x$$a$@", "xa"),
        ("x'y z'\"w\"", "xy zw"),
    ],
)
def test_word(text, expected):
    assert EXPANDER.word(text) == expected


def test_words_split_variables_but_not_quotes():
    assert EXPANDER.words("a '$a b' $sp \"$sp\" ''") == ["a", "$a b", "x", "y", "x  y", ""]


def test_a_document_keeps_its_quotes_and_loses_its_backslashes():
    assert EXPANDER.document("\"$a\" 'x' \\$a \\n \\\\ ${none:-d}") == "\"1\" 'x' $a n \\ d"


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("'x", "matching '"),
        ('"x', 'matching "'),
        ("${", "bad substitution"),
        ("${a", "unsupported modifier"),
        ("${a!x}", "unsupported modifier (!)"),
        ("${none:?must be set}", "none: must be set"),
        ("${a:-x", "missing '}'"),
    ],
)
def test_errors(text, part):
    with pytest.raises(ExpansionError) as caught:
        EXPANDER.word(text)
    assert part in str(caught.value)
