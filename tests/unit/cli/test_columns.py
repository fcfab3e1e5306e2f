"""The width of terminals."""

import os
import pty
import termios

import pytest

from cutaway.cli.screen.columns import terminal_columns


@pytest.mark.parametrize(("said", "taken"), [(0, 80), (33, 33)])
def test_a_width_of_zero_is_no_width(said: int, taken: int) -> None:
    ours, theirs = pty.openpty()
    try:
        termios.tcsetwinsize(theirs, (24, said))
        assert terminal_columns(theirs) == taken
    finally:
        os.close(ours)
        os.close(theirs)


def test_what_is_no_terminal_is_80_wide() -> None:
    with open(os.devnull) as nothing:
        assert terminal_columns(nothing.fileno()) == 80
