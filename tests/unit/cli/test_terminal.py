"""Detach keys: parsing, and finding them across reads."""

import pytest

from cutaway.cli.flags import UsageError
from cutaway.cli.screen.terminal import DetachKeys, parse_detach_keys


@pytest.mark.parametrize(
    ("text", "keys"),
    [("ctrl-p,ctrl-q", b"\x10\x11"), ("a,ctrl-]", b"a\x1d"), ("ctrl-@", b"\0"), ("q", b"q")],
)
def test_parsing(text, keys):
    assert parse_detach_keys(text) == keys


@pytest.mark.parametrize("text", ["", "ctrl-", "ctrl-1", "ab", "ctrl-p,,"])
def test_keys_no_terminal_has(text):
    with pytest.raises(UsageError):
        parse_detach_keys(text)


def test_the_sequence_is_found_across_reads():
    keys = DetachKeys(b"\x10\x11")
    assert keys.feed(b"ab\x10") == (b"ab", False)
    assert keys.feed(b"\x11x") == (b"", True)


def test_a_beginning_that_leads_nowhere_is_sent_on():
    keys = DetachKeys(b"\x10\x11")
    assert keys.feed(b"\x10") == (b"", False)
    assert keys.feed(b"a\x10\x10\x11") == (b"\x10a\x10", True)
